package backbone

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"ibot/nn"
	"ibot/torch"
)

func init() {
	for name, size := range map[string]struct {
		dim    int
		depths []int
		heads  int
	}{
		"swin_tiny":  {96, []int{2, 2, 6, 2}, 3},
		"swin_small": {96, []int{2, 2, 18, 2}, 3},
		"swin_base":  {128, []int{2, 2, 18, 2}, 4},
		"swin_large": {192, []int{2, 2, 18, 2}, 6},
	} {
		Register(name, func(c Config, p *nn.Path) (Backbone, error) {
			c.EmbedDim, c.NumHeads = cmp.Or(c.EmbedDim, size.dim), cmp.Or(c.NumHeads, size.heads)
			if len(c.Depths) == 0 {
				c.Depths = size.depths
			}
			return newSwin(c, p)
		})
	}
}

// Swin is the shifted-window transformer (Liu et al. 2021): stages of blocks whose attention stays
// within windows, and between two stages a merging of 2 x 2 tokens into one of twice the width. It
// has neither positions nor a [CLS] token; token 0 of its results is the mean of the others.
type Swin struct {
	Config
	MaskedEmbed *torch.Tensor // (1, EmbedDim); nil without
	PatchEmbed  *nn.PatchEmbed
	PatchNorm   *nn.LayerNorm
	Stages      []*Stage
	Norm        *nn.LayerNorm
}

// Stage is a row of blocks on maps of one size.
type Stage struct {
	Blocks  []*SwinBlock
	Merging *PatchMerging // to the next stage; nil in the last
}

func newSwin(c Config, p *nn.Path) (*Swin, error) {
	if err := validSwin(c); err != nil {
		return nil, err
	}
	s := &Swin{Config: c}
	if c.Masked {
		s.MaskedEmbed = p.Param("masked_embed", nn.Zeros, 1, c.EmbedDim)
	}
	embed := p.Sub("patch_embed")
	s.PatchEmbed = nn.NewPatchEmbed(embed.Sub("proj"), c.InChans, c.EmbedDim, c.PatchSize)
	s.PatchNorm = nn.NewLayerNorm(embed.Sub("norm"), c.EmbedDim, layerNormEps)
	total, before := 0, 0
	for _, depth := range c.Depths {
		total += depth
	}
	masks := newWindowMasks(p)
	layers := p.Sub("layers")
	for i, depth := range c.Depths {
		stage, layer := &Stage{}, layers.Sub(strconv.Itoa(i))
		blocks := layer.Sub("blocks")
		for j := range depth {
			b := newSwinBlock(blocks.Sub(strconv.Itoa(j)), s.width(i), c.NumHeads<<i, s.windows(i, j), masks)
			b.DropPath.P = c.DropPath * float64(before+j) / math.Max(1, float64(total-1))
			stage.Blocks = append(stage.Blocks, b)
		}
		if i < len(c.Depths)-1 {
			stage.Merging = newPatchMerging(layer.Sub("downsample"), s.width(i))
		}
		s.Stages = append(s.Stages, stage)
		before += depth
	}
	s.Norm = nn.NewLayerNorm(p.Sub("norm"), s.EmbedDim(), layerNormEps)
	return s, nil
}

// maxWindow is the largest side of a window in patches. Published ones have up to 24.
const maxWindow = 32

func validSwin(c Config) error {
	switch {
	case c.PatchSize < 1 || c.ImgSize < c.PatchSize || c.ImgSize%c.PatchSize != 0:
		return fmt.Errorf("backbone: image size %d is not a multiple of patch size %d", c.ImgSize, c.PatchSize)
	case c.EmbedDim%c.NumHeads != 0:
		return fmt.Errorf("backbone: embed_dim %d is not a multiple of num_heads %d", c.EmbedDim, c.NumHeads)
	case c.WindowSize < 1:
		return fmt.Errorf("backbone: a window of %d patches; want 1 or more", c.WindowSize)
	case min(c.WindowSize, c.ImgSize/c.PatchSize) > maxWindow:
		return fmt.Errorf("backbone: a window of %d patches; want at most %d, for each pair of its patches is numbered", min(c.WindowSize, c.ImgSize/c.PatchSize), maxWindow)
	case c.Depth != 0 || c.LayerScale != 0:
		return fmt.Errorf("backbone: depth %d and LayerScale %g are for ViT; a Swin has depths and no LayerScale", c.Depth, c.LayerScale)
	case c.ImgSize/c.PatchSize>>(len(c.Depths)-1) < 1:
		return fmt.Errorf("backbone: images of %d pixels are too small for %d stages; want %d or more", c.ImgSize, len(c.Depths), c.PatchSize<<(len(c.Depths)-1))
	}
	for _, depth := range c.Depths {
		if depth < 1 {
			return fmt.Errorf("backbone: depths %v; want 1 block or more in each stage", c.Depths)
		}
	}
	return nil
}

