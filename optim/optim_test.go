package optim_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"ibot/internal/golden"
	"ibot/optim"
	"ibot/torch"
)

// plain keeps a parameter and its optimizer state in float64, and steps by the published formulas.
type plain struct {
	p, m, v []float64
	t       float64
}

func (s *plain) adamw(g []float64, lr, wd float64) {
	s.t++
	for i := range s.p {
		s.p[i] *= 1 - lr*wd
		s.m[i] = .9*s.m[i] + .1*g[i]
		s.v[i] = .999*s.v[i] + .001*g[i]*g[i]
		mean, square := s.m[i]/(1-math.Pow(.9, s.t)), s.v[i]/(1-math.Pow(.999, s.t))
		s.p[i] -= lr * mean / (math.Sqrt(square) + 1e-8)
	}
}

func (s *plain) sgd(g []float64, lr, wd float64) {
	for i := range s.p {
		s.m[i] = .9*s.m[i] + g[i] + wd*s.p[i]
		s.p[i] -= lr * s.m[i]
	}
}

// lars is for a matrix; a vector gets neither ratio nor decay.
func (s *plain) lars(g []float64, lr, wd float64, matrix bool) {
	ratio := 1.0
	if matrix {
		g = slices.Clone(g)
		for i := range g {
			g[i] += wd * s.p[i]
		}
		if p, n := norm(s.p), norm(g); p > 0 && n > 0 {
			ratio = .001 * p / n
		}
	}
	for i := range s.p {
		s.m[i] = .9*s.m[i] + ratio*g[i]
		s.p[i] -= lr * s.m[i]
	}
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

// Five steps of each optimizer on a matrix, which is decayed, and a bias, which is not; in the third step the
// matrix has no gradient and must be left alone.
func TestOptimizersFollowTheirFormulas(t *testing.T) {
	for _, name := range []string{"adamw", "sgd", "lars"} {
		t.Run(name, func(t *testing.T) {
			before := torch.Live()
			torch.Scope(func() {
				w := torch.New([]float32{.5, -1, 2, .25, -.75, 1.5}, 2, 3).RequireGrad(true)
				b := torch.New([]float32{.1, -.2, .3}, 3).RequireGrad(true)
				params := []optim.Param{{Name: "fc.weight", Tensor: w}, {Name: "fc.bias", Tensor: b}}
				o, err := optim.New(name, params)
				if err != nil {
					t.Fatal(err)
				}
				defer o.Free()
				want := []*plain{newPlain(w), newPlain(b)}
				for step := range 5 {
					lr, wd := .1/float64(step+1), .04*float64(step+1)
					for k, p := range params {
						if step == 2 && k == 0 {
							p.SetGrad(nil)
							continue
						}
						g := gradient(step, k, p.Numel())
						p.SetGrad(torch.New(g, p.Shape()...).To(torch.Float32))
						decay := wd
						if k == 1 {
							decay = 0
						}
						switch name {
						case "adamw":
							want[k].adamw(g, lr, decay)
						case "sgd":
							want[k].sgd(g, lr, decay)
						case "lars":
							want[k].lars(g, lr, decay, k == 0)
						}
					}
					o.Step(optim.Rates{LR: lr, WeightDecay: wd})
					for k, p := range params {
						golden.EqualFloats(t, p.Name, torch.Read[float64](p.Detach()), want[k].p, golden.Tolerance{Abs: 2e-6})
					}
				}
			})
			if after := torch.Live(); after != before {
				t.Errorf("%d tensors alive, %d before", after, before)
			}
		})
	}
}

func newPlain(p *torch.Tensor) *plain {
	n := p.Numel()
	return &plain{p: torch.Read[float64](p.Detach()), m: make([]float64, n), v: make([]float64, n)}
}

func gradient(step, k, n int) []float64 {
	g := make([]float64, n)
	for i := range g {
		g[i] = math.Sin(float64(1 + step + 3*k + 7*i))
	}
	return g
}

// An optimizer that is restored from another's state goes on as that one does.
func TestRestoreGoesOnBitForBit(t *testing.T) {
	torch.Scope(func() {
		make := func() (optim.Param, optim.Optimizer) {
			p := optim.Param{Name: "x", Tensor: torch.New([]float32{1, -2, 3, .5}, 2, 2).RequireGrad(true)}
			return p, optim.NewAdamW([]optim.Param{p})
		}
		p, a := make()
		defer a.Free()
		step := func(p optim.Param, o optim.Optimizer, i int) {
			p.SetGrad(torch.New(gradient(i, 0, 4), 2, 2).To(torch.Float32))
			o.Step(optim.Rates{LR: .1, WeightDecay: .1})
		}
		step(p, a, 0)
		q, b := make()
		defer b.Free()
		torch.NoGrad(func() { q.Copy_(p.Tensor) })
		if err := b.Restore(a.State()); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < 4; i++ {
			step(p, a, i)
			step(q, b, i)
		}
		golden.Equal(t, "x", q.Detach(), p.Detach(), golden.Tolerance{})
		err := b.Restore([]optim.Param{{Name: "exp_avg.y", Tensor: p.Tensor}})
		if err == nil || !strings.Contains(err.Error(), "exp_avg.y") {
			t.Errorf("state of a foreign parameter: %v", err)
		}
	})
}

func TestNewRefusesUnknownOptimizers(t *testing.T) {
	if _, err := optim.New("adam", nil); err == nil || !strings.Contains(err.Error(), "adamw") {
		t.Errorf("got %v", err)
	}
}

func TestClipIsPerParameter(t *testing.T) {
	torch.Scope(func() {
		param := func(name string, grad ...float32) optim.Param {
			p := optim.Param{Name: name, Tensor: torch.Zeros(torch.Float32, torch.CPU, len(grad)).RequireGrad(true)}
			p.SetGrad(torch.New(grad, len(grad)))
			return p
		}
		long, short := param("long", 3, 4), param("last_layer.weight_v", .3, .4)
		none := optim.Param{Name: "none", Tensor: torch.Zeros(torch.Float32, torch.CPU, 2).RequireGrad(true)}
		params := []optim.Param{long, short, none}
		total := optim.Clip(params, 1).Item()
		golden.EqualFloats(t, "norm of all", []float64{total}, []float64{math.Sqrt(25.25)}, golden.Tolerance{Abs: 1e-6})
		golden.EqualFloats(t, "long", torch.Read[float64](long.Grad()), []float64{.6, .8}, golden.Tolerance{Abs: 1e-6})
		golden.EqualFloats(t, "short", torch.Read[float64](short.Grad()), []float64{.3, .4}, golden.Tolerance{Abs: 1e-7})
		optim.Freeze(params, "last_layer")
		if short.Grad() != nil || long.Grad() == nil {
			t.Error("Freeze dropped the wrong gradients")
		}
		optim.ZeroGrad(params)
		if long.Grad() != nil {
			t.Error("ZeroGrad left a gradient")
		}
	})
}
