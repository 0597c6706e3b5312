package torch

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"errors"
	"sync"
	"sync/atomic"
	"unsafe"
)

// checkpointed holds the functions of [Checkpoint] whose backward pass may come, by number.
var (
	checkpointed   sync.Map // int64 -> func(in []*Tensor) *Tensor
	lastCheckpoint atomic.Int64
)

// Checkpoint returns f(in), with the gradients that f has, and keeps nothing that f computes on the
// way: the backward pass runs f once more on the same inputs (Chen et al. 2016). So f must compute the same each time. Inputs
// that it gets are its own to differentiate; parameters it may reach as ever.
//
// Autocast is in f as it is here.
func Checkpoint(f func(in []*Tensor) *Tensor, in ...*Tensor) *Tensor {
	wanted := false
	for _, t := range in {
		wanted = wanted || t.RequiresGrad()
	}
	if !wanted || C.ib_grad_mode() == 0 {
		return Tidy(func() *Tensor { return f(in) })
	}
	forgetCheckpoints()
	device := in[0].Device()
	var dtype C.int32_t
	precision := Float32
	if C.ib_autocast(C.int32_t(device.Type), &dtype) != 0 {
		precision = DType(dtype)
	}
	return Tidy(func() *Tensor {
		var y *Tensor
		NoGrad(func() { y = Tidy(func() *Tensor { return f(in) }) })
		id := lastCheckpoint.Add(1)
		checkpointed.Store(id, func(in []*Tensor) (y *Tensor) {
			Autocast(device, precision, func() { y = f(in) })
			return y
		})
		handles := make([]C.ib_tensor, len(in))
		for i, t := range in {
			handles[i] = t.handle()
		}
		var out C.ib_tensor
		r := C.ib_checkpoint(C.int64_t(id), y.handle(), &handles[0], C.int64_t(len(handles)), &out)
		check("checkpoint", r, shapes([]any{in}))
		return wrap(out, int64(C.ib_scope()))
	})
}

// forgetCheckpoints lets go of functions whose nodes are gone.
func forgetCheckpoints() {
	var ids [64]C.int64_t
	for {
		n := C.ib_checkpoints_over(&ids[0], C.int64_t(len(ids)))
		for _, id := range ids[:n] {
			checkpointed.Delete(int64(id))
		}
		if int(n) < len(ids) {
			return
		}
	}
}

// ibotRecompute is called by the backward pass, on the thread that makes it; see checkpoint.cpp.
//
//export ibotRecompute
func ibotRecompute(id C.int64_t, grad C.ib_tensor, inputs *C.ib_tensor, n C.int64_t) *C.char {
	f, _ := checkpointed.Load(int64(id))
	err := Run(func() error {
		scope := int64(C.ib_scope())
		var in []*Tensor
		for _, h := range unsafe.Slice(inputs, n) {
			in = append(in, wrap(h, scope))
		}
		y := f.(func([]*Tensor) *Tensor)(in)
		r := C.ib_backward(y.handle(), grad)
		check("backward", r, [][]int{y.Shape()})
		return nil
	})
	if err == nil {
		return nil
	}
	text := err.Error()
	if errors.Is(err, ErrOutOfMemory) {
		text += " (out of memory)" // the words that the shim knows it by, on its way out of the backward pass
	}
	return C.CString(text)
}
