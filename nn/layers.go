package nn

import (
	"math"

	"ibot/torch"
)

// Mode says how a network is run.
type Mode struct {
	Train     bool   // batch statistics, dropped paths
	Drops     *Drops // which paths are dropped, while training
	Recompute bool   // keep no activations of blocks: the backward pass computes them once more
	// FixedShapes makes the shape of every tensor depend on that of the input alone, and not on what is drawn: dropped
	// paths are computed and count nothing. So a GPU meets the same shapes in every step. Results are the same, but for rounding.
	FixedShapes bool
}

// Eval is the mode of evaluation.
var Eval = Mode{}

// Block is a part of a network that keeps the kind of its input.
type Block interface {
	Forward(m Mode, x *torch.Tensor) *torch.Tensor
}

// Run runs a block, with [Mode.Recompute] so that of all it computes the input alone is kept for the
// backward pass (Chen et al. 2016). Results and gradients are the same.
func (m Mode) Run(b Block, x *torch.Tensor) *torch.Tensor {
	if !m.Recompute {
		return b.Forward(m, x)
	}
	first := m.Drops.next()
	return torch.Checkpoint(func(in []*torch.Tensor) *torch.Tensor {
		m.Drops.seek(first)
		return b.Forward(m, in[0])
	}, x)
}

// Linear is y = x W^T + b over the last axis.
type Linear struct {
	Weight *torch.Tensor // (out, in)
	Bias   *torch.Tensor // (out); nil without
}

// NewLinear declares a linear layer with weights from N(0, std^2), where std is the path's LinearStd,
// and biases of 0, as every linear layer of the vision transformer and of the head begins.
func NewLinear(p *Path, in, out int) *Linear {
	l := NewLinearNoBias(p, in, out)
	l.Bias = p.Param("bias", Zeros, out)
	return l
}

// NewLinearNoBias is [NewLinear] without biases.
func NewLinearNoBias(p *Path, in, out int) *Linear {
	std := p.LinearStd
	if std == 0 {
		std = 1 / math.Sqrt(float64(in))
	}
	return &Linear{Weight: p.Param("weight", TruncNormal(std), out, in)}
}

// Forward maps (..., in) to (..., out).
func (l *Linear) Forward(x *torch.Tensor) *torch.Tensor { return x.Linear(l.Weight, l.Bias) }

// LayerNorm normalises over the last axis.
type LayerNorm struct {
	Weight, Bias *torch.Tensor // (D)
	Eps          float64
}

// NewLayerNorm declares a layer norm over D values.
func NewLayerNorm(p *Path, D int, eps float64) *LayerNorm {
	return &LayerNorm{Weight: p.Param("weight", Ones, D), Bias: p.Param("bias", Zeros, D), Eps: eps}
}

// Forward keeps the shape (..., D). It gives numbers of the weights' type, for older engines take no other.
func (l *LayerNorm) Forward(x *torch.Tensor) *torch.Tensor {
	return x.To(l.Weight.DType()).LayerNorm(l.Weight, l.Bias, l.Eps)
}

// ForLinear is Forward for a linear layer that follows: the result has the type of its products.
func (l *LayerNorm) ForLinear(x *torch.Tensor) *torch.Tensor {
	return x.LayerNormForLinear(l.Weight, l.Bias, l.Eps)
}

// Fork is ForLinear for some samples of x (B, ...), which normed has alone; they are in ascending order, and nil means all. What becomes of
// normed is to be added to same, which is x.
func (l *LayerNorm) Fork(x *torch.Tensor, samples []int) (normed, same *torch.Tensor) {
	return x.Fork(l.Weight, l.Bias, l.Eps, samples)
}

// PatchEmbed maps each patch of an image to a token: a convolution whose kernel is as large as its stride, as one
// matrix product, whose gradient is many times as fast.
type PatchEmbed struct {
	Weight *torch.Tensor // (out, in, size, size)
	Bias   *torch.Tensor // (out)
}

// NewPatchEmbed declares a patch embedding with PyTorch's default initial values of a convolution.
func NewPatchEmbed(p *Path, in, out, size int) *PatchEmbed {
	return &PatchEmbed{
		Weight: p.Param("weight", FanIn, out, in, size, size),
		Bias:   p.Param("bias", FanInBias(in*size*size), out),
	}
}

// Forward maps (B, in, H, W) to (B, H/size, W/size, out). Pixels at the right and the bottom that fill no patch
// are left out.
func (e *PatchEmbed) Forward(x *torch.Tensor) *torch.Tensor {
	B, C, p := x.Size(0), x.Size(1), e.Weight.Size(2)
	h, w := x.Size(2)/p, x.Size(3)/p
	x = x.Slice(2, 0, h*p).Slice(3, 0, w*p)
	x = x.Reshape(B, C, h, p, w, p).Permute(0, 2, 4, 1, 3, 5).Reshape(B, h, w, C*p*p)
	return x.Linear(e.Weight.Flatten(1, 3), e.Bias)
}

// WeightNormLinear is a linear layer without bias whose weight is g v/|v|, row by row: a direction
// and a length (Salimans and Kingma 2016).
type WeightNormLinear struct {
	G *torch.Tensor // (out, 1)
	V *torch.Tensor // (out, in)
}

// NewWeightNormLinear declares the layer with unit lengths.
func NewWeightNormLinear(p *Path, in, out int) *WeightNormLinear {
	return &WeightNormLinear{G: p.Param("weight_g", Ones, out, 1), V: p.Param("weight_v", FanIn, out, in)}
}

// Weight returns the effective weight (out, in).
func (l *WeightNormLinear) Weight() *torch.Tensor { return torch.WeightNorm(l.V, l.G) }

// Forward maps (..., in) to (..., out).
func (l *WeightNormLinear) Forward(x *torch.Tensor) *torch.Tensor { return x.Linear(l.Weight(), nil) }

// MLP is Linear, GELU, Linear.
type MLP struct{ FC1, FC2 *Linear }

// NewMLP declares an MLP from D through hidden to D values.
func NewMLP(p *Path, D, hidden int) *MLP {
	return &MLP{FC1: NewLinear(p.Sub("fc1"), D, hidden), FC2: NewLinear(p.Sub("fc2"), hidden, D)}
}

// Forward keeps the shape (..., D).
func (m *MLP) Forward(x *torch.Tensor) *torch.Tensor {
	return x.MLP(m.FC1.Weight, m.FC1.Bias, m.FC2.Weight, m.FC2.Bias)
}
