package train_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ibot/internal/golden"
	"ibot/method"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

// batchOfStep differs from step to step, in one of two shapes.
func batchOfStep(i int) method.Batch {
	b := memoryBatch()
	b.Global, b.Local = b.Global.MulScalar(1+float64(i)/4), b.Local.MulScalar(1-float64(i)/8)
	if i%2 == 1 {
		b = filled(b)
	}
	return b
}

// recordedRun makes steps as on a GPU, and returns the losses and what they leave. prepare may be nil.
func recordedRun(t *testing.T, arch string, w saving, prepare func(*train.Stepper)) (losses []float64, end map[string][]float64) {
	t.Helper()
	train.AsOnAGPU(t)
	m := memoryModel(t, arch)
	s, err := train.NewStepper(m, "sgd", .3, torch.CPU, torch.Float32)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Free()
	w.apply(s)
	s.Scaler = train.NewScaler()
	if prepare != nil {
		prepare(s)
	}
	for i := range 10 {
		torch.Scope(func() {
			rates := lateRates
			rates.Freeze = i == 0
			if i >= 8 {
				rates.Temps.Cls = .045
			}
			r, err := s.Step(batchOfStep(i), rates, rng.Seed(4).Stream("noise", i))
			if err != nil {
				t.Fatal(arch, w, i, err)
			}
			losses = append(losses, r.Loss, r.GradNorm, r.Entropy, r.Agreement)
		})
	}
	return losses, state(m, s)
}

// TestRecordedPasses: steps by recorded passes, on batches of two shapes and with temperatures that change, leave what plain
// steps leave; of nothing that a pass reads is there a copy from the host.
func TestRecordedPasses(t *testing.T) {
	for _, arch := range []string{"vit", "swin", "vit, two last layers"} {
		for _, w := range []saving{{}, {micro: 2}, {recompute: true, chunk: 6}} {
			name := fmt.Sprintf("%s %+v", arch, w)
			start := torch.Live()
			want, wantEnd := recordedRun(t, arch, w, nil)
			before := torch.Live()
			var r *train.Recorder
			got, end := recordedRun(t, arch, w, func(s *train.Stepper) { r = train.RecordOnTheCPU(t, s) })
			if r.Stopped != nil {
				t.Fatalf("%s: %v", name, r.Stopped)
			}
			// The first step knows no plan. The first pass of each shape is plain and recorded; the temperatures change once. The
			// three micro-batches have one shape each, as on a CPU masks are not filled up.
			recorded, replayed := 4, 5
			if w.micro == 2 {
				recorded, replayed = 6, 21
			}
			if r.Recorded != recorded || r.Replayed != replayed {
				t.Errorf("%s: %d recorded, %d replayed", name, r.Recorded, r.Replayed)
			}
			golden.EqualFloats(t, name, got, want, golden.Tolerance{Rel: 1e-5, Abs: 1e-6})
			for k, v := range wantEnd {
				golden.EqualFloats(t, name+" "+k, end[k], v, golden.Tolerance{Rel: 1e-4, Abs: 1e-5})
			}
			if model, more := before-start, torch.Live()-before; more != model {
				t.Errorf("%s: %d tensors alive, want the %d of a model", name, more, model)
			}
		}
	}
}

// TestPassesThatCannotBeRecorded: steps go on without, and say why.
func TestPassesThatCannotBeRecorded(t *testing.T) {
	start := torch.Live()
	want, _ := recordedRun(t, "vit", saving{}, nil)
	model := torch.Live() - start
	for why, prepare := range map[string]func(*train.Recorder){
		"no memory for it": func(r *train.Recorder) { r.Fail = errors.New("no memory for it") },
		"a recorded pass differs from a plain one: result": func(r *train.Recorder) {
			r.Spoil = func(out []*torch.Tensor) { out[len(out)/2].MulScalar_(1.5) }
		},
		"no room": func(r *train.Recorder) {
			r.Spoil = func([]*torch.Tensor) { panic(&torch.Error{Op: "linear", Msg: "no room", OOM: true}) }
		},
	} {
		var r *train.Recorder
		before := torch.Live()
		got, _ := recordedRun(t, "vit", saving{}, func(s *train.Stepper) {
			r = train.RecordOnTheCPU(t, s)
			prepare(r)
		})
		if r.Stopped == nil || !strings.Contains(r.Stopped.Error(), why) {
			t.Errorf("stopped by %v, want %q", r.Stopped, why)
		}
		golden.EqualFloats(t, why, got, want, golden.Tolerance{Rel: 1e-5, Abs: 1e-6})
		if more := torch.Live() - before; more != model {
			t.Errorf("%s: %d tensors alive, want the %d of a model", why, more, model)
		}
	}
}
