package backbone_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/backbone"
	"ibot/internal/golden"
	"ibot/nn"
	"ibot/rng"
	"ibot/torch"
)

// narrow is an architecture on few pixels with few blocks, to run it in a moment.
func narrow(arch string) backbone.Config {
	c := backbone.Config{Arch: arch, ImgSize: 32, PatchSize: 8, InChans: 3, EmbedDim: 12, NumHeads: 2, Masked: true, WindowSize: 3}
	if strings.HasPrefix(arch, "swin") {
		c.PatchSize, c.Depths = 2, []int{2, 2, 2}
	} else {
		c.Depth = 3
	}
	return c
}

// noise moves every parameter off its initial value, so that biases and norms and the mask
// embedding matter.
func noise(p *nn.Path) {
	torch.NoGrad(func() {
		torch.Scope(func() {
			for i, s := range p.Params() {
				values := make([]float32, s.Numel())
				r := rng.Seed(3).Stream("noise", i)
				for k := range values {
					values[k] = float32(.2 * r.NormFloat64())
				}
				s.Add_(torch.New(values, s.Shape()...))
			}
		})
	})
}

func image(B, C, H, W int) *torch.Tensor {
	values := make([]float32, B*C*H*W)
	r := rng.Seed(4).Stream("image")
	for i := range values {
		values[i] = float32(r.NormFloat64())
	}
	return torch.New(values, B, C, H, W)
}

// What holds for every architecture.
func TestConformance(t *testing.T) {
	for _, arch := range backbone.Names() {
		t.Run(arch, func(t *testing.T) {
			before := torch.Live()
			p := nn.NewPath(1, torch.CPU)
			b, err := backbone.New(narrow(arch), p)
			if err != nil {
				t.Fatal(err)
			}
			noise(p)
			torch.Scope(func() { conformShapes(t, b) })
			torch.Scope(func() { conformMask(t, b) })
			torch.Scope(func() { conformGradients(t, b, p) })
			p.Free()
			if after := torch.Live(); after != before {
				t.Errorf("%d tensors alive, %d before", after, before)
			}
		})
	}
}

// conformShapes runs images of several sizes: that of training, smaller, larger, not square, no
// multiple of a patch.
func conformShapes(t *testing.T, b backbone.Backbone) {
	torch.NoGrad(func() {
		for _, size := range [][2]int{{32, 32}, {16, 16}, {48, 48}, {24, 40}, {37, 29}} {
			x := image(2, 3, size[0], size[1])
			h, w := b.Grid(size[0], size[1])
			want := fmt.Sprint([]int{2, 1 + h*w, b.EmbedDim()})
			y := b.Forward(nn.Eval, x, nil)
			if got := fmt.Sprint(y.Shape()); got != want {
				t.Fatalf("%v pixels: tokens %s, want %s", size, got, want)
			}
			last := b.IntermediateLayers(nn.Eval, x, 1)
			if len(last) != 1 {
				t.Fatalf("%d layers, want one", len(last))
			}
			golden.Equal(t, "last layer", last[0], y, golden.Tolerance{Abs: 1e-6})
			one := b.Forward(nn.Eval, x.Slice(0, 1, 2), nil)
			golden.Equal(t, "the second image alone", one, y.Slice(0, 1, 2), golden.Tolerance{Abs: 1e-5})
			sums := torch.Read[float64](b.LastSelfAttention(nn.Eval, x).Sum(-1))
			ones := make([]float64, len(sums))
			for i := range ones {
				ones[i] = 1
			}
			golden.EqualFloats(t, "sums of the attention of a token", sums, ones, golden.Tolerance{Abs: 1e-5})
			if cell := b.Cell(); h > 1 && w > 1 {
				if a, c := b.Grid(h*cell, w*cell); a != h || c != w {
					t.Errorf("%d x %d cells of %d pixels make a grid of %d x %d", h, w, cell, a, c)
				}
			}
		}
	})
}

