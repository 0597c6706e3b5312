package torch

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// OpTime is what the calls of an operator took.
type OpTime struct {
	Name  string // "aten::addmm", or of a step of the backward pass "AddmmBackward0"
	Calls int
	Self  time.Duration // on the host, without the operators that it calls
}

// Profile runs f and returns what each operator took, the longest first. Operators of all threads count,
// so nothing else should run meanwhile. Timing adds a microsecond or so to a call.
func Profile(f func()) []OpTime {
	C.ib_profile_begin()
	text := func() string {
		defer func() {
			if r := recover(); r != nil {
				C.free(unsafe.Pointer(C.ib_profile_end()))
				panic(r)
			}
		}()
		f()
		p := C.ib_profile_end()
		defer C.free(unsafe.Pointer(p))
		return C.GoString(p)
	}()
	var ops []OpTime
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		calls, _ := strconv.Atoi(f[1])
		seconds, _ := strconv.ParseFloat(f[2], 64)
		ops = append(ops, OpTime{f[0], calls, time.Duration(seconds * float64(time.Second))})
	}
	slices.SortFunc(ops, func(a, b OpTime) int { return cmp.Compare(b.Self, a.Self) })
	return ops
}

// MatrixPeak measures how many floating-point operations a second a large matrix product makes on d: the best of
// several of 2048 x 2048 x 2048, or of smaller ones where these would take seconds.
func MatrixPeak(d Device, dtype DType) float64 {
	engine := func(x, _ *Tensor) *Tensor { return opLinear.one(x, x, nil) }
	step := func(x, w *Tensor) (y *Tensor) { // which may have kernels of our own
		Autocast(d, dtype, func() { y = x.Linear(w, nil) })
		return y
	}
	return max(peakOf(engine, d, dtype), peakOf(step, d, dtype))
}

// peakOf is [MatrixPeak] of one way to make products.
func peakOf(product func(x, w *Tensor) *Tensor, d Device, dtype DType) float64 {
	const n, rounds = 2048, 8
	peak := productSpeed(product, d, dtype, n/8, 10)
	if 2*n*n*n/peak > 1 { // a processor without the type: smaller products tell as much
		return peak
	}
	return productSpeed(product, d, dtype, n, rounds)
}

// productSpeed is the greatest speed of some products of n x n x n, in floating-point operations a second.
func productSpeed(product func(x, w *Tensor) *Tensor, d Device, dtype DType, n, rounds int) float64 {
	best := time.Duration(1 << 62)
	Scope(func() {
		NoGrad(func() {
			x, w := Ones(dtype, d, n, n), Ones(Float32, d, n, n)
			for range rounds {
				began := time.Now()
				Scope(func() { product(x, w).Slice(0, 0, 1).SumAll().Item() }) // Item waits for the device
				best = min(best, time.Since(began))
			}
		})
	})
	return 2 * float64(n) * float64(n) * float64(n) / best.Seconds()
}

// PackedBytes returns how many bytes a layer on the CPU keeps of each number of its weight, packed as its kernels take it, for
// products in dtype; 0 where it keeps none. Of a weight that is trained it does so twice. An MLP on such kernels keeps nothing of
// what GELU gives.
func PackedBytes(dtype DType) int {
	var half C.int32_t
	if dtype == BFloat16 {
		half = 1
	}
	return int(C.ib_packed_bytes(half))
}
