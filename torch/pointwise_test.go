package torch_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"ibot/torch"
)

// pointwise are the fused operators with their plain forms, each of float inputs x, y (rows, D) and w, b (D).
var pointwise = []struct {
	name         string
	fused, plain func(x, y, w, b *torch.Tensor) *torch.Tensor
}{
	{
		"GELU",
		func(x, _, _, _ *torch.Tensor) *torch.Tensor { return x.GELU() },
		func(x, _, _, _ *torch.Tensor) *torch.Tensor { return torch.Call("aten::gelu", x)[0] },
	},
	{
		"LayerNorm",
		func(x, _, w, b *torch.Tensor) *torch.Tensor { return x.LayerNorm(w, b, 1e-6) },
		func(x, _, w, b *torch.Tensor) *torch.Tensor {
			return torch.Call("aten::layer_norm", x, []int{w.Size(0)}, w, b, 1e-6)[0]
		},
	},
	{
		"AddBranch",
		func(x, y, _, _ *torch.Tensor) *torch.Tensor { return x.AddBranch(y, 1, nil) },
		func(x, y, _, _ *torch.Tensor) *torch.Tensor { return x.Add(y) },
	},
	{
		"AddBranch scaled",
		func(x, y, _, _ *torch.Tensor) *torch.Tensor { return x.AddBranch(y, .75, nil) },
		func(x, y, _, _ *torch.Tensor) *torch.Tensor { return x.Add(y.MulScalar(.75)) },
	},
	{
		"a branch of some samples",
		func(x, y, w, b *torch.Tensor) *torch.Tensor {
			some, index := kept(x)
			normed, x := x.Fork(w, b, 1e-6, some)
			return x.AddBranch(normed.Add(y.IndexSelect(0, index)), .75, some)
		},
		func(x, y, w, b *torch.Tensor) *torch.Tensor {
			_, index := kept(x)
			branch := torch.Call("aten::layer_norm", x, []int{w.Size(0)}, w, b, 1e-6)[0].Add(y)
			return torch.Call("aten::index_add", x, 0, index, branch.IndexSelect(0, index).MulScalar(.75))[0]
		},
	},
	{
		"a fork of some samples, of which one side is used",
		func(x, y, w, b *torch.Tensor) *torch.Tensor {
			some, _ := kept(x)
			normed, _ := x.Fork(w, b, 1e-6, some)
			_, x = x.Fork(w, b, 1e-6, some)
			return x.AddBranch(normed, 1, some).Add(y)
		},
		func(x, y, w, b *torch.Tensor) *torch.Tensor {
			_, index := kept(x)
			normed := torch.Call("aten::layer_norm", x, []int{w.Size(0)}, w, b, 1e-6)[0]
			return torch.Call("aten::index_add", x, 0, index, normed.IndexSelect(0, index))[0].Add(y)
		},
	},
	{
		"a fork",
		func(x, y, w, b *torch.Tensor) *torch.Tensor {
			normed, x := x.Fork(w, b, 1e-6, nil)
			return x.AddBranch(normed, 1, nil).Add(y)
		},
		func(x, y, w, b *torch.Tensor) *torch.Tensor {
			return x.Add(torch.Call("aten::layer_norm", x, []int{w.Size(0)}, w, b, 1e-6)[0]).Add(y)
		},
	},
}

// kept leaves every third sample out, from the second on.
func kept(x *torch.Tensor) (some []int, index *torch.Tensor) {
	some = []int{}
	var numbers []int64
	for i := range x.Size(0) {
		if i%3 != 1 {
			some, numbers = append(some, i), append(numbers, int64(i))
		}
	}
	return some, torch.New(numbers, len(numbers))
}

// runPointwise returns the output and the gradients of all inputs that have one.
func runPointwise(rows, D int, x, branch torch.DType, f func(x, y, w, b *torch.Tensor) *torch.Tensor) (out []float64, grads [4][]float64) {
	torch.Scope(func() {
		norms := x
		if x == torch.BFloat16 {
			norms = torch.Float32
		}
		in := [4]*torch.Tensor{
			torch.New(normal(1, 2, rows*D), rows, D).To(torch.BFloat16).To(x), torch.New(normal(2, 1, rows*D), rows, D).To(torch.BFloat16).To(branch),
			torch.New(normal(3, 1, D), D).To(norms), torch.New(normal(4, 1, D), D).To(norms),
		}
		for i := range in {
			in[i] = in[i].RequireGrad(true)
		}
		y := f(in[0], in[1], in[2], in[3])
		y.Mul(torch.New(normal(5, 1, rows*D), rows, D).To(y.DType())).SumAll().Backward()
		out = torch.Read[float64](y)
		for i := range in {
			if g := in[i].Grad(); g != nil {
				grads[i] = torch.Read[float64](g)
			}
		}
	})
	return out, grads
}

