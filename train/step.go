package train

import (
	"fmt"
	"math"

	"ibot/method"
	"ibot/nn"
	"ibot/optim"
	"ibot/rng"
	"ibot/torch"
)

// Stepper makes optimizer steps: a model, the optimizer of its student, and how they are run.
type Stepper struct {
	Model     *method.Model
	Optimizer optim.Optimizer
	ClipGrad  float64 // longest gradient of any one parameter; 0: no clipping
	Device    torch.Device
	Precision torch.DType // of the matrix products
	// MicroBatch is how many images go forward and backward at once; 0: the whole batch. The step is that of the whole
	// batch, but for rounding. Where memory is exhausted the Stepper halves it, and tells Shrunk where that is set.
	MicroBatch int
	Shrunk     func(from, to int)
	Recompute  bool    // see [nn.Mode]
	Scaler     *Scaler // of the loss, in float16; nil: none
	params     []optim.Param
}

// NewStepper returns a Stepper that trains the student of m with the named optimizer. Its owner
// calls [Stepper.Free].
func NewStepper(m *method.Model, optimizer string, clipGrad float64, d torch.Device, precision torch.DType) (*Stepper, error) {
	s := &Stepper{Model: m, ClipGrad: clipGrad, Device: d, Precision: precision}
	for _, p := range m.Student.Path.Params() {
		if p.RequiresGrad() {
			s.params = append(s.params, optim.Param(p))
		}
	}
	var err error
	s.Optimizer, err = optim.New(optimizer, s.params)
	return s, err
}

// Free frees the optimizer's state. The model stays.
func (s *Stepper) Free() { s.Optimizer.Free() }

// Result is what a step measured.
type Result struct {
	Loss, Cls, Patch float64
	Agreement        float64 // share of images that teacher and student put into the same cluster
	Entropy          float64 // mean entropy of the teacher's [CLS] targets, in nats
	GradNorm         float64 // of all gradients together, before clipping
	Clusters         []int   // (B): the teacher's cluster of each image
}

// NonFinite says that a step was not made, and why.
type NonFinite struct{ What string }

func (e *NonFinite) Error() string { return e.What }

// Step makes one optimizer step on a batch. On a loss or gradient that is not finite it changes
// nothing and returns a [*NonFinite] error, or in float16 an [*Overflow]. noise decides which paths are dropped.
func (s *Stepper) Step(in method.Images, r Rates, noise *rng.Stream) (res Result, err error) {
	defer optim.ZeroGrad(s.params) // gradients are no use to anyone else, and take memory
	res, teacher, err := s.gradients(in, r.Temps, nn.NewDrops(noise, in.Len()))
	if err != nil {
		return res, err
	}
	s.Model.Begin("clipping")
	if s.Scaler != nil {
		s.Scaler.unscale(s.params)
	}
	res.GradNorm = optim.Clip(s.params, s.ClipGrad).Item()
	if s.Scaler != nil {
		from := s.Scaler.Scale
		if s.Scaler.update(finite(res.GradNorm)); s.Scaler.Scale < from && from > leastScale {
			return res, &Overflow{from, s.Scaler.Scale}
		}
	}
	if !finite(res.GradNorm) {
		return res, &NonFinite{fmt.Sprintf("the gradient of %s is not finite, at a loss of %.4f", s.badGradient(), res.Loss)}
	}
	if r.Freeze {
		optim.Freeze(s.params, "last_layer")
	}
	s.Model.Begin("optimizer")
	s.Optimizer.Step(r.Rates)
	s.Model.Begin("moving average")
	s.Model.Loss.Update(teacher)
	s.Model.EMA(r.Momentum)
	return res, nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// suspect names the first thing that a loss that is not finite may come from.
func (s *Stepper) suspect(b method.Batch) string {
	for _, in := range []*torch.Tensor{b.Global, b.Local} {
		if in != nil && in.AllFinite().Item() == 0 {
			return ": the images hold values that are not finite"
		}
	}
	for _, t := range s.tensors() {
		if t.AllFinite().Item() == 0 {
			return ": " + t.name + " is not finite"
		}
	}
	return ": images and parameters are finite, a value overflowed on the way"
}

func (s *Stepper) badGradient() string {
	for _, p := range s.params {
		if g := p.Grad(); g != nil && g.AllFinite().Item() == 0 {
			return p.Name
		}
	}
	return "all parameters together"
}
