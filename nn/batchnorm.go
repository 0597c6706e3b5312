package nn

import "ibot/torch"

// BatchNorm normalises each of D features over all other axes of (..., D).
type BatchNorm struct {
	Weight, Bias            *torch.Tensor // (D)
	RunningMean, RunningVar *torch.Tensor // (D)
	batches                 *torch.Tensor // int64 scalar: how many batches the running statistics have seen
	// Center is the reference's centering norm (CSyncBatchNorm): it subtracts the running mean of earlier
	// batches, leaves the scale alone, and then updates the mean.
	Center bool
}

const batchNormMomentum, batchNormEps = .1, 1e-5

// NewBatchNorm declares a batch norm over D features.
func NewBatchNorm(p *Path, D int) *BatchNorm {
	return &BatchNorm{
		Weight: p.Param("weight", Ones, D), Bias: p.Param("bias", Zeros, D),
		RunningMean: p.Buffer("running_mean", Zeros, D), RunningVar: p.Buffer("running_var", Ones, D),
		batches: p.Counter("num_batches_tracked"),
	}
}

// Forward keeps the shape (..., D).
func (b *BatchNorm) Forward(m Mode, x *torch.Tensor) *torch.Tensor {
	shape := x.Shape()
	flat := x.Reshape(-1, shape[len(shape)-1])
	if m.Train {
		torch.NoGrad(func() { b.batches.Increment_() })
	}
	if !b.Center {
		return b.norm(flat, m.Train).Reshape(shape...)
	}
	torch.NoGrad(func() { b.RunningVar.Fill_(1) })
	// A copy of the mean, for the update below must not reach the backward pass of this one.
	y := flat.BatchNorm(b.Weight, b.Bias, b.RunningMean.Clone(), b.RunningVar.Clone(), false, batchNormMomentum, batchNormEps)
	if m.Train {
		torch.NoGrad(func() { b.norm(flat, true) })
	}
	return y.Reshape(shape...)
}

func (b *BatchNorm) norm(x *torch.Tensor, train bool) *torch.Tensor {
	return x.BatchNorm(b.Weight, b.Bias, b.RunningMean, b.RunningVar, train, batchNormMomentum, batchNormEps)
}
