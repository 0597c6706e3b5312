// Packed weights, kept until the weight changes or is gone.
#pragma once

#include "parallel.h"
#include "values.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <iterator>
#include <map>
#include <mutex>
#include <utility>

namespace {

class Packs {
	using Rows = void (*)(const float *w, int64_t n, int64_t N, int64_t K, void *to, bool for_gradient);
	struct Pack {
		c10::weak_intrusive_ptr<at::TensorImpl> of;
		int64_t version;
		at::Tensor values;
	};
	std::mutex mutex_;
	std::map<std::pair<at::TensorImpl *, bool>, Pack> all_;
	static constexpr int64_t between = 32; // how many are packed before those of weights that are gone are looked for again
	int64_t packed_ = 0;
	at::ScalarType type_;
	Rows rows_;

	at::Tensor pack(const at::Tensor &w, bool for_gradient) const {
		const int64_t N = w.size(0), K = w.size(1);
		auto values = at::empty({N * K}, type_);
		share(N / 32, 1 + (1 << 14) / (K * 32), [&](int64_t from, int64_t to) {
			for (int64_t n = from * 32; n < to * 32; n += 32) rows_(data<float>(w), n, N, K, values.data_ptr(), for_gradient);
		});
		return values;
	}

public:
	// Packs are values of type. rows packs rows n to n+31 of a weight.
	Packs(at::ScalarType type, Rows rows) : type_(type), rows_(rows) {}

	// of returns a weight (N, K), float32, packed as factor of x W^T, or of dy W.
	at::Tensor of(const at::Tensor &w, bool for_gradient) {
		const bool keeps = !w.is_view() && !w.is_inference();
		const auto key = std::make_pair(w.unsafeGetTensorImpl(), for_gradient);
		if (keeps) {
			std::lock_guard<std::mutex> lock(mutex_);
			auto it = all_.find(key);
			if (it != all_.end() && !it->second.of.expired() && it->second.version == w._version()) return it->second.values;
		}
		auto values = pack(w.contiguous(), for_gradient);
		if (keeps) {
			std::lock_guard<std::mutex> lock(mutex_);
			if (packed_++ % between == 0) {
				for (auto it = all_.begin(); it != all_.end();) it = it->second.of.expired() ? all_.erase(it) : std::next(it);
			}
			all_.erase(key);
			all_.emplace(key, Pack{c10::weak_intrusive_ptr<at::TensorImpl>(w.getIntrusivePtr()), w._version(), values});
		}
		return values;
	}
};

} // namespace
