package method

import (
	"slices"

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

// bicubicTaps resamples in pixels to out, mirrored from right to left, with the weights of [imaging.Image.Resize].
func bicubicTaps(in, out int, mirrored bool) taps {
	w := imaging.ResizeWindows(in, out, imaging.Bicubic, mirrored)
	t := newTaps(out, min(int(slices.Max(w.Count)), in))
	for o, first := range w.Start {
		start := min(int(first), in-t.n)
		t.start[o] = int64(start)
		copy(t.weight[o*t.n+int(first)-start:(o+1)*t.n], w.Weight[o*w.Taps:][:w.Count[o]])
	}
	return t
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
