package analysis

import (
	"image"
	"image/color"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ibot/imaging"
	"ibot/internal/chart"
	"ibot/method"
	"ibot/rng"
)

// The notes say all that was drawn, and nothing that is not done.
func TestViewNotes(t *testing.T) {
	full := method.View{
		Box: imaging.Box{Left: 3, Top: 4, Width: 20, Height: 10}, Size: 32, Flip: true, Gray: true, BlurRadius: 1.234, Solarize: true,
		Jitter: &imaging.Jitter{Brightness: 1.25, Contrast: 0.8, Saturation: 1, Hue: -0.05, Order: [4]int{3, 1, 0, 2}},
	}
	colour, gray, five := imaging.New(40, 30, 3), imaging.New(40, 30, 1), imaging.New(40, 30, 5)
	not := func(key, channels string) chart.Note {
		return chart.Note{Key: key, Value: "not with " + channels, Quiet: true}
	}
	no := func(key string) chart.Note { return chart.Note{Key: key, Value: "no", Quiet: true} }
	for _, c := range []struct {
		name string
		view method.View
		src  *imaging.Image
		want []chart.Note
	}{
		{"everything", full, colour, []chart.Note{
			{Key: "crop", Value: "20 × 10 at 3, 4"},
			{Key: "flip", Value: "yes"},
			{Key: "jitter", Value: "hue −18°"},
			{Value: "contrast × 0.80"},
			{Value: "brightness × 1.25"},
			{Value: "saturation × 1.00"},
			{Key: "gray", Value: "yes"},
			{Key: "blur", Value: "1.23 pixels"},
			{Key: "solarize", Value: "yes"},
		}},
		{"nothing", method.View{Box: full.Box, Size: 32}, colour, []chart.Note{
			{Key: "crop", Value: "20 × 10 at 3, 4"}, no("flip"), no("jitter"), {}, {}, {}, no("gray"), no("blur"), no("solarize"),
		}},
		{"one channel, whose colours stay", full, gray, []chart.Note{
			{Key: "crop", Value: "20 × 10 at 3, 4"},
			{Key: "flip", Value: "yes"},
			not("jitter", "1 channel"),
			{},
			{},
			{},
			not("gray", "1 channel"),
			{Key: "blur", Value: "1.23 pixels"},
			not("solarize", "1 channel"),
		}},
		{"five channels", method.View{Box: full.Box, Size: 32}, five, []chart.Note{
			{Key: "crop", Value: "20 × 10 at 3, 4"},
			no("flip"),
			not("jitter", "5 channels"),
			{},
			{},
			{},
			not("gray", "5 channels"),
			no("blur"),
			not("solarize", "5 channels"),
		}},
	} {
		got := viewNotes(c.view, c.src)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		if len(got) != viewLines-1 {
			t.Errorf("%s: got %d lines, want %d", c.name, len(got), viewLines-1)
		}
	}
	for hue, want := range map[float64]string{-0.001: "hue 0°", 0.001: "hue 0°", -0.01: "hue −4°", 0.05: "hue +18°"} {
		if got := jitterNote(&imaging.Jitter{Hue: hue}, 3); got != want {
			t.Errorf("a hue of %g: got %q, want %q", hue, got, want)
		}
	}
	for channels, want := range map[int]string{1: "1 channel, as gray", 2: "2, as red and green", 3: "", 5: "channels 1, 2, 3 of 5"} {
		if got := channelNote(channels).Value; got != want {
			t.Errorf("%d channels: got %q, want %q", channels, got, want)
		}
	}
	want := []chart.Note{{Key: "masked", Value: "67 %"}, {Key: "patches", Value: "4 of 2 × 3"}}
	if got := maskNotes([]bool{true, true, false, true, false, true}, 2, 3); !reflect.DeepEqual(got, want) {
		t.Errorf("of a mask: got %v, want %v", got, want)
	}
}

