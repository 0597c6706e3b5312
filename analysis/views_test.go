package analysis

import (
	"image"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/imaging"
	"ibot/method"
	"ibot/rng"
)

// halves is an image whose left half is red and whose right half is blue.
func halves(w, h int) *imaging.Image {
	im := uniform(w, h, color.NRGBA{0, 0, 200, 255})
	for i := 0; i < len(im.Pix); i += 3 {
		if i/3%w < w/2 {
			copy(im.Pix[i:], []uint8{200, 0, 0})
		}
	}
	return im
}

// Two images, of which one is masked and has two local views, and the other has neither.
func TestViewsSheet(t *testing.T) {
	samples := []Sample{
		{
			Source: halves(40, 40),
			Views: []method.View{
				{Box: imaging.Box{Left: 20, Top: 10, Width: 20, Height: 20}, Size: 40},
				{Box: imaging.Box{Width: 40, Height: 40}, Size: 40, Flip: true},
				{Box: imaging.Box{Left: 5, Top: 5, Width: 10, Height: 10}, Size: 16},
				{Box: imaging.Box{Left: 25, Top: 25, Width: 10, Height: 10}, Size: 16},
			},
			Masks: [][]bool{{true, false, false, true}, {false, true, false, false}},
		},
		{
			Source: halves(400, 200),
			Views: []method.View{
				{Box: imaging.Box{Width: 200, Height: 200}, Size: 40},
				{Box: imaging.Box{Left: 200, Width: 200, Height: 200}, Size: 40},
			},
		},
	}
	path := filepath.Join(t.TempDir(), "views.png")
	if err := ViewsSheet(path, samples, 2, 2, 2); err != nil {
		t.Fatal(err)
	}
	img := readPNG(t, path)
	// Two rows of seven pictures of 168 pixels end 20 from the corner, with 8 between them.
	cell := func(row, column int) image.Rectangle {
		return image.Rect(0, 0, 168, 168).Add(img.Bounds().Max).Sub(image.Pt(20+(7-column)*176-8, 20+(2-row)*176-8))
	}
	red, blue, white := color.NRGBA{200, 0, 0, 255}, color.NRGBA{0, 0, 200, 255}, color.NRGBA{255, 255, 255, 255}

	type counts struct{ red, blue, white, frame int }
	const frame, all, half = 168*168 - 160*160, 160 * 160, 160 * 80
	for _, c := range []struct {
		name        string
		row, column int
		colour      color.NRGBA
		want        counts
	}{
		{"global 1 is from the right of the image", 0, 1, globalColours[0], counts{blue: all, frame: frame}},
		{"and half of it is masked", 0, 2, globalColours[0], counts{blue: half, frame: frame}},
		{"global 2 is the image, flipped", 0, 3, globalColours[1], counts{red: half, blue: half, frame: frame}},
		{"so that its upper right, which is masked, is red", 0, 4, globalColours[1], counts{red: half / 2, blue: half, frame: frame}},
		{"local 1 is from the left", 0, 5, localColour, counts{red: all, frame: frame}},
		{"local 2 is from the right", 0, 6, localColour, counts{blue: all, frame: frame}},
		{"global 1 of the second image", 1, 1, globalColours[0], counts{red: all, frame: frame}},
		{"is not masked", 1, 2, globalColours[0], counts{white: 168 * 168}},
		{"global 2 of the second image", 1, 3, globalColours[1], counts{blue: all, frame: frame}},
		{"nor has it local views", 1, 5, localColour, counts{white: 168 * 168}},
	} {
		var got counts
		for into, colour := range map[*int]color.NRGBA{&got.red: red, &got.blue: blue, &got.white: white, &got.frame: c.colour} {
			*into, _ = pixels(img, cell(c.row, c.column), colour)
		}
		if got != c.want {
			t.Errorf("%s: got %+v pixels, want %+v", c.name, got, c.want)
		}
	}

	// The boxes of the first image: its pixels are 4.2 wide.
	for _, c := range []struct {
		name   string
		colour color.NRGBA
		want   image.Rectangle
	}{
		{"global 1", globalColours[0], image.Rect(84, 42, 168, 126)},
		{"global 2", globalColours[1], image.Rect(0, 0, 168, 168)},
		{"the local views", localColour, image.Rect(21, 21, 147, 147)},
	} {
		_, box := pixels(img, cell(0, 0), c.colour)
		if got := box.Sub(cell(0, 0).Min); got != c.want {
			t.Errorf("boxes of %s: got %v, want %v", c.name, got, c.want)
		}
	}
	// The second image is twice as wide as high, in the middle of its cell.
	wide := cell(1, 0)
	for y, want := range map[int]int{0: 168, 41: 168, 42: 0, 125: 0, 126: 168} {
		if n, _ := pixels(img, image.Rect(wide.Min.X, wide.Min.Y+y, wide.Max.X, wide.Min.Y+y+1), white); n != want {
			t.Errorf("line %d of the wide image's cell has %d white pixels, want %d", y, n, want)
		}
	}
}

