package analysis

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/backbone"
	"ibot/data/drawn"
	"ibot/imaging"
	"ibot/internal/golden"
	"ibot/nn"
	"ibot/rng"
	"ibot/torch"
)

// tiny is the backbone of the goldens: 32-pixel images, patches of 8, D 64, three blocks of 4 heads.
var tiny = backbone.Config{
	Arch: "vit_tiny", ImgSize: 32, PatchSize: 8, InChans: 3, EmbedDim: 64, Depth: 3, NumHeads: 4,
}

// The statistics of ImageNet.
var (
	mean = []float32{0.485, 0.456, 0.406}
	std  = []float32{0.229, 0.224, 0.225}
)

// newTiny builds tiny, until the test ends.
func newTiny(t *testing.T) (backbone.Backbone, *nn.Path) {
	t.Helper()
	p := nn.NewPath(1, torch.CPU)
	t.Cleanup(p.Free)
	b, err := backbone.New(tiny, p)
	if err != nil {
		t.Fatal(err)
	}
	return b, p
}

// drawing is image i of the drawn set.
func drawing(t *testing.T, i, size int) *imaging.Image {
	t.Helper()
	set, err := drawn.New(rng.Seed(3), 10, i+10, size)
	if err != nil {
		t.Fatal(err)
	}
	im, err := set.Load(i)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// uniform is an image of one colour.
func uniform(w, h int, c color.NRGBA) *imaging.Image {
	im := imaging.New(w, h, 3)
	for i := 0; i < len(im.Pix); i += 3 {
		copy(im.Pix[i:], []uint8{c.R, c.G, c.B})
	}
	return im
}

// readPNG decodes the file at path.
func readPNG(t *testing.T, path string) image.Image {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// pixels counts the pixels of exactly one colour within an area, and returns the smallest rectangle
// around them.
func pixels(img image.Image, area image.Rectangle, c color.NRGBA) (n int, box image.Rectangle) {
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			if color.NRGBAModel.Convert(img.At(x, y)) == c {
				n++
				box = box.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return n, box
}

// The golden weights between all tokens, (B, heads, 1+N, 1+N), have those of [CLS] in row 0 and
// those for patches from column 1 on.
func TestAttentionGolden(t *testing.T) {
	f := golden.Open(t, "g_attention_features.npz")
	b, p := newTiny(t)
	golden.Open(t, "a_vit_init.npz").Load("teacher/backbone.", p.State())
	for _, c := range []struct {
		x, want string
		grid    int
	}{{"x", "last_attention", 4}, {"x48", "last_attention48", 6}} {
		torch.Scope(func() {
			x, want := f.Tensor(c.x), f.Floats(c.want)
			N := c.grid * c.grid
			for i := range x.Size(0) {
				m, err := clsAttention(b.LastSelfAttention, b, x.Slice(0, i, i+1))
				if err != nil {
					t.Fatal(err)
				}
				if m.Rows != c.grid || m.Cols != c.grid || len(m.Heads) != 4 {
					t.Fatalf("%s: got %d heads of %d x %d, want 4 of %d x %d", c.x, len(m.Heads), m.Rows, m.Cols, c.grid, c.grid)
				}
				for h, head := range m.Heads {
					row := want[(i*4+h)*(1+N)*(1+N):][:1+N]
					golden.EqualFloats(t, fmt.Sprint(c.x, " head ", h), head, row[1:], golden.Tolerance{Abs: 1e-5})
				}
			}
		})
	}
}

// Images of other sizes are cut to whole patches, each by itself, and leave nothing behind.
func TestAttentionOfImages(t *testing.T) {
	b, _ := newTiny(t)
	wide := drawing(t, 1, 44).Crop(imaging.Box{Width: 44, Height: 36})
	images := []*imaging.Image{drawing(t, 0, 32), wide, uniform(8, 8, color.NRGBA{9, 8, 7, 255})}
	alive := torch.Live()
	maps, err := Attention(b, images, mean, std, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	if got := torch.Live(); got != alive {
		t.Errorf("%d tensors are alive, want %d as before", got, alive)
	}
	for i, want := range []AttentionMap{
		{Rows: 4, Cols: 4, Width: 32, Height: 32},
		{Rows: 4, Cols: 5, Width: 40, Height: 32},
		{Rows: 1, Cols: 1, Width: 8, Height: 8},
	} {
		got := maps[i]
		if got.Rows != want.Rows || got.Cols != want.Cols || got.Width != want.Width || got.Height != want.Height {
			t.Fatalf("image %d: got a grid of %d x %d over %d x %d pixels, want %d x %d over %d x %d", i,
				got.Rows, got.Cols, got.Width, got.Height, want.Rows, want.Cols, want.Width, want.Height)
		}
		cut := images[i].Crop(imaging.Box{Width: want.Width, Height: want.Height})
		pixels := make([]float32, len(cut.Pix))
		cut.ToCHW(pixels, mean, std)
		var all []float64
		N := want.Rows * want.Cols
		torch.Scope(func() {
			all = torch.Read[float64](b.LastSelfAttention(nn.Eval, torch.New(pixels, 1, 3, want.Height, want.Width)))
		})
		mean := make([]float64, N)
		for h, head := range got.Heads {
			row := all[h*(1+N)*(1+N):][:1+N]
			golden.EqualFloats(t, fmt.Sprintf("image %d, head %d", i, h), head, row[1:], golden.Tolerance{Abs: 1e-7})
			sum := row[0]
			for k, w := range head {
				sum += w
				mean[k] += w / 4
			}
			if math.Abs(sum-1) > 1e-5 {
				t.Errorf("image %d, head %d: the weights sum to %v with that of [CLS], want 1", i, h, sum)
			}
		}
		golden.EqualFloats(t, "mean", got.Mean(), mean, golden.Tolerance{Abs: 1e-12})
	}
}

// windowed is a backbone whose attention stays in windows and has no [CLS].
type windowed struct{ backbone.Backbone }

func (windowed) LastSelfAttention(_ nn.Mode, x *torch.Tensor) *torch.Tensor {
	return torch.Ones(torch.Float32, torch.CPU, 1, 4, 16, 16)
}

// A Swin has no [CLS] in its blocks: its maps are means over the tokens, on the grid of the last stage.
func TestAttentionOfASwin(t *testing.T) {
	p := nn.NewPath(1, torch.CPU)
	t.Cleanup(p.Free)
	b, err := backbone.New(backbone.Config{
		Arch: "swin_tiny", ImgSize: 32, PatchSize: 4, InChans: 3, EmbedDim: 8, Depths: []int{1, 2}, NumHeads: 2, WindowSize: 3,
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	im := drawing(t, 2, 48).Crop(imaging.Box{Width: 45, Height: 31})
	maps, err := Attention(b, []*imaging.Image{im}, mean, std, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	m := maps[0]
	if m.Width != 40 || m.Height != 24 || m.Cols != 5 || m.Rows != 3 || len(m.Heads) != 4 {
		t.Fatalf("%d heads of %d x %d over %d x %d pixels", len(m.Heads), m.Rows, m.Cols, m.Width, m.Height)
	}
	for h, head := range m.Heads {
		sum := 0.0
		for _, w := range head {
			sum += w
		}
		if len(head) != 15 || !(sum > .3 && sum < 1) { // windows of 3 pad the map to 6 x 3
			t.Errorf("head %d: %d weights of %v in all", h, len(head), sum)
		}
	}
	if err := AttentionSheet(filepath.Join(t.TempDir(), "attention.png"), []*imaging.Image{im}, maps, nil); err != nil {
		t.Error(err)
	}
}

func TestAttentionErrors(t *testing.T) {
	b, _ := newTiny(t)
	square := uniform(32, 32, color.NRGBA{1, 2, 3, 255})
	for _, c := range []struct {
		name, want string
		b          backbone.Backbone
		images     []*imaging.Image
		mean, std  []float32
	}{
		{"channels", "image 1 has 1 channels; want one for each of 3 means", b, []*imaging.Image{square, imaging.New(32, 32, 1)}, mean, std},
		{"deviations", "and 1 standard deviations", b, []*imaging.Image{square}, mean, std[:1]},
		{"small", "image 1 has 32 x 7 pixels, less than a patch", b, []*imaging.Image{square, imaging.New(32, 7, 3)}, mean, std},
		{"windows", "found [1 4 16 16]; the architecture has no such map", windowed{b}, []*imaging.Image{square}, mean, std},
		{"engine", "attention of image 0", b, []*imaging.Image{imaging.New(32, 32, 2)}, mean[:2], std[:2]},
	} {
		_, err := Attention(c.b, c.images, c.mean, c.std, torch.CPU)
		if err == nil || !strings.HasPrefix(err.Error(), "analysis: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error of analysis with %q", c.name, err, c.want)
		}
	}
}

func TestTopMass(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name  string
		attn  []float64
		share float64
		want  string // 1: needed
	}{
		{"greatest first", []float64{1, 4, 2, 3}, 0.6, "0101"},
		{"exactly reached", []float64{2, 5, 3}, 0.5, "010"},
		{"a little more", []float64{2, 5, 3}, 0.51, "011"},
		{"unnormalised", []float64{200, 500, 300}, 0.51, "011"},
		{"equal ones", []float64{1, 1, 1, 1, 1}, 0.6, "11100"},
		{"all", []float64{1, 0, 2}, 1, "101"},
		{"more than all", []float64{1, 0, 2}, 7, "101"},
		{"nothing", []float64{1, 2}, 0, "00"},
		{"no weight", []float64{0, 0}, 0.6, "00"},
		{"not weights", []float64{nan, 1, inf, -5, 3}, 0.8, "01001"},
		{"share is NaN", []float64{1, 2}, nan, "11"},
		{"empty", nil, 0.6, ""},
	} {
		got := ""
		for _, on := range TopMass(c.attn, c.share) {
			got += map[bool]string{false: "0", true: "1"}[on]
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// The reference sorts upwards, sums, and keeps the cells whose sum is above 1 less the share.
func TestTopMassAsReference(t *testing.T) {
	f := golden.Open(t, "g_attention_features.npz")
	weights := f.Floats("last_attention") // (2, 4, 17, 17)
	for i := range 2 * 4 {
		attn := weights[i*17*17+1:][:16]
		var total float64
		order := make([]int, len(attn))
		for k, w := range attn {
			order[k] = k
			total += w
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(attn[a], attn[b]) })
		want := make([]bool, len(attn))
		var sum float64
		for _, k := range order {
			sum += attn[k] / total
			want[k] = sum > 1-0.6
		}
		if got := TopMass(attn, 0.6); !slices.Equal(got, want) {
			t.Errorf("map %d: got %v, want %v", i, got, want)
		}
	}
}

// Two images of one colour whose attention lies in one patch: the sheet shows where.
func TestAttentionSheet(t *testing.T) {
	red, blue := color.NRGBA{200, 0, 0, 255}, color.NRGBA{0, 0, 200, 255}
	images := []*imaging.Image{uniform(32, 32, red), uniform(70, 35, blue)}
	one := func(n, at int) []float64 {
		w := make([]float64, n)
		w[at] = 0.5
		return w
	}
	maps := []AttentionMap{
		{Rows: 4, Cols: 4, Width: 32, Height: 32, Heads: [][]float64{one(16, 6), one(16, 6)}},
		{Rows: 4, Cols: 8, Width: 64, Height: 32, Heads: [][]float64{one(32, 0), one(32, 0), one(32, 0)}},
	}
	path := filepath.Join(t.TempDir(), "attention.png")
	if err := AttentionSheet(path, images, maps, []string{"red", "blue"}); err != nil {
		t.Fatal(err)
	}
	img := readPNG(t, path)

	// The image, and its patch in row 1, column 2 in the picture beside it. The other picture is twice
	// as wide as high, with its first patch.
	n, box := pixels(img, img.Bounds(), red)
	if want := 160*160 + 40*40; n != want || box.Dy() != 160 {
		t.Fatalf("got %d pixels of the first image in %v, want %d, 160 high", n, box, want)
	}
	pitch := box.Dx() - 120 // from column to column: the patch ends at 120
	if _, patch := pixels(img, image.Rect(box.Min.X+160, box.Min.Y, box.Max.X, box.Max.Y), red); patch !=
		image.Rect(80, 40, 120, 80).Add(box.Min).Add(image.Pt(pitch, 0)) {
		t.Errorf("got its patch at %v, with the image at %v", patch, box.Min)
	}
	n, wide := pixels(img, img.Bounds(), blue)
	if want := 160*80 + 20*20; n != want || wide.Dy() != 80 || wide.Min.X != box.Min.X || wide.Min.Y != box.Min.Y+pitch+40 {
		t.Errorf("got %d pixels of the second image in %v, want %d in the middle of a cell below %v", n, wide, want, box)
	}

	// Mean and two heads of the first image are brightest in the middle of the patch, and fall to 0
	// within the neighbours'.
	for column := 2; column < 5; column++ {
		x := box.Min.X + column*pitch
		light := func(x, y int) int { c := color.GrayModel.Convert(img.At(x, y)).(color.Gray); return int(c.Y) }
		middle, edge, far := light(x+100, box.Min.Y+60), light(x+80, box.Min.Y+60), light(x+20, box.Min.Y+140)
		if !(middle > edge+20 && edge > far+20) {
			t.Errorf("column %d: lightness %d in the patch, %d at its edge and %d far away; want it to fall", column, middle, edge, far)
		}
	}
	// The third head of the first image is empty, then comes the bar, and nothing is right of it.
	white := color.NRGBA{255, 255, 255, 255}
	empty := image.Rect(0, 0, 160, 160).Add(box.Min).Add(image.Pt(5*pitch, 0))
	if n, _ := pixels(img, empty, white); n != 160*160 {
		t.Errorf("the place of a head that is not there has %d white pixels, want %d", n, 160*160)
	}
	bar := image.Rect(0, 0, 22, 160).Add(empty.Min).Add(image.Pt(pitch, 0))
	if n, _ := pixels(img, bar, white); n != 0 {
		t.Errorf("the bar has %d white pixels, want none", n)
	}
	beside := image.Rect(bar.Max.X, bar.Min.Y+30, img.Bounds().Max.X, bar.Max.Y-30)
	if n, _ := pixels(img, beside, white); n != beside.Dx()*beside.Dy() || beside.Dx() < 30 {
		t.Errorf("beside the bar are %d white pixels in %v, want all", n, beside)
	}

	again := filepath.Join(t.TempDir(), "again.png")
	if err := AttentionSheet(again, images, maps, []string{"red", "blue"}); err != nil {
		t.Fatal(err)
	}
	wantSameFile(t, path, again)
}

func wantSameFile(t *testing.T, a, b string) {
	t.Helper()
	first, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("%s is another picture when it is drawn again", filepath.Base(a))
	}
}

func TestAttentionSheetErrors(t *testing.T) {
	dir := t.TempDir()
	one := []*imaging.Image{imaging.New(8, 8, 3)}
	good := AttentionMap{Rows: 1, Cols: 1, Width: 8, Height: 8, Heads: [][]float64{{1}}}
	with := func(change func(m *AttentionMap)) []AttentionMap {
		m := good
		change(&m)
		return []AttentionMap{m}
	}
	for _, c := range []struct {
		name, want, file string
		images           []*imaging.Image
		maps             []AttentionMap
		names            []string
	}{
		{"none", "0 images", "a.png", nil, nil, nil},
		{"maps", "1 images, 2 attention maps", "a.png", one, []AttentionMap{good, good}, nil},
		{"names", "2 names", "a.png", one, []AttentionMap{good}, []string{"a", "b"}},
		{"larger", "covers 9 x 8 pixels of an image of 8 x 8", "a.png", one, with(func(m *AttentionMap) { m.Width = 9 }), nil},
		{"weights", "head 0 has 1 weights; want 2 x 1", "a.png", one, with(func(m *AttentionMap) { m.Rows = 2 }), nil},
		{"grid", "-1 x 1 patches", "a.png", one, with(func(m *AttentionMap) { m.Rows = -1 }), nil},
		{"heads", "0 heads", "a.png", one, with(func(m *AttentionMap) { m.Heads = nil }), nil},
		{"folder", "no/a.png", "no/a.png", one, []AttentionMap{good}, nil},
	} {
		err := AttentionSheet(filepath.Join(dir, c.file), c.images, c.maps, c.names)
		if err == nil || !strings.HasPrefix(err.Error(), "analysis: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error of analysis with %q", c.name, err, c.want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("found %v (%v) after calls that failed, want nothing", left, err)
	}
}

// A network that diverged gives maps without numbers, which are shown without colours.
func TestAttentionSheetOfNaN(t *testing.T) {
	nan := math.NaN()
	m := AttentionMap{Rows: 1, Cols: 2, Width: 16, Height: 8, Heads: [][]float64{{nan, nan}}}
	path := filepath.Join(t.TempDir(), "a.png")
	if err := AttentionSheet(path, []*imaging.Image{uniform(16, 8, color.NRGBA{250, 0, 0, 255})}, []AttentionMap{m}, nil); err != nil {
		t.Fatal(err)
	}
	img := readPNG(t, path)
	gray := uint8(80 + 75*3/8) // the luma of (250, 0, 0) is 75
	row := img.Bounds()
	row.Min.Y, row.Max.X = row.Max.Y-20-80, 20+4*168 // without the bar
	if n, _ := pixels(img, row, color.NRGBA{gray, gray, gray, 255}); n != 2*160*80 {
		t.Errorf("got %d pixels of the pale image, want %d: mean and one head", n, 2*160*80)
	}
}
