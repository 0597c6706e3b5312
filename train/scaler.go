package train

import "ibot/optim"

// Scaler scales the loss of steps in float16, whose smallest gradients would else be lost as zeros,
// with the numbers of torch.amp.GradScaler: it begins at 65536, halves where gradients overflow,
// and doubles after 2000 steps that did not (Micikevicius et al. 2018, Mixed Precision Training,
// section 3.2).
type Scaler struct {
	Scale float64 `json:"scale"`
	Good  int     `json:"good"` // steps since the scale last changed
}

const (
	firstScale    = 65536
	scaleGrowth   = 2
	scaleBackoff  = .5
	scaleInterval = 2000
	leastScale    = 1 // below it gradients overflow by themselves, and not by the scale
)

// NewScaler returns the Scaler of a run that begins.
func NewScaler() *Scaler { return &Scaler{Scale: firstScale} }

// unscale divides the gradients by the scale.
func (s *Scaler) unscale(params []optim.Param) {
	for _, p := range params {
		if g := p.Grad(); g != nil {
			g.MulScalar_(1 / s.Scale)
		}
	}
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

// Overflow says that a step in float16 was not made, for its gradients were too large at the scale
// of the loss. The scale has been lowered.
type Overflow struct{ From, To float64 }

func (e *Overflow) Error() string { return "gradients overflow in float16" }
