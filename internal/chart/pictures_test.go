package chart

import (
	"image"
	"image/color"
	"math"
	"path/filepath"
	"strings"
	"testing"
)

// uniform is a picture of one colour whose origin is not at 0.
func uniform(w, h int, c color.NRGBA) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(5, -3, 5+w, -3+h))
	for i := range w * h {
		copy(img.Pix[4*i:], []byte{c.R, c.G, c.B, c.A})
	}
	return img
}

func wantPixel(t *testing.T, img image.Image, x, y int, want color.NRGBA) {
	t.Helper()
	if got := color.NRGBAModel.Convert(img.At(x, y)); got != want {
		t.Errorf("pixel (%d, %d): got %v, want %v", x, y, got, want)
	}
}

var (
	red  = color.NRGBA{200, 0, 0, 255}
	blue = color.NRGBA{0, 0, 200, 255}
)

func TestSheet(t *testing.T) {
	s := Sheet{
		Title:   "A title much longer than two pictures are wide",
		Columns: []string{"a", "a caption wider than its picture", "one too many"},
		Rows:    []string{"first", "a name of more than twenty-four letters"},
		Cells:   [][]image.Image{{uniform(8, 8, red), uniform(300, 150, blue)}, {nil, uniform(4, 2, red)}},
		Cell:    60,
	}
	path := filepath.Join(t.TempDir(), "sheet.png")
	if err := s.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	img := readPNG(t, path)
	lay, err := s.layout()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := img.Bounds().Size(), image.Pt(lay.width, lay.height); got != want {
		t.Fatalf("got size %v, want %v", got, want)
	}
	if need := textWidth(lay.title, s.Title) + 2*sheetRim; lay.width != need {
		t.Errorf("got width %d, want the title's %d", lay.width, need)
	}
	right, lower := lay.left+60+sheetGap, lay.top+60+sheetGap
	wantPixel(t, img, lay.left, lay.top, red) // corner to corner
	wantPixel(t, img, lay.left+59, lay.top+59, red)
	wantPixel(t, img, lay.left+60, lay.top+30, paper)
	wantPixel(t, img, right, lay.top+14, paper) // 60 x 30, in the middle
	wantPixel(t, img, right, lay.top+15, blue)
	wantPixel(t, img, right+59, lay.top+44, blue)
	wantPixel(t, img, right+59, lay.top+45, paper)
	wantPixel(t, img, lay.left+30, lower+30, paper) // nil
	wantPixel(t, img, right+30, lower+30, red)

	left := image.Rect(0, lay.top, lay.left-sheetGap, lay.height)
	above := image.Rect(lay.left, lay.top-sheetGap-lay.caption.Metrics().Height.Ceil(), right+60, lay.top)
	for name, area := range map[string]image.Rectangle{"rows": left, "columns": above} {
		if n := area.Dx()*area.Dy() - count(img, area, paper); n < 100 {
			t.Errorf("captions of %s: got %d pixels of text, want 100 or more", name, n)
		}
	}
	if got := fit(lay.caption, s.Columns[1], 60); textWidth(lay.caption, got) > 60 || !strings.Contains(got, "…") || got[len(got)-1] != s.Columns[1][len(s.Columns[1])-1] {
		t.Errorf("got the caption %q of %d pixels, want at most 60", got, textWidth(lay.caption, got))
	}
}

// Of long captions the begin and the end are kept.
func TestLongCaptions(t *testing.T) {
	const long = "n01491361_n01491361_tiger_shark.JPEG"
	if got, want := shorten(long), "n014913…tiger_shark.JPEG"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	f := face(true, noteSize)
	for width := range 300 {
		got := fit(f, long, width)
		head, tail, cut := strings.Cut(got, "…")
		if got != long && (!cut || !strings.HasPrefix(long, head) || !strings.HasSuffix(long, tail) || got != "…" && textWidth(f, got) > width) {
			t.Errorf("%d pixels: got %q of %d pixels", width, got, textWidth(f, got))
		}
	}
}

func TestSheetErrors(t *testing.T) {
	one := uniform(1, 1, red)
	tests := []struct {
		name, want string
		sheet      Sheet
	}{
		{"nothing", "has no pictures", Sheet{}},
		{"empty places alone", "has no pictures", Sheet{Cells: [][]image.Image{{nil, nil}, {}}}},
		{"no pixels", "row 0, column 1", Sheet{Cells: [][]image.Image{{one, image.NewGray(image.Rectangle{})}}}},
		{"too large", "fewer or smaller", Sheet{Cells: [][]image.Image{{one}}, Cell: 1 << 40}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.sheet.Image()
			if err == nil || !strings.HasPrefix(err.Error(), "chart: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error of chart with %q", err, test.want)
			}
		})
	}
}

