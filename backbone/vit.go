package backbone

import (
	"cmp"
	"fmt"
	"math"
	"strconv"

	"ibot/nn"
	"ibot/torch"
)

func init() {
	for name, size := range map[string]struct{ dim, depth, heads int }{
		"vit_tiny": {192, 12, 3}, "vit_small": {384, 12, 6}, "vit_base": {768, 12, 12}, "vit_large": {1024, 24, 16},
	} {
		Register(name, func(c Config, p *nn.Path) (Backbone, error) {
			c.EmbedDim, c.Depth, c.NumHeads = cmp.Or(c.EmbedDim, size.dim), cmp.Or(c.Depth, size.depth), cmp.Or(c.NumHeads, size.heads)
			return newViT(c, p)
		})
	}
}

const layerNormEps = 1e-6

// ViT is the vision transformer (Dosovitskiy et al. 2021), pre-norm, with learned positions and a [CLS] token.
type ViT struct {
	Config
	ClsToken    *torch.Tensor // (1, 1, D)
	PosEmbed    *torch.Tensor // (1, 1+N, D)
	Registers   *torch.Tensor // (1, R, D); nil without
	MaskedEmbed *torch.Tensor // (1, D); nil without
	PatchEmbed  *nn.PatchEmbed
	Blocks      []*Block
	Norm        *nn.LayerNorm // nil with mean pooling
	FCNorm      *nn.LayerNorm // nil without mean pooling
}

func newViT(c Config, p *nn.Path) (*ViT, error) {
	switch {
	case c.PatchSize < 1 || c.ImgSize < c.PatchSize || c.ImgSize%c.PatchSize != 0:
		return nil, fmt.Errorf("backbone: image size %d is not a multiple of patch size %d", c.ImgSize, c.PatchSize)
	case c.EmbedDim%c.NumHeads != 0:
		return nil, fmt.Errorf("backbone: embed_dim %d is not a multiple of num_heads %d", c.EmbedDim, c.NumHeads)
	}
	c.MLPHidden, c.NormEps = cmp.Or(c.MLPHidden, 4*c.EmbedDim), cmp.Or(c.NormEps, layerNormEps)
	side := c.ImgSize / c.PatchSize
	v := &ViT{Config: c}
	v.ClsToken = p.Param("cls_token", nn.TruncNormal(.02), 1, 1, c.EmbedDim)
	v.PosEmbed = p.Param("pos_embed", nn.TruncNormal(.02), 1, 1+side*side, c.EmbedDim)
	if c.Registers > 0 {
		v.Registers = p.Param("register_tokens", nn.TruncNormal(.02), 1, c.Registers, c.EmbedDim)
	}
	if c.Masked {
		v.MaskedEmbed = p.Param("masked_embed", nn.Zeros, 1, c.EmbedDim)
	}
	v.PatchEmbed = nn.NewPatchEmbed(p.Sub("patch_embed").Sub("proj"), c.InChans, c.EmbedDim, c.PatchSize)
	blocks := p.Sub("blocks")
	for i := range c.Depth {
		drop := c.DropPath * float64(i) / math.Max(1, float64(c.Depth-1))
		v.Blocks = append(v.Blocks, newBlock(blocks.Sub(strconv.Itoa(i)), c, drop))
	}
	if c.MeanPooling {
		v.FCNorm = nn.NewLayerNorm(p.Sub("fc_norm"), c.EmbedDim, c.NormEps)
	} else {
		v.Norm = nn.NewLayerNorm(p.Sub("norm"), c.EmbedDim, c.NormEps)
	}
	return v, nil
}

// EmbedDim is D.
func (v *ViT) EmbedDim() int { return v.Config.EmbedDim }

// Grid returns the rows and columns of patches of an image of H by W pixels.
func (v *ViT) Grid(H, W int) (h, w int) { return H / v.PatchSize, W / v.PatchSize }

// Operations counts the multiplications and additions of a forward pass of one image of H by W pixels, those of
// matrix products and attention.
func (v *ViT) Operations(H, W int) float64 {
	h, w := v.Grid(H, W)
	N, D := float64(1+h*w), float64(v.Config.EmbedDim)
	patches := 2 * (N - 1) * float64(v.InChans*v.PatchSize*v.PatchSize) * D
	return patches + float64(v.Config.Depth)*N*(24*D*D+4*N*D)
}

// Cell is the side of a patch in pixels.
func (v *ViT) Cell() int { return v.PatchSize }

// Forward maps images (B, C, H, W) to normed tokens (B, 1+N, D); see [Backbone].
func (v *ViT) Forward(m nn.Mode, x, mask *torch.Tensor) *torch.Tensor {
	x = v.Prepare(x, mask)
	for _, b := range v.Blocks {
		x = m.Run(b, x)
	}
	return v.withoutRegisters(v.norm(x))
}

