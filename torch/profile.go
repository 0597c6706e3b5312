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
// several of 2048 x 2048 x 2048.
func MatrixPeak(d Device, dtype DType) float64 {
	const n, rounds = 2048, 8
	best := time.Duration(1 << 62)
	Scope(func() {
		NoGrad(func() {
			x := Ones(dtype, d, n, n)
			for range rounds {
				began := time.Now()
				Scope(func() { x.Linear(x, nil).Slice(0, 0, 1).SumAll().Item() }) // Item waits for the device
				best = min(best, time.Since(began))
			}
		})
	})
	return 2 * n * n * n / best.Seconds()
}
