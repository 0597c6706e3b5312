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
	whole, inner, outer := ExtendedBox(radius)
	size := C.pix_blur_scratch(C.int(im.W), C.int(im.H), C.int(im.C))
	withScratch(size, func(p unsafe.Pointer) {
		C.pix_blur(isa, first(im.Pix), C.int(im.W), C.int(im.H), C.int(im.C), BlurPasses,
			C.int(whole), C.uint32_t(inner), C.uint32_t(outer), p)
	})
}

// BlurPasses is how often [Image.GaussianBlur] applies its box along each axis.
const BlurPasses = 3

// ExtendedBox returns the box of a pass of [Image.GaussianBlur] with a standard deviation of radius
// pixels: 2·whole+1 pixels of the weight inner between two of the weight outer, in units of 2^-24. The
// box's fractional radius gives all passes together the variance of the Gaussian: equations 7, 11 and 14
// of Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended Box Filtering" (SSVM
// 2011), with the roundings to float32 of Pillow's BoxBlur.c. Radii beyond a million pixels count as a
// million.
func ExtendedBox(radius float64) (whole int, inner, outer uint32) {
	r := float32(min(radius, 1e6))
	variance := float32(r*r) / BlurPasses
	length := float32(math.Sqrt(12*float64(variance) + 1))
	l := float32(math.Floor((float64(length) - 1) / 2))
	next := float32((l + 1) * (l + 1))
	box := l + float32((2*l+1)*(float32(l*(l+1))-float32(3*variance)))/float32(6*(variance-next))
	whole = int(box)
	inner = uint32(float32(1<<24) / (float32(box*2) + 1))
	return whole, inner, (1<<24 - uint32(2*whole+1)*inner) / 2
}