func TestHeat(t *testing.T) {
	dark, bright := viridis[0], viridis[17]
	heat := func(values []float64, w, h int, o HeatOptions) *image.NRGBA {
		t.Helper()
		img, err := Heat(values, w, h, o)
		if err != nil {
			t.Fatal(err)
		}
		return img
	}

	// Blended: flat to the middle of the outer cells, half-way in the middle.
	img := heat([]float64{2, 4}, 2, 1, HeatOptions{Width: 201, Height: 3})
	wantPixel(t, img, 0, 0, dark)
	wantPixel(t, img, 49, 2, dark)
	wantPixel(t, img, 100, 1, Viridis(0.5))
	wantPixel(t, img, 200, 0, bright)

	img = heat([]float64{2, 4}, 2, 1, HeatOptions{Width: 201, Height: 3, Blocks: true})
	wantPixel(t, img, 99, 1, dark)
	wantPixel(t, img, 101, 1, bright)

	// Rows go down, columns to the right; a fixed range clips.
	img = heat([]float64{0, 1, 2, 3, 4, 5}, 3, 2, HeatOptions{Low: 1, High: 3})
	wantPixel(t, img, 0, 0, dark)
	wantPixel(t, img, 2, 0, Viridis(0.5))
	wantPixel(t, img, 0, 1, bright)
	wantPixel(t, img, 2, 1, bright)

	img = heat([]float64{math.NaN(), 1, math.Inf(1), 2}, 4, 1, HeatOptions{})
	wantPixel(t, img, 0, 0, color.NRGBA{0x99, 0x99, 0x99, 255})
	wantPixel(t, img, 1, 0, dark)
	wantPixel(t, img, 2, 0, color.NRGBA{0x99, 0x99, 0x99, 255})
	wantPixel(t, img, 3, 0, bright)

	img = heat([]float64{7, 7}, 1, 2, HeatOptions{Under: uniform(10, 6, red), Opacity: 0.25})
	if got, want := img.Bounds().Size(), image.Pt(10, 6); got != want {
		t.Errorf("got size %v, want that of the picture, %v", got, want)
	}
	wantPixel(t, img, 9, 5, Mix(red, dark, 0.25))

	img = heat([]float64{-math.MaxFloat64, math.MaxFloat64}, 2, 1, HeatOptions{Blocks: true})
	if img.Bounds().Empty() {
		t.Error("the largest range gives no picture")
	}
}

// Lightness, as luma, rises from end to end: the order of the values survives in print and without colours.
func TestViridis(t *testing.T) {
	luma := func(c color.NRGBA) float64 { return 0.299*float64(c.R) + 0.587*float64(c.G) + 0.114*float64(c.B) }
	for i := range 100 {
		if lo, hi := luma(Viridis(float64(i)/100)), luma(Viridis(float64(i+1)/100)); hi < lo {
			t.Errorf("from %d to %d of 100: luma falls from %.1f to %.1f", i, i+1, lo, hi)
		}
	}
	for v, want := range map[float64]color.NRGBA{-1: viridis[0], 0: viridis[0], 1: viridis[17], 2: viridis[17]} {
		if got := Viridis(v); got != want {
			t.Errorf("%g: got %v, want %v", v, got, want)
		}
	}
	// Entries of the published table that lie between those kept here.
	for i, want := range map[int]color.NRGBA{64: {59, 82, 139, 255}, 128: {33, 145, 140, 255}, 191: {92, 200, 99, 255}} {
		got := Viridis(float64(i) / 255)
		for _, off := range []int{int(got.R) - int(want.R), int(got.G) - int(want.G), int(got.B) - int(want.B)} {
			if off < -2 || off > 2 {
				t.Errorf("entry %d: got %v, want %v to within 2", i, got, want)
			}
		}
	}
}

func TestHeatErrors(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		w, h   int
		o      HeatOptions
	}{
		{"too few values", []float64{1, 2, 3}, 2, 2, HeatOptions{}},
		{"no values", nil, 0, 0, HeatOptions{}},
		{"too many pixels", []float64{1}, 1, 1, HeatOptions{Width: math.MaxInt, Height: math.MaxInt}},
		{"no pixels below", []float64{1}, 1, 1, HeatOptions{Under: image.NewGray(image.Rectangle{})}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Heat(test.values, test.w, test.h, test.o); err == nil || !strings.HasPrefix(err.Error(), "chart: ") {
				t.Errorf("got %v, want an error of chart", err)
			}
		})
	}
}

func TestMaskOverlay(t *testing.T) {
	img := uniform(9, 6, red)
	out, err := MaskOverlay(img, []bool{true, false, false, false, false, true}, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := out.Bounds(), image.Rect(0, 0, 9, 6); got != want {
		t.Fatalf("got bounds %v, want %v", got, want)
	}
	grey := out.NRGBAAt(0, 0)
	if grey.R != grey.G || grey.G != grey.B || grey.A != 255 {
		t.Errorf("got %v for a masked pixel, want an opaque grey", grey)
	}
	for y := range 6 {
		for x := range 9 {
			want := red
			if (x < 3 && y < 3) || (x >= 6 && y >= 3) {
				want = grey
			}
			wantPixel(t, out, x, y, want)
		}
	}
	wantPixel(t, img, 5, -3, red) // the input is left as it was
	for name, test := range map[string]struct {
		mask []bool
		h, w int
	}{
		"too short": {make([]bool, 5), 2, 3}, "no patches": {nil, 0, 0}, "finer than pixels": {make([]bool, 20), 1, 20},
	} {
		if _, err := MaskOverlay(img, test.mask, test.h, test.w); err == nil || !strings.HasPrefix(err.Error(), "chart: ") {
			t.Errorf("%s: got %v, want an error of chart", name, err)
		}
	}
}
