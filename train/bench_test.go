package train_test

import (
	"fmt"
	"testing"

	"ibot/internal/settings"
	"ibot/method"
	"ibot/recipes"
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

// BenchmarkSwinStep times a step of Swin-T/7 with 2x224 + 10x96 crops, 8192 outputs and published masks.
func BenchmarkSwinStep(b *testing.B) {
	c := benchConfig()
	c.Arch, c.PatchSize = "swin_tiny", 4
	for _, precision := range []torch.DType{torch.Float32, torch.BFloat16} {
		b.Run(fmt.Sprintf("%v/batch=4", precision), func(b *testing.B) { benchStep(b, c, 4, precision) })
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
	c.BatchSize, c.Precision = B, "fp32"
	if precision == torch.BFloat16 {
		c.Precision = "bf16"
	}
	if err := train.EachStep(c, torch.CPU, func(_ *method.Model, step func()) error {
		step() // the first makes the optimizer's state and the kernels of oneDNN
		for b.Loop() {
			step()
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(train.PeakMiB()), "peak-MiB")
}
