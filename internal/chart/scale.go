package chart

import (
	"image"
	"image/color"

	"golang.org/x/image/draw"
	xfont "golang.org/x/image/font"
)

// Scale is a bar of the colours of [Viridis] with the values that its ends stand for.
type Scale struct {
	Low, High string  // the values of the darkest and the brightest colour: "0", "max"
	Unit      string  // what is measured, written above the bar; may be empty
	Opacity   float64 // as that of the pictures, whose colours lie over gray; 0 for no gray
}

const (
	scaleBar = 22 // pixels across
	scaleGap = 8  // between bar and text
)

// width is the room that the scale takes to the right of a sheet.
func (s *Scale) width(f xfont.Face) int {
	return max(scaleBar+scaleGap+max(textWidth(f, s.Low), textWidth(f, s.High)), textWidth(f, s.Unit))
}

// draw draws the bar into a rectangle and its values beside it.
func (s *Scale) draw(img draw.Image, f xfont.Face, at image.Rectangle) {
	for y := at.Min.Y; y < at.Max.Y; y++ {
		c := Viridis(1 - (float64(y-at.Min.Y)+0.5)/float64(at.Dy()))
		if s.Opacity > 0 {
			c = Mix(color.NRGBA{0x80, 0x80, 0x80, 0xff}, c, s.Opacity)
		}
		draw.Draw(img, image.Rect(at.Min.X, y, at.Max.X, y+1), image.NewUniform(c), image.Point{}, draw.Src)
	}
	m := f.Metrics()
	x := at.Max.X + scaleGap
	write(img, f, s.High, x, at.Min.Y+m.Ascent.Ceil(), quiet)
	write(img, f, s.Low, x, at.Max.Y-m.Descent.Ceil(), quiet)
	write(img, f, s.Unit, at.Min.X, at.Min.Y-sheetGap-m.Descent.Ceil(), quiet)
}
