package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"ibot/internal/golden"
	"ibot/optim"
	"ibot/rng"
	"ibot/torch"
)

// TestSweepAgainstAutograd: a head of a sweep becomes what a linear layer becomes that is trained
// alone, by autograd and the optimizers that also train networks.
func TestSweepAgainstAutograd(t *testing.T) {
	checkLive(t)
	const n, C, D, batch, steps = 60, 7, 24, 20, 9
	f := golden.Open(t, "j_logistic.npz")
	train, _ := logisticSets(t, f)
	heads := []Head{
		{Optimizer: "sgd", LR: .01},
		{Optimizer: "lars", LR: 2},
		{Optimizer: "sgd", LR: .3},
		{Optimizer: "sgd", LR: .1, WeightDecay: .05},
		{Optimizer: "lars", LR: 20, WeightDecay: .1},
	}
	s := newSweep(heads, C, D, 3, torch.CPU)
	defer s.Close()
	each := func(step func(i int, x, labels *torch.Tensor)) {
		for i := range steps {
			from := i * batch % n
			torch.Scope(func() {
				rows := make([]int, batch)
				for j := range rows {
					rows[j] = from + j
				}
				x, labels := train.Pick(rows)
				step(i, x, labels)
			})
		}
	}
	rate := func(i int) float64 { return 1 - float64(i)/steps }
	each(func(i int, x, labels *torch.Tensor) { s.step(x, labels, rate(i)) })

	first := rng.Seed(3).Stream("linear head")
	initial := make([]float32, C*D)
	for i := range initial {
		initial[i] = float32(.01 * first.NormFloat64())
	}
	for i, h := range heads {
		weight, bias := s.head(i)
		torch.Scope(func() {
			w := torch.New(initial, C, D).RequireGrad(true)
			b := torch.Zeros(torch.Float32, torch.CPU, C).RequireGrad(true)
			params := []optim.Param{{Name: "linear.weight", Tensor: w}, {Name: "linear.bias", Tensor: b}}
			optimizer, err := optim.New(h.Optimizer, params)
			if err != nil {
				t.Fatal(err)
			}
			defer optimizer.Free()
			each(func(i int, x, labels *torch.Tensor) {
				optim.ZeroGrad(params)
				x.Linear(w, b).LogSoftmax(1).Gather(1, labels.Unsqueeze(1)).MeanAll().Neg().Backward()
				if h.Optimizer == "sgd" && h.WeightDecay > 0 { // ours decays the bias as PyTorch's SGD does
					torch.NoGrad(func() { b.SetGrad(b.Grad().Add(b.MulScalar(h.WeightDecay))) })
				}
				optimizer.Step(optim.Rates{LR: h.LR * rate(i), WeightDecay: h.WeightDecay})
			})
			golden.Equal(t, fmt.Sprintf("weight of head %d", i), weight, w.Detach(), golden.Tolerance{Abs: 2e-6, Rel: 1e-5})
			golden.Equal(t, fmt.Sprintf("bias of head %d", i), bias, b.Detach(), golden.Tolerance{Abs: 2e-6, Rel: 1e-5})
		})
		weight.Free()
		bias.Free()
	}
}

// TestSweepEqualsSingleRuns: the score of a head does not depend on which others are trained beside it.
func TestSweepEqualsSingleRuns(t *testing.T) {
	checkLive(t)
	train, val := logisticSets(t, golden.Open(t, "j_logistic.npz"))
	run := func(heads []Head) *probed {
		p := probe{Heads: heads, Epochs: 5, BatchSize: 32, Seed: 1, Batches: shuffled(train, 32, 1)}
		r, err := p.run(t.Context(), val)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		return r
	}
	all := run(grid([]float64{.001, .01, .1, 1}, []float64{0, 1e-3}, []string{"sgd", "lars"}))
	best := Head{}
	for _, h := range all.Heads {
		alone := run([]Head{{Optimizer: h.Optimizer, LR: h.LR, WeightDecay: h.WeightDecay}}).Heads[0]
		if alone != h {
			t.Errorf("alone %+v, in the sweep %+v", alone, h)
		}
		if h.Best > best.Best {
			best = h
		}
	}
	if got := all.Heads[all.Best]; got.Best != best.Best || best.Best < 70 || best.BestEpoch < 1 {
		t.Errorf("best %+v, want %+v", got, best)
	}
	// The weights that are kept are those of the best epoch.
	hits := 0
	torch.Scope(func() {
		predicted := torch.Read[int64](val.X.Linear(all.Weight, all.Bias).ArgMax(1))
		for i, class := range predicted {
			if int(class) == val.Labels[i] {
				hits++
			}
		}
	})
	if got := 100 * float64(hits) / float64(val.Len()); got != best.Best || all.Top5 < got {
		t.Errorf("the best head is right about %v %%, want %v; top-5 %v", got, best.Best, all.Top5)
	}
}

