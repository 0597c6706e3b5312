// How an operator of ours takes part in differentiation.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <algorithm>
#include <memory>
#include <mutex>

namespace {

using torch::autograd::Node;
using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

inline bool differentiate(at::ArrayRef<at::Tensor> inputs) {
	return c10::GradMode::is_enabled() &&
		std::any_of(inputs.begin(), inputs.end(), [](const at::Tensor &t) { return t.defined() && t.requires_grad(); });
}

template <class N>
std::shared_ptr<N> make_node() { return std::shared_ptr<N>(new N, torch::autograd::deleteNode); }

// record makes node the one that the gradients of outputs, one or a list, go to, and through it to the inputs, of which some may
// be undefined.
template <class N, class Outputs>
void record(const std::shared_ptr<N> &node, Outputs &outputs, const variable_list &inputs) {
	node->set_next_edges(torch::autograd::collect_next_edges(inputs));
	torch::autograd::set_history(outputs, node);
}

} // namespace
