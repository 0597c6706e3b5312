package torch

// Operators of neural networks.

var (
	opLinear     = aten("linear")
	opLayerNorm  = aten("layer_norm")
	opBatchNorm  = aten("batch_norm")
	opGELU       = aten("gelu")
	opReLU       = aten("relu")
	opSiLU       = aten("silu")
	opSoftmax    = aten("softmax.int")
	opLogSoftmax = aten("log_softmax.int")
	opBicubic    = aten("upsample_bicubic2d")
	opBilinear   = aten("upsample_bilinear2d")
	opWeightNorm = aten("_weight_norm")
	opIndexAdd   = aten("index_add")
	opAddCMul    = aten("addcmul")

	// pointwise.cpp: float32 and bfloat16 on the CPU, a pass each
	opFusedGELU      = &op{name: "ibot::gelu"}
	opFusedLayerNorm = &op{name: "ibot::layer_norm"}
	opFork           = &op{name: "ibot::fork"}
	opAddBranch      = &op{name: "ibot::add_branch"}

	// linear.cpp: by kernels of our own where they suit, else the engine's
	opFusedLinear = &op{name: "ibot::linear"}
	opMLP         = &op{name: "ibot::mlp"}
)

// fusedHere reports whether our own operators take t.
func fusedHere(t *Tensor) bool {
	return t.Device() == CPU && (t.DType() == Float32 || t.DType() == BFloat16)
}

// Linear returns t W^T + b over the last axis; b may be nil. W is (out, in).
func (t *Tensor) Linear(w, b *Tensor) *Tensor {
	if fusedHere(t) {
		return opFusedLinear.one(t, w, b)
	}
	return opLinear.one(t, w, b)
}

// MLP returns GELU(t W1^T + b1) W2^T + b2 over the last axis.
func (t *Tensor) MLP(w1, b1, w2, b2 *Tensor) *Tensor {
	if fusedHere(t) {
		return opMLP.one(t, w1, b1, w2, b2)
	}
	return t.Linear(w1, b1).GELU().Linear(w2, b2)
}

// LayerNorm normalises over the last axis, then scales by w and shifts by b. It keeps the type of t.
func (t *Tensor) LayerNorm(w, b *Tensor, eps float64) *Tensor {
	return t.layerNorm(w, b, eps, false)
}

// LayerNormForLinear is [Tensor.LayerNorm] for a linear layer that follows: under [Autocast] the result may have
// the type that the layer's product would cast it to.
func (t *Tensor) LayerNormForLinear(w, b *Tensor, eps float64) *Tensor {
	return t.layerNorm(w, b, eps, true)
}

func (t *Tensor) layerNorm(w, b *Tensor, eps float64, forLinear bool) *Tensor {
	if fusedHere(t) && w.DType() == Float32 {
		return opFusedLayerNorm.one(t, w, b, eps, forLinear)
	}
	return opLayerNorm.one(t, []int{w.Size(0)}, w, b, eps)
}

// Fork returns [Tensor.LayerNormForLinear] of the samples that are named, in ascending order along the first axis, or of all for nil; and t, to
// which a branch of the normed one is to be added: it is t with a gradient that goes through the norm, where both meet in one pass.
func (t *Tensor) Fork(w, b *Tensor, eps float64, samples []int) (normed, same *Tensor) {
	if fusedHere(t) && w.DType() == Float32 {
		both := opFork.all(t, w, b, eps, optional(samples))
		return both[0], both[1]
	}
	some := t
	if samples != nil {
		some = t.IndexSelect(0, t.numbers(samples))
	}
	return some.LayerNormForLinear(w, b, eps), t
}

// AddBranch returns t (B, ...) + scale r, of the type of t. Where samples are named, in ascending order along the first
// axis, r has these alone, and the others stay as they are.
func (t *Tensor) AddBranch(r *Tensor, scale float64, samples []int) *Tensor {
	if fusedHere(t) && t.DType() == Float32 && fusedHere(r) {
		return opAddBranch.one(t, r, scale, optional(samples))
	}
	if scale != 1 {
		r = r.MulScalar(scale)
	}
	if samples != nil {
		return opIndexAdd.one(t, 0, t.numbers(samples), r.To(t.DType()))
	}
	return t.Add(r)
}

// AddWeighted returns t (B, ...) + weights r, of the type of t: weights (B, 1, ...) has a number for each sample.
func (t *Tensor) AddWeighted(r, weights *Tensor) *Tensor { return opAddCMul.one(t, r, weights) }

// optional is a list of integers as an argument that may be None, for nil.
func optional(list []int) any {
	if list == nil {
		return nil
	}
	return list
}

// numbers is a list as an index, where t is.
func (t *Tensor) numbers(list []int) *Tensor {
	index := make([]int64, len(list))
	for i, n := range list {
		index[i] = int64(n)
	}
	return NewOn(t.Device(), index, len(index))
}

// BatchNorm normalises over every axis but the second. While training it uses and updates the
// statistics of the batch, with the given momentum; else the running ones.
func (t *Tensor) BatchNorm(w, b, runningMean, runningVar *Tensor, training bool, momentum, eps float64) *Tensor {
	return opBatchNorm.one(t, w, b, runningMean, runningVar, training, momentum, eps, false)
}

// GELU is the exact (erf) Gaussian error linear unit.
func (t *Tensor) GELU() *Tensor {
	if fusedHere(t) {
		return opFusedGELU.one(t)
	}
	return opGELU.one(t)
}

// SiLU is x times its logistic sigmoid.
func (t *Tensor) SiLU() *Tensor { return opSiLU.one(t) }

// ReLU returns max(t, 0).
func (t *Tensor) ReLU() *Tensor { return opReLU.one(t) }

// Softmax returns the softmax along axis.
func (t *Tensor) Softmax(axis int) *Tensor { return opSoftmax.one(t, axis) }

// LogSoftmax returns the logarithm of the softmax along axis.
func (t *Tensor) LogSoftmax(axis int) *Tensor { return opLogSoftmax.one(t, axis) }

// Bicubic resamples (B, C, H, W) to h by w with PyTorch's bicubic kernel (a = -0.75, not
// antialiased, align_corners false). scaleH and scaleW are what sampling coordinates are computed with; they
// need not be h/H and w/W.
func (t *Tensor) Bicubic(h, w int, scaleH, scaleW float64) *Tensor {
	return opBicubic.one(t, []int{h, w}, false, scaleH, scaleW)
}

// Bilinear is Bicubic with PyTorch's bilinear kernel.
func (t *Tensor) Bilinear(h, w int, scaleH, scaleW float64) *Tensor {
	return opBilinear.one(t, []int{h, w}, false, scaleH, scaleW)
}

// WeightNorm returns g v / |v|, the norm taken over each row of v (O, I); g is (O, 1).
func WeightNorm(v, g *Tensor) *Tensor { return opWeightNorm.one(v, g, 0) }
