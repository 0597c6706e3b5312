package train_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/backbone"
	"ibot/internal/golden"
	"ibot/method"
	"ibot/optim"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

// memoryModel is a model by which the ways to save memory are tried: its blocks drop paths.
func memoryModel(t *testing.T, arch string) *method.Model {
	t.Helper()
	return memoryModelOn(t, arch, torch.CPU)
}

func memoryModelOn(t *testing.T, arch string, d torch.Device) *method.Model {
	t.Helper()
	c := method.Config{
		InitStd: .1,
		Backbone: backbone.Config{
			Arch: "vit_tiny", ImgSize: 32, PatchSize: 8, InChans: 3, EmbedDim: 32, Depth: 3, NumHeads: 4, Masked: true, DropPath: .3, LayerScale: .5,
		},
		Head:              method.HeadConfig{HiddenDim: 48, BottleneckDim: 24, OutDim: 64, PatchOutDim: 64, Layers: 3, Act: "gelu", Shared: true},
		SharedHeadTeacher: true,
		Loss: method.LossConfig{
			GlobalCrops: 2, LocalCrops: 3, Lambda1: 1, Lambda2: .7, StudentTemp: .1, CenterMomentum: .9, CenterMomentum2: .8,
		},
	}
	switch arch {
	case "swin":
		c.Backbone = backbone.Config{
			Arch: "swin_tiny", ImgSize: 32, PatchSize: 4, InChans: 3, EmbedDim: 16, Depths: []int{2, 2}, NumHeads: 2, WindowSize: 4, Masked: true, DropPath: .3,
		}
	case "vit, two last layers":
		c.Head.Shared, c.SharedHeadTeacher, c.Head.PatchOutDim = false, false, 48
	case "vit, no bottleneck":
		c.Head.BottleneckDim = 0
	}
	m, err := method.NewModel(c, 3, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	return m
}

// memoryBatch has five images, of whose global crops some are not masked.
func memoryBatch() method.Batch {
	const B = 5
	r := rng.Seed(8).Stream("memory")
	noise := func(n, side int) *torch.Tensor {
		v := make([]float32, n*B*3*side*side)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return torch.New(v, n*B, 3, side, side)
	}
	b := method.Batch{B: B, Global: noise(2, 32), Local: noise(3, 16)}
	masks := make([][]bool, 2*B)
	for i := range masks {
		masks[i] = make([]bool, 16)
		for k := range masks[i] {
			masks[i][k] = i%4 != 1 && r.Bernoulli(.4)
		}
	}
	b.Mask, b.Masked, b.Weight = method.NewMask(masks, 4, 4, torch.CPU)
	return b
}

// saving is a way to save memory.
type saving struct {
	micro     int
	recompute bool
	chunk     int
}

func (w saving) apply(s *train.Stepper) {
	s.MicroBatch, s.Recompute, s.Model.HeadChunk = w.micro, w.recompute, w.chunk
}

var savings = []saving{
	{micro: 1}, {micro: 2}, {micro: 4}, {micro: 5}, {recompute: true}, {chunk: 1}, {chunk: 7}, {chunk: 1000}, {micro: 2, recompute: true, chunk: 6},
}

// TestSavingsLeaveTheGradients: loss, statistics and gradients with micro-batches, recomputation or
// a chunked head are those of the whole batch; with recomputation alone, bit for bit.
func TestSavingsLeaveTheGradients(t *testing.T) {
	for _, arch := range []string{"vit", "swin", "vit, two last layers", "vit, no bottleneck"} {
		m := memoryModel(t, arch)
		s := stepper(t, m)
		torch.Scope(func() {
			b, temps := memoryBatch(), method.Temps{Cls: .05, Patch: .06}
			gradients := func(w saving) (train.Result, []float64, []float64) {
				w.apply(s)
				var all, most []float64
				res, err := s.Gradients(b, temps, rng.Seed(4).Stream("noise"))
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range m.Student.Path.Params() {
					g := torch.Read[float64](p.Grad())
					largest := 0.
					for _, v := range g {
						largest = max(largest, v, -v)
					}
					all, most = append(all, g...), append(most, slices.Repeat([]float64{largest}, len(g))...)
					p.SetGrad(nil)
				}
				return res, all, most
			}
			want, wantGrads, scale := gradients(saving{})
			for _, w := range savings {
				before := torch.Live()
				var got train.Result
				var grads []float64
				torch.Scope(func() { got, grads, _ = gradients(w) })
				if after := torch.Live(); after != before {
					t.Errorf("%s %+v: %d tensors alive, %d before", arch, w, after, before)
				}
				if !slices.Equal(got.Clusters, want.Clusters) {
					t.Errorf("%s %+v: clusters %v, want %v", arch, w, got.Clusters, want.Clusters)
				}
				golden.EqualFloats(t, fmt.Sprintf("%s %+v: loss, cls, patch, entropy, agreement", arch, w),
					[]float64{got.Loss, got.Cls, got.Patch, got.Entropy, got.Agreement}, []float64{want.Loss, want.Cls, want.Patch, want.Entropy, want.Agreement}, golden.Tolerance{Rel: 2e-6})
				limit := 1e-5
				if w == (saving{recompute: true}) {
					limit = 0
				}
				for i := range grads {
					if d := grads[i] - wantGrads[i]; d > limit*scale[i] || -d > limit*scale[i] {
						t.Errorf("%s %+v: gradient %d is %g, want %g, in a parameter whose largest is %g", arch, w, i, grads[i], wantGrads[i], scale[i])
						break
					}
				}
			}
		})
	}
}

// takeGradients takes the gradients from the parameters of the student that have one, by their names.
func takeGradients(m *method.Model) map[string]*torch.Tensor {
	all := map[string]*torch.Tensor{}
	for _, p := range m.Student.Path.Params() {
		if g := p.Grad(); g != nil {
			all[p.Name] = g
		}
		p.SetGrad(nil)
	}
	return all
}

// TestSavingsInHalfPrecision: weights that are cast once for several passes still get all of their
// gradients. Sums differ by bfloat16's rounding: blocks that run again cast their weights again, and
// global and local crops are then summed in float32.
func TestSavingsInHalfPrecision(t *testing.T) {
	for _, arch := range []string{"vit", "swin"} {
		m := memoryModel(t, arch)
		s := stepper(t, m)
		s.Precision = torch.BFloat16
		torch.Scope(func() {
			gradients := func(w saving) map[string]*torch.Tensor {
				w.apply(s)
				temps := method.Temps{Cls: .05, Patch: .06}
				if _, err := s.Gradients(memoryBatch(), temps, rng.Seed(4).Stream("noise")); err != nil {
					t.Fatal(err)
				}
				return takeGradients(m)
			}
			want := gradients(saving{})
			for _, w := range []saving{{recompute: true}, {micro: 2}, {micro: 2, recompute: true, chunk: 6}} {
				got := gradients(w)
				if len(got) != len(want) {
					t.Errorf("%s %+v: %d parameters have gradients, want %d", arch, w, len(got), len(want))
				}
				for name, g := range got {
					apart := g.Sub(want[name]).NormAll().Item() / max(want[name].NormAll().Item(), 1e-9)
					if !(apart <= .02) {
						t.Errorf("%s %+v: the gradient of %s is %.2g of its length away", arch, w, name, apart)
					}
				}
			}
		})
	}
}

// TestSavingsLeaveTheStep: after three steps student, teacher and centers are those of steps on
// whole batches.
func TestSavingsLeaveTheStep(t *testing.T) {
	for _, arch := range []string{"vit", "swin"} {
		end := func(w saving) (state map[string][]float64) {
			m := memoryModel(t, arch)
			s, err := train.NewStepper(m, "sgd", .3, torch.CPU, torch.Float32)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Free()
			w.apply(s)
			torch.Scope(func() {
				for i := range 3 {
					rates := train.Rates{Rates: optim.Rates{LR: .05, WeightDecay: .1}, Momentum: .9, Temps: method.Temps{Cls: .05, Patch: .06}, Freeze: i == 0}
					if _, err := s.Step(memoryBatch(), rates, rng.Seed(4).Stream("noise", i)); err != nil {
						t.Fatal(err)
					}
				}
			})
			state = map[string][]float64{"center": torch.Read[float64](m.Loss.Center), "center2": torch.Read[float64](m.Loss.Center2)}
			for role, net := range map[string]*method.Net{"student ": m.Student, "teacher ": m.Teacher} {
				for _, p := range net.Path.State() {
					state[role+p.Name] = torch.Read[float64](p.Tensor)
				}
			}
			return state
		}
		want := end(saving{})
		for _, w := range []saving{{micro: 2}, {micro: 2, recompute: true, chunk: 6}} {
			for name, got := range end(w) {
				golden.EqualFloats(t, fmt.Sprintf("%s %+v: %s", arch, w, name), got, want[name], golden.Tolerance{Abs: 2e-5, Rel: 1e-5})
			}
		}
	}
}

// scarce is a batch on a device that has room for so many images at once.
type scarce struct {
	method.Batch
	room int
	seen *[]int
}

func (s scarce) Part(from, to int) method.Batch {
	*s.seen = append(*s.seen, to-from)
	if to-from > s.room {
		panic(&torch.Error{Op: "aten::empty", Msg: "CUDA out of memory", OOM: true})
	}
	return s.Batch.Part(from, to)
}

// TestOutOfMemoryMakesTheStepAgain: with less memory than the batch wants the step is made with
// smaller micro-batches, from the same state and with the same draws; later steps begin with these;
// and not even one image is an error.
func TestOutOfMemoryMakesTheStepAgain(t *testing.T) {
	rates := train.Rates{Rates: optim.Rates{LR: .05}, Momentum: .9, Temps: method.Temps{Cls: .05, Patch: .06}}
	before := torch.Live()
	t.Run("steps", func(t *testing.T) {
		torch.Scope(func() {
			b := memoryBatch()
			s, whole := stepper(t, memoryModel(t, "vit")), stepper(t, memoryModel(t, "vit"))
			var told [][2]int
			s.Shrunk = func(from, to int) { told = append(told, [2]int{from, to}) }
			var seen []int
			for i := range 2 {
				want, err := whole.Step(b, rates, rng.Seed(4).Stream("noise", i))
				if err != nil {
					t.Fatal(err)
				}
				got, err := s.Step(scarce{b, 2, &seen}, rates, rng.Seed(4).Stream("noise", i))
				if err != nil {
					t.Fatal(err)
				}
				golden.EqualFloats(t, "loss and norm", []float64{got.Loss, got.GradNorm}, []float64{want.Loss, want.GradNorm}, golden.Tolerance{Rel: 1e-4})
			}
			if want := []int{5, 3, 2, 2, 1, 2, 2, 1}; !slices.Equal(seen, want) {
				t.Errorf("images at once %v, want %v", seen, want)
			}
			if want := [][2]int{{5, 3}, {3, 2}}; !slices.Equal(told, want) {
				t.Errorf("told %v, want %v", told, want)
			}
			if _, err := s.Step(scarce{b, 0, &seen}, rates, nil); !errors.Is(err, torch.ErrOutOfMemory) || !strings.Contains(err.Error(), "a single image") {
				t.Errorf("without room: %v", err)
			}
			if s.MicroBatch != 1 {
				t.Errorf("micro-batches of %d, want 1", s.MicroBatch)
			}
		})
	})
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors alive, %d before", after, before)
	}
}