// withoutRegisters drops the register tokens, which stand between [CLS] and the patches.
func (v *ViT) withoutRegisters(x *torch.Tensor) *torch.Tensor {
	if v.Registers == nil {
		return x
	}
	return torch.Cat([]*torch.Tensor{x.Slice(1, 0, 1), x.From(1, 1+v.Registers.Size(1))}, 1)
}

// norm is the final norm; with mean pooling only [CLS] is normed, after it took the mean of the patches.
func (v *ViT) norm(x *torch.Tensor) *torch.Tensor {
	if v.FCNorm == nil {
		return v.Norm.Forward(x)
	}
	patches := x.From(1, 1+v.Config.Registers)
	cls := v.FCNorm.Forward(patches.Mean(1)).Unsqueeze(1).To(x.DType())
	return torch.Cat([]*torch.Tensor{cls, x.Slice(1, 1, 1+v.Config.Registers), patches}, 1)
}

// Prepare maps images (B, C, H, W) to the tokens (B, 1+R+N, D) that enter the first block. Masked
// patches are replaced before [CLS] and positions join; register tokens have no position.
func (v *ViT) Prepare(x, mask *torch.Tensor) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor {
		B, H, W := x.Size(0), x.Size(2), x.Size(3)
		tokens := v.PatchEmbed.Forward(x).Flatten(1, 2) // (B, N, D)
		if mask != nil {
			if v.MaskedEmbed == nil {
				panic(&torch.Error{Op: "masked_embed", Msg: "this backbone was built without a mask embedding"})
			}
			at := mask.Reshape(B, -1, 1)
			tokens = torch.Where(at, v.MaskedEmbed.Unsqueeze(0).To(tokens.DType()), tokens)
		}
		cls := v.ClsToken.Expand(B, -1, -1)
		x := torch.Cat([]*torch.Tensor{cls, tokens}, 1).Add(v.Positions(H, W))
		if v.Registers == nil {
			return x
		}
		return torch.Cat([]*torch.Tensor{x.Slice(1, 0, 1), v.Registers.Expand(B, -1, -1), x.From(1, 1)}, 1)
	})
}

// Positions returns the position embedding (1, 1+N, D) for images of H by W pixels. Another grid
// than the one that was learnt is resampled bicubically.
func (v *ViT) Positions(H, W int) *torch.Tensor {
	h, w := v.Grid(H, W)
	side := int(math.Sqrt(float64(v.PosEmbed.Size(1) - 1)))
	if h*w == side*side && H == W {
		return v.PosEmbed
	}
	D := v.PosEmbed.Size(2)
	grid := v.PosEmbed.From(1, 1).Reshape(1, side, side, D).Permute(0, 3, 1, 2)
	// As the reference: the scale is that of a grid a tenth of a patch larger. PyTorch samples with the scale
	// it is given, so a 96-pixel crop reads the 14x14 grid at steps of 14/6.1, not 14/6.
	scale := func(n int) float64 { return (float64(n) + .1) / float64(side) }
	grid = grid.Bicubic(h, w, scale(h), scale(w))
	return torch.Cat([]*torch.Tensor{v.PosEmbed.Slice(1, 0, 1), grid.Permute(0, 2, 3, 1).Reshape(1, h*w, D)}, 1)
}

// LastSelfAttention returns the attention weights of the last block, (B, heads, 1+N, 1+N).
func (v *ViT) LastSelfAttention(m nn.Mode, x *torch.Tensor) *torch.Tensor {
	return v.SelfAttention(m, x, len(v.Blocks)-1)
}

// SelfAttention returns the attention weights of a block, (B, heads, 1+N, 1+N). Blocks count from 0.
func (v *ViT) SelfAttention(m nn.Mode, x *torch.Tensor, block int) *torch.Tensor {
	x = v.Prepare(x, nil)
	for _, b := range v.Blocks[:block] {
		x = b.Forward(m, x)
	}
	b := v.Blocks[block]
	w := b.Attn.Weights(b.Norm1.ForLinear(x)) // (B, H, 1+R+N, 1+R+N)
	for axis := 2; v.Registers != nil && axis < 4; axis++ {
		w = torch.Cat([]*torch.Tensor{w.Slice(axis, 0, 1), w.From(axis, 1+v.Registers.Size(1))}, axis)
	}
	return w
}

// NumBlocks is the number of blocks.
func (v *ViT) NumBlocks() int { return len(v.Blocks) }

