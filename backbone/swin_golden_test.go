package backbone_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"ibot/backbone"
	"ibot/internal/golden"
	"ibot/nn"
	"ibot/torch"
)

// smallSwin is the network of the goldens: two stages, maps of 8 x 8 and 4 x 4 in windows of 4.
var smallSwin = backbone.Config{
	Arch: "swin_tiny", ImgSize: 32, PatchSize: 4, InChans: 3, EmbedDim: 16, Depths: []int{2, 2}, NumHeads: 2, WindowSize: 4,
}

// threeStages is that of b2_swin_sizes.npz: windows of 3, one for the whole map of the last stage
// where the network is built for 48 pixels.
var threeStages = backbone.Config{
	Arch: "swin_tiny", ImgSize: 48, PatchSize: 4, InChans: 3, EmbedDim: 8, Depths: []int{2, 2, 2}, NumHeads: 1, WindowSize: 3,
}

// newSwin builds a network, until the test ends.
func newSwin(t *testing.T, c backbone.Config) (*backbone.Swin, *nn.Path) {
	t.Helper()
	p := nn.NewPath(0, torch.CPU)
	b, err := backbone.New(c, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Free)
	return b.(*backbone.Swin), p
}

func goldenSwin(t *testing.T, c backbone.Config, role string) *backbone.Swin {
	t.Helper()
	s, p := newSwin(t, c)
	golden.Open(t, "b_swin_init.npz").Load(role+"/backbone.", p.State())
	return s
}

func TestSwinTokens(t *testing.T) {
	in, want := golden.Open(t, "b_swin_inputs.npz"), golden.Open(t, "b_swin_expected.npz")
	masked := smallSwin
	masked.Masked = true
	student, teacher := goldenSwin(t, masked, "student"), goldenSwin(t, smallSwin, "teacher")
	torch.Scope(func() {
		torch.NoGrad(func() {
			cat := func(name string) *torch.Tensor {
				return torch.Cat([]*torch.Tensor{in.Tensor("0/" + name + "0"), in.Tensor("0/" + name + "1")}, 0)
			}
			golden.Equal(t, "teacher", teacher.Forward(nn.Eval, cat("global"), nil), want.Tensor("teacher_tokens"), forward)
			golden.Equal(t, "student, masked", student.Forward(nn.Eval, cat("global"), cat("mask")), want.Tensor("student_tokens"), forward)
			golden.Equal(t, "teacher, local", teacher.Forward(nn.Eval, cat("local"), nil), want.Tensor("teacher_local_tokens"), forward)

			x := in.Tensor("0/global0")
			golden.Equal(t, "pooled", teacher.Forward(nn.Eval, x, nil).Select(1, 0), want.Tensor("pooled"), forward)
			layers := teacher.IntermediateLayers(nn.Eval, x, 4)
			for i, layer := range layers {
				golden.Equal(t, fmt.Sprint("layer ", i), layer, want.Tensor(fmt.Sprint("intermediate", i)), forward)
			}
			if len(layers) != 4 || len(teacher.IntermediateLayers(nn.Eval, x, 1)) != 1 || len(teacher.IntermediateLayers(nn.Eval, x, 9)) != 4 {
				t.Error("IntermediateLayers: wrong number of layers")
			}
			golden.Equal(t, "last attention", teacher.LastSelfAttention(nn.Eval, x.Slice(0, 0, 1)), want.Tensor("last_attention"), forward)
		})
	})
}

// Other sizes than the network was built for: padded windows, odd maps to merge, pixels left over.
func TestSwinSizes(t *testing.T) {
	f := golden.Open(t, "b2_swin_sizes.npz")
	s, p := newSwin(t, threeStages)
	f.Load("w/", p.State())
	names := f.Strings("grad_names")
	for _, size := range []int{48, 40, 28, 64, 50} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			torch.Scope(func() {
				y := s.Forward(nn.Eval, f.Tensor(fmt.Sprint(size, "/x")), nil)
				golden.Equal(t, "tokens", y, f.Tensor(fmt.Sprint(size, "/tokens")), forward)
				rest := y.From(1, 1)
				rest.Mul(rest).Mul(rest).SumAll().Add(y.Select(1, 0).Square().SumAll()).Backward()
				norms := f.Floats(fmt.Sprint(size, "/grad_norm"))
				for i, param := range p.Params() {
					if param.Name != names[i] {
						t.Fatalf("parameter %d is %s, want %s", i, param.Name, names[i])
					}
					golden.EqualFloats(t, "gradient of "+param.Name, []float64{param.Grad().NormAll().Item()}, norms[i:i+1], golden.Tolerance{Rel: 1e-4})
					param.SetGrad(nil)
				}
			})
		})
	}
}

