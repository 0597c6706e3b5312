package torch

/*
#include <stdlib.h>
#include "shim.h"

#cgo noescape ib_call
*/
import "C"

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// op is an operator of libtorch's dispatcher, looked up on its first use.
type op struct {
	name string // "aten::add.Tensor"
	once sync.Once
	h    C.ib_op
}

// aten declares the operator "aten::<name>", with its overload after a dot.
func aten(name string) *op { return &op{name: "aten::" + name} }

// find returns the handle, or nil where this engine has no such operator.
func (o *op) find() C.ib_op {
	o.once.Do(func() {
		name, overload, _ := strings.Cut(o.name, ".")
		cname, coverload := C.CString(name), C.CString(overload)
		defer C.free(unsafe.Pointer(cname))
		defer C.free(unsafe.Pointer(coverload))
		o.h = C.ib_find(cname, coverload)
	})
	return o.h
}

var named sync.Map // string -> *op, of Call and Has

func byName(name string) *op {
	if o, ok := named.Load(name); ok {
		return o.(*op)
	}
	o, _ := named.LoadOrStore(name, &op{name: name})
	return o.(*op)
}

// Has reports whether this engine has the operator, for example
// "aten::scaled_dot_product_attention", which came with libtorch 2.0.
func Has(name string) bool { return byName(name).find() != nil }

// Call runs any operator by its name ("aten::roll", "aten::add.Tensor") and returns its tensors.
// Arguments are *Tensor, []*Tensor, int, float64, bool, []int, []float64, DType, Device, string or
// nil for None; those left out at the end take the schema's defaults.
func Call(name string, args ...any) []*Tensor { return byName(name).all(args...) }

// pack holds the arguments of a call in the form of the shim.
type pack struct {
	args    [16]C.ib_value
	n       int
	ints    []C.int64_t
	doubles []C.double
	tensors []C.ib_tensor
	bytes   []byte
}

func (p *pack) add(arg any) error {
	if p.n == len(p.args) {
		return fmt.Errorf("more than %d arguments", len(p.args))
	}
	v := &p.args[p.n]
	p.n++
	switch a := arg.(type) {
	case nil:
		v.kind = C.IB_NONE
	case *Tensor:
		if a == nil {
			v.kind = C.IB_NONE
			return nil
		}
		v.kind, v.p = C.IB_TENSOR, a.handle()
	case int:
		v.kind, v.i = C.IB_INT, C.int64_t(a)
	case float64:
		v.kind, v.d = C.IB_DOUBLE, C.double(a)
	case bool:
		v.kind = C.IB_BOOL
		if a {
			v.i = 1
		}
	case DType:
		v.kind, v.i = C.IB_INT, C.int64_t(a)
	case Device:
		v.kind, v.i, v.n = C.IB_DEVICE, C.int64_t(a.Type), C.int64_t(a.Index)
		if a.Type == CPUType {
			v.n = -1
		}
	case []int:
		v.kind, v.i, v.n = C.IB_INTS, C.int64_t(len(p.ints)), C.int64_t(len(a))
		for _, x := range a {
			p.ints = append(p.ints, C.int64_t(x))
		}
	case []float64:
		v.kind, v.i, v.n = C.IB_DOUBLES, C.int64_t(len(p.doubles)), C.int64_t(len(a))
		for _, x := range a {
			p.doubles = append(p.doubles, C.double(x))
		}
	case []*Tensor:
		v.kind, v.i, v.n = C.IB_TENSORS, C.int64_t(len(p.tensors)), C.int64_t(len(a))
		for _, t := range a {
			if t == nil {
				v.kind = C.IB_OPT_TENSORS
				p.tensors = append(p.tensors, nil)
				continue
			}
			p.tensors = append(p.tensors, t.handle())
		}
	case string:
		v.kind, v.i, v.n = C.IB_STRING, C.int64_t(len(p.bytes)), C.int64_t(len(a))
		p.bytes = append(p.bytes, a...)
	default:
		return fmt.Errorf("argument %d has type %T, which no operator takes", p.n-1, arg)
	}
	return nil
}

func first[T any](s []T) *T {
	if len(s) == 0 {
		return nil
	}
	return &s[0]
}

const maxResults = 128 // of a split into many chunks; most calls give one

// call runs the operator and returns its results as the shim gives them.
func (o *op) call(out []C.ib_value, args []any) (n int, scopeID int64) {
	h := o.find()
	if h == nil {
		panic(&Error{Op: o.name, Msg: "libtorch " + Version() + " has no such operator"})
	}
	var p pack
	for _, a := range args {
		if err := p.add(a); err != nil {
			panic(&Error{Op: o.name, Msg: err.Error()})
		}
	}
	r := C.ib_call(h, &p.args[0], C.int32_t(p.n), first(p.ints), first(p.doubles), first(p.tensors),
		(*C.char)(unsafe.Pointer(first(p.bytes))), &out[0], C.int32_t(len(out)))
	runtime.KeepAlive(args)
	if r.err != nil {
		check(o.name, r, shapes(args))
	}
	return int(r.n), int64(r.scope)
}

// one runs an operator whose first result is the one wanted.
func (o *op) one(args ...any) *Tensor {
	var out [4]C.ib_value
	n, scopeID := o.call(out[:], args)
	var t *Tensor
	for i := range n {
		if out[i].kind != C.IB_TENSOR {
			continue
		}
		if w := wrap(out[i].p, scopeID); i == 0 {
			t = w
		}
	}
	return t
}

// inplace runs an operator that returns its first argument, and returns that.
func (o *op) inplace(args ...any) *Tensor {
	var out [4]C.ib_value
	n, _ := o.call(out[:], args)
	for i := range n {
		if out[i].kind == C.IB_TENSOR {
			C.ib_free(&out[i].p, 1)
		}
	}
	return args[0].(*Tensor)
}

// run runs an operator for its effect.
func (o *op) run(args ...any) { o.all(args...) }

// all runs an operator and returns all its tensors; undefined ones are nil.
func (o *op) all(args ...any) []*Tensor {
	out := make([]C.ib_value, maxResults)
	n, scopeID := o.call(out, args)
	results := make([]*Tensor, n)
	for i := range n {
		if out[i].kind == C.IB_TENSOR {
			results[i] = wrap(out[i].p, scopeID)
		}
	}
	return results
}

// check panics with the error of a result, if it has one.
func check(name string, r C.ib_result, in [][]int) {
	if r.err == nil {
		return
	}
	e := &Error{Op: name, Shapes: in, Msg: C.GoString(r.err), OOM: r.oom != 0}
	C.free(unsafe.Pointer(r.err))
	panic(e)
}

// shapes lists the shapes of the tensors among args, for an error message.
func shapes(args []any) (all [][]int) {
	for _, a := range args {
		switch a := a.(type) {
		case *Tensor:
			if a.Defined() {
				all = append(all, a.Shape())
			}
		case []*Tensor:
			for _, t := range a {
				if t.Defined() {
					all = append(all, t.Shape())
				}
			}
		}
	}
	return all
}
