package train_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"ibot/ckpt"
	"ibot/internal/golden"
	"ibot/method"
	"ibot/optim"
	"ibot/torch"
	"ibot/train"
)

// openResume opens testdata/resume.npz, whose README says how it was made.
func openResume(t *testing.T) *ckpt.Checkpoint {
	t.Helper()
	c, err := ckpt.Open("testdata/resume.npz")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func resumeFloats(t *testing.T, c *ckpt.Checkpoint, name string) []float64 {
	t.Helper()
	a, err := c.Array(name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := a.Float64()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// goOn makes the two steps of resume.npz with s and compares them with the reference's.
func goOn(t *testing.T, s *train.Stepper) {
	t.Helper()
	want, in := openResume(t), golden.Open(t, "a_vit_inputs.npz")
	rates := resumeFloats(t, want, "rates")
	close := golden.Tolerance{Abs: 1e-5}
	for i := range 2 {
		at := func(name string) string { return fmt.Sprintf("%d/%s", i, name) }
		r := rates[6*i:]
		err := torch.Run(func() error {
			res, err := s.Step(goldenBatch(in, i), train.Rates{
				Rates: optim.Rates{LR: r[0], WeightDecay: r[1]}, Momentum: r[2], Temps: method.Temps{Cls: r[4], Patch: r[5]},
			}, nil)
			if err != nil {
				return err
			}
			for name, got := range map[string]float64{"loss": res.Loss, "cls": res.Cls, "patch": res.Patch} {
				golden.EqualFloats(t, at(name), []float64{got}, resumeFloats(t, want, at(name)), close)
			}
			golden.EqualFloats(t, at("grad_norm"), []float64{res.GradNorm}, resumeFloats(t, want, at("grad_norm")), golden.Tolerance{Rel: 1e-4})
			for role, net := range map[string]*method.Net{"student": s.Model.Student, "teacher": s.Model.Teacher} {
				sums := resumeFloats(t, want, at(role+"_abs_sum"))
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
	torch.Scope(func() {
		equal := func(name string, got *torch.Tensor) {
			golden.EqualFloats(t, name, torch.Read[float64](got.Detach()), resumeFloats(t, want, name), close)
		}
		for role, net := range map[string]*method.Net{"final_student/": s.Model.Student, "final_teacher/": s.Model.Teacher} {
			for _, p := range net.Path.Params() {
				if want.Has(role + p.Name) {
					equal(role+p.Name, p.Tensor)
				}
			}
		}
		equal("final_center", s.Model.Loss.Center)
		equal("final_center2", s.Model.Loss.Center2)
	})
}

// TestGoesOnFromTheReferencesCheckpoint: after its full checkpoint was loaded, the next steps are the
// reference's next steps.
func TestGoesOnFromTheReferencesCheckpoint(t *testing.T) {
	before := torch.Live()
	t.Run("steps", func(t *testing.T) {
		s := stepper(t, tinyModel(t))
		f, err := ckpt.Open(golden.Path(t, "a_vit_ckpt.pth"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := s.Load(f); err != nil {
			t.Fatal(err)
		}
		goOn(t, s)
	})
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors alive, %d before", after, before)
	}
}

// TestThereAndBack takes a checkpoint of the reference over into a run, saves it as one of this
// program, converts that into the reference's layout, and goes on from there: the steps are still the
// reference's, and state and numbering of the optimizer are those of the first file, bit for bit.
func TestThereAndBack(t *testing.T) {
	first, err := ckpt.Open(golden.Path(t, "a_vit_ckpt.pth"))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	s := stepper(t, tinyModel(t))
	if err := s.Load(first); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := train.Default()
	c.SharedHead, c.NormLastLayer = true, false
	own := filepath.Join(dir, "own.safetensors")
	if err := s.Save(own, c, 2); err != nil {
		t.Fatal(err)
	}
	f, err := ckpt.Open(own)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	arrays, object, err := train.ToReference(f)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "checkpoint.pth")
	if err := ckpt.WritePth(path, arrays, object, nil); err != nil {
		t.Fatal(err)
	}
	last, err := ckpt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	if r := ckpt.Diff(first, last); !r.Equal() {
		t.Error(r)
	}
	if last.Meta["epoch"] != first.Meta["epoch"] || last.Meta["args.patch_size"] != "16" {
		t.Errorf("epoch %s, patch size %s", last.Meta["epoch"], last.Meta["args.patch_size"])
	}
	other := stepper(t, tinyModel(t))
	if err := other.Load(last); err != nil {
		t.Fatal(err)
	}
	goOn(t, other)
}

// TestReferenceCheckpointOfAnotherNetwork: another number of parameters is an error.
func TestReferenceCheckpointOfAnotherNetwork(t *testing.T) {
	f, err := ckpt.Open(golden.Path(t, "a_vit_ckpt.pth"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := tinyModel(t)
	frozen := m.Student.Head.LastLayer.G
	frozen.RequireGrad(false) // as norm_last_layer has it
	if err := stepper(t, m).Load(f); err == nil || !strings.Contains(err.Error(), "group 0 of the optimizer") {
		t.Errorf("got %v", err)
	}
}

// TestRunGoesOnFromTheReference: `--resume checkpoint.pth` of the reference goes on in its next epoch.
func TestRunGoesOnFromTheReference(t *testing.T) {
	o := tinyOptions(t)
	c := &o.Config
	c.Resume = golden.Path(t, "a_vit_ckpt.pth")
	c.Arch, c.ImgSize, c.LocalSize, c.PatchSize, c.EmbedDim, c.Depth, c.NumHeads = "vit_tiny", 32, 16, 8, 64, 3, 4
	c.OutDim, c.PatchOutDim, c.HiddenDim, c.BottleneckDim, c.HeadLayers = 128, 128, 96, 48, 3
	c.SharedHead, c.SharedHeadTeacher, c.NormLastLayer = true, true, false
	c.Epochs = 3
	s := finish(t, o)
	if s.Epochs != 3 {
		t.Errorf("the run ended after %d epochs, want 3", s.Epochs)
	}
	records := lines(t, filepath.Join(o.Config.Out, "log.txt"))
	if len(records) != 1 || fmt.Sprint(records[0]["epoch"]) != "2" {
		t.Errorf("log.txt is %v, want the third epoch alone", records)
	}
	c.HiddenDim = 32
	c.Out = t.TempDir()
	if _, err := train.Pretrain(t.Context(), o); err == nil || !strings.Contains(err.Error(), "use the settings that it was trained with") {
		t.Errorf("with another head: %v", err)
	}
}
