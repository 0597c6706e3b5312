package chart

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
)

// readPNG decodes the file at path.
func readPNG(t *testing.T, path string) image.Image {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	img, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// count counts the pixels of exactly one colour within a rectangle.
func count(img image.Image, within image.Rectangle, c color.NRGBA) int {
	n := 0
	for y := within.Min.Y; y < within.Max.Y; y++ {
		for x := within.Min.X; x < within.Max.X; x++ {
			if color.NRGBAModel.Convert(img.At(x, y)) == c {
				n++
			}
		}
	}
	return n
}

func TestLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "curves.png")
	nan := math.NaN()
	err := Lines(path, Options{Title: "Title", XLabel: "x", YLabel: "y", YMin: 0, YMax: 10},
		Series{Name: "gap", Y: []float64{2, 2, 2, nan, nan, nan, 2, 2, 2, 2}},
		Series{Name: "alone", X: []float64{4.5}, Y: []float64{8}},
		Series{Name: "nothing", Y: []float64{nan, math.Inf(1)}},
		Series{Name: "level", Y: []float64{5}, Level: true},
	)
	if err != nil {
		t.Fatal(err)
	}
	img := readPNG(t, path)
	if got, want := img.Bounds().Size(), image.Pt(1280, 800); got != want {
		t.Fatalf("got size %v, want %v", got, want)
	}
	// The x axis goes from 0 to 9 over about 1000 pixels. The curve has its ends at 0, 2, 6 and 9.
	line, dot := palette[0], palette[1]
	left, middle, right := image.Rect(60, 130, 280, 700), image.Rect(320, 130, 640, 700), image.Rect(760, 130, 1000, 700)
	for name, n := range map[string]int{"before": count(img, left, line), "behind": count(img, right, line)} {
		if n < 400 {
			t.Errorf("%s the gap: got %d pixels of the curve, want 400 or more", name, n)
		}
	}
	if n := count(img, middle, line); n != 0 {
		t.Errorf("in the gap: got %d pixels of the curve, want none", n)
	}
	if n := count(img, middle, dot); n < 60 {
		t.Errorf("got %d pixels of the single point, want 60 or more", n)
	}
	if n := count(img, img.Bounds(), palette[2]); n != 0 {
		t.Errorf("got %d pixels of the series without a point, want none", n)
	}
	if n := count(img, middle, quiet); n < 200 {
		t.Errorf("got %d pixels of the level, want 200 or more", n)
	}
}

// Curves of many points are means with a band around them, and a band lies below all curves.
func TestLinesOfManyPoints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "many.png")
	up, down := make([]float64, 10001), make([]float64, 10001)
	for i := range up {
		up[i] = float64(i%2)*10 - 5
		down[i] = -up[i]
	}
	if err := Lines(path, Options{}, Series{Y: up}, Series{Y: down}); err != nil {
		t.Fatal(err)
	}
	if n := count(readPNG(t, path), image.Rect(100, 100, 900, 700), palette[1]); n < 800 {
		t.Errorf("got %d pixels of the second mean, want 800 or more", n)
	}
	c := newCurve(Series{Y: up})
	if !c.banded || len(c.points) > buckets || c.x != (span{0, 10000}) || !c.whole {
		t.Errorf("got %d points, banded %t, x %v, whole %t; want at most %d banded points from 0 to 10000",
			len(c.points), c.banded, c.x, c.whole, buckets)
	}
	for _, m := range c.points {
		if m.span != (span{-5, 5}) || math.Abs(m.y) > 1 || m.breaks {
			t.Fatalf("got %+v, want a mean near 0 between -5 and 5", m)
		}
	}
}

// Whatever the numbers, the chart is drawn or an error says why not.
func TestLinesOfStrangeNumbers(t *testing.T) {
	huge, tiny := 1e100, math.SmallestNonzeroFloat64
	for i, series := range []Series{
		{Y: []float64{0}},
		{Y: []float64{7, 7, 7}},
		{Y: []float64{-huge, huge}},
		{Y: []float64{0, tiny}},
		{Y: []float64{1e16, 1e16 + 2}},
		{X: []float64{1e15, 1e15 + 1e-3}, Y: []float64{1e-300, 2e-300}},
		{X: []float64{-huge, huge}, Y: []float64{0, 1}},
		{X: []float64{3, 1, 2}, Y: []float64{1, math.MaxFloat64, 2}},
		{X: []float64{math.NaN(), 1, 2}, Y: []float64{1, 2, 3}},
		{Name: strings.Repeat("long ", 100), Y: []float64{1, 2}},
		{Name: "line\nbreak", Y: []float64{5}, Level: true},
	} {
		for _, o := range []Options{
			{},
			{YMin: -1, YMax: 1},
			{YMin: 1, YMax: math.Nextafter(1, 2)},
			{YMin: math.Inf(-1), YMax: 0},
			{Width: 1, Height: 1},
		} {
			if o.Width == 0 {
				o.Width, o.Height = 120, 80
			}
			path := filepath.Join(t.TempDir(), "strange.png")
			if err := Lines(path, o, series); err != nil {
				t.Errorf("case %d with %+v: %v", i, o, err)
			} else if readPNG(t, path).Bounds().Empty() {
				t.Errorf("case %d with %+v: the picture is empty", i, o)
			}
		}
	}
}

