package train

import (
	"cmp"
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
	// Late is whether nothing is read from the device before a step is queued as a whole: the device itself leaves everything
	// as it is where the numbers are not finite. It is so on a GPU, where the engine can do it.
	Late        bool
	FixedShapes bool    // see [nn.Mode]; so on a GPU
	graphs      *graphs // of recorded passes; nil: none are recorded
	Threads     int     // of an operator on the CPU; 0: as many as the engine is set to
	params      []optim.Param
	plan        nn.Plan // of the paths that a step draws, known from the one before
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
	if s.Optimizer, err = optim.New(optimizer, s.params); err != nil {
		return nil, err
	}
	s.FixedShapes = worksAlone(d)
	s.Late = worksAlone(d) && s.Optimizer.CanSkip()
	return s, nil
}

// worksAlone reports whether the device works by itself while the program goes on.
var worksAlone = func(d torch.Device) bool { return d.Type == torch.CUDAType }

// Free frees the optimizer's state. The model stays.
func (s *Stepper) Free() {
	s.Optimizer.Free()
	s.Scaler.free()
	s.graphs.free()
}

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

// Step makes one optimizer step on a batch and waits for it. On a loss or gradient that is not finite it changes
// nothing and returns a [*NonFinite] error, or in float16 an [*Overflow]. noise decides which paths are dropped.
func (s *Stepper) Step(in method.Images, r Rates, noise *rng.Stream) (Result, error) {
	started, err := s.Start(in, r, noise)
	if err != nil {
		return Result{}, err
	}
	return started.Wait()
}

// Start is [Stepper.Step] but for the wait: of a step that is [Stepper.Late] the result, and whether it was made,
// are known when the device comes to it.
func (s *Stepper) Start(in method.Images, r Rates, noise *rng.Stream) (*Started, error) {
	defer optim.ZeroGrad(s.params) // gradients are no use to anyone else, and take memory
	if s.Threads > 0 {
		defer torch.LimitThreads(s.Threads)()
	}
	if s.Late {
		s.Scaler.toDevice(s.Device)
	}
	m, teacher, err := s.gradients(in, r.Temps, s.drops(noise, in.Len()))
	if err != nil {
		return nil, err
	}
	s.Model.Begin("clipping")
	s.Scaler.unscale(s.params)
	norm := optim.Clip(s.params, s.ClipGrad)
	if s.Late {
		r.Skip = m.doubt(norm)
	} else if err := s.check(m, norm); err != nil {
		return nil, err
	}
	if r.Freeze {
		optim.Freeze(s.params, "last_layer")
	}
	s.Model.Begin("optimizer")
	s.Optimizer.Step(r.Rates)
	s.Model.Begin("moving average")
	s.Model.Loss.Update(teacher, r.Skip)
	s.Model.EMA(r.Momentum, r.Skip)
	return s.started(m, norm, r.Skip), nil
}

// check reads the norm of the gradients before anything is changed. It errs where that is not finite.
func (s *Stepper) check(m *measured, norm *torch.Tensor) error {
	m.GradNorm = norm.Item()
	if s.Scaler != nil {
		from := s.Scaler.Scale
		if s.Scaler.update(finite(m.GradNorm)); s.Scaler.Scale < from && from > leastScale {
			return &Overflow{from, s.Scaler.Scale}
		}
	}
	if !finite(m.GradNorm) {
		return badGradient(s.badGradient(), m.Loss)
	}
	return nil
}

func badGradient(of string, loss float64) error {
	return &NonFinite{fmt.Sprintf("the gradient of %s is not finite, at a loss of %.4f", of, loss)}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// suspect names the first thing that a loss that is not finite may come from.
func (s *Stepper) suspect(b method.Batch) string {
	for _, in := range []*torch.Tensor{b.Global, b.Local} {
		if in != nil && in.AllFinite().Item() == 0 {
			return ": the images hold values that are not finite"
		}
	}
	return cmp.Or(s.broken(), ": images and parameters are finite, a value overflowed on the way")
}

// broken names the first parameter that is not finite, if there is one.
func (s *Stepper) broken() string {
	for _, t := range s.tensors() {
		if t.AllFinite().Item() == 0 {
			return ": " + t.name + " is not finite"
		}
	}
	return ""
}

func (s *Stepper) badGradient() string {
	for _, p := range s.params {
		if g := p.Grad(); g != nil && g.AllFinite().Item() == 0 {
			return p.Name
		}
	}
	return "all parameters together"
}