// TestSweepRunaway: heads whose weights overflow are worth nothing, and harm no other.
func TestSweepRunaway(t *testing.T) {
	checkLive(t)
	train, val := logisticSets(t, golden.Open(t, "j_logistic.npz"))
	p := probe{
		Heads: []Head{{Optimizer: "sgd", LR: 3e38}, {Optimizer: "sgd", LR: .1}}, Epochs: 3, BatchSize: 32,
		Batches: shuffled(train, 32, 0),
	}
	r, err := p.run(t.Context(), val)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Heads[0].Last != 0 || r.Best != 1 || r.Heads[1].Best < 70 {
		t.Errorf("%+v", r.Heads)
	}
}

func TestProbeCancelled(t *testing.T) {
	checkLive(t)
	train, val := logisticSets(t, golden.Open(t, "j_logistic.npz"))
	ctx, cancel := context.WithCancel(t.Context())
	p := probe{Heads: grid(publishedRates(), []float64{0}, []string{"sgd"}), Epochs: 9, BatchSize: 32, Batches: shuffled(train, 32, 0)}
	p.Progress = func(epoch int, _ float64) {
		if epoch == 2 {
			cancel()
		}
	}
	if _, err := p.run(ctx, val); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestPublishedRates(t *testing.T) {
	rates := publishedRates()
	if len(rates) != 45 || rates[0] != 1e-4 || rates[9] != 1e-3 || rates[44] != 9 {
		t.Errorf("%v", rates)
	}
	// PyTorch's CosineAnnealingLR with T_max 100 and eta_min 0, after 0, 25, 50 and 99 epochs.
	for epoch, want := range map[int]float64{0: 1, 25: .85355339059, 50: .5, 99: .00024671981713} {
		if got := cosineRate(epoch, 100); math.Abs(got-want) > 1e-10 {
			t.Errorf("epoch %d: %v, want %v", epoch, got, want)
		}
	}
}

// BenchmarkSweep trains the 45 heads of the published sweep, and, to compare, one head. A step is a
// batch of 128 features of ViT-S, [CLS] of the last four blocks.
func BenchmarkSweep(b *testing.B) {
	const n, D = 1280, 1536
	for _, classes := range []int{10, 100, 1000} {
		r := rng.Seed(1).Stream("bench")
		x, labels := make([]float32, n*D), make([]int, n)
		for i := range x {
			x[i] = r.Float32() - .5
		}
		for i := range labels {
			labels[i] = r.IntN(classes)
		}
		train := newFeatures(b, x, labels, classes)
		for _, heads := range []int{1, 45} {
			b.Run(fmt.Sprintf("classes=%d/heads=%d", classes, heads), func(b *testing.B) {
				s := newSweep(grid(publishedRates()[:heads], []float64{0}, []string{"sgd"}), classes, D, 0, torch.CPU)
				defer s.Close()
				batches := shuffled(train, 128, 0)
				for b.Loop() {
					err := batches(b.Context(), 0, 0, func(_ int, x, labels *torch.Tensor) { s.step(x, labels, .5) })
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(10*float64(heads)*float64(b.N)/b.Elapsed().Seconds(), "headsteps/s")
			})
		}
	}
}
