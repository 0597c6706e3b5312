package torch_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"ibot/torch"
)

// linears are the operators of linear.cpp with their plain forms, each of x (M, 64), w1 (96, 64), b1, w2 (32, 96) and b2.
var linears = []struct {
	name         string
	engine       bool // the kernels do not take the sizes, so products are libtorch's
	fused, plain func(x, w1, b1, w2, b2 *torch.Tensor) *torch.Tensor
}{
	{
		"Linear", false,
		func(x, w1, b1, _, _ *torch.Tensor) *torch.Tensor { return x.Linear(w1, b1) },
		func(x, w1, b1, _, _ *torch.Tensor) *torch.Tensor { return torch.Call("aten::linear", x, w1, b1)[0] },
	},
	{
		"Linear without bias", false,
		func(x, w1, _, _, _ *torch.Tensor) *torch.Tensor { return x.Linear(w1, nil) },
		func(x, w1, _, _, _ *torch.Tensor) *torch.Tensor { return torch.Call("aten::linear", x, w1, nil)[0] },
	},
	{
		"Linear of half a weight", true, // 48 outputs
		func(x, w1, _, _, _ *torch.Tensor) *torch.Tensor { return x.Linear(w1.Slice(0, 0, 48), nil) },
		func(x, w1, _, _, _ *torch.Tensor) *torch.Tensor {
			return torch.Call("aten::linear", x, w1.Slice(0, 0, 48), nil)[0]
		},
	},
	{
		"MLP", false,
		func(x, w1, b1, w2, b2 *torch.Tensor) *torch.Tensor { return x.MLP(w1, b1, w2, b2) },
		func(x, w1, b1, w2, b2 *torch.Tensor) *torch.Tensor {
			hidden := torch.Call("aten::gelu", torch.Call("aten::linear", x, w1, b1)[0])[0]
			return torch.Call("aten::linear", hidden, w2, b2)[0]
		},
	},
}

// layerInputs are leaves for the operators of [linears], of numbers that bfloat16 has too.
func layerInputs(rows int, dtype torch.DType) (in [5]*torch.Tensor) {
	for i, shape := range [][]int{{rows, 64}, {96, 64}, {96}, {32, 96}, {32}} {
		n := shape[0]
		if len(shape) == 2 {
			n *= shape[1]
		}
		in[i] = torch.New(normal(uint64(i), .3, n), shape...).To(torch.BFloat16).To(dtype).RequireGrad(true)
	}
	return in
}

// withProducts calls f so that matrix products are made in the precision.
func withProducts(precision torch.DType, f func()) {
	if precision == torch.BFloat16 {
		torch.Autocast(torch.CPU, precision, f)
	} else {
		f()
	}
}

// runLayer returns the output and the gradients of the inputs, of products in float64, float32 or bfloat16.
func runLayer(rows int, precision torch.DType, f func(x, w1, b1, w2, b2 *torch.Tensor) *torch.Tensor) (out []float64, grads [5][]float64) {
	dtype := precision
	if precision == torch.BFloat16 {
		dtype = torch.Float32
	}
	torch.Scope(func() {
		in := layerInputs(rows, dtype)
		var y *torch.Tensor
		withProducts(precision, func() { y = f(in[0], in[1], in[2], in[3], in[4]) })
		dy := torch.New(normal(9, 1, y.Numel()), y.Shape()...).To(torch.BFloat16)
		y.To(dtype).Mul(dy.To(dtype)).SumAll().Backward()
		out = torch.Read[float64](y)
		for i := range in {
			if g := in[i].Grad(); g != nil {
				grads[i] = torch.Read[float64](g)
			}
		}
	})
	return out, grads
}

// Against libtorch's operators in float64, for rows around the heights of blocks, groups of blocks and segments.
func TestLayersEqualThePlainForm(t *testing.T) {
	noLeak(t)
	for _, rows := range []int{1, 31, 32, 33, 197, 300, 1024, 1500} {
		for _, l := range linears {
			name := fmt.Sprintf("%s of %d rows", l.name, rows)
			want, wantGrads := runLayer(rows, torch.Float64, l.plain)
			for precision, tolerance := range map[torch.DType]float64{torch.Float32: 1e-6, torch.BFloat16: 1e-2} {
				got, gotGrads := runLayer(rows, precision, l.fused)
				near(t, fmt.Sprintf("%s in %v", name, precision), got, want, tolerance)
				for i := range wantGrads {
					near(t, fmt.Sprintf("%s in %v, gradient %d", name, precision, i), gotGrads[i], wantGrads[i], 2*tolerance)
				}
			}
		}
	}
}

