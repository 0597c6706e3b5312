package train

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ibot/method"
	"ibot/optim"
	"ibot/rng"
	"ibot/torch"
)

// StepTime is what a training step takes.
type StepTime struct {
	Seconds float64     `json:"seconds"` // median
	Phases  []PhaseTime `json:"phases"`  // of the median step, in order
	Ops     []OpTime    `json:"operators"`
	GFLOP   float64     `json:"gflop"` // of matrix products and attention; 0 for an architecture that does not count them
	PeakMiB int         `json:"peak_memory_mib"`
}

// PhaseTime is what a part of a step takes.
type PhaseTime struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// OpTime is what the calls of an operator take in a step.
type OpTime struct {
	Name    string  `json:"name"`
	Calls   int     `json:"calls"`
	Seconds float64 `json:"seconds"`
}

// warmUp is how many steps come before those that are timed: the second is the first with the optimizer's state, and memory
// finds its places in it.
const warmUp = 2

// TimeStep times training steps with the settings c on random images: n of them after some to warm up, and one
// more under a profile of its operators, which is slower and does not count.
func TimeStep(ctx context.Context, c Config, d torch.Device, n int) (StepTime, error) {
	var t StepTime
	var all []StepTime
	err := eachStep(c, d, func(m *method.Model, step func()) error {
		for i := range warmUp + n {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if timed := timePhases(m, step); i >= warmUp {
				all = append(all, timed)
			}
		}
		t.PeakMiB = PeakMiB()
		for _, op := range torch.Profile(step) {
			t.Ops = append(t.Ops, OpTime{op.Name, op.Calls, op.Self.Seconds()})
		}
		t.GFLOP = operations(c, m.Student) / 1e9
		return nil
	})
	if err != nil {
		return t, err
	}
	slices.SortFunc(all, func(a, b StepTime) int { return int(1e9 * (a.Seconds - b.Seconds)) })
	median := all[len(all)/2]
	t.Seconds, t.Phases = median.Seconds, median.Phases
	return t, nil
}

// operations counts the matrix products and attention of a step: the teacher goes forward on global crops; the
// student forward on all, and backward, which is twice that. The last layer is left out: it sees few tokens.
func operations(c Config, student *method.Net) float64 {
	backbone, ok := student.Backbone.(interface{ Operations(H, W int) float64 })
	if !ok {
		return 0
	}
	global, local := backbone.Operations(c.ImgSize, c.ImgSize), 0.
	if c.LocalCropsNumber > 0 {
		local = backbone.Operations(c.LocalSize, c.LocalSize)
	}
	G, L := float64(c.GlobalCropsNumber), float64(c.LocalCropsNumber)
	return float64(c.BatchSize) * (G*global + 3*(G*global+L*local))
}

// timePhases times one step and its parts. On a GPU parts overlap: what a part only starts counts where the
// step waits for it.
func timePhases(m *method.Model, step func()) (t StepTime) {
	began := time.Now()
	last, phase := began, -1
	m.Phase = func(name string) {
		now := time.Now()
		if phase >= 0 {
			t.Phases[phase].Seconds += now.Sub(last).Seconds()
		}
		last, phase = now, slices.IndexFunc(t.Phases, func(p PhaseTime) bool { return p.Name == name })
		if phase < 0 { // else one more micro-batch
			t.Phases, phase = append(t.Phases, PhaseTime{Name: name}), len(t.Phases)
		}
	}
	step()
	m.Phase("end")
	m.Phase = nil
	t.Phases = t.Phases[:len(t.Phases)-1]
	t.Seconds = time.Since(began).Seconds()
	return t
}

// eachStep calls f with a model and a function that makes a training step of it on a batch of random images.
func eachStep(c Config, d torch.Device, f func(m *method.Model, step func()) error) error {
	return torch.Run(func() error {
		m, err := method.NewModel(c.Model(), c.seed(), d)
		if err != nil {
			return err
		}
		defer m.Free()
		s, err := c.stepper(m, d)
		if err != nil {
			return err
		}
		defer s.Free()
		r := c.seed().Stream("bench")
		batch := randomBatch(c, r, d)
		rates := Rates{Rates: optim.Rates{LR: 1e-4, WeightDecay: .04}, Momentum: .996, Temps: method.Temps{Cls: .04, Patch: .04}}
		var failed error
		err = f(m, func() {
			torch.Scope(func() {
				if _, err := s.Step(batch, rates, r); err != nil && failed == nil {
					failed = err
				}
			})
		})
		if failed != nil {
			return fmt.Errorf("train: a step on random images: %w", failed)
		}
		return err
	})
}

// randomBatch makes views of noise, masked as the settings say.
func randomBatch(c Config, r *rng.Stream, d torch.Device) method.Batch {
	noise := func(n, side int) *torch.Tensor {
		v := make([]float32, n*c.BatchSize*c.InChans*side*side)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return torch.NewOn(d, v, n*c.BatchSize, c.InChans, side, side)
	}
	b := method.Batch{B: c.BatchSize, Global: noise(c.GlobalCropsNumber, c.ImgSize)}
	if c.LocalCropsNumber > 0 {
		b.Local = noise(c.LocalCropsNumber, c.LocalSize)
	}
	if c.UseMaskedIM {
		side := c.MaskGrid()
		masks := make([][]bool, c.GlobalCropsNumber*c.BatchSize)
		for i := range masks {
			masks[i] = c.Masks().Draw(r, side, side)
		}
		b.Mask, b.Masked, b.Weight = method.NewMask(masks, side, side, d)
	}
	return b
}
