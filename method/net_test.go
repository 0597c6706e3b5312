package method_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"ibot/backbone"
	"ibot/internal/golden"
	"ibot/method"
	"ibot/nn"
	"ibot/rng"
	"ibot/torch"
)

func tinyConfig() method.Config {
	return method.Config{
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
	}
}

func newModel(t *testing.T, c method.Config) *method.Model {
	t.Helper()
	m, err := method.NewModel(c, 1, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	return m
}

// goldenModel has the weights and centers of the goldens before their first step.
func goldenModel(t *testing.T) *method.Model {
	t.Helper()
	m := newModel(t, tinyConfig())
	f := golden.Open(t, "a_vit_init.npz")
	f.Load("student/", m.Student.Path.State())
	f.Load("teacher/", m.Teacher.Path.State())
	f.Load("", []nn.Named{{Name: "center", Tensor: m.Loss.Center}, {Name: "center2", Tensor: m.Loss.Center2}})
	return m
}

// goldenBatch is the batch of a golden step, its masks as tensors of the host.
func goldenBatch(in *golden.File, step int) (b method.Batch) {
	cat := func(name string) *torch.Tensor {
		return torch.Cat([]*torch.Tensor{in.Tensor(fmt.Sprintf("%d/%s0", step, name)), in.Tensor(fmt.Sprintf("%d/%s1", step, name))}, 0)
	}
	b.Global, b.Local = cat("global"), cat("local")
	b.B = b.Global.Size(0) / 2
	masks := cat("mask")
	b.Mask, b.Masked, b.Weight = method.NewMask(rows(torch.Read[bool](masks), masks.Size(0)), 4, 4, torch.CPU)
	return b
}

func rows(flat []bool, n int) [][]bool {
	out := make([][]bool, n)
	for i := range out {
		out[i] = flat[i*len(flat)/n : (i+1)*len(flat)/n]
	}
	return out
}

func TestLossGradientsAndCenters(t *testing.T) {
	m := goldenModel(t)
	in, want := golden.Open(t, "a_vit_inputs.npz"), golden.Open(t, "a_vit_expected.npz")
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
			golden.Equal(t, "gradient of "+p.Name, p.Grad(), want.Tensor("0/grad/"+p.Name), gradient)
		}
		m.Loss.Update(teacher, nil)
		golden.Equal(t, "center", m.Loss.Center, want.Tensor("0/center"), forward)
		golden.Equal(t, "center2", m.Loss.Center2, want.Tensor("0/center2"), forward)
	})
}

// TestMasksFilledUp: masked patches that only fill up, as on a GPU, leave loss, gradients and centers as they are, but for
// the rounding of sums of another length.
func TestMasksFilledUp(t *testing.T) {
	in := golden.Open(t, "a_vit_inputs.npz")
	torch.Scope(func() {
		b := goldenBatch(in, 0)
		count := b.Masked.Size(0)
		type outcome struct {
			values, centers []float64
			gradients       map[string]*torch.Tensor
		}
		run := func(b method.Batch, chunk int) (o outcome) {
			m := goldenModel(t)
			m.HeadChunk, o.gradients = chunk, map[string]*torch.Tensor{}
			terms, teacher := m.Forward(nn.Mode{Train: true}, b, method.Temps{Cls: .05, Patch: .06})
			terms.Loss.Backward()
			for _, p := range m.Student.Path.Params() {
				if g := p.Grad(); g != nil {
					o.gradients[p.Name] = g
				}
			}
			m.Loss.Update(teacher, nil)
			o.values = torch.Read[float64](terms.Measured())
			o.centers = append(torch.Read[float64](m.Loss.Center), torch.Read[float64](m.Loss.Center2)...)
			return o
		}
		want := run(b, 0)
		for _, fill := range []struct{ multiple, chunk int }{{count + 1, 0}, {3 * count, 0}, {count + 1, 7}} {
			full := b
			full.Mask, full.Masked, full.Weight = method.NewMaskFilled(rows(torch.Read[bool](b.Mask), b.Mask.Size(0)), 4, 4, torch.CPU, fill.multiple)
			if n := full.Masked.Size(0); n != fill.multiple || full.Weight.Size(0) != n {
				t.Fatalf("%d masked patches, want %d", n, fill.multiple)
			}
			got := run(full, fill.chunk)
			golden.EqualFloats(t, fmt.Sprint(fill, " measured"), got.values, want.values, golden.Tolerance{Rel: 2e-6})
			golden.EqualFloats(t, fmt.Sprint(fill, " centers"), got.centers, want.centers, golden.Tolerance{})
			if len(got.gradients) != len(want.gradients) {
				t.Errorf("%v: %d gradients, want %d", fill, len(got.gradients), len(want.gradients))
			}
			for name, g := range got.gradients {
				golden.Equal(t, fmt.Sprint(fill, " gradient of ", name), g, want.gradients[name], golden.Tolerance{Abs: 2e-7, Rel: 1e-5})
			}
		}
	})
}

