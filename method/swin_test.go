package method_test

import (
	"fmt"
	"testing"

	"ibot/backbone"
	"ibot/internal/golden"
	"ibot/method"
	"ibot/nn"
	"ibot/torch"
)

// swinConfig is the Swin of the goldens with its head.
func swinConfig() method.Config {
	c := tinyConfig()
	c.Backbone = backbone.Config{
		Arch: "swin_tiny", ImgSize: 32, PatchSize: 4, InChans: 3, EmbedDim: 16, Depths: []int{2, 2}, NumHeads: 2, WindowSize: 4, Masked: true,
	}
	c.Head.HiddenDim, c.Head.BottleneckDim, c.Head.NormLastLayer = 48, 24, true
	return c
}

func TestSwinLossGradientsAndCenters(t *testing.T) {
	m := newModel(t, swinConfig())
	first, in, want := golden.Open(t, "b_swin_init.npz"), golden.Open(t, "b_swin_inputs.npz"), golden.Open(t, "b_swin_expected.npz")
	first.Load("student/", m.Student.Path.State())
	first.Load("teacher/", m.Teacher.Path.State())
	torch.Scope(func() {
		temps := method.Temps{Cls: in.Floats("teacher_temp")[0], Patch: in.Floats("teacher_patch_temp")[0]}
		terms, teacher := m.Forward(nn.Mode{Train: true}, goldenBatch(in, 0), temps)
		for name, got := range map[string]*torch.Tensor{
			"0/loss": terms.Loss, "0/cls": terms.Cls, "0/patch": terms.Patch, "0/acc": terms.Agreement,
		} {
			golden.EqualFloats(t, name, []float64{got.Item()}, want.Floats(name), forward)
		}
		golden.Equal(t, "teacher cls", m.Teacher.Head.ClsLogits(teacher.Cls), want.Tensor("0/teacher_cls"), forward)
		terms.Loss.Backward()
		for _, p := range m.Student.Path.Params() {
			if !want.Has("0/grad/" + p.Name) {
				if p.Grad() != nil {
					t.Errorf("%s has a gradient, the reference's has none", p.Name)
				}
				continue
			}
			golden.Equal(t, "gradient of "+p.Name, p.Grad(), want.Tensor("0/grad/"+p.Name), gradient)
		}
		m.Loss.Update(teacher, nil)
		golden.Equal(t, "center", m.Loss.Center, want.Tensor("0/center"), forward)
		golden.Equal(t, "center2", m.Loss.Center2, want.Tensor("0/center2"), forward)
	})
}

// Names and order are the reference's, of the state dict and of the parameters.
func TestSwinParameterNamesAndOrder(t *testing.T) {
	m := newModel(t, swinConfig())
	want, first := golden.Open(t, "b_swin_expected.npz"), golden.Open(t, "b_swin_init.npz")
	for role, net := range map[string]*method.Net{"student": m.Student, "teacher": m.Teacher} {
		var params, state, arrays []string
		for _, p := range net.Path.Params() {
			params = append(params, p.Name)
		}
		for _, s := range net.Path.State() {
			state = append(state, role+"/"+s.Name)
		}
		for _, name := range first.Names() {
			if len(name) > len(role) && name[:len(role)+1] == role+"/" {
				arrays = append(arrays, name)
			}
		}
		if got, want := fmt.Sprint(params), fmt.Sprint(want.Strings(role+"_param_names")); got != want {
			t.Errorf("parameters of the %s are %s, want %s", role, got, want)
		}
		if got, want := fmt.Sprint(state), fmt.Sprint(arrays); got != want {
			t.Errorf("state of the %s is %s, want %s", role, got, want)
		}
	}
}
