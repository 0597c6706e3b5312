// A node of the graph that keeps its inputs alone and runs its function once more in the backward pass
// (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
//
// The function is Go's, known here by a number. Go is called back in one place, from within
// ib_backward, which is given no memory of Go's: a node that dies, on whatever call, notes its number
// for ib_checkpoints_over, and calls nobody.

#include "shim.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/api/include/torch/version.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// checkpoint.go. It runs function id on the inputs, whose handles it takes over, and differentiates its result by
// grad, borrowed. It returns a malloc'd error, or NULL.
extern "C" char *ibotRecompute(int64_t id, ib_tensor grad, ib_tensor *inputs, int64_t n);

namespace {

using TensorPtr = c10::intrusive_ptr<at::TensorImpl, at::UndefinedTensorImpl>;

at::Tensor borrow(ib_tensor handle) {
	return at::Tensor(TensorPtr::unsafe_reclaim_from_nonowning(static_cast<at::TensorImpl *>(handle)));
}

std::mutex over_mutex;
std::vector<int64_t> over; // numbers of functions whose node is gone

struct CheckpointBackward : torch::autograd::Node {
	int64_t id;
	std::vector<torch::autograd::SavedVariable> saved;

	~CheckpointBackward() override {
		std::lock_guard<std::mutex> lock(over_mutex);
		over.push_back(id);
	}

	std::string name() const override { return "CheckpointBackward"; }

	void release_variables() override {
		std::lock_guard<std::mutex> lock(mutex_);
		for (auto &x : saved) x.reset_data();
	}

	torch::autograd::variable_list apply(torch::autograd::variable_list &&grads) override {
		std::lock_guard<std::mutex> lock(mutex_);
		if (!grads[0].defined()) return torch::autograd::variable_list(saved.size());
		torch::autograd::variable_list in, out;
		std::vector<ib_tensor> handles;
		for (auto &x : saved) {
			auto t = x.unpack(), leaf = t.detach();
			leaf.set_requires_grad(t.requires_grad());
			in.push_back(leaf);
			handles.push_back(static_cast<ib_tensor>(leaf.unsafeReleaseTensorImpl()));
		}
		c10::AutoGradMode on(true);
		if (char *err = ibotRecompute(id, grads[0].unsafeGetTensorImpl(), handles.data(), handles.size())) {
			std::string message(err);
			std::free(err);
			TORCH_CHECK(false, message);
		}
		for (auto &x : in) out.push_back(x.grad());
		return out;
	}
};

} // namespace

extern "C" {

ib_result ib_checkpoint(int64_t id, ib_tensor result, const ib_tensor *inputs, int64_t n, ib_tensor *out) {
	ib_result r{nullptr, 0, 0, 0};
	try {
		std::shared_ptr<CheckpointBackward> node(new CheckpointBackward, torch::autograd::deleteNode);
		node->id = id;
		torch::autograd::variable_list in;
		for (int64_t k = 0; k < n; k++) in.push_back(borrow(inputs[k]));
		node->set_next_edges(torch::autograd::collect_next_edges(in));
		for (auto &t : in) node->saved.emplace_back(t, false);
		at::Tensor y = borrow(result).variable_data(); // without a past, even if the function returned its input
		torch::autograd::set_history(y, node);
		*out = static_cast<ib_tensor>(y.unsafeReleaseTensorImpl());
	} catch (const std::exception &e) {
		r.err = strdup(e.what());
	}
	return r;
}

int64_t ib_checkpoints_over(int64_t *ids, int64_t max) {
	std::lock_guard<std::mutex> lock(over_mutex);
	int64_t n = 0;
	for (; n < max && !over.empty(); over.pop_back()) ids[n++] = over.back();
	return n;
}

int32_t ib_autocast(int32_t device_type, int32_t *dtype) {
	auto device = static_cast<at::DeviceType>(device_type);
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
	*dtype = static_cast<int32_t>(at::autocast::get_autocast_dtype(device));
	return at::autocast::is_autocast_enabled(device);
#else
	bool cpu = device == at::kCPU;
	*dtype = static_cast<int32_t>(cpu ? at::autocast::get_autocast_cpu_dtype() : at::autocast::get_autocast_gpu_dtype());
	return cpu ? at::autocast::is_cpu_enabled() : at::autocast::is_enabled();
#endif
}

} // extern "C"
