package eval

import (
	"context"
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
	// Batches calls step with each batch of an epoch, counted from 0: features (B, D) and labels (B).
	Batches  func(ctx context.Context, epoch int, step func(x, labels *torch.Tensor)) error
	Progress func(epoch int, best float64) // called after each epoch, counted from 1; may be nil
}

// probed is what a probe came to. The caller closes it.
type probed struct {
	Heads        []Head
	Best         int           // the head that was best in any epoch
	Top5         float64       // of the best head in its best epoch, in percent
	Weight, Bias *torch.Tensor // (C, D) and (C), of the best head after its best epoch
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
	for epoch := range p.Epochs {
		rate := cosineRate(epoch, p.Epochs) * float64(p.BatchSize) / 256
		err := p.Batches(ctx, epoch, func(x, labels *torch.Tensor) {
			at := 0
			for _, s := range sweeps {
				s.step(x.Slice(1, at, at+s.D), labels, rate)
				at += s.D
			}
		})
		if err != nil {
			return all, err
		}
		best := 0.
		for i, s := range sweeps {
			if err := p.score(ctx, s, vals[i], epoch, all[i]); err != nil {
				return all, err
			}
			best = max(best, s.heads[all[i].Best].Best)
		}
		if p.Progress != nil {
			p.Progress(epoch+1, best)
		}
	}
	for i, s := range sweeps {
		all[i].Heads = s.heads
		if all[i].Top5, err = all[i].top5(ctx, vals[i]); err != nil {
			return all, err
		}
	}
	return all, nil
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
func shuffled(train *Features, batch int, seed rng.Seed) func(ctx context.Context, epoch int, step func(x, labels *torch.Tensor)) error {
	return func(ctx context.Context, epoch int, step func(x, labels *torch.Tensor)) error {
		order := seed.Stream("linear order", epoch).Perm(train.Len())
		for from := 0; from < len(order); from += batch {
			if err := ctx.Err(); err != nil {
				return err
			}
			rows := order[from:min(from+batch, len(order))]
			if err := torch.Run(func() error { step(train.Pick(rows)); return nil }); err != nil {
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
