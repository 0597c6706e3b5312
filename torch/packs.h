// Packed weights, kept until the weight changes or is gone.
#pragma once

#include <ATen/core/Tensor.h>

#include <iterator>
#include <map>
#include <mutex>
#include <utility>

namespace {

class Packs {
	struct Pack {
		c10::weak_intrusive_ptr<at::TensorImpl> of;
		int64_t version;
		at::Tensor values;
	};
	std::mutex mutex_;
	std::map<std::pair<at::TensorImpl *, bool>, Pack> all_;
	at::Tensor (*pack_)(const at::Tensor &w, bool for_gradient);

public:
	// pack packs a weight (N, K), float32 and contiguous, as factor of x W^T, or of dy W.
	explicit Packs(at::Tensor (*pack)(const at::Tensor &w, bool for_gradient)) : pack_(pack) {}

	// of returns what pack makes of w.
	at::Tensor of(const at::Tensor &w, bool for_gradient) {
		const bool keeps = !w.is_view() && !w.is_inference();
		const auto key = std::make_pair(w.unsafeGetTensorImpl(), for_gradient);
		if (keeps) {
			std::lock_guard<std::mutex> lock(mutex_);
			auto it = all_.find(key);
			if (it != all_.end() && !it->second.of.expired() && it->second.version == w._version()) return it->second.values;
		}
		auto values = pack_(w.contiguous(), for_gradient);
		if (keeps) {
			std::lock_guard<std::mutex> lock(mutex_);
			for (auto it = all_.begin(); it != all_.end();) it = it->second.of.expired() ? all_.erase(it) : std::next(it);
			all_.erase(key);
			all_.emplace(key, Pack{c10::weak_intrusive_ptr<at::TensorImpl>(w.getIntrusivePtr()), w._version(), values});
		}
		return values;
	}
};

} // namespace