// width of stage i.
func (s *Swin) width(i int) int { return s.Config.EmbedDim << i }

// windows of block j of stage i. Every other block is shifted by half a window. As in the
// reference, a stage whose map is no larger than the window has one window of that size, never
// shifted; which stage that is depends on the size that the network is built for, not on that of
// the image.
func (s *Swin) windows(i, j int) torch.Windows {
	side := s.ImgSize / s.PatchSize >> i
	if side <= s.WindowSize {
		return torch.Windows{Side: side}
	}
	return torch.Windows{Side: s.WindowSize, Shift: j % 2 * (s.WindowSize / 2)}
}

// EmbedDim is D, the width of the last stage.
func (s *Swin) EmbedDim() int { return s.width(len(s.Depths) - 1) }

// Cell is the side in pixels of what a token of the last stage stands for.
func (s *Swin) Cell() int { return s.PatchSize << (len(s.Depths) - 1) }

// Grid returns the rows and columns of tokens of the last stage for an image of H by W pixels.
// Cells at the bottom and on the right may reach beyond the image.
func (s *Swin) Grid(H, W int) (h, w int) {
	last := len(s.Depths) - 1
	up := func(pixels int) int { return (pixels/s.PatchSize + 1<<last - 1) >> last }
	return up(H), up(W)
}

// Forward maps images (B, C, H, W) to normed tokens (B, 1+N, D); see [Backbone]. The mask has a
// cell for each of the N tokens of the last stage.
func (s *Swin) Forward(m nn.Mode, x, mask *torch.Tensor) *torch.Tensor {
	x = s.Prepare(x, mask)
	for _, stage := range s.Stages {
		for _, b := range stage.Blocks {
			x = m.Run(b, x)
		}
		if stage.Merging != nil {
			x = stage.Merging.Forward(x)
		}
	}
	return tokens(s.Norm.Forward(x))
}

// tokens flattens maps (B, h, w, D) to (B, 1+h*w, D) and puts their mean in front.
func tokens(x *torch.Tensor) *torch.Tensor {
	x = x.Flatten(1, 2)
	return torch.Cat([]*torch.Tensor{x.Mean(1).Unsqueeze(1).To(x.DType()), x}, 1)
}

// Prepare maps images (B, C, H, W) to the normed patches (B, h, w, EmbedDim) that enter the first
// block. The mask, on the grid of the last stage, is spread over the patches of its cells.
func (s *Swin) Prepare(x, mask *torch.Tensor) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor {
		x := s.PatchNorm.Forward(s.PatchEmbed.Forward(x))
		if mask == nil {
			return x
		}
		if s.MaskedEmbed == nil {
			panic(&torch.Error{Op: "masked_embed", Msg: "this backbone was built without a mask embedding"})
		}
		B, h, w, n := mask.Size(0), mask.Size(1), mask.Size(2), 1<<(len(s.Depths)-1)
		at := mask.Reshape(B, h, 1, w, 1).Expand(B, h, n, w, n).Reshape(B, h*n, w*n, 1)
		at = at.Slice(1, 0, x.Size(1)).Slice(2, 0, x.Size(2))
		return torch.Where(at, s.MaskedEmbed.To(x.DType()), x)
	})
}

// LastSelfAttention returns the attention weights within the windows of the last block, (B*windows,
// heads, n, n) for windows of n tokens, image by image. Beyond the map a window holds padding.
func (s *Swin) LastSelfAttention(m nn.Mode, x *torch.Tensor) *torch.Tensor {
	b, x := s.lastBlock(m, x)
	return b.Attn.Weights(b.Norm1.ForLinear(x))
}

// MeanAttention returns how much the tokens of the last block attend to each of them on average,
// (B, heads, N): what stands in for the attention of [CLS], since token 0 of the results is the
// mean of the others. The weights of a head sum to 1, less what goes to padding.
func (s *Swin) MeanAttention(m nn.Mode, x *torch.Tensor) *torch.Tensor {
	b, x := s.lastBlock(m, x)
	return b.Attn.MeanWeights(b.Norm1.ForLinear(x))
}

