package imaging

import (
	"fmt"
	"math"
)

// ResizeOpenCV returns the image at w x h pixels as OpenCV's resize makes it by default
// (INTER_LINEAR, 8 bits): between the two nearest pixels of each axis, however much the image
// shrinks, so not antialiased; in 11-bit fixed point. It panics where w or h is not positive.
func (im *Image) ResizeOpenCV(w, h int) *Image {
	if w < 1 || h < 1 {
		panic(fmt.Sprintf("imaging: there is no image of %dx%d pixels", w, h))
	}
	if w == im.W && h == im.H {
		return im.Clone()
	}
	if im.W == 2*w && im.H == 2*h {
		return im.halved()
	}
	out := New(w, h, im.C)
	columns, rows := linearTaps(im.W, w), linearTaps(im.H, h)
	stride := w * im.C
	// Two rows of the source, resized across: the last two that were needed.
	across, have := [2][]int32{make([]int32, stride), make([]int32, stride)}, [2]int{-1, -1}
	row := func(y int) []int32 {
		if have[y%2] != y {
			src, dst := im.Pix[y*im.W*im.C:(y+1)*im.W*im.C], across[y%2]
			for x, t := range columns {
				if t.at < 0 || t.at >= im.W-1 { // beyond the border; down the rows it is not treated so
					t.at = min(max(t.at, 0), im.W-1)
					t.weight = [2]int32{2048, 0}
				}
				a, b := src[t.at*im.C:], src[min(t.at+1, im.W-1)*im.C:]
				for c := range im.C {
					dst[x*im.C+c] = int32(a[c])*t.weight[0] + int32(b[c])*t.weight[1]
				}
			}
			have[y%2] = y
		}
		return across[y%2]
	}
	for y, t := range rows {
		above, below := row(max(t.at, 0)), row(min(t.at+1, im.H-1))
		dst := out.Pix[y*stride : (y+1)*stride]
		for i := range dst {
			dst[i] = uint8((above[i]>>4*t.weight[0]>>16 + below[i]>>4*t.weight[1]>>16 + 2) >> 2)
		}
	}
	return out
}

// linearTap is where an output place lies between the input places at and at+1, in 2048ths. They may
// be one beyond the border.
type linearTap struct {
	at     int
	weight [2]int32
}

func linearTaps(in, out int) []linearTap {
	taps := make([]linearTap, out)
	scale := float64(in) / float64(out)
	for i := range taps {
		x := float32((float64(i)+0.5)*scale - 0.5)
		at := int(math.Floor(float64(x)))
		part := x - float32(at)
		round := func(v float32) int32 { return int32(math.RoundToEven(float64(v * 2048))) }
		taps[i] = linearTap{at, [2]int32{round(1 - part), round(part)}}
	}
	return taps
}

// halved is what OpenCV does in the place of INTER_LINEAR where both sides halve: means of 2x2 pixels.
func (im *Image) halved() *Image {
	out := New(im.W/2, im.H/2, im.C)
	for y := range out.H {
		for x := range out.W {
			for c := range im.C {
				at := (2*y*im.W+2*x)*im.C + c
				below := at + im.W*im.C
				sum := int(im.Pix[at]) + int(im.Pix[at+im.C]) + int(im.Pix[below]) + int(im.Pix[below+im.C])
				out.Pix[(y*out.W+x)*im.C+c] = uint8((sum + 2) >> 2)
			}
		}
	}
	return out
}
