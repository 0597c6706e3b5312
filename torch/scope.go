package torch

/*
#include "shim.h"
*/
import "C"

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

var live atomic.Int64

// Live returns how many tensors are alive: made and not yet freed.
func Live() int { return int(live.Load()) }

// A scope owns tensors. Its id lies on the OS thread, in the shim, and comes back with every
// result, so that no context has to be passed through the mathematics.
type scope struct {
	id      int64
	outer   *scope
	tensors []*Tensor
}

var (
	scopes    sync.Map // int64 -> *scope
	lastScope atomic.Int64
)

// current returns the scope with the given id; nil outside of all scopes.
func current(id int64) *scope {
	if id == 0 {
		return nil
	}
	s, _ := scopes.Load(id)
	return s.(*scope)
}

// enter opens a scope on this thread and returns it with the function that closes it.
func enter() (s *scope, leave func()) {
	runtime.LockOSThread()
	s = &scope{id: lastScope.Add(1)}
	scopes.Store(s.id, s)
	outer := int64(C.ib_set_scope(C.int64_t(s.id)))
	s.outer = current(outer)
	return s, func() {
		C.ib_set_scope(C.int64_t(outer))
		scopes.Delete(s.id)
		s.free()
		runtime.UnlockOSThread()
	}
}

// free frees the tensors that still belong to s.
func (s *scope) free() {
	handles := make([]C.ib_tensor, 0, len(s.tensors))
	for _, t := range s.tensors {
		if t.scope == s && t.h != nil {
			handles = append(handles, C.ib_tensor(t.h))
			t.h, t.scope = nil, nil
		}
	}
	if len(handles) > 0 {
		C.ib_free(&handles[0], C.int64_t(len(handles)))
		live.Add(int64(-len(handles)))
	}
	s.tensors = nil
}

// Scope calls f and frees every tensor that was made in it and not kept.
func Scope(f func()) {
	_, leave := enter()
	defer leave()
	f()
}

// Tidy calls f and frees every tensor that was made in it but its result, which then belongs
// to the scope around.
func Tidy(f func() *Tensor) *Tensor {
	return TidyAll(func() []*Tensor { return []*Tensor{f()} })[0]
}

// TidyAll is [Tidy] for several results. A nil result stays nil.
func TidyAll(f func() []*Tensor) []*Tensor {
	s, leave := enter()
	defer leave()
	results := f()
	for _, t := range results {
		if t != nil && t.scope == s {
			t.Keep()
		}
	}
	return results
}

// Run calls f in a scope and returns its error. A panic with an [*Error], as operators raise it,
// is returned as that error; every other panic goes on.
func Run(f func() error) (err error) {
	_, leave := enter()
	defer leave()
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			err = e
		}
	}()
	return f()
}

// Keep moves t one scope out and returns it.
func (t *Tensor) Keep() *Tensor {
	if t.scope == nil {
		return t
	}
	t.adopt(t.scope.outer)
	return t
}

// Own takes t out of all scopes and returns it: it lives until [Tensor.Free] is called, or until
// the collector finds it unreachable.
func (t *Tensor) Own() *Tensor {
	if t.scope != nil {
		t.adopt(nil)
	}
	return t
}

// Free frees t now, whichever scope it belongs to. Using it afterwards panics.
func (t *Tensor) Free() {
	if t == nil || t.h == nil {
		return
	}
	t.cleanup.Stop()
	h := C.ib_tensor(t.h)
	t.h, t.scope = nil, nil
	freeHandle(h)
}

// adopt makes t belong to s, or to the collector where s is nil.
func (t *Tensor) adopt(s *scope) {
	t.scope = s
	if s != nil {
		s.tensors = append(s.tensors, t)
		return
	}
	t.cleanup = runtime.AddCleanup(t, func(h unsafe.Pointer) { freeHandle(C.ib_tensor(h)) }, t.h)
}

func freeHandle(h C.ib_tensor) {
	C.ib_free(&h, 1)
	live.Add(-1)
}

// NoGrad calls f with gradients switched off on this thread.
func NoGrad(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	was := C.ib_set_grad_mode(0)
	defer C.ib_set_grad_mode(was)
	f()
}

// Autocast calls f with libtorch's automatic casts to dtype for matrix products on the kind of
// device d is. With [Float32] it switches them off, for a part that must stay exact.
func Autocast(d Device, dtype DType, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var on C.int32_t
	if dtype != Float32 {
		on = 1
	} else {
		dtype = BFloat16 // of no effect while off; float32 is refused by some versions
	}
	var old C.int32_t
	was := C.ib_autocast_begin(C.int32_t(d.Type), on, C.int32_t(dtype), &old)
	defer C.ib_autocast_end(C.int32_t(d.Type), was, old)
	f()
}
