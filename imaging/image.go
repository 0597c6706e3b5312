package imaging

// #include "pixel.h"
import "C"

import (
	"fmt"
	"image"
	"math"
)

// Image is a picture of W by H pixels with C channels of 8 bits. Pix holds them row by row,
// channels interleaved (HWC), without padding: channel c of the pixel at (x, y) is
// Pix[(y*W+x)*C+c].
type Image struct {
	W, H, C int
	Pix     []uint8
}

// New returns a black image. It panics where a size is not positive.
func New(w, h, c int) *Image {
	if w <= 0 || h <= 0 || c <= 0 || w > math.MaxInt32/c || h > math.MaxInt32 {
		panic(fmt.Sprintf("imaging: an image needs positive sizes of 31 bits, got width %d, height %d, channels %d",
			w, h, c))
	}
	return &Image{W: w, H: h, C: c, Pix: make([]uint8, w*h*c)}
}

// Clone returns a copy that shares nothing with im.
func (im *Image) Clone() *Image {
	out := New(im.W, im.H, im.C)
	copy(out.Pix, im.Pix)
	return out
}

// Box is a rectangle of pixels: Width columns from Left on, Height rows from Top on.
type Box struct {
	Left, Top, Width, Height int
}

// inside reports whether every pixel of b is one of im.
func (b Box) inside(im *Image) bool {
	return b.Left >= 0 && b.Top >= 0 && b.Width > 0 && b.Height > 0 &&
		b.Left <= im.W-b.Width && b.Top <= im.H-b.Height
}

// Crop returns a copy of the pixels in b. Where b reaches beyond the image it is black, as in
// Pillow.
func (im *Image) Crop(b Box) *Image {
	out := New(b.Width, b.Height, im.C)
	left, right := max(b.Left, 0), min(b.Left+b.Width, im.W)
	if left >= right {
		return out
	}
	for y := max(b.Top, 0); y < min(b.Top+b.Height, im.H); y++ {
		row := im.Pix[(y*im.W+left)*im.C : (y*im.W+right)*im.C]
		copy(out.Pix[((y-b.Top)*b.Width+left-b.Left)*im.C:], row)
	}
	return out
}

// CenterCrop returns the middle size x size pixels, with torchvision's rounding (half to even).
// An image that is smaller is padded with black, as torchvision does.
func (im *Image) CenterCrop(size int) *Image {
	if im.W < size || im.H < size {
		padLeft, padTop := max(size-im.W, 0)/2, max(size-im.H, 0)/2
		im = im.Crop(Box{-padLeft, -padTop, max(im.W, size), max(im.H, size)})
	}
	return im.Crop(Box{
		Left:   int(math.RoundToEven(float64(im.W-size) / 2)),
		Top:    int(math.RoundToEven(float64(im.H-size) / 2)),
		Width:  size,
		Height: size,
	})
}

// FlipH mirrors the image in place, left to right.
func (im *Image) FlipH() {
	stride := im.W * im.C
	for y := range im.H {
		row := im.Pix[y*stride : (y+1)*stride]
		if im.C == 3 {
			for i, j := 0, len(row)-3; i < j; i, j = i+3, j-3 {
				row[i], row[i+1], row[i+2], row[j], row[j+1], row[j+2] =
					row[j], row[j+1], row[j+2], row[i], row[i+1], row[i+2]
			}
			continue
		}
		for i, j := 0, stride-im.C; i < j; i, j = i+im.C, j-im.C {
			for c := range im.C {
				row[i+c], row[j+c] = row[j+c], row[i+c]
			}
		}
	}
}

// ToCHW writes the image to dst as C planes of H*W float32, each value (v/255 - mean[c]) / std[c],
// rounded after every operation as torchvision's ToTensor and Normalize do. It
// panics where dst has not W*H*C elements, or mean or std not C.
func (im *Image) ToCHW(dst, mean, std []float32) {
	if len(dst) != len(im.Pix) || len(mean) != im.C || len(std) != im.C {
		panic(fmt.Sprintf("imaging: an image of %dx%dx%d needs as many floats, and %d means and stds; got %d, %d, %d",
			im.W, im.H, im.C, im.C, len(dst), len(mean), len(std)))
	}
	C.pix_normalize(isa, first(im.Pix), C.size_t(im.W*im.H), C.int(im.C),
		(*C.float)(&mean[0]), (*C.float)(&std[0]), (*C.float)(&dst[0]))
}

// ToImage returns a copy for the standard library: gray for one channel, the first three as RGB
// otherwise (with two channels, blue is 0). It is opaque.
func (im *Image) ToImage() *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, im.W, im.H))
	for i := range im.W * im.H {
		src, dst := im.Pix[i*im.C:(i+1)*im.C], out.Pix[4*i:4*i+4]
		if im.C == 1 {
			dst[0], dst[1], dst[2] = src[0], src[0], src[0]
		} else {
			copy(dst[:3], src)
		}
		dst[3] = 255
	}
	return out
}
