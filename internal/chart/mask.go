package chart

import (
	"fmt"
	"image"
	"image/color"

	"golang.org/x/image/draw"
)

// veil is what masked patches fade to: a grey that a hint of the image shines through.
var veil = color.NRGBA{0x8c, 0x8c, 0x8c, 0xff}

// MaskOverlay shows an image with its masked patches greyed out. mask has gridH x gridW patches, row by
// row, that divide the image evenly.
//
// It fails where the mask has another number of patches or more of them than the image has pixels.
func MaskOverlay(img image.Image, mask []bool, gridH, gridW int) (*image.NRGBA, error) {
	size := img.Bounds().Size()
	switch {
	case gridH < 1 || gridW < 1 || len(mask)/gridW != gridH || len(mask)%gridW != 0:
		return nil, fmt.Errorf("chart: want a mask of %d x %d patches, found %d", gridH, gridW, len(mask))
	case gridH > size.Y || gridW > size.X:
		return nil, fmt.Errorf("chart: want a mask of at most %d x %d patches for an image of as many pixels, found %d x %d",
			size.Y, size.X, gridH, gridW)
	}
	out := image.NewNRGBA(image.Rectangle{Max: size})
	draw.Draw(out, out.Bounds(), img, img.Bounds().Min, draw.Src)
	for y := range size.Y {
		for x := range size.X {
			if !mask[y*gridH/size.Y*gridW+x*gridW/size.X] {
				continue
			}
			c := out.NRGBAAt(x, y)
			luma := color.GrayModel.Convert(c).(color.Gray).Y
			out.SetNRGBA(x, y, Mix(color.NRGBA{luma, luma, luma, 0xff}, veil, 0.82))
		}
	}
	return out, nil
}
