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
				drops.Begin(from, to)
				return s.accumulatePart(in.Part(from, to), float64(to-from)/float64(B), temps, drops, m, whole)
			})
		}
	}
	if s.Recompute { // weights cast without gradients, for the first run of a block, must not serve the second
		parts()
	} else { // one autocast around all casts the weights once
		torch.Autocast(s.Device, s.Precision, parts)
	}
	return m, whole, err
}

// accumulatePart adds the gradients of a part of a batch that is the given share of it, what it
// measured and the teacher's means.
func (s *Stepper) accumulatePart(b method.Batch, share float64, temps method.Temps, drops *nn.Drops, m *measured, whole method.Teacher) error {
	mode := nn.Mode{Train: true, Drops: drops, Recompute: s.Recompute, FixedShapes: s.FixedShapes}
	var terms method.Terms
	var teacher method.Teacher
	torch.Autocast(s.Device, s.Precision, func() { terms, teacher = s.Model.Forward(mode, b, temps) })
	if s.Late {
		m.later(terms.Measured(), share)
	} else if err := m.add(terms.Measured().Floats(), share); err != nil {
		return &NonFinite{err.Error() + s.suspect(b)}
	}
	s.Model.Begin("backward")
	// Gradients have the types of the forward pass, without casts of their own.
	torch.Autocast(s.Device, torch.Float32, func() { s.Scaler.scaled(terms.Loss, share).Backward() })
	whole.AddMeans(teacher, share)
	return nil
}
