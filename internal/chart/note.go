package chart

import (
	"image"

	"golang.org/x/image/draw"
)

// Note is a line of text below a picture.
type Note struct {
	Key, Value string
	Quiet      bool // of little weight: what does not apply
}

const (
	noteSize  = 6  // points
	noteKey   = 66 // pixels for the key
	noteSpace = 6  // pixels between the picture and its title
)

// Annotate returns the picture in the lower left corner of a square of side pixels, and below it a title and notes,
// with room for the given number of lines. Text that is too wide loses its middle.
func Annotate(picture image.Image, side int, title string, notes []Note, lines int) *image.NRGBA {
	bold, plain := face(true, noteSize), face(false, noteSize)
	height, ascent := plain.Metrics().Height.Ceil()+2, plain.Metrics().Ascent.Ceil()
	img := image.NewNRGBA(image.Rect(0, 0, side, side+noteSpace+(1+lines)*height))
	draw.Draw(img, img.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	size := picture.Bounds().Size()
	corner := image.Pt(0, side-size.Y)
	draw.Draw(img, image.Rectangle{corner, corner.Add(size)}, picture, picture.Bounds().Min, draw.Over)

	y := side + noteSpace + ascent
	write(img, bold, fit(bold, title, side), 0, y, ink)
	for _, n := range notes[:min(len(notes), lines)] {
		y += height
		write(img, plain, n.Key, 0, y, quiet)
		colour := ink
		if n.Quiet {
			colour = quiet
		}
		write(img, plain, fit(plain, n.Value, side-noteKey), noteKey, y, colour)
	}
	return img
}
