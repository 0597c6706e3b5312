package chart

import (
	"image"
	"image/color"
	"math"
	"testing"
)

func TestLineAndDisc(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 40, 20))
	Line(img, 4, 10, 30, 10, 4, red)
	wantPixel(t, img, 4, 8, red)
	wantPixel(t, img, 29, 11, red)
	wantPixel(t, img, 30, 10, color.NRGBA{})
	wantPixel(t, img, 10, 12, color.NRGBA{})
	Disc(img, 35, 10, 4, blue)
	wantPixel(t, img, 35, 10, blue)
	wantPixel(t, img, 35, 7, blue)
	wantPixel(t, img, 31, 6, color.NRGBA{})
	Frame(img, image.Rect(0, 0, 40, 20), 2, blue)
	wantPixel(t, img, 1, 1, blue)
	wantPixel(t, img, 39, 19, blue)
	wantPixel(t, img, 2, 2, color.NRGBA{})
	// What lies outside, or is none, is no harm.
	before := append([]uint8(nil), img.Pix...)
	Line(img, -90, -90, -50, -50, 3, red)
	Line(img, 5, 5, 5, 5, 3, red)
	Line(img, 5, 5, math.Inf(1), 5, 3, red)
	Disc(img, 400, 10, 4, red)
	Disc(img, 10, 10, 0, red)
	for i, v := range img.Pix {
		if v != before[i] {
			t.Fatalf("byte %d changed", i)
		}
	}
}

// The bar stands to the right of the first row, bright at the top; captions of several lines have their room.
func TestSheetScale(t *testing.T) {
	s := Sheet{
		Title: "t", Cell: 100, Rows: []string{"one\ntwo\nthree"}, Below: [][]string{{"below"}},
		Cells: [][]image.Image{{uniform(4, 4, red)}}, Scale: &Scale{Low: "-0.25", High: "1.00", Unit: "cosine"},
	}
	img, err := s.Image()
	if err != nil {
		t.Fatal(err)
	}
	lay, err := s.layout()
	if err != nil {
		t.Fatal(err)
	}
	wantPixel(t, img, lay.right+5, lay.top, Mix(Viridis(1-.5/100), Viridis(1-.5/100), 0))
	if top, bottom := img.NRGBAAt(lay.right+5, lay.top), img.NRGBAAt(lay.right+5, lay.top+99); top.G < bottom.G+100 {
		t.Errorf("the bar goes from %v at the top to %v; want it bright at the top", top, bottom)
	}
	wantPixel(t, img, lay.right+5, lay.top+101, paper)
	for name, area := range map[string]image.Rectangle{
		"values":  image.Rect(lay.right+scaleBar+scaleGap, lay.top, lay.width, lay.top+100),
		"unit":    image.Rect(lay.right, 0, lay.width, lay.top),
		"below":   image.Rect(lay.left, lay.top+101, lay.left+100, lay.height),
		"lines 1": image.Rect(0, lay.top, lay.left-sheetGap, lay.top+38),
		"lines 3": image.Rect(0, lay.top+66, lay.left-sheetGap, lay.top+110),
	} {
		if n := area.Dx()*area.Dy() - count(img, area, paper); n < 40 {
			t.Errorf("%s: %d pixels of text in %v", name, n, area)
		}
	}
	// Nothing is cut off at the edges.
	edge := image.Rect(lay.width-4, 0, lay.width, lay.height)
	if n := count(img, edge, paper); n != edge.Dx()*edge.Dy() {
		t.Errorf("%d pixels at the right edge are not white", edge.Dx()*edge.Dy()-n)
	}
}

func TestResample(t *testing.T) {
	got, err := Resample([]float64{0, 1}, 2, 1, 4, 1)
	if err != nil || got[0] != 0 || got[1] != .25 || got[2] != .75 || got[3] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := Resample([]float64{0, 1}, 3, 1, 4, 1); err == nil {
		t.Error("a map of another size: no error")
	}
}
