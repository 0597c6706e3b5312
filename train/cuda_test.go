package train_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"ibot/internal/golden"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

// TestRunOnCUDA: a run on a GPU, where there is one, draws what a run on the CPU draws, and measures what it measures. In 16
// bits it comes to its end.
func TestRunOnCUDA(t *testing.T) {
	if _, err := torch.ParseDevice("cuda"); err != nil {
		t.Skip(err)
	}
	options := func(device, precision string) train.Options {
		o := tinyOptions(t)
		o.Config.Device, o.Config.Precision, o.Config.LogEvery = device, precision, 1
		return o
	}
	records := func(o train.Options) (losses []float64) {
		finish(t, o)
		for _, r := range lines(t, filepath.Join(o.Config.Out, "metrics.jsonl")) {
			if r["kind"] == "step" {
				losses = append(losses, r["loss"].(float64))
			}
		}
		return losses
	}
	want := records(options("cpu", "fp32"))
	golden.EqualFloats(t, "losses", records(options("cuda", "fp32")), want, golden.Tolerance{Rel: 1e-3})
	for _, precision := range []string{"bf16", "fp16"} {
		if n := len(records(options("cuda", precision))); n == 0 {
			t.Errorf("%s: no step was made", precision)
		}
	}
}

// TestLateStepsOnCUDA: steps that the device judges leave what steps leave that are read before.
func TestLateStepsOnCUDA(t *testing.T) {
	d, err := torch.ParseDevice("cuda")
	if err != nil {
		t.Skip(err)
	}
	for _, optimizer := range []string{"sgd", "lars", "adamw"} {
		run := func(late bool) map[string][]float64 {
			m := memoryModelOn(t, "vit", d)
			s, err := train.NewStepper(m, optimizer, .3, d, torch.Float32)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Free()
			if !s.Late || !s.FixedShapes {
				t.Errorf("%s: late %t, fixed shapes %t", optimizer, s.Late, s.FixedShapes)
			}
			s.Late = late
			for i := range 3 {
				torch.Scope(func() {
					b := memoryBatch()
					for _, x := range []**torch.Tensor{&b.Global, &b.Local, &b.Mask, &b.Masked, &b.Weight} {
						*x = (*x).ToDevice(d)
					}
					if _, err := s.Step(b, lateRates, rng.Seed(4).Stream("noise", i)); err != nil {
						t.Fatal(err)
					}
				})
			}
			return state(m, s)
		}
		want := run(false)
		for k, got := range run(true) {
			if optimizer == "adamw" && len(got) > 1 && filepath.Ext(k) == ".bias" { // see TestLateSteps
				continue
			}
			golden.EqualFloats(t, fmt.Sprint(optimizer, " ", k), got, want[k], golden.Tolerance{Abs: 2e-5, Rel: 1e-4})
		}
	}
}