// IntermediateLayers returns the normed tokens after each of the last n blocks; see [Backbone]. As in the
// reference, mean pooling leaves these as they are, for it has no final norm.
func (v *ViT) IntermediateLayers(m nn.Mode, x *torch.Tensor, n int) []*torch.Tensor {
	x = v.Prepare(x, nil)
	var out []*torch.Tensor
	for i, b := range v.Blocks {
		x = b.Forward(m, x)
		if len(v.Blocks)-i > n {
			continue
		}
		if v.Norm == nil {
			out = append(out, v.withoutRegisters(x))
		} else {
			out = append(out, v.withoutRegisters(v.Norm.Forward(x)))
		}
	}
	return out
}

// Block is one layer of a transformer: attention, then an MLP, each on a normed input and added to
// what came in.
type Block struct {
	Gamma1, Gamma2 *torch.Tensor // (D), LayerScale (Touvron et al. 2021); nil without
	Norm1, Norm2   *nn.LayerNorm
	Attn           *Attention
	MLP            interface {
		Forward(x *torch.Tensor) *torch.Tensor
	}
	DropPath nn.DropPath
}

func newBlock(p *nn.Path, c Config, drop float64) *Block {
	b := &Block{DropPath: nn.DropPath{P: drop}}
	if c.LayerScale > 0 {
		b.Gamma1 = p.Param("gamma_1", nn.Constant(c.LayerScale), c.EmbedDim)
		b.Gamma2 = p.Param("gamma_2", nn.Constant(c.LayerScale), c.EmbedDim)
	}
	b.Norm1 = nn.NewLayerNorm(p.Sub("norm1"), c.EmbedDim, c.NormEps)
	b.Attn = newAttention(p.Sub("attn"), c.EmbedDim, c.NumHeads)
	b.Norm2 = nn.NewLayerNorm(p.Sub("norm2"), c.EmbedDim, c.NormEps)
	if c.SwiGLU {
		b.MLP = newSwiGLU(p.Sub("mlp"), c.EmbedDim, c.MLPHidden)
	} else {
		b.MLP = nn.NewMLP(p.Sub("mlp"), c.EmbedDim, c.MLPHidden)
	}
	return b
}

// Forward maps tokens (B, N, D) to tokens (B, N, D).
func (b *Block) Forward(m nn.Mode, x *torch.Tensor) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor {
		x := b.DropPath.Add(m, x, b.Norm1, func(x *torch.Tensor) *torch.Tensor { return scaled(b.Attn.Forward(x), b.Gamma1) })
		return b.DropPath.Add(m, x, b.Norm2, func(x *torch.Tensor) *torch.Tensor { return scaled(b.MLP.Forward(x), b.Gamma2) })
	})
}

func scaled(x, gamma *torch.Tensor) *torch.Tensor {
	if gamma == nil {
		return x
	}
	return x.Mul(gamma)
}

// SwiGLU is the gated MLP of DINOv2's largest networks: W3 (SiLU(a) * b), where a and b are the halves
// of W12 x (Shazeer 2020).
type SwiGLU struct{ W12, W3 *nn.Linear }

func newSwiGLU(p *nn.Path, D, hidden int) *SwiGLU {
	return &SwiGLU{W12: nn.NewLinear(p.Sub("w12"), D, 2*hidden), W3: nn.NewLinear(p.Sub("w3"), hidden, D)}
}

// Forward keeps the shape (B, N, D).
func (m *SwiGLU) Forward(x *torch.Tensor) *torch.Tensor {
	halves := m.W12.Forward(x).Chunk(2, -1)
	return m.W3.Forward(halves[0].SiLU().Mul(halves[1]))
}

// Attention is multi-head self-attention (Vaswani et al. 2017).
type Attention struct {
	QKV, Proj *nn.Linear
	NumHeads  int
}

func newAttention(p *nn.Path, D, heads int) *Attention {
	return &Attention{
		QKV:      nn.NewLinear(p.Sub("qkv"), D, 3*D),
		Proj:     nn.NewLinear(p.Sub("proj"), D, D),
		NumHeads: heads,
	}
}

// Forward maps tokens (B, N, D) to tokens (B, N, D).
func (a *Attention) Forward(x *torch.Tensor) *torch.Tensor {
	return a.Proj.Forward(torch.SelfAttention(a.QKV.Forward(x), a.NumHeads))
}

// Weights returns the attention weights (B, H, N, N) of tokens (B, N, D).
func (a *Attention) Weights(x *torch.Tensor) *torch.Tensor {
	B, N, D := x.Size(0), x.Size(1), x.Size(2)
	qkv := a.QKV.Forward(x).Reshape(B, N, 3, a.NumHeads, D/a.NumHeads).Permute(2, 0, 3, 1, 4).Unbind(0)
	return torch.AttentionWeights(qkv[0], qkv[1])
}
