package method

import (
	"math"

	"ibot/imaging"
)

// taps is a linear map of a line of pixels onto another in Pillow's fixed point: place o of the result is
//
//	clip((Σ_k weight[o·n+k] · in[start[o]+k] + 2^(bits-1)) >> bits)
//
// Cropping and resizing is one such map across and one down, and so is each pass of the blur.
type taps struct {
	n      int     // weights of a place
	start  []int64 // [out]; start+n is at most the length of the line
	weight []int32 // [out·n]
}

// The fixed points of Pillow's Resample.c and BoxBlur.c.
const (
	bicubicBits = 22
	blurBits    = 24
)

// bicubicTaps resamples in pixels to out as Pillow does (precompute_coeffs and normalize_coeffs_8bpc of
// Resample.c): Keys' cubic, whose support grows with the scale where the line becomes shorter.
// Conversions to float64 keep products from being fused with sums, which would round once too little.
func bicubicTaps(in, out int) taps {
	scale := float64(in) / float64(out)
	filterScale := max(scale, 1)
	support := 2 * filterScale
	t := newTaps(out, min(2*int(math.Ceil(support))+1, in))
	raw := make([]float64, t.n)
	for o := range out {
		centre := (float64(o) + 0.5) * scale
		first := max(int(centre-support+0.5), 0)
		end := min(int(centre+support+0.5), in)
		total := 0.0
		for k := range end - first {
			raw[k] = bicubic((float64(k+first) - centre + 0.5) * (1 / filterScale))
			total += raw[k]
		}
		start := min(first, in-t.n)
		t.start[o] = int64(start)
		for k, w := range raw[:end-first] {
			if total != 0 {
				w /= total
			}
			t.weight[o*t.n+first-start+k] = int32(float64(w*(1<<bicubicBits)) + math.Copysign(0.5, w))
		}
	}
	return t
}

// bicubic is Keys' cubic convolution kernel with a = -1/2.
func bicubic(x float64) float64 {
	const a = -0.5
	switch x = math.Abs(x); {
	case x < 1:
		return float64(float64((float64((a+2)*x)-(a+3))*x)*x) + 1
	case x < 2:
		return (float64((float64((x-5)*x)+8)*x) - 4) * a
	}
	return 0
}

// blurTaps is one of the three passes of Pillow's Gaussian blur, with a standard deviation of radius
// pixels, over a line of the given length: [imaging.ExtendedBox], whose two outermost weights are smaller.
// Beyond the line its last pixel counts on.
func blurTaps(radius float64, length int) taps {
	whole, inner, outer := imaging.ExtendedBox(radius)
	reach := min(whole+1, length) // farther places are those of the last pixel in any case
	t := newTaps(length, min(2*reach+1, length))
	for o := range length {
		start := min(max(o-reach, 0), length-t.n)
		t.start[o] = int64(start)
		for offset := -reach; offset <= reach; offset++ {
			weight := inner
			if offset == reach || offset == -reach {
				weight = inner*uint32(whole+1-reach) + outer
			}
			at := min(max(o+offset, 0), length-1)
			t.weight[o*t.n+at-start] += int32(weight)
		}
	}
	return t
}

func newTaps(out, n int) taps {
	return taps{n: n, start: make([]int64, out), weight: make([]int32, out*n)}
}

// reverse turns the result of the map left to right.
func (t taps) reverse() {
	for a, b := 0, len(t.start)-1; a < b; a, b = a+1, b-1 {
		t.start[a], t.start[b] = t.start[b], t.start[a]
		for k := range t.n {
			i, j := a*t.n+k, b*t.n+k
			t.weight[i], t.weight[j] = t.weight[j], t.weight[i]
		}
	}
}