func TestLinesErrors(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name, path, want string
		series           []Series
	}{
		{"no series", "a.png", "no series has a finite point", nil},
		{"no finite point", "a.png", "no series has a finite point", []Series{{Y: []float64{math.NaN()}}, {Level: true}}},
		{"lengths", "a.png", `series "s" has 1 x and 2 y`, []Series{{Name: "s", X: []float64{1}, Y: []float64{1, 2}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := Lines(filepath.Join(dir, test.path), Options{}, test.series...)
			if err == nil || !strings.HasPrefix(err.Error(), "chart: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error of chart with %q", err, test.want)
			}
		})
	}
	err := Lines(filepath.Join(dir, "missing", "a.png"), Options{}, Series{Y: []float64{1}})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: got %v, want fs.ErrNotExist", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("failed charts left %v (%v)", left, err)
	}
}

func TestRoundTicks(t *testing.T) {
	tests := []struct {
		ticks  roundTicks
		lo, hi float64
		want   string
	}{
		{roundTicks{count: 5}, 0, 100, "0 20 40 60 80 100"},
		{roundTicks{count: 5}, -0.03, 0.47, "0.0 0.1 0.2 0.3 0.4"},
		{roundTicks{count: 5}, 1.9, 10.1, "2 4 6 8 10"},
		{roundTicks{count: 5}, -1, 1, "-1.0 -0.5 0.0 0.5 1.0"},
		{roundTicks{count: 6}, 0, 2, "0.0 0.5 1.0 1.5 2.0"},
		{roundTicks{count: 6, whole: true}, 0, 2, "0 1 2"},
		{roundTicks{count: 5}, 0, 5e-7, "0 1e-07 2e-07 3e-07 4e-07 5e-07"},
		{roundTicks{count: 5}, 0, 1e7, "0 2e+06 4e+06 6e+06 8e+06 1e+07"},
	}
	for _, test := range tests {
		var got []string
		for _, tick := range test.ticks.Ticks(test.lo, test.hi) {
			got = append(got, tick.Label)
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%g to %g: got %s, want %s", test.lo, test.hi, s, test.want)
		}
	}
}

func TestSpread(t *testing.T) {
	tests := []struct {
		name       string
		want, then []vg.Length
	}{
		{"far apart", []vg.Length{80, 20}, []vg.Length{80, 20}},
		{"close", []vg.Length{50, 52}, []vg.Length{46, 56}},
		{"equal: the first above", []vg.Length{50, 50}, []vg.Length{55, 45}},
		{"pushed up from the floor", []vg.Length{0, 1, 2}, []vg.Length{0, 10, 20}},
		{"pushed down from the ceiling", []vg.Length{100, 99}, []vg.Length{100, 90}},
		{"a group meets the next", []vg.Length{40, 41, 55}, []vg.Length{35.333333333333336, 45.333333333333336, 55.333333333333336}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := spread(test.want, 10, 0, 100); !slices.EqualFunc(got, test.then, func(a, b vg.Length) bool { return math.Abs(float64(a-b)) < 1e-9 }) {
				t.Errorf("got %v, want %v", got, test.then)
			}
		})
	}
	// More than there is room for: still apart and in order, from the floor up.
	var many []vg.Length
	for i := range 20 {
		many = append(many, vg.Length(i))
	}
	for i, at := range spread(many, 10, 0, 100) {
		if at != vg.Length(10*i) {
			t.Errorf("crowd: got %v for label %d, want %d", at, i, 10*i)
		}
	}
}

func BenchmarkLines(b *testing.B) {
	y := make([]float64, 100000)
	for i := range y {
		y[i] = math.Sin(float64(i) / 1000)
	}
	path := filepath.Join(b.TempDir(), "a.png")
	for b.Loop() {
		if err := Lines(path, Options{Title: "sine"}, Series{Name: "sin", Y: y}); err != nil {
			b.Fatal(fmt.Errorf("drawing: %w", err))
		}
	}
}
