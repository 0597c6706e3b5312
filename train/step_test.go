package train_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"ibot/backbone"
	"ibot/internal/golden"
	"ibot/method"
	"ibot/nn"
	"ibot/optim"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

func tinyModel(t *testing.T) *method.Model {
	t.Helper()
	m, err := method.NewModel(method.Config{
		InitStd: .02,
		Backbone: backbone.Config{
			Arch: "vit_tiny", ImgSize: 32, PatchSize: 8, InChans: 3, EmbedDim: 64, Depth: 3, NumHeads: 4, Masked: true,
		},
		Head: method.HeadConfig{
			HiddenDim: 96, BottleneckDim: 48, OutDim: 128, PatchOutDim: 128, Layers: 3, Act: "gelu", Shared: true,
		},
		SharedHeadTeacher: true,
		Loss: method.LossConfig{
			GlobalCrops: 2, LocalCrops: 2, Lambda1: 1, Lambda2: 1, StudentTemp: .1, CenterMomentum: .9, CenterMomentum2: .9,
		},
	}, 1, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	return m
}

func stepper(t *testing.T, m *method.Model) *train.Stepper {
	t.Helper()
	s, err := train.NewStepper(m, "adamw", .3, torch.CPU, torch.Float32)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Free)
	return s
}

func goldenBatch(in *golden.File, step int) (b method.Batch) {
	cat := func(name string) *torch.Tensor {
		return torch.Cat([]*torch.Tensor{in.Tensor(fmt.Sprintf("%d/%s0", step, name)), in.Tensor(fmt.Sprintf("%d/%s1", step, name))}, 0)
	}
	b.Global, b.Local = cat("global"), cat("local")
	b.B = b.Global.Size(0) / 2
	flat := torch.Read[bool](cat("mask"))
	masks := make([][]bool, len(flat)/16)
	for i := range masks {
		masks[i] = flat[i*16 : (i+1)*16]
	}
	b.Mask, b.Masked, b.Weight = method.NewMask(masks, 4, 4, torch.CPU)
	return b
}

// Three steps of the reference: losses, gradients' norms, agreement, centers, student and teacher.
func TestThreeStepsOfTheReference(t *testing.T) {
	m := tinyModel(t)
	s := stepper(t, m)
	first, in, want := golden.Open(t, "a_vit_init.npz"), golden.Open(t, "a_vit_inputs.npz"), golden.Open(t, "a_vit_expected.npz")
	first.Load("student/", m.Student.Path.State())
	first.Load("teacher/", m.Teacher.Path.State())
	first.Load("", []nn.Named{{Name: "center", Tensor: m.Loss.Center}, {Name: "center2", Tensor: m.Loss.Center2}})
	close := golden.Tolerance{Abs: 1e-5}
	for i := range 3 {
		at := func(name string) string { return fmt.Sprintf("%d/%s", i, name) }
		err := torch.Run(func() error {
			res, err := s.Step(goldenBatch(in, i), train.Rates{
				Rates:    optim.Rates{LR: in.Floats("lr")[i], WeightDecay: in.Floats("wd")[i]},
				Momentum: in.Floats("momentum")[i],
				Temps:    method.Temps{Cls: in.Floats("teacher_temp")[i], Patch: in.Floats("teacher_patch_temp")[i]},
				Freeze:   in.Ints("epoch")[i] < in.Ints("freeze_last_layer")[0],
			}, nil)
			if err != nil {
				return err
			}
			for name, got := range map[string]float64{"loss": res.Loss, "cls": res.Cls, "patch": res.Patch, "acc": res.Agreement} {
				golden.EqualFloats(t, at(name), []float64{got}, want.Floats(at(name)), close)
			}
			total := 0.0
			for _, norm := range want.Floats(at("grad_norm")) {
				total += norm * norm
			}
			golden.EqualFloats(t, at("grad_norm"), []float64{res.GradNorm}, []float64{math.Sqrt(total)}, golden.Tolerance{Rel: 1e-4})
			golden.Equal(t, at("center"), m.Loss.Center, want.Tensor(at("center")), close)
			golden.Equal(t, at("center2"), m.Loss.Center2, want.Tensor(at("center2")), close)
			for role, net := range map[string]*method.Net{"student": m.Student, "teacher": m.Teacher} {
				sums := want.Floats(at(role + "_abs_sum"))
				for k, p := range net.Path.Params() {
					golden.EqualFloats(t, at(role)+" "+p.Name, []float64{p.Abs().SumAll().Item()}, sums[k:k+1], golden.Tolerance{Abs: 1e-5, Rel: 1e-6})
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	final := golden.Open(t, "a_vit_ckpt.pth")
	torch.Scope(func() {
		for role, net := range map[string]*method.Net{"student.module.": m.Student, "teacher.": m.Teacher} {
			for _, p := range net.Path.State() {
				golden.Equal(t, role+p.Name, p.Tensor, final.Tensor(role+p.Name), close)
			}
		}
	})
}

func TestStepLeavesNothingAlive(t *testing.T) {
	m := tinyModel(t)
	s := stepper(t, m)
	in := golden.Open(t, "a_vit_inputs.npz")
	step := func() {
		if err := torch.Run(func() error {
			_, err := s.Step(goldenBatch(in, 0), train.Rates{Rates: optim.Rates{LR: 1e-4}, Momentum: .99, Temps: method.Temps{Cls: .04, Patch: .04}}, nil)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	step() // the first makes the optimizer's state
	before := torch.Live()
	step()
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors alive after a step, %d before", after, before)
	}
}

func TestNonFiniteStepChangesNothing(t *testing.T) {
	m := tinyModel(t)
	s := stepper(t, m)
	in := golden.Open(t, "a_vit_inputs.npz")
	rates := train.Rates{Rates: optim.Rates{LR: 1e-3}, Momentum: .9, Temps: method.Temps{Cls: .04, Patch: .04}}
	torch.Scope(func() {
		var before []*torch.Tensor
		for _, p := range append(m.Student.Path.State(), m.Teacher.Path.State()...) {
			before = append(before, p.Detach().Clone())
		}
		b := goldenBatch(in, 0)
		b.Global.Slice(0, 0, 1).Fill_(math.NaN())
		_, err := s.Step(b, rates, rng.Seed(0).Stream("noise"))
		var bad *train.NonFinite
		if !errors.As(err, &bad) {
			t.Fatalf("got %v, want *NonFinite", err)
		}
		if want := "images hold values that are not finite"; !strings.Contains(bad.Error(), want) {
			t.Errorf("%q does not name the cause, %q", bad, want)
		}
		for i, p := range append(m.Student.Path.State(), m.Teacher.Path.State()...) {
			golden.Equal(t, p.Name, p.Tensor, before[i], golden.Tolerance{})
		}
		if m.Loss.Center.AllFinite().Item() == 0 {
			t.Error("the center is not finite")
		}
		if _, err := s.Step(goldenBatch(in, 0), rates, nil); err != nil {
			t.Errorf("the next step fails: %v", err)
		}
	})
}
