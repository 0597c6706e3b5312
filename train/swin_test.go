package train_test

import (
	"fmt"
	"math"
	"testing"

	"ibot/backbone"
	"ibot/internal/golden"
	"ibot/method"
	"ibot/optim"
	"ibot/torch"
	"ibot/train"
)

// Two steps of the reference with a Swin: losses, norms of the gradients, centers, and student and
// teacher after the second.
func TestTwoSwinStepsOfTheReference(t *testing.T) {
	m, err := method.NewModel(method.Config{
		InitStd: .02,
		Backbone: backbone.Config{
			Arch: "swin_tiny", ImgSize: 32, PatchSize: 4, InChans: 3, EmbedDim: 16, Depths: []int{2, 2}, NumHeads: 2, WindowSize: 4, Masked: true,
		},
		Head: method.HeadConfig{
			HiddenDim: 48, BottleneckDim: 24, OutDim: 128, PatchOutDim: 128, Layers: 3, Act: "gelu", Shared: true, NormLastLayer: true,
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
	s := stepper(t, m)
	first, in, want := golden.Open(t, "b_swin_init.npz"), golden.Open(t, "b_swin_inputs.npz"), golden.Open(t, "b_swin_expected.npz")
	first.Load("student/", m.Student.Path.State())
	first.Load("teacher/", m.Teacher.Path.State())
	close := golden.Tolerance{Abs: 1e-5}
	for i := range 2 {
		at := func(name string) string { return fmt.Sprintf("%d/%s", i, name) }
		if err := torch.Run(func() error {
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
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	torch.Scope(func() {
		for role, net := range map[string]*method.Net{"student": m.Student, "teacher": m.Teacher} {
			for _, p := range net.Path.Params() {
				golden.Equal(t, role+" "+p.Name, p.Tensor, want.Tensor("final_"+role+"/"+p.Name), close)
			}
		}
	})
}

// An interrupted run of a Swin comes to the same end as one that was not, bit for bit.
func TestSwinResumeIsBitEqual(t *testing.T) {
	options := func() train.Options {
		o := tinyOptions(t)
		c := &o.Config
		c.Arch, c.PatchSize, c.Depth, c.Depths, c.EmbedDim, c.NumHeads = "swin_tiny", 4, 0, []float64{2, 2}, 16, 2
		c.ImgSize, c.LocalSize, c.WindowSize, c.DropPath = 32, 24, 4, .2
		if _, err := c.Resolve(backbone.Names()); err != nil {
			t.Fatal(err)
		}
		return o
	}
	whole, parts := options(), options()
	finish(t, whole)
	for _, c := range []call{{workers: 1, steps: 2}, {workers: 3, load: 5 * tinyBatch}, {workers: 2}} {
		c.start(t, parts)
	}
	sameRun(t, parts.Config.Out, whole.Config.Out)
}