// An image, its global view with its mask, and six local views in a row of five and one of one.
func TestParametersSheet(t *testing.T) {
	s := Sample{Name: "halves.png", Source: halves(40, 40), Masks: [][]bool{{true, false, false, true}}}
	s.Views = append(s.Views, method.View{Box: imaging.Box{Left: 20, Top: 10, Width: 20, Height: 20}, Size: 32})
	for i := range 6 {
		s.Views = append(s.Views, method.View{Box: imaging.Box{Left: 2 * i, Width: 8, Height: 8}, Size: 16})
	}
	path := filepath.Join(t.TempDir(), "views.png")
	if err := ParametersSheet(path, []Sample{s}, 1, 2, 2); err != nil {
		t.Fatal(err)
	}
	img := readPNG(t, path)
	const side, gap, rim = 232, 8, 20
	if got, want := img.Bounds().Dx(), 5*side+4*gap+2*rim; got != want {
		t.Fatalf("the sheet is %d wide, want %d for five pictures", got, want)
	}
	// Rows have the same height, so their pictures are as far from each other as from the lower edge.
	red, blue := color.NRGBA{200, 0, 0, 255}, color.NRGBA{0, 0, 200, 255}
	_, locals := pixels(img, img.Bounds(), localColour)
	_, globals := pixels(img, image.Rect(rim+side, 0, img.Bounds().Dx(), img.Bounds().Dy()), globalColours[0])
	row := (locals.Max.Y - globals.Max.Y) / 2
	cell := func(y, x int) image.Rectangle {
		return image.Rect(0, 0, side, side).Add(image.Pt(rim+x*(side+gap), globals.Min.Y+y*row))
	}
	const seen = 224 * 224 // 7 times 32, and 14 times 16
	for _, c := range []struct {
		name       string
		y, x       int
		red, blue  int
		frame      color.NRGBA
		frameWidth int
	}{
		{"global 1 is from the right of the image", 0, 1, 0, seen, globalColours[0], viewFrame},
		{"and half of it is masked", 0, 2, 0, seen / 2, globalColours[0], viewFrame},
		{"nothing is beside it", 0, 3, 0, 0, color.NRGBA{}, 0},
		{"local 1 is from the left", 1, 0, seen, 0, localColour, viewFrame},
		{"so is local 5", 1, 4, seen, 0, localColour, viewFrame},
		{"local 6 begins a row", 2, 0, seen, 0, localColour, viewFrame},
		{"and is alone in it", 2, 1, 0, 0, color.NRGBA{}, 0},
	} {
		r, _ := pixels(img, cell(c.y, c.x), red)
		b, _ := pixels(img, cell(c.y, c.x), blue)
		f, _ := pixels(img, cell(c.y, c.x), c.frame)
		if r != c.red || b != c.blue || f != side*side-(side-2*c.frameWidth)*(side-2*c.frameWidth) {
			t.Errorf("%s: got %d red, %d blue and %d frame pixels, want %d, %d and a frame of %d", c.name, r, b, f, c.red, c.blue, c.frameWidth)
		}
	}
	// Text stands below a picture: the global view has nine notes, its mask two.
	ink := func(x int) int {
		n, _ := pixels(img, image.Rect(rim+x*(side+gap), globals.Max.Y, rim+x*(side+gap)+side, globals.Max.Y+row-side-gap), color.NRGBA{0x22, 0x22, 0x22, 0xff})
		return n
	}
	if ink(0) == 0 || ink(1) == 0 || ink(2) == 0 || ink(3) != 0 {
		t.Errorf("text of %d, %d, %d and %d pixels below the first row, want some below all but the last", ink(0), ink(1), ink(2), ink(3))
	}
}

// What the sheet shows depends on the streams alone, and a large view is reduced to its place.
func TestParametersSheetOfDrawnViews(t *testing.T) {
	v := method.DefaultViews()
	v.GlobalSize, v.LocalSize, v.LocalNumber = 300, 96, 2
	draw := func(path string) {
		src := drawing(t, 0, 64)
		s := Sample{Source: src, Views: v.Draw(rng.Seed(3), 0, 0, src.W, src.H)}
		if err := ParametersSheet(path, []Sample{s}, 2, 8, 8); err != nil {
			t.Fatal(err)
		}
	}
	a, b := filepath.Join(t.TempDir(), "a.png"), filepath.Join(t.TempDir(), "b.png")
	draw(a)
	draw(b)
	wantSameFile(t, a, b)
	if got, want := readPNG(t, a).Bounds().Dx(), 3*232+2*8+2*20; got != want {
		t.Errorf("the sheet is %d wide, want %d for three pictures", got, want)
	}
}

func TestParametersSheetErrors(t *testing.T) {
	dir := t.TempDir()
	view := method.View{Box: imaging.Box{Width: 16, Height: 16}, Size: 16}
	sample := Sample{Source: halves(16, 16), Views: []method.View{view, view}}
	masked := sample
	masked.Masks = [][]bool{make([]bool, 4), make([]bool, 6)}
	few := sample
	few.Masks = make([][]bool, 1)
	for _, c := range []struct {
		name, want, file string
		samples          []Sample
		globals          int
	}{
		{"no samples", "has no pictures", "v.png", nil, 2},
		{"no global views", "want 1 global view or more", "v.png", []Sample{sample}, 0},
		{"too few views", "image 0 of", "v.png", []Sample{sample}, 3},
		{"too few masks", "has 2 views and 1 masks", "v.png", []Sample{few}, 2},
		{"another grid", "view 1: chart: want a mask of 2 x 2", "v.png", []Sample{masked}, 2},
		{"no folder", "no/v.png", "no/v.png", []Sample{sample}, 2},
	} {
		err := ParametersSheet(filepath.Join(dir, c.file), c.samples, c.globals, 2, 2)
		if err == nil || !strings.HasPrefix(err.Error(), "analysis: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error of analysis with %q", c.name, err, c.want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("found %v (%v) after calls that failed, want nothing", left, err)
	}
}
