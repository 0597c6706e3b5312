package nn_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"ibot/internal/golden"
	"ibot/nn"
	"ibot/rng"
	"ibot/torch"
)

func ExamplePath() {
	root := nn.NewPath(0, torch.CPU)
	defer root.Free()
	attn := root.Sub("attn")
	nn.NewLinear(attn.Sub("qkv"), 8, 24)
	root.Param("cls_token", nn.Zeros, 1, 1, 8) // declared later, listed first: own parameters come before children
	root.Alias("again", attn)                  // in the state dict twice, among the parameters once
	for _, p := range root.Params() {
		fmt.Println(p)
	}
	fmt.Println(len(root.State()), "in the state dict,", root.Count(), "values to train")
	// Output:
	// cls_token [1 1 8]
	// attn.qkv.weight [24 8]
	// attn.qkv.bias [24]
	// 5 in the state dict, 224 values to train
}

func TestInitialValuesDependOnTheNameAndTheSeedAlone(t *testing.T) {
	values := func(seed rng.Seed, before int) []float32 {
		p := nn.NewPath(seed, torch.CPU)
		defer p.Free()
		for i := range before {
			p.Param(fmt.Sprint("other", i), nn.TruncNormal(1), 3)
		}
		return p.Sub("fc").Param("weight", nn.TruncNormal(.02), 4, 5).Floats()
	}
	if !slices.Equal(values(1, 0), values(1, 3)) {
		t.Error("parameters declared before change the initial values")
	}
	if slices.Equal(values(1, 0), values(2, 0)) {
		t.Error("two seeds give the same initial values")
	}
}

func TestInitialDistributions(t *testing.T) {
	const n = 40000
	draw := func(init nn.Init, shape ...int) (mean, std, most float64) {
		v := make([]float32, n)
		init(rng.Seed(3).Stream("init"), v, shape)
		for _, x := range v {
			mean += float64(x) / n
			most = max(most, math.Abs(float64(x)))
		}
		for _, x := range v {
			std += (float64(x) - mean) * (float64(x) - mean) / n
		}
		return mean, math.Sqrt(std), most
	}
	if mean, std, _ := draw(nn.TruncNormal(.02), n); math.Abs(mean) > 5*.02/math.Sqrt(n) || math.Abs(std-.02) > 3e-4 {
		t.Errorf("TruncNormal(.02): mean %v, deviation %v", mean, std)
	}
	bound := 1 / math.Sqrt(100) // 4 x 5 x 5 inputs
	if mean, std, most := draw(nn.FanIn, n/100, 4, 5, 5); math.Abs(mean) > .002 || math.Abs(std-bound/math.Sqrt(3)) > .001 || most > bound {
		t.Errorf("FanIn of 100 inputs: mean %v, deviation %v, greatest %v", mean, std, most)
	}
}

func TestDropPath(t *testing.T) {
	torch.Scope(func() {
		x := torch.Ones(torch.Float32, torch.CPU, 2000, 2, 3)
		d := nn.DropPath{P: .25}
		norm := &nn.LayerNorm{Weight: torch.Ones(torch.Float32, torch.CPU, 3), Bias: torch.Zeros(torch.Float32, torch.CPU, 3), Eps: 1e-6}
		zero := torch.Zeros(torch.Float32, torch.CPU, 2000, 2, 3)
		computed := 0
		branch := func(z *torch.Tensor) *torch.Tensor {
			computed = z.Size(0)
			return x.Slice(0, 0, computed)
		}
		if y := d.Add(nn.Eval, zero, norm, branch); !slices.Equal(y.Floats(), x.Floats()) {
			t.Error("paths are dropped in evaluation")
		}
		mode := nn.Mode{Train: true, Drops: nn.NewDrops(rng.Seed(1).Stream("noise"), 2000)}
		y := d.Add(mode, zero, norm, branch).Floats()
		kept := 0
		for i := 0; i < len(y); i += 6 {
			for _, v := range y[i : i+6] {
				if v != y[i] {
					t.Fatal("a sample is kept in part")
				}
			}
			switch {
			case math.Abs(float64(y[i])-1/.75) < 1e-6:
				kept++
			case y[i] != 0:
				t.Fatalf("a kept path is scaled to %v, want 1/0.75", y[i])
			}
		}
		if kept != computed {
			t.Errorf("%d branches are computed for the %d that are kept", computed, kept)
		}
		if kept < 1400 || kept > 1600 {
			t.Errorf("%d of 2000 paths kept, want about 1500", kept)
		}
	})
}

