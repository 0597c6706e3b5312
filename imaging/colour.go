package imaging

// #include "pixel.h"
import "C"

import "math"

// The operations below work in place and equal torchvision's adjust_* functions on Pillow images.
// Those that need red, green and blue leave images with other than three channels alone.

// AdjustBrightness multiplies every value by factor: 0 is black, 1 changes nothing.
func (im *Image) AdjustBrightness(factor float64) {
	im.blendWith(0, factor)
}

// AdjustContrast moves every value away from the image's mean gray by factor: 0 is a plain gray, 1
// changes nothing. The mean is that of the luma for three channels, of all values otherwise.
func (im *Image) AdjustContrast(factor float64) {
	var sum uint64
	n := im.W * im.H
	if im.C == 3 {
		sum = uint64(C.pix_luma_sum(isa, first(im.Pix), C.size_t(n)))
	} else {
		n *= im.C
		for _, v := range im.Pix {
			sum += uint64(v)
		}
	}
	mean := int(float64(sum)/float64(n) + 0.5)
	im.blendWith(mean, factor)
}

// blendWith replaces every value v by base + factor·(v-base), in float32 as Pillow's Blend.c,
// clipped and truncated.
func (im *Image) blendWith(base int, factor float64) {
	var table [256]uint8
	for v := range table {
		// The conversion keeps the product from being fused with the sum.
		x := float32(base) + float32(float32(factor)*float32(v-base))
		table[v] = uint8(min(max(x, 0), 255))
	}
	im.lookup(&table)
}

// lookup replaces every value v by table[v].
func (im *Image) lookup(table *[256]uint8) {
	C.pix_lookup(isa, first(im.Pix), C.size_t(len(im.Pix)), first(table[:]))
}

// AdjustSaturation moves every pixel away from its own gray by factor: 0 is a gray image, 1 changes
// nothing.
func (im *Image) AdjustSaturation(factor float64) {
	if im.C == 3 {
		C.pix_saturation(isa, first(im.Pix), C.size_t(im.W*im.H), C.float(factor))
	}
}

// AdjustHue turns the hue by shift, in turns: 0.5 and -0.5 give the complementary colours. Hue,
// saturation and value are bytes on the way, as in Pillow, so that a shift of 0 loses a little too.
func (im *Image) AdjustHue(shift float64) {
	if im.C == 3 {
		C.pix_hue(isa, first(im.Pix), C.size_t(im.W*im.H), C.uint8_t(int(shift*255))) // wraps, as uint8 in NumPy
	}
}

// Grayscale sets the three channels to the luma of ITU-R 601.
func (im *Image) Grayscale() {
	if im.C == 3 {
		C.pix_grayscale(isa, first(im.Pix), C.size_t(im.W*im.H))
	}
}

// Solarize inverts the values that are at least threshold.
func (im *Image) Solarize(threshold int) {
	var table [256]uint8
	for v := range table {
		table[v] = uint8(v)
		if v >= threshold {
			table[v] = uint8(255 - v)
		}
	}
	im.lookup(&table)
}

// Jitter holds the parameters of a random change of colours.
type Jitter struct {
	Brightness, Contrast, Saturation float64 // factors: 1 changes nothing
	Hue                              float64 // turns, in [-0.5, 0.5]
	Order                            [4]int  // of 0 brightness, 1 contrast, 2 saturation, 3 hue
}

// Apply changes im in place.
func (j Jitter) Apply(im *Image) {
	for _, op := range j.Order {
		switch op {
		case 0:
			im.AdjustBrightness(j.Brightness)
		case 1:
			im.AdjustContrast(j.Contrast)
		case 2:
			im.AdjustSaturation(j.Saturation)
		case 3:
			im.AdjustHue(j.Hue)
		}
	}
}

// Rand is what the Draw functions need of a generator; *rng.Stream and math/rand/v2's *Rand have
// it.
type Rand interface {
	Float64() float64 // in [0, 1)
	IntN(n int) int   // in [0, n)
}

func uniform(r Rand, lo, hi float64) float64 {
	return lo + (hi-lo)*r.Float64()
}

// DrawJitter draws as torchvision's ColorJitter: factors from [max(0, 1-b), 1+b] and so on, the hue
// from [-h, h], and the order of the four.
func DrawJitter(r Rand, b, c, s, h float64) Jitter {
	j := Jitter{Order: [4]int{0, 1, 2, 3}}
	for i := 3; i > 0; i-- {
		k := r.IntN(i + 1)
		j.Order[i], j.Order[k] = j.Order[k], j.Order[i]
	}
	j.Brightness = uniform(r, max(0, 1-b), 1+b)
	j.Contrast = uniform(r, max(0, 1-c), 1+c)
	j.Saturation = uniform(r, max(0, 1-s), 1+s)
	j.Hue = uniform(r, -h, h)
	return j
}

// DrawResizedCrop draws the box of torchvision's RandomResizedCrop for an image of w x h: a share
// of the area from scale, an aspect ratio (width over height) from ratio, evenly in its logarithm.
// After ten boxes that do not fit it falls back on the largest central box of an allowed ratio.
func DrawResizedCrop(r Rand, w, h int, scale, ratio [2]float64) Box {
	for range 10 {
		area := float64(w) * float64(h) * uniform(r, scale[0], scale[1])
		aspect := math.Exp(uniform(r, math.Log(ratio[0]), math.Log(ratio[1])))
		bw := int(math.RoundToEven(math.Sqrt(area * aspect)))
		bh := int(math.RoundToEven(math.Sqrt(area / aspect)))
		if 0 < bw && bw <= w && 0 < bh && bh <= h {
			top := r.IntN(h - bh + 1)
			return Box{Left: r.IntN(w - bw + 1), Top: top, Width: bw, Height: bh}
		}
	}
	bw, bh := w, h
	switch aspect := float64(w) / float64(h); {
	case aspect < min(ratio[0], ratio[1]):
		bh = int(math.RoundToEven(float64(w) / min(ratio[0], ratio[1])))
	case aspect > max(ratio[0], ratio[1]):
		bw = int(math.RoundToEven(float64(h) * max(ratio[0], ratio[1])))
	}
	bw, bh = max(bw, 1), max(bh, 1)
	return Box{Left: (w - bw) / 2, Top: (h - bh) / 2, Width: bw, Height: bh}
}