// TestMicroBatchResumes: a run with micro-batches, recomputation and a chunked head goes on where
// it was interrupted to the same end, bit for bit, and ends where the run on whole batches does.
func TestMicroBatchResumes(t *testing.T) {
	options := func() train.Options {
		o := tinyOptions(t)
		o.Config.MicroBatch, o.Config.Recompute, o.Config.HeadChunk, o.Config.Epochs = 3, true, 16, 1
		return o
	}
	whole, parts, plain := options(), options(), tinyOptions(t)
	finish(t, whole)
	for _, c := range []call{{workers: 1, steps: 2}, {workers: 3}} {
		c.start(t, parts)
	}
	sameRun(t, parts.Config.Out, whole.Config.Out)
	plain.Config.Epochs = 1
	finish(t, plain)
	got, want := lines(t, filepath.Join(whole.Config.Out, "metrics.jsonl")), lines(t, filepath.Join(plain.Config.Out, "metrics.jsonl"))
	for i := range want {
		if want[i]["kind"] == "step" {
			golden.EqualFloats(t, fmt.Sprintf("loss of line %d", i), []float64{got[i]["loss"].(float64)}, []float64{want[i]["loss"].(float64)}, golden.Tolerance{Rel: 1e-4})
		}
	}
}

// TestBatchNormWantsTheWholeBatch: settings that would part the batch of a batch norm are refused.
func TestBatchNormWantsTheWholeBatch(t *testing.T) {
	for norm, refused := range map[string]bool{"bn": true, "syncbn": true, "csyncbn": true, "psyncbn": true, "ln": false, "none": false} {
		c := tinyOptions(t).Config
		c.NormInHead, c.MicroBatch = norm, 2
		_, err := c.Resolve(archs)
		if found := err != nil && strings.Contains(err.Error(), "micro_batch 2") && strings.Contains(err.Error(), "norm_in_head "+norm); found != refused {
			t.Errorf("%s: %v", norm, err)
		}
	}
}
