package torch

// Operators of neural networks.

var (
	opLinear     = aten("linear")
	opLayerNorm  = aten("layer_norm")
	opBatchNorm  = aten("batch_norm")
	opGELU       = aten("gelu")
	opReLU       = aten("relu")
	opSoftmax    = aten("softmax.int")
	opLogSoftmax = aten("log_softmax.int")
	opConv2d     = aten("conv2d")
	opBicubic    = aten("upsample_bicubic2d")
	opWeightNorm = aten("_weight_norm")
)

// Linear returns t W^T + b over the last axis; b may be nil. W is (out, in).
func (t *Tensor) Linear(w, b *Tensor) *Tensor { return opLinear.one(t, w, b) }

// LayerNorm normalises over the last axis, then scales by w and shifts by b.
func (t *Tensor) LayerNorm(w, b *Tensor, eps float64) *Tensor {
	return opLayerNorm.one(t, []int{w.Size(0)}, w, b, eps)
}

// BatchNorm normalises over every axis but the second. While training it uses and updates the
// statistics of the batch, with the given momentum; else the running ones.
func (t *Tensor) BatchNorm(w, b, runningMean, runningVar *Tensor, training bool, momentum, eps float64) *Tensor {
	return opBatchNorm.one(t, w, b, runningMean, runningVar, training, momentum, eps, false)
}

// GELU is the exact (erf) Gaussian error linear unit.
func (t *Tensor) GELU() *Tensor { return opGELU.one(t) }

// ReLU returns max(t, 0).
func (t *Tensor) ReLU() *Tensor { return opReLU.one(t) }

// Softmax returns the softmax along axis.
func (t *Tensor) Softmax(axis int) *Tensor { return opSoftmax.one(t, axis) }

// LogSoftmax returns the logarithm of the softmax along axis.
func (t *Tensor) LogSoftmax(axis int) *Tensor { return opLogSoftmax.one(t, axis) }

// Conv2d convolves (B, C, H, W) with w (O, C, kh, kw); b (O) may be nil.
func (t *Tensor) Conv2d(w, b *Tensor, stride, padding int) *Tensor {
	return opConv2d.one(t, w, b, []int{stride, stride}, []int{padding, padding})
}

// Bicubic resamples (B, C, H, W) to h by w with PyTorch's bicubic kernel (a = -0.75, not
// antialiased, align_corners false). scaleH and scaleW are what sampling coordinates are computed with; they
// need not be h/H and w/W.
func (t *Tensor) Bicubic(h, w int, scaleH, scaleW float64) *Tensor {
	return opBicubic.one(t, []int{h, w}, false, scaleH, scaleW)
}

// WeightNorm returns g v / |v|, the norm taken over each row of v (O, I); g is (O, 1).
func WeightNorm(v, g *Tensor) *Tensor { return opWeightNorm.one(v, g, 0) }
