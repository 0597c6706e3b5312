package ckpt

import (
	"math"
	"slices"
)

// rowMajor returns the strides, in elements, of a contiguous array of the given shape.
func rowMajor(shape []int) []int {
	strides := make([]int, len(shape))
	for i, s := len(shape)-1, 1; i >= 0; i-- {
		strides[i] = s
		s *= max(shape[i], 1)
	}
	return strides
}

// columnMajor returns the strides, in elements, of an array in Fortran's order.
func columnMajor(shape []int) []int {
	reversed := slices.Clone(shape)
	slices.Reverse(reversed)
	strides := rowMajor(reversed)
	slices.Reverse(strides)
	return strides
}

// contiguous reports whether an array of the given shape and strides lies in memory in
// row-major order. The strides of axes of size one do not matter.
func contiguous(shape, strides []int) bool {
	for i, want := range rowMajor(shape) {
		if shape[i] == 0 {
			return true
		}
		if shape[i] > 1 && strides[i] != want {
			return false
		}
	}
	return true
}

// extent returns how many elements of its memory an array with these strides reaches over, and
// whether that number could be computed: shape and strides are not negative, and nothing
// overflows.
func extent(shape, strides []int) (int, bool) {
	last := 0
	for i, d := range shape {
		switch {
		case d < 0 || strides[i] < 0:
			return 0, false
		case d == 0:
			return 0, true
		case strides[i] > 0 && d-1 > (math.MaxInt/2-last)/strides[i]:
			return 0, false
		}
		last += (d - 1) * strides[i]
	}
	return last + 1, true
}

// gather copies a strided array, elements of size bytes each, into row-major order. The caller
// has checked that src covers its extent.
func gather(src []byte, size int, shape, strides []int) []byte {
	n := size
	for _, d := range shape {
		n *= d
	}
	dst := make([]byte, 0, n)
	if n == 0 {
		return dst
	}
	at := make([]int, len(shape)) // the index of the current element
	offset := 0                   // and its place in src, in elements
	for {
		dst = append(dst, src[offset*size:(offset+1)*size]...)
		axis := len(shape) - 1
		for ; axis >= 0; axis-- { // count up, the last axis first
			if at[axis]++; at[axis] < shape[axis] {
				offset += strides[axis]
				break
			}
			offset -= (shape[axis] - 1) * strides[axis]
			at[axis] = 0
		}
		if axis < 0 {
			return dst
		}
	}
}

// swapBytes turns around the bytes of each number of size bytes in b.
func swapBytes(b []byte, size int) {
	for ; size > 1 && len(b) >= size; b = b[size:] {
		slices.Reverse(b[:size])
	}
}