// lastBlock returns the last block and the map that enters it.
func (s *Swin) lastBlock(m nn.Mode, x *torch.Tensor) (last *SwinBlock, in *torch.Tensor) {
	x = s.Prepare(x, nil)
	for _, stage := range s.Stages {
		for _, b := range stage.Blocks {
			last, in = b, x
			x = b.Forward(m, x)
		}
		if stage.Merging != nil {
			x = stage.Merging.Forward(x)
		}
	}
	return last, in
}

// IntermediateLayers returns the tokens (B, 1+N, D) after each of the last n blocks, first to last,
// with N and D of their stage. As in the reference, only those of the last stage are normed.
func (s *Swin) IntermediateLayers(m nn.Mode, x *torch.Tensor, n int) []*torch.Tensor {
	var out []*torch.Tensor
	x = s.Prepare(x, nil)
	left := 0
	for _, depth := range s.Depths {
		left += depth
	}
	for _, stage := range s.Stages {
		for _, b := range stage.Blocks {
			x = b.Forward(m, x)
			if left--; left >= n {
				continue
			}
			if stage.Merging == nil {
				out = append(out, tokens(s.Norm.Forward(x)))
			} else {
				out = append(out, tokens(x))
			}
		}
		if stage.Merging != nil {
			x = stage.Merging.Forward(x)
		}
	}
	return out
}

// Check reports a position index, read from a file, that is not that of the windows: the weights of its
// file would be taken for other positions.
func (s *Swin) Check() error {
	for i, stage := range s.Stages {
		for j, b := range stage.Blocks {
			side := b.Attn.Windows.Side
			if !slices.Equal(torch.Read[int64](b.Attn.BiasIndex), relativePositions(side)) {
				return fmt.Errorf("backbone: the relative_position_index of block %d of layer %d is not that of windows of %d; want the reference's numbering", j, i, side)
			}
		}
	}
	return nil
}

// SwinBlock is a [Block] whose attention stays within windows.
type SwinBlock struct {
	Norm1, Norm2 *nn.LayerNorm
	Attn         *WindowAttention
	MLP          *nn.MLP
	DropPath     nn.DropPath
}

func newSwinBlock(p *nn.Path, D, heads int, w torch.Windows, masks *windowMasks) *SwinBlock {
	return &SwinBlock{
		Norm1: nn.NewLayerNorm(p.Sub("norm1"), D, layerNormEps),
		Attn:  newWindowAttention(p.Sub("attn"), D, heads, w, masks),
		Norm2: nn.NewLayerNorm(p.Sub("norm2"), D, layerNormEps),
		MLP:   nn.NewMLP(p.Sub("mlp"), D, 4*D),
	}
}

// Forward keeps the shape (B, h, w, D).
func (b *SwinBlock) Forward(m nn.Mode, x *torch.Tensor) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor {
		x := b.DropPath.Add(m, x, b.Norm1, b.Attn.Forward)
		return b.DropPath.Add(m, x, b.Norm2, b.MLP.Forward)
	})
}

// PatchMerging joins 2 x 2 neighbours into one token of twice the width.
type PatchMerging struct {
	Reduction *nn.Linear
	Norm      *nn.LayerNorm
}

func newPatchMerging(p *nn.Path, D int) *PatchMerging {
	return &PatchMerging{
		Reduction: nn.NewLinearNoBias(p.Sub("reduction"), 4*D, 2*D),
		Norm:      nn.NewLayerNorm(p.Sub("norm"), 4*D, layerNormEps),
	}
}

// Forward maps (B, h, w, D) to (B, ceil(h/2), ceil(w/2), 2 D), of the same type, so that the
// blocks' sums stay in float32 under autocast. An odd row or column is completed with zeros.
func (p *PatchMerging) Forward(x *torch.Tensor) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor {
		B, h, w, D := x.Size(0), x.Size(1), x.Size(2), x.Size(3)
		x := x.PadEnd(1, h%2).PadEnd(2, w%2)
		h, w = (h+1)/2, (w+1)/2
		// The four tokens of a cell in the order of the reference: column by column.
		x = x.Reshape(B, h, 2, w, 2, D).Permute(0, 1, 3, 4, 2, 5).Reshape(B, h, w, 4*D)
		return p.Reduction.Forward(p.Norm.ForLinear(x)).To(x.DType())
	})
}
