// Gradients of weights that nodes add to those that the weights have.
//
// libtorch has every node make a gradient of its own and sums them later: for the global and the local crops, and for each part of
// a batch, a pass over all weights that reads two and writes one. A product can as well begin with the sum so far.
#pragma once

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>

namespace {

// weight_gradient_of has f(dw, add) write the gradient of a weight (N, K), or add it to dw, and returns what the node gives as its output of that
// number: nothing where the weight is a leaf, whose gradient it then already is.
template <class F>
at::Tensor weight_gradient_of(const torch::autograd::Node &node, size_t output, int64_t N, int64_t K, F f) {
	auto *end = c10::GradMode::is_enabled() ? nullptr : dynamic_cast<torch::autograd::AccumulateGrad *>(node.next_edge(output).function.get());
	const at::Tensor sum = end == nullptr ? at::Tensor() : end->variable.grad();
	if (sum.defined() && sum.scalar_type() == at::kFloat && sum.device().is_cpu() && sum.is_contiguous() && sum.numel() == N * K) {
		f(sum, true);
		sum.unsafeGetTensorImpl()->bump_version();
		return {};
	}
	auto dw = at::empty({N, K}, at::kFloat);
	f(dw, false);
	if (end == nullptr || sum.defined()) return dw;
	end->variable.mutable_grad() = dw;
	return {};
}

} // namespace
