// CUDA graphs: work of a device that is recorded once and done again by one call.
//
// The class that records is libtorch's, of its CUDA library. Its headers want CUDA's, which this program is compiled without, so its
// functions are looked up by name where the library is there, and an object lies in memory of ours that is larger than it.

#include "guarded.h"
#include "shim.h"

#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <dlfcn.h>

#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace {

using Pool = std::pair<unsigned long long, unsigned long long>; // of memory; both 0: one of its own
static_assert(std::is_trivially_copy_constructible<Pool>::value, "it travels in registers");

// look returns the function of that name.
template <class F>
F *look(const char *name) {
	auto *f = reinterpret_cast<F *>(dlsym(RTLD_DEFAULT, name));
	if (f == nullptr) throw std::runtime_error("this libtorch has no CUDA graphs, or other ones: it lacks " + std::string(name));
	return f;
}

// Functions are those of at::cuda::CUDAGraph from libtorch 2.1 on.
struct Functions {
	void (*make)(void *) = nullptr;
	void (*make_or_keep)(void *, bool) = nullptr; // in later versions, which can keep what was recorded for others to read
	void (*begin)(void *, Pool, int) = look<void(void *, Pool, int)>("_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode");
	void (*end)(void *) = look<void(void *)>("_ZN2at4cuda9CUDAGraph11capture_endEv");
	void (*replay)(void *) = look<void(void *)>("_ZN2at4cuda9CUDAGraph6replayEv");
	Pool (*pool)(void *) = look<Pool(void *)>("_ZN2at4cuda9CUDAGraph4poolEv");
	void (*destroy)(void *) = look<void(void *)>("_ZN2at4cuda9CUDAGraphD1Ev");

	Functions() {
		make = reinterpret_cast<void (*)(void *)>(dlsym(RTLD_DEFAULT, "_ZN2at4cuda9CUDAGraphC1Ev"));
		if (make == nullptr) make_or_keep = look<void(void *, bool)>("_ZN2at4cuda9CUDAGraphC1Eb");
	}
};

const Functions &functions() {
	static const Functions found;
	return found;
}

constexpr int of_this_thread = 1; // cudaStreamCaptureModeThreadLocal: what other threads ask of the device meanwhile is theirs

struct Graph {
	alignas(64) char object[8192] = {};
	c10::Device device;
	c10::Stream before; // the stream that was current
	bool recording = false;

	explicit Graph(c10::Device d) : device(d), before(c10::impl::VirtualGuardImpl(d.type()).getStream(d)) {
		functions().make != nullptr ? functions().make(object) : functions().make_or_keep(object, false);
	}
	~Graph() {
		try {
			if (recording) end();
		} catch (...) { // what was wrong has been said
		}
		try {
			wait();
		} catch (...) {
		}
		functions().destroy(object);
	}
	void wait() { at::detail::getCUDAHooks().deviceSynchronize(device.index()); }

	// begin records what this thread asks of the device from now on, on a stream of its own, and does none of it.
	void begin(const Graph *shared) {
		wait();
		c10::impl::VirtualGuardImpl guard(device.type());
		guard.exchangeStream(guard.getStreamFromGlobalPool(device, false));
		recording = true;
		functions().begin(object, shared ? functions().pool(const_cast<char *>(shared->object)) : Pool{0, 0}, of_this_thread);
	}
	void end() {
		recording = false;
		struct Back {
			Graph *of;
			~Back() { c10::impl::VirtualGuardImpl(of->device.type()).exchangeStream(of->before); }
		} back{this};
		functions().end(object);
	}
};

} // namespace

ib_result ib_graph_begin(int32_t device_type, int32_t device_index, ib_graph shared, ib_graph *out) {
	return guarded([&] {
		functions(); // are there, before anything is asked of the device
		auto *g = new Graph(c10::Device(static_cast<c10::DeviceType>(device_type), static_cast<c10::DeviceIndex>(device_index)));
		*out = g;
		g->begin(static_cast<const Graph *>(shared));
		return 0;
	});
}

ib_result ib_graph_end(ib_graph g) {
	return guarded([&] { return static_cast<Graph *>(g)->end(), 0; });
}

ib_result ib_graph_replay(ib_graph g) {
	return guarded([&] { return functions().replay(static_cast<Graph *>(g)->object), 0; });
}

void ib_graph_free(ib_graph g) { delete static_cast<Graph *>(g); }