// Against libtorch's operators in float64, for rows around the widths of vectors and parts. (A layer norm of two or three
// values that are nearly equal magnifies rounding a thousand times, in any program.)
func TestPointwiseEqualsThePlainForm(t *testing.T) {
	noLeak(t)
	for _, size := range [][2]int{{1, 8}, {3, 5}, {7, 16}, {600, 33}, {1100, 64}, {70, 384}, {3000, 7}} {
		for _, op := range pointwise {
			name := fmt.Sprintf("%s of %v", op.name, size)
			want, wantGrads := runPointwise(size[0], size[1], torch.Float64, torch.Float64, op.plain)
			got, gotGrads := runPointwise(size[0], size[1], torch.Float32, torch.Float32, op.fused)
			near(t, name, got, want, 1e-6)
			for i := range wantGrads {
				near(t, fmt.Sprintf("%s, gradient %d", name, i), gotGrads[i], wantGrads[i], 2e-6)
			}
			got, gotGrads = runPointwise(size[0], size[1], torch.Float32, torch.BFloat16, op.fused) // a branch of bfloat16
			near(t, name+", half a branch", got, want, 1e-2)
			for i := range wantGrads {
				near(t, fmt.Sprintf("%s, half a branch, gradient %d", name, i), gotGrads[i], wantGrads[i], 1e-2)
			}
			if op.name == "GELU" || op.name == "LayerNorm" {
				got, gotGrads = runPointwise(size[0], size[1], torch.BFloat16, torch.BFloat16, op.fused)
				near(t, name+" in bfloat16", got, want, 1e-2)
				for i := range wantGrads {
					near(t, fmt.Sprintf("%s in bfloat16, gradient %d", name, i), gotGrads[i], wantGrads[i], 1e-2)
				}
			}
		}
	}
}

func TestPointwiseOnOlderProcessors(t *testing.T) {
	for _, set := range []string{"default", "avx2"} {
		cmd := exec.Command(os.Args[0], "-test.run", "^Test(PointwiseEqualsThePlainForm|GELUEverywhere|UpdatesEqualThePlainForm)$", "-test.v")
		cmd.Env = append(os.Environ(), "ATEN_CPU_CAPABILITY="+set)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Count(string(out), "--- PASS") != 3 {
			t.Errorf("with %s: %v\n%s", set, err, out)
		}
	}
}

// The whole axis, with its tails and what is not a number.
func TestGELUEverywhere(t *testing.T) {
	noLeak(t)
	var x []float32
	for v := -12.; v <= 12; v += 1. / 512 {
		x = append(x, float32(v))
	}
	x = append(x, 1e30, -1e30, float32(math.Inf(1)), float32(math.NaN()))
	torch.Scope(func() {
		y := torch.New(x, len(x)).GELU().Floats()
		for i, v := range x {
			want := float64(v) * .5 * math.Erfc(-float64(v)/math.Sqrt2)
			if nan := math.IsNaN(float64(v)); nan != math.IsNaN(float64(y[i])) {
				t.Errorf("GELU(%v) is %v", v, y[i])
			} else if d := math.Abs(float64(y[i]) - want); !nan && d > 1e-7*max(1, math.Abs(want)) && !math.IsInf(want, 1) {
				t.Errorf("GELU(%v) is %v, want %v", v, y[i], want)
			}
		}
	})
}

// Sums over rows are made in fixed parts, so threads show in no bit.
func TestPointwiseIsTheSameForAnyNumberOfThreads(t *testing.T) {
	noLeak(t)
	threads := torch.Threads()
	defer torch.SetThreads(threads)
	for _, op := range pointwise {
		torch.SetThreads(1)
		want, wantGrads := runPointwise(3000, 48, torch.Float32, torch.BFloat16, op.fused)
		for _, n := range []int{2, 3, 5} {
			torch.SetThreads(n)
			got, grads := runPointwise(3000, 48, torch.Float32, torch.BFloat16, op.fused)
			if !slices.Equal(got, want) || !slices.EqualFunc(grads[:], wantGrads[:], slices.Equal[[]float64]) {
				t.Errorf("%s: other bits with %d threads", op.name, n)
			}
		}
	}
}

// Under autocast a layer norm gives a following linear layer its type, and else keeps its own.
func TestLayerNormForLinear(t *testing.T) {
	noLeak(t)
	torch.Scope(func() {
		x := torch.New(normal(1, 1, 6*32), 6, 32)
		w, b := torch.Ones(torch.Float32, torch.CPU, 32), torch.Zeros(torch.Float32, torch.CPU, 32)
		if got := x.LayerNormForLinear(w, b, 1e-6).DType(); got != torch.Float32 {
			t.Errorf("without autocast: %v", got)
		}
		torch.Autocast(torch.CPU, torch.BFloat16, func() {
			if got := x.LayerNorm(w, b, 1e-6).DType(); got != torch.Float32 {
				t.Errorf("LayerNorm under autocast: %v", got)
			}
			y := x.LayerNormForLinear(w, b, 1e-6)
			if got := y.DType(); got != torch.BFloat16 {
				t.Errorf("LayerNormForLinear under autocast: %v", got)
			}
			near(t, "values", torch.Read[float64](y), torch.Read[float64](x.LayerNorm(w, b, 1e-6)), 1e-2)
		})
	})
}

