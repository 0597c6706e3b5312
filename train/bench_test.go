package train_test

import (
	"fmt"
	"testing"

	"ibot/internal/settings"
	"ibot/method"
	"ibot/optim"
	"ibot/recipes"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

// benchConfig is the published ViT-S/16 recipe, as far as it shapes a step.
func benchConfig() train.Config {
	c := train.Default()
	c.SharedHead, c.NormLastLayer = true, false
	c.GlobalCropsScale, c.LocalCropsScale, c.LocalCropsNumber = [2]float64{.25, 1}, [2]float64{.05, .25}, 10
	c.PredRatio, c.PredRatioVar = []float64{0, .3}, []float64{0, .2}
	return c
}

// BenchmarkStep times a step of ViT-S/16 with 2x224 + 10x96 crops, 8192 outputs and published masks.
func BenchmarkStep(b *testing.B) {
	for _, precision := range []torch.DType{torch.Float32, torch.BFloat16} {
		for _, B := range []int{4, 16} {
			b.Run(fmt.Sprintf("%v/batch=%d", precision, B), func(b *testing.B) { benchStep(b, benchConfig(), B, precision) })
		}
	}
}

// BenchmarkDemo times a step of the demo's recipe.
func BenchmarkDemo(b *testing.B) {
	r, err := recipes.Load("demo")
	if err != nil {
		b.Fatal(err)
	}
	c := train.Default()
	if err := settings.DecodeYAML(r.File(), r.YAML, &c); err != nil {
		b.Fatal(err)
	}
	b.Run("f32", func(b *testing.B) { benchStep(b, c, c.BatchSize, torch.Float32) })
	b.Run("bf16", func(b *testing.B) { benchStep(b, c, c.BatchSize, torch.BFloat16) })
}

func benchStep(b *testing.B, c train.Config, B int, precision torch.DType) {
	m, err := method.NewModel(c.Model(), 1, torch.CPU)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Free()
	s, err := train.NewStepper(m, c.Optimizer, c.ClipGrad, torch.CPU, precision)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Free()
	rates := train.Rates{Rates: optim.Rates{LR: 1e-4, WeightDecay: .04}, Momentum: .996, Temps: method.Temps{Cls: .04, Patch: .04}}
	step := 0
	run := func() {
		b.StopTimer() // the batch is made outside
		if err := torch.Run(func() error {
			r := rng.Seed(1).Stream("bench", step)
			step++
			G, L := c.GlobalCropsNumber, c.LocalCropsNumber
			batch := method.Batch{Global: gauss(r, G*B, 3, c.ImgSize, c.ImgSize), Local: gauss(r, L*B, 3, c.LocalSize, c.LocalSize)}
			side := c.ImgSize / c.PatchSize
			masks := make([][]bool, G*B)
			for i := range masks {
				masks[i] = c.Masks().Draw(r, side, side)
			}
			batch.Mask, batch.Masked, batch.Weight = method.NewMask(masks, side, side, torch.CPU)
			b.StartTimer()
			_, err := s.Step(batch, rates, r)
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
	run() // the first step makes the optimizer's state and the kernels of oneDNN
	for b.Loop() {
		run()
	}
	b.ReportMetric(float64(train.PeakMiB()), "peak-MiB")
}

func gauss(r *rng.Stream, shape ...int) *torch.Tensor {
	n := 1
	for _, s := range shape {
		n *= s
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return torch.New(v, shape...)
}
