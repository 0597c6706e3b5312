package train_test

import (
	"testing"

	"ibot/internal/settings"
	"ibot/recipes"
	"ibot/torch"
	"ibot/train"
)

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