func TestParameterNamesAndOrder(t *testing.T) {
	m := newModel(t, tinyConfig())
	want := golden.Open(t, "a_vit_expected.npz")
	for role, net := range map[string]*method.Net{"student": m.Student, "teacher": m.Teacher} {
		names := want.Strings(role + "_param_names")
		params := net.Path.Params()
		if len(params) != len(names) {
			t.Errorf("%s has %d parameters, want %d", role, len(params), len(names))
			continue
		}
		for i, p := range params {
			if p.Name != names[i] {
				t.Errorf("%s parameter %d is %s, want %s", role, i, p.Name, names[i])
			}
		}
	}
}

func TestHeadOutputsOfThePlainForm(t *testing.T) {
	m := goldenModel(t)
	in, want := golden.Open(t, "a_vit_inputs.npz"), golden.Open(t, "a_vit_expected.npz")
	torch.Scope(func() {
		torch.NoGrad(func() {
			b, train := goldenBatch(in, 0), nn.Mode{Train: true}
			cls, patch := m.Teacher.Head.Forward(train, m.Teacher.Backbone.Forward(train, b.Global, nil))
			golden.Equal(t, "teacher cls", cls, want.Tensor("0/teacher_cls"), forward)
			golden.Equal(t, "teacher patch", patch, want.Tensor("0/teacher_patch"), forward)
			cls, patch = m.Student.Head.Forward(train, m.Student.Backbone.Forward(train, b.Global, b.Mask))
			golden.Equal(t, "student cls", cls, want.Tensor("0/student_cls"), forward)
			golden.Equal(t, "student patch", patch, want.Tensor("0/student_patch"), forward)
			cls, _ = m.Student.Head.Forward(train, m.Student.Backbone.Forward(train, b.Local, nil))
			golden.Equal(t, "student local cls", cls, want.Tensor("0/student_local_cls"), forward)
		})
	})
}

// plain computes loss and new centers as the paper and its release write them: every output of every
// token, pair by pair.
func plain(m *method.Model, b method.Batch, temps method.Temps) (loss, center, center2 *torch.Tensor) {
	c, train := m.Loss.LossConfig, nn.Mode{Train: true}
	G, n := c.GlobalCrops, c.GlobalCrops+c.LocalCrops
	var tCls, tPatch *torch.Tensor
	torch.NoGrad(func() {
		tCls, tPatch = m.Teacher.Head.Forward(train, m.Teacher.Backbone.Forward(train, b.Global, nil))
		center = m.Loss.Center.MulScalar(c.CenterMomentum).Add(tCls.Mean(0).MulScalar(1 - c.CenterMomentum))
		center2 = m.Loss.Center2.MulScalar(c.CenterMomentum2).Add(tPatch.Mean(0, 1).MulScalar(1 - c.CenterMomentum2))
	})
	target := func(logits, center *torch.Tensor, temp float64) *torch.Tensor {
		centered := logits.Sub(center)
		if c.HardTargets {
			return centered.ArgMax(-1).OneHot(centered.Size(-1)).To(torch.Float32)
		}
		return centered.DivScalar(temp).Softmax(-1)
	}
	t, u := target(tCls, m.Loss.Center, temps.Cls).Chunk(G, 0), target(tPatch, m.Loss.Center2, temps.Patch).Chunk(G, 0)
	sCls, sPatch := m.Student.Head.Forward(train, m.Student.Backbone.Forward(train, b.Global, b.Mask))
	if b.Local != nil {
		local, _ := m.Student.Head.Forward(train, m.Student.Backbone.Forward(train, b.Local, nil))
		sCls = torch.Cat([]*torch.Tensor{sCls, local}, 0)
	}
	s, p := sCls.Chunk(n, 0), sPatch.Chunk(G, 0)
	ce := func(t, s *torch.Tensor) *torch.Tensor {
		return t.Mul(s.DivScalar(c.StudentTemp).LogSoftmax(-1)).Sum(-1).Neg()
	}
	loss = torch.Zeros(torch.Float32, torch.CPU)
	for q := range G {
		for v := range n {
			if v != q {
				loss = loss.Add(ce(t[q], s[v]).MeanAll().MulScalar(c.Lambda1 / float64(G*(n-1))))
			}
		}
		if b.Mask != nil {
			mask := b.Mask.Chunk(G, 0)[q].Flatten(1, 2).To(torch.Float32) // (B, N)
			perImage := ce(u[q], p[q]).Mul(mask).Sum(-1).Div(mask.Sum(-1).ClampMin(1))
			loss = loss.Add(perImage.MeanAll().MulScalar(c.Lambda2 / float64(G)))
		}
	}
	return loss, center, center2
}

