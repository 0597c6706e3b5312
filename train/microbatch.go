package train

import (
	"errors"
	"fmt"

	"ibot/method"
	"ibot/nn"
	"ibot/optim"
	"ibot/rng"
	"ibot/torch"
)

// gradients leaves the gradients of the loss of a batch at the parameters, and returns what it
// measured and the teacher's means, from which the centers move. It makes them of one micro-batch
// after the other: the loss is a mean over images, and so are the means. Dropped paths are those of
// the whole batch, and centers stay as they are meanwhile.
//
// Where memory is exhausted it begins again with micro-batches of half the size. Nothing has been
// changed by then.
func (s *Stepper) gradients(in method.Images, temps method.Temps, drops *nn.Drops) (m *measured, whole method.Teacher, err error) {
	for {
		m, whole, err = s.accumulate(in, temps, drops)
		if !errors.Is(err, torch.ErrOutOfMemory) {
			s.plan = drops.Plan()
			return m, whole, err
		}
		optim.ZeroGrad(s.params)
		if s.graphs.holds() {
			s.graphs.stop(err)
			continue
		}
		if err := s.shrink(in.Len(), err); err != nil {
			return m, whole, err
		}
	}
}

// drops draws the dropped paths of a step: all at once, where shapes are fixed and a step before has shown which there are.
func (s *Stepper) drops(noise *rng.Stream, images int) *nn.Drops {
	d := nn.NewDrops(noise, images)
	if s.FixedShapes {
		d.Ahead(s.plan, s.Device)
	}
	return d
}

// shrink halves the micro-batch. cause is why.
func (s *Stepper) shrink(batch int, cause error) error {
	from := s.microBatch(batch)
	if from == 1 {
		return fmt.Errorf("%w, with a single image at once", cause)
	}
	if !s.Model.Student.Head.PerToken() {
		return fmt.Errorf("%w; the batch cannot be parted, since the batch norm of the head (norm_in_head) looks at all of it", cause)
	}
	s.MicroBatch = (from + 1) / 2
	if s.Shrunk != nil {
		s.Shrunk(from, s.MicroBatch)
	}
	return nil
}

// microBatch is how many of the images of a batch go forward and backward at once.
func (s *Stepper) microBatch(batch int) int {
	if s.MicroBatch == 0 {
		return batch
	}
	return min(s.MicroBatch, batch)
}

// accumulate is one attempt at [Stepper.gradients].
func (s *Stepper) accumulate(in method.Images, temps method.Temps, drops *nn.Drops) (m *measured, whole method.Teacher, err error) {
	l, B := s.Model.Loss, in.Len()
	m = &measured{}
	whole = method.Teacher{ClsMean: l.Center.ZerosLike(), PatchMean: l.Center2.ZerosLike()}
	size := s.microBatch(B)
	parts := func() {
		for from := 0; from < B && err == nil; from += size {
			to := min(from+size, B)
			err = torch.Run(func() error {
				return s.accumulatePart(in.Part(from, to), span{from, to, B}, temps, drops, m, whole)
			})
		}
	}
	if s.Recompute || s.graphs.suit(s, B) { // weights cast without gradients, or once, must not serve a second run
		parts()
	} else { // one autocast around all casts the weights once
		torch.Autocast(s.Device, s.Precision, parts)
	}
	return m, whole, err
}

// span is a part of a batch: images from (included) to to (excluded) of so many.
type span struct{ from, to, of int }

func (p span) share() float64 { return float64(p.to-p.from) / float64(p.of) }

// accumulatePart adds the gradients of a part of a batch, what it measured and the teacher's means.
func (s *Stepper) accumulatePart(b method.Batch, of span, temps method.Temps, drops *nn.Drops, m *measured, whole method.Teacher) error {
	if s.graphs.suit(s, of.of) {
		s.accumulateRecorded(b, of, temps, drops, m, whole)
		return nil
	}
	terms, teacher := s.forward(b, of, temps, drops)
	if s.Late {
		m.later(terms.Measured(), of.share())
	} else if err := m.add(terms.Measured().Floats(), of.share()); err != nil {
		return &NonFinite{err.Error() + s.suspect(b)}
	}
	s.backward(terms.Loss, of.share())
	whole.AddMeans(teacher, of.share())
	return nil
}

func (s *Stepper) forward(b method.Batch, of span, temps method.Temps, drops *nn.Drops) (terms method.Terms, teacher method.Teacher) {
	drops.Begin(of.from, of.to)
	mode := nn.Mode{Train: true, Drops: drops, Recompute: s.Recompute, FixedShapes: s.FixedShapes}
	torch.Autocast(s.Device, s.Precision, func() { terms, teacher = s.Model.Forward(mode, b, temps) })
	return terms, teacher
}

// backward adds the gradients of the given share of the loss to those at the parameters. They have the types of the forward pass, without
// casts of their own.
func (s *Stepper) backward(loss *torch.Tensor, share float64) {
	s.Model.Begin("backward")
	torch.Autocast(s.Device, torch.Float32, func() { s.Scaler.scaled(loss, share).Backward() })
}

// pass makes forward and backward pass over a part of a batch, and returns what it measured, the teacher's two means and, from firstGradient on, the
// gradients, which it leaves nowhere else. There are none at the parameters before.
func (s *Stepper) pass(b method.Batch, of span, temps method.Temps, drops *nn.Drops) []*torch.Tensor {
	return torch.TidyAll(func() []*torch.Tensor { // nothing is left that goes back to the parameters: what is recorded goes its own way
		terms, teacher := s.forward(b, of, temps, drops)
		out := []*torch.Tensor{terms.Measured(), teacher.ClsMean, teacher.PatchMean}
		s.backward(terms.Loss, of.share())
		return append(out, s.takeGradients()...)
	})
}

const firstGradient = 3 // of what [Stepper.pass] returns

// takeGradients takes the gradients away from the parameters; of one without, it is nil.
func (s *Stepper) takeGradients() []*torch.Tensor {
	var all []*torch.Tensor
	for _, p := range s.params {
		all = append(all, p.Grad())
		p.SetGrad(nil)
	}
	return all
}

// accumulateRecorded is [Stepper.accumulatePart] by a recorded pass.
func (s *Stepper) accumulateRecorded(b method.Batch, of span, temps method.Temps, drops *nn.Drops, m *measured, whole method.Teacher) {
	before := s.takeGradients() // of other parts of the batch
	out, own := s.graphs.run(s, b, of, temps, drops)
	m.later(out[0].Clone(), of.share())
	whole.AddMeans(method.Teacher{ClsMean: out[1], PatchMean: out[2]}, of.share())
	torch.NoGrad(func() {
		for i, p := range s.params {
			g := out[firstGradient+i]
			switch {
			case before[i] == nil && g != nil && !own && of.share() < 1:
				g = g.Clone()
			case before[i] != nil && g != nil:
				g = before[i].AddScaled_(g, 1)
			case g == nil:
				g = before[i]
			}
			p.SetGrad(g)
		}
	})
}
