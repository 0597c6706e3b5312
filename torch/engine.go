package torch

/*
#cgo CXXFLAGS: -std=c++17 -O2 -g0
#cgo CFLAGS: -std=gnu17 -O2 -g0
#cgo LDFLAGS: -ltorch_cpu -lc10 -ldl
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"unsafe"
)

// Version returns libtorch's version, for example "1.13.1".
func Version() string { return C.GoString(C.ib_version()) }

// Config returns libtorch's own description of how it was built.
func Config() string {
	s := C.ib_show_config()
	defer C.free(unsafe.Pointer(s))
	return C.GoString(s)
}

// GEMM names the library that runs float32 matrix products on the CPU.
func GEMM() string {
	if strings.Contains(Config(), "BLAS_INFO=mkl") {
		return "MKL"
	}
	return C.GoString(C.ib_gemm())
}

// SetThreads sets how many threads an operator on the CPU uses.
func SetThreads(n int) { C.ib_set_threads(C.int32_t(n)) }

// Threads returns how many threads an operator on the CPU uses.
func Threads() int { return int(C.ib_threads()) }

// LimitThreads has the operators on the CPU that the goroutine calls use n threads, until it calls the function that is
// returned. That is much faster than [SetThreads] twice.
func LimitThreads(n int) (end func()) {
	runtime.LockOSThread()
	was := C.ib_threads()
	C.ib_set_threads_here(C.int32_t(n))
	return func() {
		C.ib_set_threads_here(was)
		runtime.UnlockOSThread()
	}
}

func init() {
	// Debian's libtorch starts with one thread, whatever the machine has.
	SetThreads(runtime.NumCPU())
}

// DeviceType is a kind of device, numbered as in libtorch.
type DeviceType int

// The kinds of device that are known here.
const (
	CPUType  DeviceType = 0
	CUDAType DeviceType = 1
)

// Device is where a tensor lives. The zero value is the CPU.
type Device struct {
	Type  DeviceType
	Index int
}

// CPU is the host.
var CPU = Device{}

func (d Device) String() string {
	if d.Type == CPUType {
		return "cpu"
	}
	return "cuda:" + strconv.Itoa(d.Index)
}

// ParseDevice reads "auto", "cpu", "cuda" or "cuda:N". Auto is the first CUDA device if there is
// one and else the CPU. It errs when a CUDA device is asked for that is not there.
func ParseDevice(s string) (Device, error) {
	switch {
	case s == "cpu":
		return CPU, nil
	case s == "auto" || s == "":
		if n, _ := CUDADevices(); n > 0 {
			return Device{CUDAType, 0}, nil
		}
		return CPU, nil
	case s == "cuda" || strings.HasPrefix(s, "cuda:"):
		index := 0
		if rest, ok := strings.CutPrefix(s, "cuda:"); ok {
			var err error
			if index, err = strconv.Atoi(rest); err != nil || index < 0 {
				return CPU, fmt.Errorf("torch: device %q: %q is no device number; write cuda:0, cuda:1 and so on", s, rest)
			}
		}
		n, why := CUDADevices()
		if n == 0 {
			return CPU, fmt.Errorf("torch: device %q was asked for, but %s; use --device cpu or auto", s, why)
		}
		if index >= n {
			return CPU, fmt.Errorf("torch: device %q was asked for, but there are only %d CUDA devices, cuda:0 to cuda:%d", s, n, n-1)
		}
		return Device{CUDAType, index}, nil
	}
	return CPU, fmt.Errorf("torch: unknown device %q; write auto, cpu, cuda or cuda:N", s)
}

// DType is the type of a tensor's elements, numbered as in libtorch.
type DType int

// The types that are used here.
const (
	Uint8    DType = 0
	Int32    DType = 3
	Int64    DType = 4
	Float16  DType = 5
	Float32  DType = 6
	Float64  DType = 7
	Bool     DType = 11
	BFloat16 DType = 15
)

func (d DType) String() string {
	switch d {
	case Uint8:
		return "uint8"
	case Int32:
		return "int32"
	case Int64:
		return "int64"
	case Float16:
		return "float16"
	case Float32:
		return "float32"
	case Float64:
		return "float64"
	case Bool:
		return "bool"
	case BFloat16:
		return "bfloat16"
	}
	return "dtype(" + strconv.Itoa(int(d)) + ")"
}