func grads(p *nn.Path) map[string][]float64 {
	all := map[string][]float64{}
	for _, s := range p.Params() {
		if g := s.Grad(); g != nil {
			all[s.Name] = torch.Read[float64](g)
		}
		s.SetGrad(nil)
	}
	return all
}

// The exact cheap head must equal the plain form for every head, masks or not: loss, gradients, centers.
func TestCheapHeadEqualsThePlainForm(t *testing.T) {
	cases := map[string]func(*method.Config){
		"shared":              func(*method.Config) {},
		"separate":            func(c *method.Config) { c.Head.Shared, c.SharedHeadTeacher = false, false; c.Head.PatchOutDim = 96 },
		"semi-shared":         func(c *method.Config) { c.Head.Shared = false },
		"normed last layer":   func(c *method.Config) { c.Head.NormLastLayer = true },
		"layer norm":          func(c *method.Config) { c.Head.Norm = "ln" },
		"batch norm":          func(c *method.Config) { c.Head.Norm = "bn" },
		"centering norm":      func(c *method.Config) { c.Head.Norm = "csyncbn" },
		"no bottleneck":       func(c *method.Config) { c.Head.BottleneckDim = 0 },
		"hard targets":        func(c *method.Config) { c.Loss.HardTargets = true },
		"weights":             func(c *method.Config) { c.Loss.Lambda1, c.Loss.Lambda2 = .3, 2 },
		"patches alone":       func(c *method.Config) { c.Loss.Lambda1 = 0 },
		"three global crops":  func(c *method.Config) { c.Loss.GlobalCrops = 3 },
		"one global crop":     func(c *method.Config) { c.Loss.GlobalCrops = 1 },
		"no local crops":      func(c *method.Config) { c.Loss.LocalCrops = 0 },
		"LayerScale":          func(c *method.Config) { c.Backbone.LayerScale = .1 },
		"nothing masked":      func(c *method.Config) { c.Loss.Lambda2 = 1 },
		"centers of one view": func(c *method.Config) { c.Loss.CenterMomentum, c.Loss.CenterMomentum2 = .5, 0 },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			c := tinyConfig()
			change(&c)
			m := newModel(t, c)
			torch.Scope(func() {
				b := randomBatch(c.Loss, name != "nothing masked")
				stir(m)
				temps := method.Temps{Cls: .05, Patch: .06}
				// Batch norms change as they are used: both forms must see the same.
				before := snapshot(m)
				loss, center, center2 := plain(m, b, temps)
				loss.Backward()
				wantGrads := grads(m.Student.Path)
				restore(m, before)
				terms, teacher := m.Forward(nn.Mode{Train: true}, b, temps)
				terms.Loss.Backward()
				m.Loss.Update(teacher, nil)
				golden.EqualFloats(t, "loss", []float64{terms.Loss.Item()}, []float64{loss.Item()}, golden.Tolerance{Abs: 1e-6, Rel: 1e-6})
				golden.Equal(t, "center", m.Loss.Center, center, golden.Tolerance{Abs: 1e-6})
				golden.Equal(t, "center2", m.Loss.Center2, center2, golden.Tolerance{Abs: 1e-6})
				gotGrads := grads(m.Student.Path)
				for name, want := range wantGrads {
					got, ok := gotGrads[name]
					if !ok {
						// A layer that only unmasked patches reach: the plain form multiplies it by 0.
						if norm(want) != 0 {
							t.Errorf("%s has no gradient", name)
						}
						continue
					}
					tol := golden.Tolerance{Abs: 1e-7, Rel: 2e-5}
					if c.Head.Norm == "bn" && strings.HasPrefix(name, "head.mlp.") && strings.HasSuffix(name, ".bias") {
						tol.Abs = 1e-6 // a batch norm takes the bias off again: its gradient is 0, and here a sum's rounding
					}
					golden.EqualFloats(t, "gradient of "+name, got, want, tol)
				}
			})
		})
	}
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

