package train

import (
	"cmp"

	"ibot/torch"
)

// Started is a step that has been made or, if it is [Stepper.Late], queued.
type Started struct {
	stepper *Stepper
	measured
	reading *torch.Reading // nil: everything is known
}

// started begins to read what a late step measured: all of it in one transfer, after the step.
func (s *Stepper) started(m *measured, norm, skip *torch.Tensor) *Started {
	p := &Started{stepper: s, measured: *m}
	if skip == nil {
		return p
	}
	more := []*torch.Tensor{norm, skip}
	torch.NoGrad(func() {
		if s.Scaler != nil {
			more = append(more, s.Scaler.updateLate(skip)...)
		}
		p.reading = m.read(more...)
	})
	p.parts = nil // they die with the scope of the step
	return p
}

// Late reports whether [Started.Wait] may have to wait.
func (p *Started) Late() bool { return p.reading != nil }

// Wait returns what the step measured, or why nothing was changed, as [Stepper.Step] does. It is called once, in the order of
// the steps.
func (p *Started) Wait() (Result, error) {
	if p.reading == nil {
		return p.Result, nil
	}
	values, s := p.reading.Floats(), p.stepper
	p.reading = nil
	more, err := p.take(values)
	p.GradNorm = float64(more[0])
	skipped := more[1] != 0
	from := 0.
	if s.Scaler != nil {
		from, s.Scaler.Scale, s.Scaler.Good = float64(more[2]), float64(more[3]), int(more[4])
	}
	switch {
	case err != nil:
		return Result{}, &NonFinite{err.Error() + cmp.Or(s.broken(), ": parameters are finite, an image or a value on the way is not")}
	case skipped && from > leastScale:
		return Result{}, &Overflow{from, s.Scaler.Scale}
	case skipped: // which parameter's is not known any more
		return Result{}, badGradient("all parameters together", p.Loss)
	}
	return p.Result, nil
}

// Free gives up a step that nobody waits for.
func (p *Started) Free() {
	if p.reading != nil {
		p.reading.Free()
		p.reading = nil
	}
}
