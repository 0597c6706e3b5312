package train

import (
	"errors"
	"fmt"

	"ibot/method"
	"ibot/nn"
	"ibot/optim"
	"ibot/torch"
)

// gradients leaves the gradients of the loss of a batch at the parameters, and returns what was
// measured and the teacher's means, from which the centers move. It makes them of one micro-batch
// after the other: the loss is a mean over images, and so are the means. Dropped paths are those of
// the whole batch, and centers stay as they are meanwhile.
//
// Where memory is exhausted it begins again with micro-batches of half the size. Nothing has been
// changed by then.
func (s *Stepper) gradients(in method.Images, temps method.Temps, drops *nn.Drops) (res Result, whole method.Teacher, err error) {
	for {
		res, whole, err = s.accumulate(in, temps, drops)
		if !errors.Is(err, torch.ErrOutOfMemory) {
			return res, whole, err
		}
		optim.ZeroGrad(s.params)
		if err := s.shrink(in.Len(), err); err != nil {
			return res, whole, err
		}
	}
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
func (s *Stepper) accumulate(in method.Images, temps method.Temps, drops *nn.Drops) (res Result, whole method.Teacher, err error) {
	l, B := s.Model.Loss, in.Len()
	whole = method.Teacher{ClsMean: l.Center.ZerosLike(), PatchMean: l.Center2.ZerosLike()}
	size := s.microBatch(B)
	parts := func() {
		for from := 0; from < B && err == nil; from += size {
			to := min(from+size, B)
			err = torch.Run(func() error {
				drops.Begin(from, to)
				return s.accumulatePart(in.Part(from, to), float64(to-from)/float64(B), temps, drops, &res, whole)
			})
		}
	}
	if s.Recompute { // weights cast without gradients, for the first run of a block, must not serve the second
		parts()
	} else { // one autocast around all casts the weights once
		torch.Autocast(s.Device, s.Precision, parts)
	}
	return res, whole, err
}

// accumulatePart adds the gradients of a part of a batch that is the given share of it, what it
// measured and the teacher's means.
func (s *Stepper) accumulatePart(b method.Batch, share float64, temps method.Temps, drops *nn.Drops, res *Result, whole method.Teacher) error {
	mode := nn.Mode{Train: true, Drops: drops, Recompute: s.Recompute}
	var terms method.Terms
	var teacher method.Teacher
	torch.Autocast(s.Device, s.Precision, func() { terms, teacher = s.Model.Forward(mode, b, temps) })
	loss := terms.Loss.Item()
	if !finite(loss) {
		cls, patch := terms.Cls.Item(), terms.Patch.Item()
		return &NonFinite{fmt.Sprintf("the loss is %v ([CLS] %v, patches %v)%s", loss, cls, patch, s.suspect(b))}
	}
	s.Model.Begin("backward")
	scale := share
	if s.Scaler != nil {
		scale *= s.Scaler.Scale
	}
	// Gradients have the types of the forward pass, without casts of their own.
	torch.Autocast(s.Device, torch.Float32, func() { terms.Loss.MulScalar(scale).Backward() })
	whole.AddMeans(teacher, share)
	res.add(terms, loss, share)
	return nil
}

// add adds what a share of the batch measured.
func (r *Result) add(t method.Terms, loss, share float64) {
	r.Loss += share * loss
	r.Cls += share * t.Cls.Item()
	r.Patch += share * t.Patch.Item()
	r.Agreement += share * t.Agreement.Item()
	r.Entropy += share * t.Entropy.Item()
	for _, c := range torch.Read[int64](t.Clusters) {
		r.Clusters = append(r.Clusters, int(c))
	}
}
