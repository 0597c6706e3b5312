// Shares work out over libtorch's threads in turns, with memory for each thread.
#pragma once

#include "parallel.h"

#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>

namespace {

// each_turn calls f(from, to, scratch) for parts of n blocks: a thread that is done takes the next part, ever smaller ones,
// so that none waits long for another, which may share its core with somebody. Parts are of `least` blocks or a multiple of
// them, the last excepted, and of fewer where threads would go without. scratch holds so many values of T.
template <class T, class F>
void each_turn(int64_t n, int64_t least, int64_t scratch, F f) {
	if (n == 0) return;
	const int64_t all = at::get_num_threads(), unit = std::min(least, (n + all - 1) / all);
	const int64_t threads = std::min(all, (n + unit - 1) / unit);
	std::atomic<int64_t> next{0};
	share(threads, 1, [&](int64_t, int64_t) {
		auto memory = c10::GetCPUAllocator()->allocate(scratch * sizeof(T));
		for (int64_t from = next.load(); from < n;) {
			const int64_t to = std::min(n, from + std::max(unit, (n - from) / (2 * threads * unit) * unit));
			if (next.compare_exchange_weak(from, to)) f(from, to, static_cast<T *>(memory.get())), from = next.load();
		}
		std::atomic_thread_fence(std::memory_order_seq_cst); // stores past the cache are not in order
	});
}

} // namespace
