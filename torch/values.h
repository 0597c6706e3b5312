// The values of a tensor in float32 or bfloat16.
#pragma once

#include "isa.h"

#include <ATen/core/Tensor.h>

namespace {

template <class T>
T *data(const at::Tensor &t) { return static_cast<T *>(t.data_ptr()); }

// typed calls f with a null pointer of the type of t's values.
template <class F>
void typed(const at::Tensor &t, F f) {
	if (t.scalar_type() == at::kBFloat16) return f(static_cast<BFloat16 *>(nullptr));
	f(static_cast<float *>(nullptr));
}

} // namespace
