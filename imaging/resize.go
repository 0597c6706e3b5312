package imaging

// #include "pixel.h"
import "C"

import (
	"fmt"
	"math"
	"unsafe"
)

// Filter is a resampling filter of Pillow. When an image shrinks, its support grows with the
// scale, so that every source pixel counts (antialiasing).
type Filter int

const (
	BoxFilter Filter = iota // mean of the source pixels
	Bilinear                // triangle, support 1
	Bicubic                 // Keys' cubic with a = -0.5, support 2
	Nearest                 // the one nearest pixel; of Transform and Rotate only
	Lanczos                 // windowed sinc, support 3; of Resize only
)

// String returns the filter's name.
func (f Filter) String() string {
	switch f {
	case BoxFilter:
		return "box"
	case Bilinear:
		return "bilinear"
	case Bicubic:
		return "bicubic"
	case Nearest:
		return "nearest"
	case Lanczos:
		return "lanczos"
	}
	return fmt.Sprintf("Filter(%d)", int(f))
}

// Resize returns the image at w x h pixels, equal to Pillow's Image.resize. It panics where w or h
// is not positive.
func (im *Image) Resize(w, h int, f Filter) *Image {
	return im.CropResize(Box{0, 0, im.W, im.H}, w, h, f)
}

// CropResize returns im.Crop(b).Resize(w, h, f) without making the crop: the pixels around b have
// no influence.
func (im *Image) CropResize(b Box, w, h int, f Filter) *Image {
	out := New(w, h, im.C)
	out.CropResizeFrom(im, b, f, false)
	return out
}

// CropResizeFrom replaces every pixel of im by src.CropResize(b, im.W, im.H, f), where mirrored flipped
// left to right, which is free here. It panics where src has other channels than im.
func (im *Image) CropResizeFrom(src *Image, b Box, f Filter, mirrored bool) {
	if src.C != im.C {
		panic(fmt.Sprintf("imaging: an image of %d channels cannot be resized into one of %d", src.C, im.C))
	}
	if f < BoxFilter || f > Lanczos || f == Nearest {
		panic(fmt.Sprintf("imaging: there is no resizing with the filter %v", f))
	}
	if !b.inside(src) {
		src = src.Crop(b)
		b.Left, b.Top = 0, 0
	}
	reversed := C.int(0)
	if mirrored && b.Width != im.W {
		reversed = 1
	}
	pix := src.Pix[(b.Top*src.W+b.Left)*src.C:]
	w, h := C.int(im.W), C.int(im.H)
	size := C.pix_resize_scratch(C.int(b.Width), C.int(b.Height), C.int(im.C), w, h, C.int(f))
	withScratch(size, func(p unsafe.Pointer) {
		C.pix_resize(isa, first(pix), C.ptrdiff_t(len(pix)), C.ptrdiff_t(src.W*src.C), C.int(b.Width), C.int(b.Height),
			C.int(im.C), first(im.Pix), w, h, C.int(f), reversed, p)
	})
	if mirrored && b.Width == im.W {
		im.FlipH() // there is no pass across that could do it
	}
}

// ResizeShorter makes the shorter side size pixels long and keeps the proportions, the longer side
// truncated to an integer as torchvision's Resize(size) does.
func (im *Image) ResizeShorter(size int, f Filter) *Image {
	longer := func(short, long int) int {
		return int(math.Floor(float64(size*long) / float64(short)))
	}
	if im.W <= im.H {
		return im.Resize(size, longer(im.W, im.H), f)
	}
	return im.Resize(longer(im.H, im.W), size, f)
}

// Windows are the weights of one pass of a resize, as Pillow's Resample.c has them: place o of the result is
// the sum of Weight[o*Taps+k] times pixel Start[o]+k, over k below Count[o], in units of 2^-22.
type Windows struct {
	Taps         int
	Start, Count []int32 // [out]
	Weight       []int32 // [out*Taps]
}

// ResizeWindows returns the weights that a line of in pixels is resized to out with; mirrored begins with the last place.
func ResizeWindows(in, out int, f Filter, mirrored bool) Windows {
	if in < 1 || out < 1 || f < BoxFilter || f > Bicubic {
		panic(fmt.Sprintf("imaging: there are no weights from %d pixels to %d with the filter %v", in, out, f))
	}
	taps := int(C.pix_taps(C.int(in), C.int(out), C.int(f)))
	w := Windows{taps, make([]int32, out), make([]int32, out), make([]int32, out*taps)}
	work := make([]float64, taps)
	last := C.int(0)
	if mirrored {
		last = 1
	}
	C.pix_weights(C.int(in), C.int(out), C.int(f), last, (*C.int32_t)(&w.Start[0]), (*C.int32_t)(&w.Count[0]),
		(*C.int32_t)(&w.Weight[0]), (*C.double)(&work[0]))
	return w
}

// Thumbnail returns the image shrunk until neither side is longer than size pixels, with the
// proportions that come nearest, as Pillow's Image.thumbnail with LANCZOS. A smaller image is returned
// as it is. (Of one that is four times larger or more, Pillow first takes means of some pixels each; here
// the filter sees all of them.)
func (im *Image) Thumbnail(size int) *Image {
	if im.W <= size && im.H <= size {
		return im
	}
	aspect := float64(im.W) / float64(im.H)
	// nearest is the whole number beside v with the least error, at least 1.
	nearest := func(v float64, off func(n float64) float64) int {
		low, high := math.Floor(v), math.Ceil(v)
		if off(high) < off(low) {
			low = high
		}
		return max(int(low), 1)
	}
	if side := float64(size); aspect <= 1 {
		w := nearest(side*aspect, func(n float64) float64 { return math.Abs(aspect - n/side) })
		return im.Resize(w, size, Lanczos)
	} else {
		h := nearest(side/aspect, func(n float64) float64 {
			if n == 0 {
				return 0
			}
			return math.Abs(aspect - side/n)
		})
		return im.Resize(size, h, Lanczos)
	}
}