// Layers add their weight's gradient to the one that is there, whoever made that.
func TestGradientsOfLayersAddUp(t *testing.T) {
	noLeak(t)
	ones := func(shape ...int) *torch.Tensor { return torch.Ones(torch.Float32, torch.CPU, shape...) }
	for before, first := range map[string]func() *torch.Tensor{
		"none":                      func() *torch.Tensor { return nil },
		"one":                       func() *torch.Tensor { return ones(96, 64) },
		"one that lies differently": func() *torch.Tensor { return ones(64, 96).Transpose(0, 1) },
	} {
		for _, l := range linears {
			add := func(precision torch.DType, f func(x, w1, b1, w2, b2 *torch.Tensor) *torch.Tensor) (grads [5][]float64) {
				in := layerInputs(70, torch.Float32)
				loss := func(scale float64) (sum *torch.Tensor) {
					withProducts(precision, func() {
						y := f(in[0].MulScalar(scale), in[1], in[2], in[3], in[4]).To(torch.Float32)
						sum = y.Mul(torch.New(normal(9, scale, y.Numel()), y.Shape()...)).SumAll()
					})
					return sum
				}
				in[1].SetGrad(first())
				loss(.5).Add(loss(2)).Add(in[1].Mul(in[1]).SumAll()).Backward() // twice in a graph, and by another operator
				loss(1).Backward()                                              // and again
				for i := range in {
					if g := in[i].Grad(); g != nil {
						grads[i] = torch.Read[float64](g)
					}
				}
				return grads
			}
			torch.Scope(func() {
				want, single, half := add(torch.Float32, l.plain), add(torch.Float32, l.fused), add(torch.BFloat16, l.fused)
				for i := range want {
					near(t, fmt.Sprintf("%s after %s, gradient %d", l.name, before, i), single[i], want[i], 1e-6)
					near(t, fmt.Sprintf("%s in bfloat16 after %s, gradient %d", l.name, before, i), half[i], want[i], 1e-2)
				}
			})
		}
	}
}

func TestLayersOnOlderProcessors(t *testing.T) {
	for _, most := range []string{"avx2", "default"} {
		cmd := exec.Command(os.Args[0], "-test.run", "^Test(LayersEqualThePlainForm|GradientsOfLayersAddUp|PackedWeightsFollowTheWeight)$", "-test.v")
		cmd.Env = append(os.Environ(), "ATEN_CPU_CAPABILITY="+most)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), "--- PASS") != 3 {
			t.Errorf("%s: %v\n%s", most, err, out)
		}
	}
}

func TestLayersAreTheSameForAnyNumberOfThreads(t *testing.T) {
	noLeak(t)
	defer torch.SetThreads(torch.Threads())
	for _, l := range linears {
		if l.engine {
			continue // oneDNN sums in another order with each number of threads
		}
		for _, precision := range []torch.DType{torch.Float32, torch.BFloat16} {
			torch.SetThreads(1)
			want, wantGrads := runLayer(1500, precision, l.fused)
			torch.SetThreads(3)
			got, gotGrads := runLayer(1500, precision, l.fused)
			if !slices.Equal(got, want) {
				t.Errorf("%s in %v differs with three threads", l.name, precision)
			}
			for i := range wantGrads {
				if !slices.Equal(gotGrads[i], wantGrads[i]) {
					t.Errorf("%s in %v: gradient %d differs with three threads", l.name, precision, i)
				}
			}
		}
	}
}

// A layer keeps its weight packed; every way of changing it must be seen.
func TestPackedWeightsFollowTheWeight(t *testing.T) {
	noLeak(t)
	torch.Scope(func() {
		torch.NoGrad(func() {
			torch.Autocast(torch.CPU, torch.BFloat16, func() {
				x := torch.Ones(torch.Float32, torch.CPU, 1, 32)
				w, g := torch.Ones(torch.Float32, torch.CPU, 32, 32), torch.Ones(torch.Float32, torch.CPU, 32, 32)
				expect := func(what string, want float32) {
					t.Helper()
					if got := x.Linear(w, nil).To(torch.Float32).Floats()[5]; got != want {
						t.Errorf("after %s the product is %v, want %v", what, got, want)
					}
				}
				expect("making it", 32)
				torch.Fill(w, slices.Repeat([]float32{2}, 32*32))
				expect("Fill", 64)
				torch.LerpAll_([]*torch.Tensor{w}, []*torch.Tensor{g}, .5)
				expect("LerpAll_", 48)
				w.MulScalar_(2)
				expect("MulScalar_", 96)
				if torch.CanSkipAdamW() {
					zero := func() []*torch.Tensor { return []*torch.Tensor{w.ZerosLike()} }
					none := torch.Zeros(torch.Float32, torch.CPU)
					torch.AdamWUnless_(none, []*torch.Tensor{w}, []*torch.Tensor{g}, zero(), zero(), []*torch.Tensor{none.Clone()}, 1, 0, torch.AdamWFactors{Beta1: .9, Beta2: .999, Eps: 1e-8})
					expect("AdamWUnless_", 64)
				}
				w.Free()
				w = torch.Ones(torch.Float32, torch.CPU, 32, 32)
				expect("making another", 32)
			})
		})
	})
}

func BenchmarkLayers(b *testing.B) {
	for _, precision := range []torch.DType{torch.Float32, torch.BFloat16} {
		b.Run(precision.String(), func(b *testing.B) { benchmarkLayers(b, precision) })
	}
}

func benchmarkLayers(b *testing.B, precision torch.DType) {
	for _, rows := range []int{1576, 6304} {
		for _, l := range []string{"Linear", "MLP"} {
			b.Run(fmt.Sprintf("%s/%d", l, rows), func(b *testing.B) {
				torch.Scope(func() {
					x := torch.Ones(precision, torch.CPU, rows, 384)
					w1, b1 := torch.Ones(torch.Float32, torch.CPU, 1536, 384), torch.Ones(torch.Float32, torch.CPU, 1536)
					w2, b2 := torch.Ones(torch.Float32, torch.CPU, 384, 1536), torch.Ones(torch.Float32, torch.CPU, 384)
					operations := 2 * float64(rows*384*1536)
					f := func() { x.Linear(w1, b1) }
					if l == "MLP" {
						operations *= 2
						f = func() { x.MLP(w1, b1, w2, b2) }
					}
					torch.NoGrad(func() {
						torch.Autocast(torch.CPU, precision, func() {
							for b.Loop() {
								torch.Scope(f)
							}
						})
					})
					b.ReportMetric(operations*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			})
		}
	}
}