// What the sheet shows depends on the stream of the views and on nothing else.
func TestViewsSheetOfDrawnViews(t *testing.T) {
	v, m := method.DefaultViews(), method.DefaultMasks()
	v.GlobalSize, v.LocalSize, v.GlobalNumber, v.LocalNumber = 32, 16, 3, 2
	draw := func(path string) {
		var samples []Sample
		for i := range 2 {
			src := drawing(t, i, 48)
			s := Sample{Name: "drawing", Source: src, Views: v.Draw(rng.Seed(7), 1, i, src.W, src.H)}
			for g := range v.GlobalNumber {
				s.Masks = append(s.Masks, m.Draw(rng.Seed(7).Stream("mask", 1, i, g), 8, 8))
			}
			samples = append(samples, s)
		}
		if err := ViewsSheet(path, samples, v.GlobalNumber, 8, 8); err != nil {
			t.Fatal(err)
		}
	}
	a, b := filepath.Join(t.TempDir(), "a.png"), filepath.Join(t.TempDir(), "b.png")
	draw(a)
	draw(b)
	wantSameFile(t, a, b)
	img := readPNG(t, a)
	if got, want := img.Bounds().Dx(), 9*176-8+40; got < want+50 || got > want+200 {
		t.Errorf("got a sheet %d wide, want %d for nine pictures and room for a caption", got, want)
	}
	for g := range v.GlobalNumber {
		if n, _ := pixels(img, img.Bounds(), globalColours[g]); n < 2*2*(168*168-160*160) {
			t.Errorf("global view %d has %d pixels of frames, want those of two pictures of two images or more", g+1, n)
		}
	}
}

func TestViewsSheetErrors(t *testing.T) {
	dir := t.TempDir()
	src := halves(16, 16)
	view := method.View{Box: imaging.Box{Width: 16, Height: 16}, Size: 16}
	two := []method.View{view, view}
	for _, c := range []struct {
		name, want string
		file       string
		samples    []Sample
		globals    int
	}{
		{"no samples", "has no pictures", "v.png", nil, 2},
		{"no global views", "want 1 global view or more", "v.png", []Sample{{Source: src, Views: two}}, 0},
		{"too few views", "image 1 of", "v.png", []Sample{{Source: src, Views: two}, {Source: src, Views: two[:1]}}, 2},
		{"too few masks", "has 2 views and 1 masks", "v.png", []Sample{{Source: src, Views: two, Masks: make([][]bool, 1)}}, 2},
		{"another grid", "view 1: chart: want a mask of 2 x 2", "v.png", []Sample{{Source: src, Views: two, Masks: [][]bool{make([]bool, 4), make([]bool, 6)}}}, 2},
		{"no folder", "no/v.png", "no/v.png", []Sample{{Source: src, Views: two}}, 2},
	} {
		err := ViewsSheet(filepath.Join(dir, c.file), c.samples, c.globals, 2, 2)
		if err == nil || !strings.HasPrefix(err.Error(), "analysis: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error of analysis with %q", c.name, err, c.want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("found %v (%v) after calls that failed, want nothing", left, err)
	}
}
