// Package chart draws the PNGs of a run's folder: curves over steps or epochs (Lines), grids of
// pictures with captions (Sheet), attention as colours over an image (Heat) and images with their
// masked patches greyed out (MaskOverlay).
//
// The colours are told apart with any kind of colour vision, and pictures have the density of screens
// with two pixels to the point.
package chart

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"

	stdfont "golang.org/x/image/font"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"

	"ibot/internal/atomicfile"
)

// dpi is twice the density that points are made for.
const dpi = 192

var (
	ink   = color.NRGBA{0x22, 0x22, 0x22, 0xff}
	quiet = color.NRGBA{0x66, 0x66, 0x66, 0xff}
	faint = color.NRGBA{0xe2, 0xe2, 0xe2, 0xff}
	paper = color.NRGBA{0xff, 0xff, 0xff, 0xff}
)

// sans is the type of all text, Liberation Sans, which gonum/plot brings along.
func sans(bold bool, size vg.Length) font.Font {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		f.Weight = stdfont.WeightBold
	}
	return f
}

// style is plain text for gonum/plot, which aligns it by x and y.
func style(f font.Font, c color.Color, x text.XAlignment, y text.YAlignment) text.Style {
	return text.Style{Color: c, Font: f, XAlign: x, YAlign: y, Handler: text.Plain{Fonts: font.DefaultCache}}
}

// WritePNG writes img to path, in full or not at all.
func WritePNG(path string, img image.Image) error {
	err := atomicfile.Write(path, func(w io.Writer) error { return png.Encode(w, img) })
	if err != nil {
		return fmt.Errorf("chart: cannot write a picture: %w", err)
	}
	return nil
}