func TestPointwiseErrors(t *testing.T) {
	noLeak(t)
	zeros := func(shape ...int) *torch.Tensor { return torch.Zeros(torch.Float32, torch.CPU, shape...) }
	for _, c := range []struct {
		name string
		f    func()
		want string
	}{
		{"width", func() { zeros(2, 8).LayerNorm(zeros(7), zeros(7), 1e-6) }, "(..., D)"},
		{"shape", func() { zeros(2, 8).AddBranch(zeros(2, 7), 1, nil) }, "same shape"},
		{"samples", func() { zeros(2, 8).AddBranch(zeros(2, 8), 1, []int{0, 2}) }, "samples below 2"},
		{"order", func() { zeros(2, 8).Fork(zeros(8), zeros(8), 1e-6, []int{1, 0}) }, "ascending"},
		{"number", func() { zeros(2, 8).AddBranch(zeros(2, 8), 1, []int{1}) }, "of 1 samples"},
		{"pairs", func() { torch.LerpAll_([]*torch.Tensor{zeros(3)}, []*torch.Tensor{zeros(4)}, .5) }, "one shape"},
	} {
		err := torch.Run(func() error {
			c.f()
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error that says %q", c.name, err, c.want)
		}
	}
}

// One pass over all parameters equals operator by operator, which float64 takes; tensors of several chunks and
// of part vectors.
func TestUpdatesEqualThePlainForm(t *testing.T) {
	noLeak(t)
	sizes := []int{1, 15, 1000, 100_001}
	run := func(dtype torch.DType) (got [][]float64) {
		torch.Scope(func() {
			var p, g, m, v []*torch.Tensor
			f := torch.AdamWFactors{Beta1: .9, Beta2: .999, Eps: 1e-8}
			for i, n := range sizes {
				seed := uint64(10 * i)
				p, g = append(p, torch.New(normal(seed, 1, n), n).To(dtype)), append(g, torch.New(normal(seed+1, .1, n), n).To(dtype))
				m, v = append(m, torch.New(normal(seed+2, .1, n), n).To(dtype)), append(v, torch.New(normal(seed+3, .1, n), n).To(dtype).Square())
				f.Decay, f.Step, f.Root = append(f.Decay, 1-.01*float64(i)), append(f.Step, .1/float64(i+1)), append(f.Root, 1+float64(i))
			}
			norm := torch.ClipEach_(g, 2).Item()
			torch.AdamW_(p, g, m, v, f)
			torch.LerpAll_(m, v, .25)
			got = append(got, []float64{norm})
			for i := range p {
				got = append(got, torch.Read[float64](p[i]), torch.Read[float64](g[i]), torch.Read[float64](m[i]), torch.Read[float64](v[i]))
			}
		})
		return got
	}
	want := run(torch.Float64)
	for i, got := range run(torch.Float32) {
		near(t, fmt.Sprintf("list %d", i), got, want[i], 2e-6)
	}
}

func ExampleProfile() {
	torch.Scope(func() {
		x := torch.Ones(torch.Float32, torch.CPU, 64, 64)
		for _, op := range torch.Profile(func() { x.Matmul(x).Matmul(x) }) {
			if op.Name == "aten::mm" {
				fmt.Println(op.Name, op.Calls)
			}
		}
	})
	// Output: aten::mm 2
}

func BenchmarkPointwise(b *testing.B) {
	for _, dtype := range []torch.DType{torch.Float32, torch.BFloat16} {
		torch.Scope(func() {
			x, y := torch.New(normal(1, 1, 4096*512), 4096, 512).To(dtype), torch.New(normal(2, 1, 4096*512), 4096, 512).To(dtype)
			w, bias := torch.New(normal(3, 1, 512), 512), torch.New(normal(4, 1, 512), 512)
			if dtype == torch.BFloat16 {
				x = x.To(torch.Float32)
			}
			for _, op := range pointwise {
				for form, f := range map[string]func(x, y, w, b *torch.Tensor) *torch.Tensor{"fused": op.fused, "plain": op.plain} {
					b.Run(fmt.Sprintf("%v/%s/%s", dtype, op.name, form), func(b *testing.B) {
						for b.Loop() {
							torch.Scope(func() { f(x, y, w, bias) })
						}
					})
				}
			}
		})
	}
}
