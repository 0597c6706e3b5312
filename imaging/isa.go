package imaging

// #cgo CFLAGS: -O3 -std=c17
// #cgo linux LDFLAGS: -ldl -lm
// #include "pixel.h"
import "C"

import (
	"sync"
	"unsafe"
)

// isa is the instruction set that the kernels run with. Only tests change it.
var isa = C.pix_best_isa()

// InstructionSet names the widest vector instructions in use: "avx512", "avx2" or "portable".
func InstructionSet() string {
	switch isa {
	case C.PIX_AVX512:
		return "avx512"
	case C.PIX_AVX2:
		return "avx2"
	}
	return "portable"
}

// scratch holds work memory for the kernels, which allocate none themselves. Elements are float64
// for the alignment's sake.
var scratch = sync.Pool{New: func() any { return new([]float64) }}

// withScratch calls f with at least n bytes of work memory, valid during the call.
func withScratch(n C.size_t, f func(p unsafe.Pointer)) {
	buf := scratch.Get().(*[]float64)
	defer scratch.Put(buf)
	if words := int(n)/8 + 1; cap(*buf) < words {
		*buf = make([]float64, words)
	}
	f(unsafe.Pointer(unsafe.SliceData(*buf)))
}

// first returns the address that C is given for a slice of bytes.
func first(b []uint8) *C.uint8_t {
	return (*C.uint8_t)(unsafe.SliceData(b))
}
