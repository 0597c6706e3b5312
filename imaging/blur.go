package imaging

// #include "pixel.h"
import "C"

import (
	"math"
	"unsafe"
)

// GaussianBlur blurs in place with a standard deviation of radius pixels, as Pillow's
// ImageFilter.GaussianBlur: three extended box blurs across, then three down. A radius that is not
// positive changes nothing; radii beyond a million pixels count as a million.
func (im *Image) GaussianBlur(radius float64) {
	if !(radius > 0) {
		return
	}
	const passes = 3
	box := boxRadius(float32(min(radius, 1e6)), passes)
	// The weights of Pillow's BoxBlur.c, in units of 2^-24: of the 2·whole+1 inner pixels, and of
	// the two outer ones.
	whole := int(box)
	inner := uint32(float32(1<<24) / (float32(box*2) + 1))
	outer := (1<<24 - uint32(2*whole+1)*inner) / 2
	size := C.pix_blur_scratch(C.int(im.W), C.int(im.H), C.int(im.C))
	withScratch(size, func(p unsafe.Pointer) {
		C.pix_blur(isa, first(im.Pix), C.int(im.W), C.int(im.H), C.int(im.C), passes,
			C.int(whole), C.uint32_t(inner), C.uint32_t(outer), p)
	})
}

// boxRadius returns the fractional radius of the box that, applied passes times, has the variance
// of a Gaussian with standard deviation radius: equations 7, 11 and 14 of Gwosdek et al., with
// Pillow's roundings to float32.
func boxRadius(radius float32, passes int) float32 {
	variance := float32(radius*radius) / float32(passes)
	length := float32(math.Sqrt(12*float64(variance) + 1))
	whole := float32(math.Floor((float64(length) - 1) / 2))
	next := float32((whole + 1) * (whole + 1))
	part := float32((2*whole+1)*(float32(whole*(whole+1))-float32(3*variance))) / float32(6*(variance-next))
	return whole + part
}
