package train_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/ckpt"
	"ibot/internal/golden"
	"ibot/internal/settings"
	"ibot/method"
	"ibot/optim"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

// TestScalerArithmetic: torch.amp.GradScaler's defaults: from 65536, halved where gradients
// overflow, doubled after 2000 steps in a row without.
func TestScalerArithmetic(t *testing.T) {
	s := train.NewScaler()
	after := func(finite bool, n int, want float64) {
		t.Helper()
		for range n {
			s.Update(finite)
		}
		if s.Scale != want {
			t.Errorf("scale %v, want %v", s.Scale, want)
		}
	}
	after(true, 0, 65536)
	after(true, 1999, 65536)
	after(true, 1, 131072)
	after(false, 1, 65536)
	after(false, 2, 16384)
	after(true, 1999, 16384)
	after(false, 1, 8192)
	after(true, 2000, 16384)
	after(true, 2000, 32768)
}

// TestScaledStepIsTheSame: a scale that is a power of two changes nothing in float32.
func TestScaledStepIsTheSame(t *testing.T) {
	rates := train.Rates{Rates: optim.Rates{LR: 1e-3}, Momentum: .9, Temps: method.Temps{Cls: .05, Patch: .06}}
	torch.Scope(func() {
		plain, scaled := stepper(t, memoryModel(t, "vit")), stepper(t, memoryModel(t, "vit"))
		scaled.Scaler, scaled.MicroBatch, plain.MicroBatch = train.NewScaler(), 2, 2
		for i := range 2 {
			want, err := plain.Step(memoryBatch(), rates, rng.Seed(4).Stream("noise", i))
			if err != nil {
				t.Fatal(err)
			}
			got, err := scaled.Step(memoryBatch(), rates, rng.Seed(4).Stream("noise", i))
			if err != nil {
				t.Fatal(err)
			}
			golden.EqualFloats(t, "loss and norm", []float64{got.Loss, got.GradNorm}, []float64{want.Loss, want.GradNorm}, golden.Tolerance{Rel: 1e-6})
		}
		for i, p := range scaled.Model.Student.Path.Params() {
			golden.Equal(t, p.Name, p.Tensor, plain.Model.Student.Path.Params()[i].Tensor, golden.Tolerance{Abs: 1e-6})
		}
		if scaled.Scaler.Good != 2 || scaled.Scaler.Scale != 65536 {
			t.Errorf("after two steps the scaler is %+v", *scaled.Scaler)
		}
	})
}

// TestOverflowLeavesEverything: gradients that overflow lower the scale and change nothing else; at
// a scale of 1 they are what they are without.
func TestOverflowLeavesEverything(t *testing.T) {
	rates := train.Rates{Rates: optim.Rates{LR: 1e-3}, Momentum: .9, Temps: method.Temps{Cls: .05, Patch: .06}}
	m := memoryModel(t, "vit")
	s := stepper(t, m)
	s.Scaler = &train.Scaler{Scale: 1e39, Good: 7}
	torch.Scope(func() {
		state := append(m.Student.Path.State(), m.Teacher.Path.State()...)
		var before []*torch.Tensor
		for _, p := range state {
			before = append(before, p.Detach().Clone())
		}
		center := m.Loss.Center.Clone()
		_, err := s.Step(memoryBatch(), rates, rng.Seed(4).Stream("noise"))
		var overflow *train.Overflow
		if !errors.As(err, &overflow) || overflow.From != 1e39 || overflow.To != .5e39 || *s.Scaler != (train.Scaler{Scale: .5e39}) {
			t.Errorf("got %v, scaler %+v", err, *s.Scaler)
		}
		for i, p := range state {
			golden.Equal(t, p.Name, p.Tensor, before[i], golden.Tolerance{})
		}
		golden.Equal(t, "center", m.Loss.Center, center, golden.Tolerance{})
		if n := len(s.Optimizer.State()); n != 0 {
			t.Errorf("the optimizer has %d tensors of state", n)
		}
		b := memoryBatch()
		b.Global.Fill_(3e38) // as finite as images may be, and too much for the gradient of the patch embedding
		s.Scaler.Scale = 1
		var bad *train.NonFinite
		if _, err := s.Step(b, rates, rng.Seed(4).Stream("noise")); !errors.As(err, &bad) {
			t.Errorf("at a scale of 1: %v", err)
		}
	})
}

// TestScalerIsInTheCheckpoint: the scale goes on where it was; steps that overflow, be it many in a
// row, are skipped and do not end the run. Here on the CPU, with the scale of a checkpoint that is
// too large even for float32.
func TestScalerIsInTheCheckpoint(t *testing.T) {
	o := tinyOptions(t)
	call{workers: 1, steps: 2}.start(t, o)
	latest := train.LatestCheckpoint(o.Config.Out)
	f, err := ckpt.Open(latest)
	if err != nil {
		t.Fatal(err)
	}
	f.Meta["progress"] = strings.Replace(f.Meta["progress"], "{", fmt.Sprintf(`{"scaler":{"scale":%g,"good":3},`, 0x1p130), 1)
	edited := filepath.Join(t.TempDir(), "edited.safetensors")
	if err := ckpt.Write(edited, f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.Rename(edited, latest); err != nil {
		t.Fatal(err)
	}
	log := &logLines{}
	o.Log = slog.New(log)
	s := finish(t, o)
	if s.Skipped < 2 || s.Steps != tinySteps || !log.has("step skipped step=2 because=gradients overflow in float16") {
		t.Fatalf("%d of %d steps skipped, log %q", s.Skipped, s.Steps, log.lines)
	}
	var state struct {
		Scaler struct{ Scale, Good float64 }
	}
	if err := json.Unmarshal([]byte(open(t, o.Config.Out, "latest.safetensors").Meta["progress"]), &state); err != nil {
		t.Fatal(err)
	}
	if want := math.Ldexp(1, 130-s.Skipped); state.Scaler.Scale != want || state.Scaler.Good != float64(tinySteps-2-s.Skipped) {
		t.Errorf("the scaler is %+v, want a scale of %g", state.Scaler, want)
	}
}

// TestHalfPrecisionIsForCUDA: on a CPU float16 is refused before anything is written, with what to
// use.
func TestHalfPrecisionIsForCUDA(t *testing.T) {
	o := tinyOptions(t)
	o.Config.Precision = "fp16"
	if _, err := train.Pretrain(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--precision bf16, fp32 or auto") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(train.ConfigPath(o.Config.Out)); err == nil {
		t.Error("settings were written")
	}
}

// TestAutoPrecisionIsKept: what auto chose is in the run's settings, and a run that goes on with
// auto keeps it.
func TestAutoPrecisionIsKept(t *testing.T) {
	o := tinyOptions(t)
	o.Config.Precision, o.Config.Steps = "auto", 1
	log := &logLines{}
	o.Log = slog.New(log)
	finish(t, o)
	var c train.Config
	if err := settings.ReadYAML(train.ConfigPath(o.Config.Out), &c); err != nil {
		t.Fatal(err)
	}
	if c.Precision != "fp32" && c.Precision != "bf16" || !log.has("precision auto="+c.Precision) || !log.has("bf16 GFLOP/s=") {
		t.Errorf("precision %q, log %q", c.Precision, log.lines)
	}
	other := map[string]string{"fp32": "bf16", "bf16": "fp32"}[c.Precision]
	o.Config.Precision, o.Config.Steps = other, 2
	finish(t, o)
	o.Config.Precision, o.Config.Steps = "auto", 3
	finish(t, o)
	if !log.has("precision auto=" + other + " because=the run began with it") {
		t.Errorf("log %q", log.lines)
	}
}
