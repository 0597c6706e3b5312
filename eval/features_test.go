package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"ibot/backbone"
	"ibot/data"
	"ibot/imaging"
	"ibot/internal/golden"
	"ibot/nn"
	"ibot/torch"
)

// goldenViT is the teacher of the goldens: 32-pixel images, patches of 8, D 64, three blocks of 4
// heads.
func goldenViT(t *testing.T) backbone.Backbone {
	t.Helper()
	p := nn.NewPath(0, torch.CPU)
	b, err := backbone.New(backbone.Config{
		Arch: "vit_tiny", ImgSize: 32, PatchSize: 8, InChans: 3, EmbedDim: 64, Depth: 3, NumHeads: 4,
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Free)
	golden.Open(t, "a_vit_init.npz").Load("teacher/backbone.", p.State())
	return b
}

func TestFeatureChoices(t *testing.T) {
	checkLive(t)
	f, vit := golden.Open(t, "g_attention_features.npz"), goldenViT(t)
	for _, test := range []struct {
		name            string
		avgpool, blocks int
	}{{"feat_avgpool0_n2", 0, 2}, {"feat_avgpool1", 1, 0}, {"feat_avgpool2_n2", 2, 2}} {
		t.Run(test.name, func(t *testing.T) {
			torch.Scope(func() {
				torch.NoGrad(func() {
					got, err := ExtractOptions{AvgPool: test.avgpool, LastBlocks: test.blocks}.choose(vit, f.Tensor("x"))
					if err != nil {
						t.Fatal(err)
					}
					golden.Equal(t, "features", got, f.Tensor(test.name), golden.Tolerance{Abs: 1e-5})
				})
			})
		})
	}
}

// TestMeanPatchesAreNotNormed: the reference's variant for this choice has no final norm.
func TestMeanPatchesAreNotNormed(t *testing.T) {
	checkLive(t)
	f, vit := golden.Open(t, "g_attention_features.npz"), goldenViT(t)
	o := ExtractOptions{AvgPool: meanPatches, Transform: DefaultTransform(32)}
	set := photos{n: 1, w: 32, h: 32, channels: 3}
	im, err := set.Load(0)
	if err != nil {
		t.Fatal(err)
	}
	chw := make([]float32, 3*32*32)
	im.ToCHW(chw, o.Transform.Mean, o.Transform.Std)
	extracted, err := Extract(t.Context(), vit, set, o)
	if err != nil {
		t.Fatal(err)
	}
	defer extracted.Close()
	torch.Scope(func() {
		torch.NoGrad(func() {
			got, err := o.choose(o.published(vit), f.Tensor("x"))
			if err != nil {
				t.Fatal(err)
			}
			want := f.Tensor("mean_pooling_intermediate_last").From(1, 1).Mean(1)
			golden.Equal(t, "features", got, want, golden.Tolerance{Abs: 1e-5})
			if got, err = o.choose(o.published(vit), torch.New(chw, 1, 3, 32, 32)); err != nil {
				t.Fatal(err)
			}
			golden.Equal(t, "Extract", extracted.X, got, golden.Tolerance{Abs: 1e-5})
		})
	})
}

// photos is a set of n images of two classes. Those of bad cannot be read.
type photos struct {
	n, w, h, channels int
	bad               []int
}

func (p photos) Len() int          { return p.n }
func (p photos) Name(i int) string { return fmt.Sprintf("%d.png", i) }
func (p photos) Label(i int) int   { return i % 2 }
func (p photos) Classes() []string { return []string{"even", "odd"} }

func (p photos) Load(i int) (*imaging.Image, error) {
	if slices.Contains(p.bad, i) {
		return nil, fmt.Errorf("imaging: %d.png is cut off", i)
	}
	im := imaging.New(p.w, p.h, p.channels)
	for j := range im.Pix {
		im.Pix[j] = uint8(i*31 + j*7 + j/p.w*(13+i))
	}
	return im, nil
}

func TestExtract(t *testing.T) {
	checkLive(t)
	vit := goldenViT(t)
	set := photos{n: 41, w: 50, h: 37, channels: 3, bad: []int{0, 12}}
	var want []float32 // one image at a time, by hand
	var names []string
	for i := range set.n {
		im, err := set.Load(i)
		if err != nil {
			continue
		}
		im = im.ResizeShorter(32, imaging.Bicubic).CenterCrop(32)
		chw := make([]float32, 3*32*32)
		im.ToCHW(chw, []float32{.485, .456, .406}, []float32{.229, .224, .225})
		torch.Scope(func() {
			torch.NoGrad(func() {
				want = append(want, vit.Forward(nn.Eval, torch.New(chw, 1, 3, 32, 32), nil).Select(1, 0).Floats()...)
			})
		})
		names = append(names, set.Name(i))
	}
	for _, batch := range []int{1, 7, 12, 100} {
		for _, workers := range []int{1, 5} {
			var done []int
			f, err := Extract(t.Context(), vit, set, ExtractOptions{
				Transform: DefaultTransform(32), BatchSize: batch, Workers: workers,
				Progress: func(n int) { done = append(done, n) },
			})
			if err != nil {
				t.Fatal(err)
			}
			torch.Scope(func() {
				golden.Equal(t, fmt.Sprintf("batch %d, %d workers", batch, workers), f.X, torch.New(want, 39, 64), golden.Tolerance{Abs: 1e-5})
			})
			if !slices.Equal(f.Names, names) || f.Len() != 39 || f.Labels[0] != 1 || f.Labels[38] != 0 {
				t.Errorf("batch %d: names %v, labels %v", batch, f.Names, f.Labels)
			}
			if len(f.Bad) != 2 || f.Bad[1] != (data.BadImage{Path: "12.png", Error: "imaging: 12.png is cut off", Index: 12}) {
				t.Errorf("batch %d: bad %v", batch, f.Bad)
			}
			if done[len(done)-1] != 41 || !slices.IsSorted(done) || len(done) != (41+batch-1)/batch {
				t.Errorf("batch %d: progress %v", batch, done)
			}
			f.Close()
		}
	}
}

func TestExtractBF16(t *testing.T) {
	checkLive(t)
	vit, set := goldenViT(t), photos{n: 4, w: 32, h: 32, channels: 3}
	var x [2][]float64
	for i, precision := range []torch.DType{torch.Float32, torch.BFloat16} {
		f, err := Extract(t.Context(), vit, set, ExtractOptions{Transform: DefaultTransform(32), Precision: precision})
		if err != nil {
			t.Fatal(err)
		}
		if f.X.DType() != torch.Float32 {
			t.Errorf("%s gives features of %s", precision, f.X.DType())
		}
		x[i] = torch.Read[float64](f.X)
		f.Close()
	}
	if slices.Equal(x[0], x[1]) {
		t.Error("bf16 gives the very features of fp32, so it is without effect")
	}
	golden.EqualFloats(t, "bf16", x[1], x[0], golden.Tolerance{Rel: .03})
}

func TestExtractErrors(t *testing.T) {
	checkLive(t)
	vit := goldenViT(t)
	ok := photos{n: 10, w: 32, h: 32, channels: 3}
	plain := ExtractOptions{Transform: DefaultTransform(32)}
	for _, test := range []struct {
		name   string
		set    photos
		change func(o *ExtractOptions)
		want   string
	}{
		{"channels", photos{n: 2, w: 32, h: 32, channels: 1}, nil, "0.png has 1 channels, but the network takes 3"},
		{"too many bad", photos{n: 10, w: 32, h: 32, channels: 3, bad: []int{3, 4}}, nil, "2 of 10 images cannot be read, which is more than 5 %"},
		{"all bad", photos{n: 1, w: 32, h: 32, channels: 3, bad: []int{0}}, nil, "1 of 1 images cannot be read"},
		{"avgpool", ok, func(o *ExtractOptions) { o.AvgPool = 3 }, "avgpool is 3; want 0 for [CLS]"},
		{"blocks", ok, func(o *ExtractOptions) { o.LastBlocks = 4 }, "last 4 blocks were asked for, but the network has 3"},
		{"negative blocks", ok, func(o *ExtractOptions) { o.LastBlocks = -1 }, "the last -1 blocks"},
		{"batch", ok, func(o *ExtractOptions) { o.BatchSize = -1 }, "a batch of -1 images"},
		{"transform", ok, func(o *ExtractOptions) { o.Transform.Crop = 0 }, "resize 32 and crop 0 pixels"},
		{"shapes", ok, func(o *ExtractOptions) { o.Transform.Resize, o.Transform.Crop = 4, 4 }, "torch: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := plain
			if test.change != nil {
				test.change(&o)
			}
			_, err := Extract(t.Context(), vit, test.set, o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	var many *data.TooManyBad
	_, err := Extract(t.Context(), vit, photos{n: 400, w: 32, h: 32, channels: 3, bad: upTo(400)}, plain)
	if !errors.As(err, &many) || many.Count > 64 || len(many.First) != 5 {
		t.Errorf("a set of bad images: got %v; want the end after a batch", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	plain.BatchSize = 2
	plain.Progress = func(int) { cancel() }
	if _, err := Extract(ctx, vit, ok, plain); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func upTo(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i)
	}
	return numbers
}

func TestPixels(t *testing.T) {
	checkLive(t)
	set := photos{n: 3, w: 9, h: 6, channels: 3}
	f, err := Pixels(t.Context(), set, 6, ExtractOptions{Transform: DefaultTransform(32)})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x := torch.Read[float64](f.X)
	if len(x) != 3*3*6*6 {
		t.Fatalf("%d values", len(x))
	}
	im, err := set.Load(2)
	if err != nil {
		t.Fatal(err)
	}
	im = im.CenterCrop(6)                                      // 9 x 6 needs no resizing
	want := (float64(im.Pix[(5*6+1)*3+2])/255 - 0.406) / 0.225 // row 5, column 1, blue
	if got := x[2*108+2*36+5*6+1]; math.Abs(got-want) > 1e-5 || want == 0 {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTransform(t *testing.T) {
	for size, want := range map[int]int{32: 32, 48: 48, 64: 73, 96: 110, 224: 256, 384: 439} {
		if got := DefaultTransform(size); got.Resize != want || got.Crop != size || got.Validate() != nil {
			t.Errorf("size %d: got %+v, want resize %d", size, got, want)
		}
	}
	for _, size := range [][2]int{{1, 1}, {500, 375}, {375, 500}, {1, 200_000}, {200_000, 1}, {32, 32}} {
		im := imaging.New(size[0], size[1], 3)
		for i := range im.Pix {
			im.Pix[i] = uint8(i / 3 % 251)
		}
		if got := DefaultTransform(32).Pixels(im); got.W != 32 || got.H != 32 || len(got.Pix) != 32*32*3 {
			t.Errorf("%v: got %dx%d", size, got.W, got.H)
		}
	}
	// As the reference's, by Pillow: testdata/goldens/i_image_ops.npz has the same operations.
	f := golden.Open(t, "i_image_ops.npz")
	photo := &imaging.Image{W: 160, H: 120, C: 3}
	for _, v := range f.Ints("image") {
		photo.Pix = append(photo.Pix, uint8(v))
	}
	var want []uint8
	for _, v := range f.Ints("eval_resize80_center64") {
		want = append(want, uint8(v))
	}
	if got := (Transform{Resize: 80, Crop: 64}).Pixels(photo); !slices.Equal(got.Pix, want) {
		t.Error("resize 80, crop 64 differs from Pillow's")
	}
	for name, bad := range map[string]Transform{
		"resize below crop": {Resize: 30, Crop: 32, Mean: []float32{0}, Std: []float32{1}},
		"huge":              {Resize: 1 << 40, Crop: 32, Mean: []float32{0}, Std: []float32{1}},
		"no channels":       {Resize: 32, Crop: 32},
		"means":             {Resize: 32, Crop: 32, Mean: []float32{0, 0}, Std: []float32{1}},
		"std of 0":          {Resize: 32, Crop: 32, Mean: []float32{0}, Std: []float32{0}},
	} {
		if bad.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
