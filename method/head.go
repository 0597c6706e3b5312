package method

import (
	"fmt"
	"strconv"

	"ibot/nn"
	"ibot/torch"
)

// HeadConfig is what a projection head is built with.
type HeadConfig struct {
	InDim         int    // D of the backbone
	OutDim        int    // K, the number of clusters for [CLS]
	PatchOutDim   int    // K of the patches; with a shared last layer it is OutDim
	HiddenDim     int    // width of the MLP
	BottleneckDim int    // width of the l2-normalised bottleneck; 0: none, and no weight-normed last layer
	Layers        int    // linear layers of the MLP
	Norm          string // "", "bn", "syncbn", "psyncbn", "csyncbn" or "ln" after each hidden layer
	Act           string // "gelu" or "relu"
	NormLastLayer bool   // the rows of the last layer keep length 1
	Shared        bool   // [CLS] and patches share the last layer
}

// Head maps tokens to the logits of K clusters: an MLP, an l2-normalised bottleneck and a last layer
// with normed rows (DINO, Caron et al. 2021). The MLP is one for [CLS] and patches; the last layer is
// shared or not.
type Head struct {
	HeadConfig
	hidden     []stage              // all of the MLP but its last linear layer
	out        *nn.Linear           // to the bottleneck, or without one to the K clusters of [CLS]
	out2       *nn.Linear           // without a bottleneck: to the K clusters of the patches
	LastLayer  *nn.WeightNormLinear // nil without a bottleneck
	LastLayer2 *nn.WeightNormLinear // for patches; LastLayer itself where shared
}

// stage is one hidden layer of the MLP.
type stage struct {
	linear *nn.Linear
	norm   interface { // nil without
		Forward(m nn.Mode, x *torch.Tensor) *torch.Tensor
	}
}

// NewHead declares a head.
func NewHead(p *nn.Path, c HeadConfig) (*Head, error) {
	switch {
	case c.Act != "gelu" && c.Act != "relu":
		return nil, fmt.Errorf("method: act_in_head %q is unknown; use gelu or relu", c.Act)
	case c.Layers < 1:
		return nil, fmt.Errorf("method: the head needs at least one layer, got %d", c.Layers)
	case c.Layers == 1 && c.BottleneckDim == 0:
		return nil, fmt.Errorf("method: a head of one layer needs a bottleneck; set bottleneck_dim above 0")
	}
	h := &Head{HeadConfig: c}
	if err := h.declareMLP(p); err != nil {
		return nil, err
	}
	if c.BottleneckDim > 0 {
		h.declareLastLayers(p)
	}
	return h, nil
}

// declareMLP numbers the MLP's layers as the nn.Sequential of the reference does, activations counted.
func (h *Head) declareMLP(p *nn.Path) error {
	width := h.BottleneckDim
	if width == 0 {
		width = h.OutDim
	}
	mlp := p.Sub("mlp")
	if h.Layers == 1 {
		h.out = nn.NewLinear(mlp, h.InDim, width)
		return nil
	}
	index, in := 0, h.InDim
	next := func() *nn.Path { index++; return mlp.Sub(strconv.Itoa(index - 1)) }
	var shared stage
	var sharedAt *nn.Path
	for i := range h.Layers - 1 {
		s := stage{linear: nn.NewLinear(next(), in, h.HiddenDim)}
		if h.Norm != "" {
			// As the reference: one norm serves every hidden layer, and stands in the state dict at each.
			if i == 0 {
				sharedAt = next()
				if err := shared.declareNorm(sharedAt, h.Norm, h.HiddenDim); err != nil {
					return err
				}
			} else {
				mlp.Alias(strconv.Itoa(index), sharedAt)
				index++
			}
			s.norm = shared.norm
		}
		index++ // the activation
		h.hidden = append(h.hidden, s)
		in = h.HiddenDim
	}
	last := next()
	h.out = nn.NewLinear(last, in, width)
	if h.BottleneckDim == 0 {
		if h.Shared {
			p.Alias("mlp2", last)
			h.out2 = h.out
		} else {
			h.out2 = nn.NewLinear(p.Sub("mlp2"), in, h.PatchOutDim)
		}
	}
	return nil
}

