package torch

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"sync"
	"unsafe"
)

// loadCUDA opens libtorch's CUDA library, once, and returns why it cannot be opened, or nothing.
var loadCUDA = sync.OnceValue(func() string {
	reason := C.ib_load_cuda()
	if reason == nil {
		return ""
	}
	defer C.free(unsafe.Pointer(reason))
	return C.GoString(reason)
})

// CUDADevices returns the number of CUDA devices that libtorch sees, and why there are none. It
// opens libtorch's CUDA library on the first call.
func CUDADevices() (n int, why string) {
	if missing := loadCUDA(); missing != "" {
		return 0, "this libtorch has no CUDA (" + missing + ")"
	}
	if n = int(C.ib_cuda_count()); n == 0 {
		return 0, "libtorch finds no CUDA device (is the driver installed?)"
	}
	return n, ""
}