// conformMask checks that a mask hides what is below it and nothing else.
func conformMask(t *testing.T, b backbone.Backbone) {
	torch.NoGrad(func() {
		h, w := b.Grid(32, 32)
		at := make([]bool, h*w)
		at[w+1] = true // row 1, column 1
		mask := torch.New(at, 1, h, w)
		x := image(1, 3, 32, 32)
		below := func(rows, columns int) *torch.Tensor { // x with other pixels in one cell
			y, n := x.Clone(), b.Cell()
			y.Slice(2, rows*n, (rows+1)*n).Slice(3, columns*n, (columns+1)*n).Fill_(5)
			return y
		}
		whole, masked := b.Forward(nn.Eval, x, nil), b.Forward(nn.Eval, x, mask)
		if d := masked.Sub(whole).Abs().MaxAll().Item(); d < 1e-3 {
			t.Errorf("masked tokens change by %g", d)
		}
		golden.Equal(t, "other pixels below the mask", b.Forward(nn.Eval, below(1, 1), mask), masked, golden.Tolerance{})
		if d := b.Forward(nn.Eval, below(0, 1), mask).Sub(masked).Abs().MaxAll().Item(); d < 1e-3 {
			t.Errorf("other pixels beside the mask change tokens by %g", d)
		}
		golden.Equal(t, "an empty mask", b.Forward(nn.Eval, x, torch.New(make([]bool, h*w), 1, h, w)), whole, golden.Tolerance{})
	})
}

// conformGradients checks that every parameter learns.
func conformGradients(t *testing.T, b backbone.Backbone, p *nn.Path) {
	h, w := b.Grid(32, 32)
	at := make([]bool, 2*h*w)
	at[0] = true
	y := b.Forward(nn.Mode{Train: true}, image(2, 3, 32, 32), torch.New(at, 2, h, w))
	y.Mul(y).Mul(y).SumAll().Backward()
	for _, s := range p.Params() {
		if s.Grad() == nil || s.Grad().Abs().MaxAll().Item() == 0 {
			t.Errorf("%s has no gradient", s.Name)
		}
		s.SetGrad(nil)
	}
}

// The state dicts of the published sizes, as the reference's networks have them: testdata/names, a
// line an array. A window other than 7 stands in the name of the file.
func TestNames(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "testdata", "names", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		arch, window, _ := strings.Cut(name, "_w")
		c := backbone.Config{Arch: arch, ImgSize: 224, PatchSize: 16, InChans: 3, WindowSize: 7, Masked: true}
		if strings.HasPrefix(arch, "swin") {
			c.PatchSize = 4
		}
		if window == "14" {
			c.WindowSize = 14
		}
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := nn.NewPath(0, torch.CPU)
			p.Blank = true
			defer p.Free()
			if _, err := backbone.New(c, p); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(want)), "\n")
			got := p.State()
			if len(got) != len(lines) {
				t.Fatalf("%d arrays, want %d", len(got), len(lines))
			}
			for i, s := range got {
				if s.String() != lines[i] {
					t.Fatalf("array %d is %s, want %s", i, s, lines[i])
				}
			}
		})
		tried[arch] = true
	}
	for _, arch := range backbone.Names() {
		if !tried[arch] {
			t.Errorf("testdata/names has no file for %s", arch)
		}
	}
}

func TestSwinRefusesWhatItCannotBeBuiltWith(t *testing.T) {
	for want, change := range map[string]func(*backbone.Config){
		"image size 33 is not a multiple of patch size 4":    func(c *backbone.Config) { c.ImgSize = 33 },
		"embed_dim 15 is not a multiple of num_heads 2":      func(c *backbone.Config) { c.EmbedDim = 15 },
		"a window of 0 patches":                              func(c *backbone.Config) { c.WindowSize = 0 },
		"a Swin has depths and no LayerScale":                func(c *backbone.Config) { c.Depth = 4 },
		"too small for 5 stages; want 64 or more":            func(c *backbone.Config) { c.Depths = []int{1, 1, 1, 1, 1} },
		"depths [2 0]; want 1 block or more in each stage":   func(c *backbone.Config) { c.Depths = []int{2, 0} },
		`unknown architecture "swin_tin"; did you mean "swi`: func(c *backbone.Config) { c.Arch = "swin_tin" },
	} {
		c := smallSwin
		change(&c)
		before := torch.Live()
		p := nn.NewPath(0, torch.CPU)
		if _, err := backbone.New(c, p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		p.Free()
		if after := torch.Live(); after != before {
			t.Errorf("%q leaves %d tensors", want, after-before)
		}
	}
}
