// Memory of tensors on the CPU.
//
// libtorch aligns it by posix_memalign, which in the C library takes a larger block, cuts off both ends and frees these: crumbs that every later
// call must sort. That took 20 ms of a step. Here a block has room to begin at a multiple of 64 bytes and stays whole.

#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

constexpr size_t alignment = 64; // libtorch's own: a line of the cache, the widest vector

// Aligned blocks have the address that malloc gave before them.
void *&given(void *aligned) { return static_cast<void **>(aligned)[-1]; }

void release(void *aligned) {
	if (aligned != nullptr) std::free(given(aligned));
}

struct Allocator : at::Allocator {
	static at::DataPtr take(size_t n) {
		if (n == 0) return {nullptr, nullptr, &release, at::DeviceType::CPU};
		void *block = std::malloc(n + alignment + sizeof(void *));
		TORCH_CHECK(block != nullptr, "can't allocate memory: ", n, " bytes were wanted");
		const auto first = reinterpret_cast<uintptr_t>(block) + sizeof(void *);
		auto *aligned = reinterpret_cast<void *>((first + alignment - 1) / alignment * alignment);
		given(aligned) = block;
		return {aligned, aligned, &release, at::DeviceType::CPU};
	}
	at::DeleterFnPtr raw_deleter() const override { return &release; }
	// Of these each engine knows some: later ones allocate without const, and copy.
	at::DataPtr allocate(size_t n) const { return take(n); }
	at::DataPtr allocate(size_t n) { return take(n); }
	void copy_data(void *to, const void *from, size_t n) const { std::memcpy(to, from, n); }
};

const bool chosen = [] {
	c10::SetCPUAllocator(new Allocator, 1); // which lives as long as the process
	return true;
}();

} // namespace
