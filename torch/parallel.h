// Shares work out over libtorch's threads.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

namespace {

// share calls f(begin, end) for parts of [0, n), on several threads where n is above grain. An iterator over as
// many bytes does that whatever the threads are; at::parallel_for, an inline function, would need the
// caller compiled and linked for the same OpenMP as libtorch.
template <class F>
void share(int64_t n, int64_t grain, F f) {
	if (n == 0) return;
	if (n <= grain) return f(0, n);
	auto turns = at::empty({n}, at::kByte);
	const char *start = static_cast<char *>(turns.data_ptr());
	auto part = [&](char **data, const int64_t *, int64_t count) { f(*data - start, *data - start + count); };
	at::TensorIterator::borrowing_nullary_op(turns).for_each(part, grain);
}

} // namespace