// stir moves student, teacher and centers apart and off their initial values.
func stir(m *method.Model) {
	torch.NoGrad(func() {
		for i, p := range append(m.Student.Path.Params(), m.Teacher.Path.Params()...) {
			r := rng.Seed(5).Stream("stir", i)
			p.Add_(noise(r, .05, p.Shape()...))
		}
		r := rng.Seed(5).Stream("centers")
		m.Loss.Center.Add_(noise(r, .1, m.Loss.Center.Shape()...))
		m.Loss.Center2.Add_(noise(r, .1, m.Loss.Center2.Shape()...))
	})
}

func noise(r *rng.Stream, std float64, shape ...int) *torch.Tensor {
	n := 1
	for _, s := range shape {
		n *= s
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64() * std)
	}
	return torch.New(v, shape...)
}

func randomBatch(c method.LossConfig, masked bool) (b method.Batch) {
	const B = 3
	b.B = B
	r := rng.Seed(9).Stream("batch")
	b.Global = noise(r, 1, c.GlobalCrops*B, 3, 32, 32)
	if c.LocalCrops > 0 {
		b.Local = noise(r, 1, c.LocalCrops*B, 3, 16, 16)
	}
	masks := make([][]bool, c.GlobalCrops*B)
	for i := range masks {
		masks[i] = make([]bool, 16)
		for k := range masks[i] {
			masks[i][k] = masked && i%3 != 1 && r.Bernoulli(.4) // every third crop stays whole
		}
	}
	b.Mask, b.Masked, b.Weight = method.NewMask(masks, 4, 4, torch.CPU)
	return b
}

func snapshot(m *method.Model) []*torch.Tensor {
	var all []*torch.Tensor
	for _, s := range append(m.Student.Path.State(), m.Teacher.Path.State()...) {
		all = append(all, s.Detach().Clone())
	}
	return all
}

func restore(m *method.Model, saved []*torch.Tensor) {
	torch.NoGrad(func() {
		for i, s := range append(m.Student.Path.State(), m.Teacher.Path.State()...) {
			s.Copy_(saved[i])
		}
	})
}

func TestEMAMovesWhatBothHave(t *testing.T) {
	m := newModel(t, tinyConfig())
	torch.Scope(func() {
		stir(m)
		var want []*torch.Tensor
		student := map[string]*torch.Tensor{}
		for _, p := range m.Student.Path.Params() {
			student[p.Name] = p.Tensor
		}
		torch.NoGrad(func() {
			for _, p := range m.Teacher.Path.Params() {
				want = append(want, p.MulScalar(.9).Add(student[p.Name].MulScalar(.1)))
			}
			m.EMA(.9, nil)
		})
		for i, p := range m.Teacher.Path.Params() {
			if p.Name == "backbone.masked_embed" {
				t.Error("the teacher has a mask embedding")
			}
			golden.Equal(t, p.Name, p.Tensor, want[i], golden.Tolerance{Abs: 1e-6})
		}
	})
}

func TestNothingIsLeftAlive(t *testing.T) {
	m := newModel(t, tinyConfig())
	step := func() {
		torch.Scope(func() {
			terms, teacher := m.Forward(nn.Mode{Train: true}, randomBatch(m.Loss.LossConfig, true), method.Temps{Cls: .04, Patch: .04})
			terms.Loss.Backward()
			m.Loss.Update(teacher, nil)
			m.EMA(.99, nil)
		})
	}
	step()
	before := torch.Live()
	step()
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors alive after a step, %d before", after, before)
	}
}
