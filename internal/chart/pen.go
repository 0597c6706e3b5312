package chart

import (
	"image"
	"image/color"
	"math"

	"golang.org/x/image/draw"
	"golang.org/x/image/vector"
)

// Palette returns colour i of those of Okabe and Ito (2008), which are told apart with any kind of
// colour vision; after seven they begin again.
func Palette(i int) color.NRGBA { return palette[i%len(palette)] }

// Line draws a straight line with smooth edges, width pixels wide, from (x0, y0) to (x1, y1); (0, 0) is
// the upper left corner of the upper left pixel.
func Line(img draw.Image, x0, y0, x1, y1, width float64, c color.Color) {
	length := math.Hypot(x1-x0, y1-y0)
	if length == 0 || !(width > 0) || math.IsInf(length, 0) {
		return
	}
	dx, dy := (x1-x0)/length*width/2, (y1-y0)/length*width/2
	fill(img, c, [][2]float64{{x0 - dy, y0 + dx}, {x1 - dy, y1 + dx}, {x1 + dy, y1 - dx}, {x0 + dy, y0 - dx}})
}

// Disc draws a filled circle with a smooth edge around (x, y).
func Disc(img draw.Image, x, y, radius float64, c color.Color) {
	if !(radius > 0) {
		return
	}
	corners := make([][2]float64, max(12, int(4*radius)))
	for i := range corners {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(len(corners)))
		corners[i] = [2]float64{x + radius*cos, y + radius*sin}
	}
	fill(img, c, corners)
}

// Frame draws the border of a rectangle, within it.
func Frame(img draw.Image, r image.Rectangle, width int, c color.Color) {
	for _, side := range []image.Rectangle{
		{r.Min, image.Pt(r.Max.X, r.Min.Y+width)},
		{image.Pt(r.Min.X, r.Max.Y-width), r.Max},
		{r.Min, image.Pt(r.Min.X+width, r.Max.Y)},
		{image.Pt(r.Max.X-width, r.Min.Y), r.Max},
	} {
		draw.Draw(img, side.Intersect(r), image.NewUniform(c), image.Point{}, draw.Over)
	}
}

// fill paints a polygon. Only the part of the picture that it covers is touched.
func fill(img draw.Image, c color.Color, corners [][2]float64) {
	x, y := span{math.Inf(1), math.Inf(-1)}, span{math.Inf(1), math.Inf(-1)}
	for _, p := range corners {
		x, y = x.with(p[0]), y.with(p[1])
	}
	b := img.Bounds()
	area := image.Rect(
		int(max(math.Floor(x.lo), float64(b.Min.X))), int(max(math.Floor(y.lo), float64(b.Min.Y))),
		int(min(math.Ceil(x.hi), float64(b.Max.X))), int(min(math.Ceil(y.hi), float64(b.Max.Y))))
	if area.Empty() {
		return
	}
	r := vector.NewRasterizer(area.Dx(), area.Dy())
	for i, p := range corners {
		px, py := float32(p[0]-float64(area.Min.X)), float32(p[1]-float64(area.Min.Y))
		if i == 0 {
			r.MoveTo(px, py)
		} else {
			r.LineTo(px, py)
		}
	}
	r.ClosePath()
	r.Draw(img, area, image.NewUniform(c), image.Point{})
}

// Text writes a line of text in the size of captions, its upper left corner at (x, y), and returns its
// width in pixels.
func Text(img draw.Image, x, y int, text string, c color.Color) int {
	f := face(false, captionSize)
	write(img, f, text, x, y+f.Metrics().Ascent.Ceil(), c)
	return textWidth(f, text)
}