func (s *stage) declareNorm(p *nn.Path, kind string, D int) error {
	switch kind {
	case "ln":
		s.norm = tokenNorm{nn.NewLayerNorm(p, D, 1e-5)}
	case "bn", "syncbn", "psyncbn": // in one process the statistics of all processes are its own
		s.norm = nn.NewBatchNorm(p, D)
	case "csyncbn":
		b := nn.NewBatchNorm(p, D)
		b.Center = true
		s.norm = b
	default:
		return fmt.Errorf("method: norm_in_head %q is unknown; use bn, syncbn, csyncbn, psyncbn or ln", kind)
	}
	return nil
}

// tokenNorm is a norm that does not depend on the mode.
type tokenNorm struct{ *nn.LayerNorm }

func (t tokenNorm) Forward(_ nn.Mode, x *torch.Tensor) *torch.Tensor { return t.LayerNorm.Forward(x) }

func (h *Head) declareLastLayers(p *nn.Path) {
	at := p.Sub("last_layer")
	h.LastLayer = nn.NewWeightNormLinear(at, h.BottleneckDim, h.OutDim)
	if h.Shared {
		p.Alias("last_layer2", at)
		h.LastLayer2 = h.LastLayer
	} else {
		h.LastLayer2 = nn.NewWeightNormLinear(p.Sub("last_layer2"), h.BottleneckDim, h.PatchOutDim)
	}
	if h.NormLastLayer {
		h.LastLayer.G.RequireGrad(false)
		h.LastLayer2.G.RequireGrad(false)
	}
}

// PerToken reports whether the head treats every token by itself, so that tokens whose output is not
// needed can be left out without changing the others. Batch norms look at all of them.
func (h *Head) PerToken() bool { return h.Norm == "" || h.Norm == "ln" }

// Embed maps tokens (..., D) to what the last layer is applied to: the l2-normalised bottleneck
// (..., BottleneckDim) in float32, or without a bottleneck the last hidden layer.
func (h *Head) Embed(m nn.Mode, x *torch.Tensor) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor {
		x := x
		for _, s := range h.hidden {
			x = s.linear.Forward(x)
			if s.norm != nil {
				x = s.norm.Forward(m, x)
			}
			if h.Act == "relu" {
				x = x.ReLU()
			} else {
				x = x.GELU()
			}
		}
		if h.BottleneckDim == 0 {
			return x
		}
		z := h.out.Forward(x).To(torch.Float32)
		return z.Div(z.Norm(-1).ClampMin(1e-12))
	})
}

// ClsLogits maps embedded [CLS] tokens to logits (..., OutDim) in float32.
func (h *Head) ClsLogits(z *torch.Tensor) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor { return logits(z, effective(h.LastLayer, h.out)) })
}

// PatchLogits maps embedded patch tokens to logits (..., PatchOutDim) in float32.
func (h *Head) PatchLogits(z *torch.Tensor) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor { return logits(z, effective(h.LastLayer2, h.out2)) })
}

// Last returns the layers that make logits of embedded tokens, those of [CLS] and those of patches. Where they are
// shared, both are one.
func (h *Head) Last() (cls, patch *nn.Linear) {
	cls = effective(h.LastLayer, h.out)
	if patch = cls; !h.Shared {
		patch = effective(h.LastLayer2, h.out2)
	}
	return cls, patch
}

// effective is the weight-normed last layer as a plain one, or the last layer of a head without a bottleneck.
func effective(last *nn.WeightNormLinear, plain *nn.Linear) *nn.Linear {
	if last == nil {
		return plain
	}
	return &nn.Linear{Weight: last.Weight()}
}

// logits maps embedded tokens (..., d) to logits (..., K). It stays in float32 whatever the precision of the rest:
// divided by a temperature of 0.04, the rounding of a half-precision logit would be a tenth.
func logits(z *torch.Tensor, last *nn.Linear) *torch.Tensor {
	return torch.Tidy(func() (y *torch.Tensor) {
		torch.Autocast(z.Device(), torch.Float32, func() { y = last.Forward(z.To(torch.Float32)) })
		return y
	})
}

// Forward is the plain form: tokens (B, 1+N, D) to the logits of [CLS] (B, OutDim) and of every patch
// (B, N, PatchOutDim), in float32. Training needs few of the latter; see [Model.Forward].
func (h *Head) Forward(m nn.Mode, x *torch.Tensor) (cls, patch *torch.Tensor) {
	z := h.Embed(m, x)
	return h.ClsLogits(z.Select(1, 0)), h.PatchLogits(z.From(1, 1))
}
