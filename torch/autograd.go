package torch

/*
#include "shim.h"
*/
import "C"

import (
	"math"
	"runtime"
)

func invSqrt(d int) float64 { return 1 / math.Sqrt(float64(d)) }

// Backward computes the gradients of t, a scalar, with respect to every leaf that requires one, and
// adds them to the leaves' [Tensor.Grad].
func (t *Tensor) Backward() {
	r := C.ib_backward(t.handle(), nil)
	check("backward", r, [][]int{t.Shape()})
	runtime.KeepAlive(t)
}

// RequireGrad sets whether gradients with respect to t are wanted, and returns t.
func (t *Tensor) RequireGrad(on bool) *Tensor {
	var flag C.int32_t
	if on {
		flag = 1
	}
	check("set_requires_grad", C.ib_set_requires_grad(t.handle(), flag), nil)
	runtime.KeepAlive(t)
	return t
}

// RequiresGrad reports whether gradients with respect to t are wanted.
func (t *Tensor) RequiresGrad() bool {
	on := C.ib_requires_grad(t.handle()) != 0
	runtime.KeepAlive(t)
	return on
}

// Grad returns the gradient that [Tensor.Backward] left at t, or nil. It shares memory with it.
func (t *Tensor) Grad() *Tensor {
	var h C.ib_tensor
	r := C.ib_grad(t.handle(), &h)
	check("grad", r, nil)
	runtime.KeepAlive(t)
	if h == nil {
		return nil
	}
	return wrap(h, int64(r.scope))
}

// SetGrad replaces the gradient at t; nil removes it.
func (t *Tensor) SetGrad(g *Tensor) {
	var h C.ib_tensor
	if g != nil {
		h = g.handle()
	}
	check("set_grad", C.ib_set_grad(t.handle(), h), nil)
	runtime.KeepAlive(t)
	runtime.KeepAlive(g)
}
