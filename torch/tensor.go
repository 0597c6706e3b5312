package torch

/*
#include "shim.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// Tensor is an n-dimensional array on a device. It is not safe for use by several goroutines at once.
type Tensor struct {
	h       unsafe.Pointer
	scope   *scope
	cleanup runtime.Cleanup
}

// wrap makes a Tensor of a handle, owned by the scope with the given id.
func wrap(h C.ib_tensor, scopeID int64) *Tensor {
	live.Add(1)
	t := &Tensor{h: unsafe.Pointer(h)}
	t.adopt(current(scopeID))
	return t
}

// handle returns the handle for a call; using a freed tensor is a bug and panics.
func (t *Tensor) handle() C.ib_tensor {
	if t == nil || t.h == nil {
		panic(&Error{Op: "tensor", Msg: "used after its scope ended; Keep or Own it, or return it from Tidy"})
	}
	return C.ib_tensor(t.h)
}

// Defined reports whether t still holds its data: it was not freed.
func (t *Tensor) Defined() bool { return t != nil && t.h != nil }

// Shape returns the sizes of the dimensions.
func (t *Tensor) Shape() []int {
	h := t.handle()
	n := int(C.ib_ndim(h))
	if n == 0 {
		return []int{}
	}
	sizes := make([]C.int64_t, n)
	C.ib_shape(h, &sizes[0])
	runtime.KeepAlive(t)
	shape := make([]int, n)
	for i, s := range sizes {
		shape[i] = int(s)
	}
	return shape
}

// Dims returns the number of dimensions.
func (t *Tensor) Dims() int { return int(C.ib_ndim(t.handle())) }

// Size returns the size of one dimension; negative axes count from the end.
func (t *Tensor) Size(axis int) int {
	shape := t.Shape()
	if axis < 0 {
		axis += len(shape)
	}
	if axis < 0 || axis >= len(shape) {
		panic(&Error{Op: "size", Shapes: [][]int{shape}, Msg: fmt.Sprintf("has no axis %d", axis)})
	}
	return shape[axis]
}

// Numel returns the number of elements.
func (t *Tensor) Numel() int { return product(t.Shape()) }

// DType returns the type of the elements.
func (t *Tensor) DType() DType { return DType(C.ib_dtype(t.handle())) }

// IsContiguous reports whether the elements lie in the order of the shape, without gaps.
func (t *Tensor) IsContiguous() bool { return C.ib_is_contiguous(t.handle()) != 0 }

// Device returns where t lives.
func (t *Tensor) Device() Device {
	var kind, index C.int32_t
	C.ib_device(t.handle(), &kind, &index)
	runtime.KeepAlive(t)
	if DeviceType(kind) == CPUType {
		return CPU
	}
	return Device{DeviceType(kind), int(index)}
}

// element lists the Go types that tensors are made from and read as.
type element interface {
	~float32 | ~float64 | ~int64 | ~int32 | ~uint8 | ~bool
}

func dtypeOf[T element]() DType {
	var zero T
	switch any(zero).(type) {
	case float32:
		return Float32
	case float64:
		return Float64
	case int64:
		return Int64
	case int32:
		return Int32
	case uint8:
		return Uint8
	case bool:
		return Bool
	}
	panic(fmt.Sprintf("torch: no dtype for %T", zero))
}

// New returns a CPU tensor with a copy of data, row-major.
func New[T element](data []T, shape ...int) *Tensor {
	var p unsafe.Pointer
	if len(data) > 0 {
		p = unsafe.Pointer(&data[0])
	}
	return fromHost(p, len(data)*int(unsafe.Sizeof(*new(T))), dtypeOf[T](), shape)
}

// NewOn is [New] on the device d. A CUDA device fetches the copy on its own, in the order of what it was told to do:
// nothing here waits for it.
func NewOn[T element](d Device, data []T, shape ...int) *Tensor {
	notRecorded("to_device")
	if d.Type == CPUType {
		return New(data, shape...)
	}
	var out C.ib_tensor
	sizes := sizesOf(shape)
	r := C.ib_to_device(unsafe.Pointer(unsafe.SliceData(data)), C.int64_t(len(data)*int(unsafe.Sizeof(*new(T)))), C.int32_t(dtypeOf[T]()),
		&sizes[0], C.int32_t(len(shape)), C.int32_t(d.Type), C.int32_t(d.Index), &out)
	check("to_device", r, [][]int{shape})
	return wrap(out, int64(r.scope))
}

// FromBytes returns a CPU tensor with a copy of data: little endian, row-major, of any dtype.
func FromBytes(data []byte, dtype DType, shape ...int) *Tensor {
	var p unsafe.Pointer
	if len(data) > 0 {
		p = unsafe.Pointer(&data[0])
	}
	return fromHost(p, len(data), dtype, shape)
}

// sizesOf is a shape for the shim. It has one more than it needs: a scalar's is empty, and &sizes[0] wants one.
func sizesOf(shape []int) []C.int64_t {
	sizes := make([]C.int64_t, len(shape)+1)
	for i, s := range shape {
		sizes[i] = C.int64_t(s)
	}
	return sizes
}

func fromHost(data unsafe.Pointer, nbytes int, dtype DType, shape []int) *Tensor {
	notRecorded("from_host")
	sizes := sizesOf(shape)
	var out C.ib_tensor
	r := C.ib_from_host(data, C.int64_t(nbytes), C.int32_t(dtype), &sizes[0], C.int32_t(len(shape)), &out)
	check("from_host", r, [][]int{shape})
	return wrap(out, int64(r.scope))
}

// Fill overwrites t with data, row-major; the types and sizes must agree.
func Fill[T element](t *Tensor, data []T) {
	if t.DType() != dtypeOf[T]() || t.Numel() != len(data) {
		panic(&Error{Op: "fill", Shapes: [][]int{t.Shape()}, Msg: fmt.Sprintf("%s tensor cannot take %d values of %s",
			t.DType(), len(data), dtypeOf[T]())})
	}
	if len(data) > 0 {
		t.FillBytes(unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), len(data)*int(unsafe.Sizeof(data[0]))))
	}
}

// FillBytes overwrites t with data: little endian, row-major. Where t is on a CUDA device it does not wait for that, and data
// may change at once.
func (t *Tensor) FillBytes(data []byte) {
	notRecorded("fill")
	var p unsafe.Pointer
	if len(data) > 0 {
		p = unsafe.Pointer(&data[0])
	}
	check("fill", C.ib_fill_from_host(t.handle(), p, C.int64_t(len(data))), [][]int{t.Shape()})
	runtime.KeepAlive(t)
}

// Bytes returns a copy of t's elements: little endian, row-major.
func (t *Tensor) Bytes() []byte {
	out := make([]byte, t.Numel()*t.DType().Size())
	if len(out) > 0 {
		t.readInto(unsafe.Pointer(&out[0]), len(out))
	}
	return out
}

// Read returns a copy of t's elements, row-major, converted to T.
func Read[T element](t *Tensor) []T {
	out := make([]T, t.Numel())
	if len(out) == 0 {
		return out
	}
	Scope(func() {
		c := t
		if dtype := dtypeOf[T](); t.DType() != dtype {
			c = t.To(dtype)
		}
		c.readInto(unsafe.Pointer(&out[0]), len(out)*int(unsafe.Sizeof(out[0])))
	})
	return out
}

var reads atomic.Int64

// Reads returns how many times the values of a tensor were asked for: each makes the program wait for the tensor's device.
func Reads() int { return int(reads.Load()) }

func (t *Tensor) readInto(p unsafe.Pointer, nbytes int) {
	notRecorded("to_host")
	reads.Add(1)
	Scope(func() {
		c := t.ToDevice(CPU).Contiguous()
		check("to_host", C.ib_to_host(c.handle(), p, C.int64_t(nbytes)), [][]int{t.Shape()})
		runtime.KeepAlive(c)
	})
}

// Floats returns a copy of t's elements as float32, row-major.
func (t *Tensor) Floats() []float32 { return Read[float32](t) }

// View calls f with t's elements where they lie, row-major, for a contiguous float32 tensor on the CPU. f may
// change them, and must not keep them.
func (t *Tensor) View(f func(values []float32)) {
	if t.Device() != CPU || t.DType() != Float32 || !t.IsContiguous() {
		panic(&Error{Op: "view", Shapes: [][]int{t.Shape()}, Msg: fmt.Sprintf("wants a contiguous float32 tensor on the CPU, got %s on %s", t.DType(), t.Device())})
	}
	if n := t.Numel(); n > 0 {
		address := uintptr(C.ib_data_ptr(t.handle()))
		f(unsafe.Slice(*(**float32)(unsafe.Pointer(&address)), n))
	}
	runtime.KeepAlive(t)
}

// Item returns the only element of t.
func (t *Tensor) Item() float64 {
	if n := t.Numel(); n != 1 {
		panic(&Error{Op: "item", Shapes: [][]int{t.Shape()}, Msg: fmt.Sprintf("wants one element, has %d", n)})
	}
	return Read[float64](t)[0]
}

// Size returns the bytes of an element.
func (d DType) Size() int {
	switch d {
	case Uint8, Bool:
		return 1
	case Float16, BFloat16:
		return 2
	case Int32, Float32:
		return 4
	}
	return 8
}

func product(shape []int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}
