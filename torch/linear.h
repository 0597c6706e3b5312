// Linear layers and MLPs by kernels of our own. linear.cpp chooses; sizes are multiples of 32.
#pragma once

#include "values.h"

#include <ATen/core/Tensor.h>

#include <vector>

namespace ib {

// Layers are those of one kind of kernels. Weights (out, in) and biases are float32, a bias may be undefined; x is contiguous,
// and the results are of its type.
struct Layers {
	at::Tensor (*linear)(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b);
	at::Tensor (*mlp)(const at::Tensor &x, const at::Tensor &w1, const at::Tensor &b1, const at::Tensor &w2, const at::Tensor &b2);
};

// layers_on_units are on the processor's matrix units and take bfloat16 (amx_linear.cpp); null where it has none.
const Layers *layers_on_units();

// layers_on_vectors take float32 and bfloat16 (fma_linear.cpp); null where vectors are too narrow to be worth it.
const Layers *layers_on_vectors();

} // namespace ib

namespace {

inline const float *bias_of(const at::Tensor &b) { return b.defined() ? data<float>(b) : nullptr; }

inline std::vector<int64_t> shape_of(const at::Tensor &x, int64_t last) {
	auto shape = x.sizes().vec();
	shape.back() = last;
	return shape;
}

} // namespace