func TestWeightNormLinear(t *testing.T) {
	p := nn.NewPath(0, torch.CPU)
	defer p.Free()
	l := nn.NewWeightNormLinear(p, 5, 3)
	torch.Scope(func() {
		torch.NoGrad(func() {
			l.G.Copy_(torch.New([]float32{1, 2, 3}, 3, 1))
			lengths := l.Weight().Square().Sum(1).Sqrt()
			golden.EqualFloats(t, "lengths of the rows", torch.Read[float64](lengths), []float64{1, 2, 3}, golden.Tolerance{Abs: 1e-6})
		})
	})
}

// The centering norm subtracts the mean of the batches before, and only then takes this one's in.
func TestCenteringNorm(t *testing.T) {
	p := nn.NewPath(0, torch.CPU)
	defer p.Free()
	b := nn.NewBatchNorm(p, 2)
	b.Center = true
	torch.Scope(func() {
		torch.NoGrad(func() {
			x := torch.New([]float32{1, 10, 3, 30}, 2, 2)
			scale := 1 / math.Sqrt(1+1e-5)
			first := b.Forward(nn.Mode{Train: true}, x)
			golden.EqualFloats(t, "first", torch.Read[float64](first), []float64{scale, 10 * scale, 3 * scale, 30 * scale}, golden.Tolerance{Abs: 1e-5})
			golden.EqualFloats(t, "mean", torch.Read[float64](b.RunningMean), []float64{.2, 2}, golden.Tolerance{Abs: 1e-6})
			second := b.Forward(nn.Eval, x)
			golden.EqualFloats(t, "second", torch.Read[float64](second), []float64{.8 * scale, 8 * scale, 2.8 * scale, 28 * scale}, golden.Tolerance{Abs: 1e-5})
		})
	})
}

// TestPathsDrawnAhead: a plan draws the paths that passes would draw as they come to them, in parts of the batch too.
func TestPathsDrawnAhead(t *testing.T) {
	const images, crops, blocks = 5, 2, 4
	torch.Scope(func() {
		root := nn.NewPath(1, torch.CPU)
		defer root.Free()
		norm := nn.NewLayerNorm(root.Sub("norm"), 3, 1e-6)
		pass := func(d *nn.Drops, fixed bool) (all []float32) {
			mode := nn.Mode{Train: true, Drops: d, FixedShapes: fixed}
			for _, part := range [][2]int{{0, 2}, {2, 5}} {
				d.Begin(part[0], part[1])
				x := torch.Zeros(torch.Float32, torch.CPU, crops*(part[1]-part[0]), 2, 3)
				for i := range blocks {
					y := nn.DropPath{P: .2 * float64(i)}.Add(mode, x, norm, func(x *torch.Tensor) *torch.Tensor {
						return torch.Ones(torch.Float32, torch.CPU, x.Shape()...)
					})
					all = append(all, y.Floats()...)
				}
			}
			return all
		}
		noise := func() *rng.Stream { return rng.Seed(6).Stream("drops") }
		lazy := nn.NewDrops(noise(), images)
		want := pass(lazy, false)
		for name, plan := range map[string]nn.Plan{"none": {}, "its own": lazy.Plan()} {
			d := nn.NewDrops(noise(), images)
			d.Ahead(plan, torch.CPU)
			if got := pass(d, true); !slices.Equal(got, want) {
				t.Errorf("plan %s: %v, want %v", name, got, want)
			}
		}
	})
}
