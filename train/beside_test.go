package train

import (
	"context"
	"iter"
	"path/filepath"
	"testing"
	"time"

	"ibot/backbone"
	"ibot/data"
	"ibot/data/drawn"
	"ibot/internal/settings"
	"ibot/method"
	"ibot/recipes"
	"ibot/rng"
	"ibot/torch"
)

// BenchmarkBesideInput times the steps of a recipe with their input made beside them, and with one batch again and again,
// in turns of fifty. cost-% is what the input adds to a step, waits-% the share of time for which a step waits for it.
func BenchmarkBesideInput(b *testing.B) {
	dir := b.TempDir()
	images, err := drawn.New(0, 10, 4000, 32)
	if err != nil {
		b.Fatal(err)
	}
	if err := drawn.Write(b.Context(), dir, images, 0, nil); err != nil {
		b.Fatal(err)
	}
	set, err := data.Options{}.Open(filepath.Join(dir, "train"))
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"tiny", "demo"} {
		b.Run(name, func(b *testing.B) {
			recipe, err := recipes.Load(name)
			if err != nil {
				b.Fatal(err)
			}
			c := Default()
			if err := settings.DecodeYAML(recipe.File(), recipe.YAML, &c); err != nil {
				b.Fatal(err)
			}
			if _, err := c.Resolve(backbone.Names()); err != nil {
				b.Fatal(err)
			}
			benchBesideInput(b, c, set)
		})
	}
}

func benchBesideInput(b *testing.B, c Config, set data.Dataset) {
	r := &run{Options: Options{Config: c, Images: set}}
	model, err := method.NewModel(c.Model(), c.seed(), torch.CPU)
	if err != nil {
		b.Fatal(err)
	}
	defer model.Free()
	if r.stepper, err = c.stepper(model, torch.CPU); err != nil {
		b.Fatal(err)
	}
	defer r.stepper.Free()
	if err := r.openSampler(); err != nil {
		b.Fatal(err)
	}
	bad, err := data.OpenBadImages("", set)
	if err != nil {
		b.Fatal(err)
	}
	in := &input{
		seed: c.seed(), views: c.Views(), masks: c.Masks(), masked: c.UseMaskedIM, grid: c.MaskGrid(), chans: c.InChans,
		batch: c.BatchSize, images: set, bad: bad, epoch: r.sampler.Epoch,
	}
	loader := &data.Loader[*hostBatch]{Workers: c.Workers, Ahead: c.Prefetch, New: in.new, Begin: in.begin, Fill: in.fill}
	schedules := NewSchedules(c, r.sampler.StepsPerEpoch(), c.BatchSize)
	step := func(batch *hostBatch) {
		if err := torch.Run(func() error {
			_, err := r.stepper.Step(hostImages{in, batch, torch.CPU}, schedules.At(batch.step%schedules.Steps()), rng.Seed(0).Stream("device", batch.step))
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}

	const turn = 50 // steps
	var alone, beside, waited time.Duration
	turns := 0
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	next, stop := iter.Pull2(loader.Run(ctx, 0, 1<<40, r.sampler.Batch))
	defer stop()
	for b.Loop() {
		began, wait := time.Now(), loader.Stats().Wait
		var batch *hostBatch
		for range turn {
			var err error
			if batch, err, _ = next(); err != nil {
				b.Fatal(err)
			}
			step(batch)
		}
		beside, waited = beside+time.Since(began), waited+loader.Stats().Wait-wait
		began = time.Now()
		for range turn {
			step(batch)
		}
		alone += time.Since(began)
		turns++
	}
	steps := float64(turns * turn)
	b.ReportMetric(1e3*alone.Seconds()/steps, "alone-ms")
	b.ReportMetric(1e3*beside.Seconds()/steps, "beside-ms")
	b.ReportMetric(100*(beside.Seconds()/alone.Seconds()-1), "cost-%")
	b.ReportMetric(100*waited.Seconds()/beside.Seconds(), "waits-%")
}