// Images that are not square, against another implementation, for the reference has none.
func TestSwinNotSquare(t *testing.T) {
	f := golden.Open(t, "b2_swin_sizes.npz")
	c := threeStages
	c.ImgSize = 96 // windows in all stages
	s, p := newSwin(t, c)
	f.Load("w/", p.State())
	for _, size := range [][2]int{{60, 88}, {96, 72}} {
		name := fmt.Sprintf("%dx%d/", size[0], size[1])
		torch.Scope(func() {
			torch.NoGrad(func() {
				y := s.Forward(nn.Eval, f.Tensor(name+"x"), nil)
				golden.Equal(t, name, y.From(1, 1), f.Tensor(name+"tokens"), forward)
			})
		})
		h, w := s.Grid(size[0], size[1])
		if shape := f.Tensor(name + "tokens").Shape(); shape[1] != h*w {
			t.Errorf("%s: a grid of %d x %d, but %d tokens", name, h, w, shape[1])
		}
	}
}

// Every second block of the last stage is shifted where its map is larger than the window.
func TestSwinMaskedAndShiftedLastStage(t *testing.T) {
	f := golden.Open(t, "b2_swin_sizes.npz")
	c := threeStages
	c.ImgSize, c.Masked = 64, true
	s, p := newSwin(t, c)
	f.Load("w/", p.State())
	torch.Scope(func() {
		torch.NoGrad(func() {
			x := f.Tensor("masked/x")
			golden.Equal(t, "masked", s.Forward(nn.Eval, x, f.Tensor("masked/mask")), f.Tensor("masked/tokens"), forward)
			golden.Equal(t, "last attention", s.LastSelfAttention(nn.Eval, x), f.Tensor("masked/attention"), forward)
			for i, layer := range s.IntermediateLayers(nn.Eval, x, 5) {
				golden.Equal(t, fmt.Sprint("layer ", i), layer, f.Tensor(fmt.Sprint("masked/unmasked_layers/", i)), forward)
			}
		})
	})
}

func TestSwinPositionIndex(t *testing.T) {
	f := golden.Open(t, "b2_swin_sizes.npz")
	for _, name := range f.Names() {
		var side int
		if _, err := fmt.Sscanf(name, "index/%d", &side); err != nil {
			continue
		}
		c := smallSwin
		c.WindowSize, c.ImgSize = side, 32*side
		s, _ := newSwin(t, c)
		got := torch.Read[int64](s.Stages[0].Blocks[0].Attn.BiasIndex)
		if !slices.Equal(got, f.Ints(name)) {
			t.Errorf("the position index of windows of %d differs", side)
		}
	}
}

func TestSwinWindowMasks(t *testing.T) {
	f := golden.Open(t, "b2_swin_sizes.npz")
	tried := 0
	for _, name := range f.Names() {
		if !strings.HasPrefix(name, "mask/") {
			continue
		}
		var H, W, side int
		if _, err := fmt.Sscanf(name, "mask/%dx%d/%d", &H, &W, &side); err != nil {
			t.Fatal(err)
		}
		torch.Scope(func() {
			got := torch.Windows{Side: side, Shift: side / 2}.Mask(H, W)
			golden.Equal(t, name, got, torch.New(f.Floats(name), got.Shape()...), golden.Tolerance{})
		})
		tried++
	}
	if tried != 11 {
		t.Errorf("%d masks compared, want 11", tried)
	}
}

// A mask is made when a size is first seen, and is not made again.
func TestSwinKeepsMasks(t *testing.T) {
	s, _ := newSwin(t, smallSwin)
	run := func(H, W int) {
		torch.Scope(func() {
			torch.NoGrad(func() { s.Forward(nn.Eval, torch.Zeros(torch.Float32, torch.CPU, 1, 3, H, W), nil) })
		})
	}
	before := torch.Live()
	for _, size := range [][2]int{{32, 32}, {32, 32}, {24, 48}, {32, 32}, {24, 48}} {
		run(size[0], size[1])
	}
	if kept := torch.Live() - before; kept != 2 {
		t.Errorf("%d masks kept for two sizes", kept)
	}
}

// What tokens attend to on average is the mean of the rows of the weights, wherever a window lies.
func TestSwinMeanAttention(t *testing.T) {
	f := golden.Open(t, "b2_swin_sizes.npz")
	c := threeStages
	c.ImgSize = 64
	s, p := newSwin(t, c)
	f.Load("w/", p.State())
	torch.Scope(func() {
		torch.NoGrad(func() {
			x := f.Tensor("masked/x") // 4 x 4 tokens in four windows of 3, shifted by 1: padded to 6 x 6
			mean := s.MeanAttention(nn.Eval, x)
			if got := fmt.Sprint(mean.Shape()); got != "[2 4 16]" {
				t.Fatalf("shape %s", got)
			}
			// Of the weights (2*4 windows, 4, 9, 9), what the window of the middle, tokens (1..3,
			// 1..3), adds to token (2, 2): it is in no other window.
			weights := torch.Read[float64](s.LastSelfAttention(nn.Eval, x))
			got := torch.Read[float64](mean)
			for image := range 2 {
				for head := range 4 {
					want := 0.0
					for q := range 9 {
						want += weights[((image*4*4+head)*9+q)*9+4] / 16
					}
					if d := math.Abs(got[(image*4+head)*16+2*4+2] - want); d > 1e-6 {
						t.Errorf("image %d, head %d: off by %g", image, head, d)
					}
				}
			}
		})
	})
}
