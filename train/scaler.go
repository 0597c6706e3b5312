package train

import (
	"ibot/optim"
	"ibot/torch"
)

// Scaler scales the loss of steps in float16, whose smallest gradients would else be lost as zeros,
// with the numbers of torch.amp.GradScaler: it begins at 65536, halves where gradients overflow,
// and doubles after 2000 steps that did not (Micikevicius et al. 2018, Mixed Precision Training,
// section 3.2). A nil Scaler leaves loss and gradients as they are.
//
// In late steps scale and count lie on the device, where a step learns what became of the one before; Scale and Good are then
// those of the last step that was read.
type Scaler struct {
	Scale float64 `json:"scale"`
	Good  int     `json:"good"` // steps since the scale last changed

	scale, good *torch.Tensor // float32 scalars; nil while there was no late step
}

const (
	firstScale    = 65536
	scaleGrowth   = 2
	scaleBackoff  = .5
	scaleInterval = 2000
	leastScale    = 1       // below it gradients overflow by themselves, and not by the scale
	mostScale     = 0x1p127 // on the device
)

// NewScaler returns the Scaler of a run that begins.
func NewScaler() *Scaler { return &Scaler{Scale: firstScale} }

// toDevice takes scale and count to the device d, for late steps.
func (s *Scaler) toDevice(d torch.Device) {
	if s != nil && s.scale == nil {
		torch.Scope(func() {
			s.scale = torch.NewOn(d, []float32{float32(s.Scale)}).Own()
			s.good = torch.NewOn(d, []float32{float32(s.Good)}).Own()
		})
	}
}

// scaled returns the given share of the loss, scaled.
func (s *Scaler) scaled(loss *torch.Tensor, share float64) *torch.Tensor {
	switch {
	case s == nil:
		return loss.MulScalar(share)
	case s.scale != nil:
		return loss.MulScalar(share).Mul(s.scale)
	}
	return loss.MulScalar(share * s.Scale)
}

// unscale divides the gradients by the scale.
func (s *Scaler) unscale(params []optim.Param) {
	if s == nil {
		return
	}
	torch.Scope(func() {
		var inverse *torch.Tensor
		if s.scale != nil {
			inverse = s.scale.Reciprocal()
		}
		for _, p := range params {
			switch g := p.Grad(); {
			case g == nil:
			case inverse != nil:
				g.Mul_(inverse)
			default:
				g.MulScalar_(1 / s.Scale)
			}
		}
	})
}

// update adapts the scale to whether the gradients of a step were finite.
func (s *Scaler) update(finite bool) {
	if !finite {
		s.Scale, s.Good = s.Scale*scaleBackoff, 0
		return
	}
	if s.Good++; s.Good == scaleInterval {
		s.Scale, s.Good = s.Scale*scaleGrowth, 0
	}
}

// updateLate is update on the device, for a step that is skipped where skip is 1. It returns the scale that the step had, the
// new one and the count. As in PyTorch, a loss that is not finite counts as an overflow.
func (s *Scaler) updateLate(skip *torch.Tensor) []*torch.Tensor {
	from := s.scale.Clone()
	made := skip.Neg().AddScalar(1)
	s.good.AddScalar_(1).Mul_(made)
	grow := s.good.EqScalar(scaleInterval).To(torch.Float32)
	factor := skip.MulScalar(scaleBackoff).Add(made.Mul(grow.MulScalar(scaleGrowth - 1).AddScalar(1)))
	s.scale.Copy_(s.scale.Mul(factor).ClampMax(mostScale))
	s.good.Mul_(grow.Neg().AddScalar(1))
	return []*torch.Tensor{from, s.scale, s.good}
}

// free frees what lies on the device.
func (s *Scaler) free() {
	if s != nil {
		s.scale.Free()
		s.good.Free()
		s.scale, s.good = nil, nil
	}
}

// Overflow says that a step in float16 was not made, for its gradients were too large at the scale
// of the loss. The scale has been lowered.
type Overflow struct{ From, To float64 }

func (e *Overflow) Error() string { return "gradients overflow in float16" }
