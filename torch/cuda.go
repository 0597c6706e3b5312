package torch

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"fmt"
	"os"
	"sync"
	"unsafe"
)

// allocatorKeys are the environment variables that the allocator of CUDA memory reads its settings from, when the library is
// opened. The first is older, and all engines know it.
var allocatorKeys = []string{"PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"}

// setAllocator lets segments of CUDA memory grow in place, so that the tensors of steps whose sizes differ do not
// cut it up into pieces that fit none. What the user has set stays as it is. Engines before 2.1 do not
// know the setting, and refuse to start with it.
func setAllocator() {
	for _, key := range allocatorKeys {
		if _, set := os.LookupEnv(key); set {
			return
		}
	}
	if atLeast(2, 1) {
		os.Setenv(allocatorKeys[0], "expandable_segments:True")
	}
}

// atLeast reports whether the engine has this version or a later one.
func atLeast(major, minor int) bool {
	var a, b int
	fmt.Sscanf(Version(), "%d.%d", &a, &b)
	return a > major || a == major && b >= minor
}

// loadCUDA opens libtorch's CUDA library, once, and returns why it cannot be opened, or nothing.
var loadCUDA = sync.OnceValue(func() string {
	setAllocator()
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
