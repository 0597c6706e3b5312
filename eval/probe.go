package eval

import (
	"context"
	"errors"
	"slices"

	"ibot/rng"
	"ibot/torch"
)

// probe trains linear heads on frozen features, by the reference's protocol: momentum 0.9, learning
// rates that scale with the batch and fall along a cosine from epoch to epoch.
type probe struct {
	Heads     []Head
	Epochs    int
	BatchSize int
	Seed      rng.Seed
	Batches   batches
	Start     func(epoch int)               // called before the first epoch, which is another than 0 after an interruption; may be nil
	Progress  func(epoch int, best float64) // called after each epoch, counted from 1; may be nil

	Keep *keptProbe // where to go on after an interruption; nil: nowhere
}

// batches calls step with each batch of an epoch, both counted from 0, from number from on: features (B, D) and
// labels (B).
type batches func(ctx context.Context, epoch, from int, step func(number int, x, labels *torch.Tensor)) error

// probed is what a probe came to. The caller closes it.
type probed struct {
	Heads        []Head
	Best         int           // the head that was best in any epoch
	Top5         float64       // of the best head in its best epoch, in percent
	Weight, Bias *torch.Tensor // (C, D) and (C), of the best head after its best epoch
}

// HeadScores are how well the heads on one kind of features did.
type HeadScores struct {
	Top1  float64 `json:"top1"` // of the best head in its best epoch, in percent
	Top5  float64 `json:"top5"`
	Best  Head    `json:"best"`
	Heads []Head  `json:"heads"`
}

func (p *probed) scores() HeadScores {
	best := p.Heads[p.Best]
	return HeadScores{best.Best, p.Top5, best, p.Heads}
}

func (p *probed) Close() {
	if p.Weight != nil {
		p.Weight.Free()
		p.Bias.Free()
	}
}

// run trains the heads and scores them on val after each epoch. As published, the best of all heads
// and epochs is chosen by the very score that is reported.
func (p probe) run(ctx context.Context, val *Features) (*probed, error) {
	all, err := p.runs(ctx, []*Features{val})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// runs is run for several kinds of features of the same images at once, each with heads of its own.
// Those of a batch stand one after the other in its rows.
func (p probe) runs(ctx context.Context, vals []*Features) (all []*probed, err error) {
	var sweeps []*sweep
	defer func() {
		for i, s := range sweeps {
			s.Close()
			if err != nil {
				all[i].Close()
			}
		}
	}()
	for _, val := range vals {
		sweeps = append(sweeps, newSweep(slices.Clone(p.Heads), len(val.Classes), val.Dim(), p.Seed, val.Device()))
		all = append(all, &probed{Best: -1})
	}
	at, err := p.Keep.restore(p.Epochs, sweeps, all)
	if err != nil {
		return all, err
	}
	if p.Start != nil {
		p.Start(at.Epoch)
	}
	for ; at.Epoch < p.Epochs; at.Epoch, at.Step = at.Epoch+1, 0 {
		best, err := p.epoch(ctx, &at, sweeps, vals, all)
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) { // between two steps
			p.Keep.interrupted(at, sweeps, all)
		}
		if err != nil {
			return all, err
		}
		if p.Progress != nil {
			p.Progress(at.Epoch+1, best)
		}
		if err := p.Keep.after(at, sweeps, all); err != nil {
			return all, err
		}
	}
	for i, s := range sweeps {
		all[i].Heads = s.heads
		if all[i].Top5, err = all[i].top5(ctx, vals[i]); err != nil {
			return all, err
		}
	}
	return all, p.Keep.remove()
}

// epoch trains the heads with the rest of an epoch, scores them, and returns the best score so far.
func (p probe) epoch(ctx context.Context, at *probePlace, sweeps []*sweep, vals []*Features, all []*probed) (best float64, err error) {
	rate := cosineRate(at.Epoch, p.Epochs) * float64(p.BatchSize) / 256
	err = p.Batches(ctx, at.Epoch, at.Step, func(number int, x, labels *torch.Tensor) {
		first := 0
		for _, s := range sweeps {
			s.step(x.Slice(1, first, first+s.D), labels, rate)
			first += s.D
		}
		at.Step = number + 1
	})
	if err != nil {
		return 0, err
	}
	for i, s := range sweeps {
		if err := p.score(ctx, s, vals[i], at.Epoch, all[i]); err != nil {
			return 0, err
		}
		best = max(best, s.heads[all[i].Best].Best)
	}
	return best, nil
}

// score enters how the heads do on val after an epoch, and keeps the best of all so far.
func (p probe) score(ctx context.Context, s *sweep, val *Features, epoch int, r *probed) error {
	hits := make([]int, len(s.heads))
	rows := max(1, blockSize/(s.C*len(s.heads)))
	err := val.blocks(ctx, rows, func(_ int, x, labels *torch.Tensor) { s.count(x, labels, hits) })
	if err != nil {
		return err
	}
	best := r.Best
	for i := range s.heads {
		h := &s.heads[i]
		h.Last = 100 * float64(hits[i]) / float64(val.Len())
		if h.Last > h.Best || h.BestEpoch == 0 {
			h.Best, h.BestEpoch = h.Last, epoch+1
			if best < 0 || h.Best > s.heads[best].Best || i == best {
				best = i
			}
		}
	}
	if best != r.Best || s.heads[best].BestEpoch == epoch+1 {
		r.Close()
		r.Best = best
		r.Weight, r.Bias = s.head(best)
	}
	return nil
}

// top5 is how often the truth is among the five classes that the best head finds likeliest.
func (p *probed) top5(ctx context.Context, val *Features) (float64, error) {
	hits := 0
	k := min(5, p.Weight.Size(0))
	err := val.blocks(ctx, max(1, blockSize/p.Weight.Size(0)), func(_ int, x, labels *torch.Tensor) {
		_, first := x.Linear(p.Weight, p.Bias).TopK(k, 1)
		hits += int(first.Eq(labels.Unsqueeze(1)).To(torch.Float32).SumAll().Item())
	})
	return 100 * float64(hits) / float64(val.Len()), err
}

// shuffled gives the batches of features that are there, in another order each epoch.
func shuffled(train *Features, batch int, seed rng.Seed) batches {
	return func(ctx context.Context, epoch, from int, step func(number int, x, labels *torch.Tensor)) error {
		order := seed.Stream("linear order", epoch).Perm(train.Len())
		for number := from; number*batch < len(order); number++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := torch.Run(func() error {
				x, labels := train.Pick(order[number*batch : min((number+1)*batch, len(order))])
				step(number, x, labels)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// checkClassifiable says why heads cannot be trained on train and scored on val.
func checkClassifiable(train, val *Features) error {
	if err := train.labelled(); err != nil {
		return err
	}
	if err := val.labelled(); err != nil {
		return err
	}
	return checkPair(train, val)
}

// grid are heads with all combinations of the settings. Rates come first, as in the reference.
func grid(rates, decays []float64, optimizers []string) []Head {
	var heads []Head
	for _, lr := range rates {
		for _, wd := range decays {
			for _, optimizer := range optimizers {
				heads = append(heads, Head{Optimizer: optimizer, LR: lr, WeightDecay: wd})
			}
		}
	}
	return heads
}

// publishedRates are the learning rates of the reference's sweep: 1 to 9 times 1e-4, 1e-3, 1e-2, 0.1
// and 1.
func publishedRates() []float64 {
	var rates []float64
	for _, power := range []float64{1e4, 1e3, 1e2, 10, 1} {
		for n := range 9 {
			rates = append(rates, float64(n+1)/power)
		}
	}
	return rates
}
