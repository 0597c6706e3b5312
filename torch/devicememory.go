package torch

/*
#include <dlfcn.h>
#include <stdint.h>

// ib_cuda_memory returns the bytes of memory of a CUDA device, 0 where the driver does not say. It asks the driver, which
// is there wherever a device is, whatever libtorch was linked with.
static int64_t ib_cuda_memory(int index) {
	void *driver = dlopen("libcuda.so.1", RTLD_NOW);
	if (!driver) return 0;
	int (*init)(unsigned) = dlsym(driver, "cuInit");
	int (*get)(int *, int) = dlsym(driver, "cuDeviceGet");
	int (*total)(size_t *, int) = dlsym(driver, "cuDeviceTotalMem_v2");
	int device;
	size_t bytes;
	if (!init || !get || !total || init(0) || get(&device, index) || total(&bytes, device)) return 0;
	return bytes;
}
*/
import "C"

// DeviceMemory returns the bytes of memory that a CUDA device has. ok is false for the CPU, and where the driver does not
// say.
func DeviceMemory(d Device) (bytes int64, ok bool) {
	if d.Type != CUDAType {
		return 0, false
	}
	bytes = int64(C.ib_cuda_memory(C.int(d.Index)))
	return bytes, bytes > 0
}
