package method_test

import (
	"strings"
	"testing"

	"ibot/internal/golden"
	"ibot/method"
	"ibot/nn"
	"ibot/torch"
)

var (
	forward  = golden.Tolerance{Abs: 1e-5}
	gradient = golden.Tolerance{Rel: 1e-4}
	// A bias in front of a batch norm has a gradient of 0, which float32 gives as a few 1e-6.
	gradNorm = golden.Tolerance{Abs: 2e-6, Rel: 1e-4}
)

var headVariants = map[string]method.HeadConfig{
	"shared":       {BottleneckDim: 24, NormLastLayer: true, Shared: true},
	"unshared":     {BottleneckDim: 24, NormLastLayer: true},
	"trainable_g":  {BottleneckDim: 24, Shared: true},
	"bn":           {BottleneckDim: 24, NormLastLayer: true, Shared: true, Norm: "bn"},
	"relu_ln":      {BottleneckDim: 24, NormLastLayer: true, Shared: true, Norm: "ln", Act: "relu"},
	"nobottleneck": {NormLastLayer: true},
}

func headConfig(variant string) method.HeadConfig {
	c := headVariants[variant]
	c.InDim, c.HiddenDim, c.OutDim, c.PatchOutDim, c.Layers = 64, 48, 128, 128, 3
	if c.Act == "" {
		c.Act = "gelu"
	}
	return c
}

func newHead(t *testing.T, c method.HeadConfig) (*method.Head, *nn.Path) {
	t.Helper()
	p := nn.NewPath(0, torch.CPU)
	h, err := method.NewHead(p, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Free)
	return h, p
}

func TestHeadVariants(t *testing.T) {
	f := golden.Open(t, "a2_heads.npz")
	for variant := range headVariants {
		t.Run(variant, func(t *testing.T) {
			h, p := newHead(t, headConfig(variant))
			names := map[string]bool{}
			for _, s := range p.State() {
				names[variant+"/w/"+s.Name] = true
			}
			for _, name := range f.Names() {
				if strings.HasPrefix(name, variant+"/w/") && !names[name] {
					t.Errorf("the reference has %s, this head has not", name)
				}
			}
			f.Load(variant+"/w/", p.State())
			torch.Scope(func() {
				train := nn.Mode{Train: true}
				cls, patch := h.Forward(train, f.Tensor("x3"))
				golden.Equal(t, "cls", cls, f.Tensor(variant+"/y_cls"), forward)
				golden.Equal(t, "patch", patch, f.Tensor(variant+"/y_patch"), forward)
				cls.Square().SumAll().Add(patch.Square().Mul(patch).SumAll()).Backward()
				for _, s := range p.Params() {
					want := variant + "/gradnorm/" + s.Name
					switch g := s.Grad(); {
					case f.Has(want) && g == nil:
						t.Errorf("%s has no gradient", s.Name)
					case f.Has(want):
						golden.EqualFloats(t, "gradient of "+s.Name, []float64{g.NormAll().Item()}, f.Floats(want), gradNorm)
					case g != nil:
						t.Errorf("%s has a gradient, the reference's has none", s.Name)
					}
				}
				torch.NoGrad(func() {
					got := h.ClsLogits(h.Embed(nn.Eval, f.Tensor("x2")))
					golden.Equal(t, "evaluated", got, f.Tensor(variant+"/y2d_eval"), forward)
				})
			})
		})
	}
}

// With separate layers in the student and a shared one in the teacher (the reference's defaults), the
// teacher starts with the student's last_layer2, and the moving average pairs last_layer with last_layer.
func TestSharedTeacherStartsWithTheStudentsPatchLayer(t *testing.T) {
	f := golden.Open(t, "a2_heads.npz")
	c := headConfig("unshared")
	_, student := newHead(t, c)
	c.Shared = true
	_, teacher := newHead(t, c)
	f.Load("mixed/student/", student.State())
	if missing := teacher.CopyFrom(student); len(missing) > 0 {
		t.Errorf("the teacher lacks %v", missing)
	}
	torch.Scope(func() {
		for _, s := range teacher.State() {
			golden.Equal(t, s.Name, s.Tensor, f.Tensor("mixed/teacher_after_load/"+s.Name), golden.Tolerance{})
		}
	})
	for i, p := range teacher.Params() {
		if want := f.Strings("mixed/teacher_param_names")[i]; p.Name != want {
			t.Errorf("teacher parameter %d is %s, want %s", i, p.Name, want)
		}
	}
	for i, p := range student.Params() {
		if want := f.Strings("mixed/student_param_names")[i]; p.Name != want {
			t.Errorf("student parameter %d is %s, want %s", i, p.Name, want)
		}
	}
}

func TestHeadRefusesBadSettings(t *testing.T) {
	for name, spoil := range map[string]func(*method.HeadConfig){
		"act_in_head":  func(c *method.HeadConfig) { c.Act = "silu" },
		"norm_in_head": func(c *method.HeadConfig) { c.Norm = "batch" },
		"layer":        func(c *method.HeadConfig) { c.Layers = 0 },
	} {
		c := headConfig("shared")
		spoil(&c)
		p := nn.NewPath(0, torch.CPU)
		if _, err := method.NewHead(p, c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
		p.Free()
	}
}
