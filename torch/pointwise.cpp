// The operators between the matrix products, on the CPU: ibot::gelu, ibot::layer_norm, ibot::add_branch.
//
// They are bound by memory, and libtorch goes through it more often than it must, above all in mixed
// precision: a layer norm in float32 whose result is then cast, a mask that is multiplied and
// added in two passes with a cast between. Here each is one pass forward and one backward, that reads
// and writes float32 and bfloat16 as they come and computes in float32.

#include "isa.h"
#include "mixed.h"
#include "node.h"
#include "parallel.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>

namespace {

#define IB_KERNEL "pointwise_kernel.h"
#include "each_isa.h"

constexpr int64_t grain = 16384; // values worth a thread
constexpr at::ScalarType f32 = at::kFloat, bf16 = at::kBFloat16;

template <class T>
T *data(const at::Tensor &t) { return static_cast<T *>(t.data_ptr()); }

// typed calls f with a null pointer of the type of t's values.
template <class F>
void typed(const at::Tensor &t, F f) {
	if (t.scalar_type() == bf16) return f(static_cast<BFloat16 *>(nullptr));
	f(static_cast<float *>(nullptr));
}

void check(const at::Tensor &t, const char *what) {
	TORCH_CHECK(t.device().is_cpu() && (t.scalar_type() == f32 || t.scalar_type() == bf16), "wants ", what,
		" in float32 or bfloat16 on the CPU, got ", t.scalar_type(), " on ", t.device());
}

// ---- GELU

struct GeluBackward : Node {
	SavedVariable x;
	std::string name() const override { return "GeluBackward"; }
	void release_variables() override {
		std::lock_guard<std::mutex> lock(mutex_);
		x.reset_data();
	}
	variable_list apply(variable_list &&grads) override {
		std::lock_guard<std::mutex> lock(mutex_);
		if (!grads[0].defined()) return {at::Tensor()};
		auto in = x.unpack(), dy = grads[0].contiguous();
		auto dx = at::empty_like(in);
		typed(in, [&](auto *type) {
			using T = std::remove_pointer_t<decltype(type)>;
			share(in.numel(), grain, [&](int64_t from, int64_t to) {
				IB_RUN(gelu_backward(data<T>(in) + from, data<T>(dy) + from, data<T>(dx) + from, to - from));
			});
		});
		return {dx};
	}
};

at::Tensor gelu(const at::Tensor &given) {
	check(given, "values");
	auto x = given.contiguous();
	auto y = at::empty_like(x);
	typed(x, [&](auto *type) {
		using T = std::remove_pointer_t<decltype(type)>;
		share(x.numel(), grain, [&](int64_t from, int64_t to) { IB_RUN(gelu(data<T>(x) + from, data<T>(y) + from, to - from)); });
	});
	if (differentiate({x})) {
		auto node = make_node<GeluBackward>();
		node->x = SavedVariable(x, false);
		record(node, y, {x});
	}
	return y;
}

// ---- layer norm

// The gradients of weight and bias are sums over rows. Each part of this many rows is summed by itself and the
// parts then in order, so that the result does not depend on the number of threads.
constexpr int64_t part_rows = 512;

struct LayerNormBackward : Node {
	SavedVariable x, w;
	at::Tensor stats; // (rows, 2)
	std::string name() const override { return "LayerNormBackward"; }
	void release_variables() override {
		std::lock_guard<std::mutex> lock(mutex_);
		x.reset_data();
		w.reset_data();
		stats.reset();
	}
	variable_list apply(variable_list &&grads) override {
		std::lock_guard<std::mutex> lock(mutex_);
		if (!grads[0].defined()) return {at::Tensor(), at::Tensor(), at::Tensor()};
		auto in = x.unpack(), weight = w.unpack(), dy = grads[0].contiguous();
		const int64_t D = weight.numel(), rows = in.numel() / D, parts = (rows + part_rows - 1) / part_rows;
		auto dx = at::empty_like(in);
		auto sums = at::zeros({2, parts, D}, at::kFloat); // dw and db of each part
		typed(in, [&](auto *of_x) {
			using T = std::remove_pointer_t<decltype(of_x)>;
			typed(dy, [&](auto *of_y) {
				using U = std::remove_pointer_t<decltype(of_y)>;
				share(parts, 1, [&](int64_t from, int64_t to) {
					for (int64_t p = from; p < to; p++) {
						IB_RUN(layer_norm_backward(data<T>(in), data<float>(weight), data<float>(stats), data<U>(dy), data<T>(dx),
							data<float>(sums) + p * D, data<float>(sums) + (parts + p) * D, p * part_rows,
							std::min(rows, (p + 1) * part_rows), D));
					}
				});
			});
		});
		auto total = sums.sum(1);
		return {dx, total[0], total[1]};
	}
};

// layer_norm gives the type that the next matrix product takes, where for_product says that one comes next.
at::Tensor layer_norm(const at::Tensor &given, const at::Tensor &weight, const at::Tensor &bias, double eps, bool for_product) {
	check(given, "values");
	TORCH_CHECK(weight.scalar_type() == f32 && bias.scalar_type() == f32 && weight.dim() == 1 && bias.sizes() == weight.sizes() &&
		given.dim() > 0 && given.size(-1) == weight.numel(), "wants (..., D) with a weight and a bias (D) in float32");
	auto x = given.contiguous();
	const int64_t D = weight.numel(), rows = x.numel() / D;
	auto y = at::empty(x.sizes(), x.options().dtype(for_product && mixed() ? bf16 : x.scalar_type()));
	auto stats = at::empty({rows, 2}, at::kFloat);
	typed(x, [&](auto *of_x) {
		using T = std::remove_pointer_t<decltype(of_x)>;
		typed(y, [&](auto *of_y) {
			using U = std::remove_pointer_t<decltype(of_y)>;
			share(rows, std::max<int64_t>(1, grain / D), [&](int64_t from, int64_t to) {
				IB_RUN(layer_norm(data<T>(x), data<float>(weight), data<float>(bias), data<U>(y), data<float>(stats), from, to, D,
					static_cast<float>(eps)));
			});
		});
	});
	if (differentiate({x, weight, bias})) {
		auto node = make_node<LayerNormBackward>();
		node->x = SavedVariable(x, false);
		node->w = SavedVariable(weight, false);
		node->stats = stats;
		record(node, y, {x, weight, bias});
	}
	return y;
}

// ---- the residual sum

struct AddBranchBackward : Node {
	at::Tensor scale; // (B) or undefined
	at::ScalarType type;
	std::string name() const override { return "AddBranchBackward"; }
	variable_list apply(variable_list &&grads) override {
		if (!grads[0].defined()) return {at::Tensor(), at::Tensor()};
		if (!scale.defined()) return {grads[0], grads[0].to(type)};
		auto g = grads[0].contiguous();
		auto dr = at::empty(g.sizes(), g.options().dtype(type));
		const int64_t B = g.size(0), n = g.numel() / B;
		typed(dr, [&](auto *of_r) {
			using T = std::remove_pointer_t<decltype(of_r)>;
			share(B, std::max<int64_t>(1, grain / n), [&](int64_t from, int64_t to) {
				for (int64_t i = from; i < to; i++) IB_RUN(scaled(data<float>(g) + i * n, data<float>(scale)[i], data<T>(dr) + i * n, n));
			});
		});
		return {g, dr};
	}
};

// add_branch returns x + scale[i] r for sample i, in float32; without scale x + r.
at::Tensor add_branch(const at::Tensor &given_x, const at::Tensor &given_r, const c10::optional<at::Tensor> &scale) {
	check(given_r, "a branch");
	TORCH_CHECK(given_x.scalar_type() == f32 && given_x.sizes() == given_r.sizes() && given_x.dim() > 0,
		"wants float32 and a branch of the same shape, got ", given_x.sizes(), " and ", given_r.sizes());
	auto x = given_x.contiguous(), r = given_r.contiguous();
	const bool scales = scale.has_value() && scale->defined();
	const int64_t B = x.size(0), n = x.numel() / std::max<int64_t>(1, B);
	TORCH_CHECK(!scales || (scale->scalar_type() == f32 && scale->is_contiguous() && scale->numel() == B), "wants a scale for each of the ", B, " samples");
	auto y = at::empty_like(x);
	typed(r, [&](auto *of_r) {
		using T = std::remove_pointer_t<decltype(of_r)>;
		share(B, std::max<int64_t>(1, grain / std::max<int64_t>(1, n)), [&](int64_t from, int64_t to) {
			for (int64_t i = from; i < to; i++) {
				IB_RUN(add_scaled(data<float>(x) + i * n, data<T>(r) + i * n, scales ? data<float>(*scale)[i] : 1.f, data<float>(y) + i * n, n));
			}
		});
	});
	if (differentiate({x, r})) {
		auto node = make_node<AddBranchBackward>();
		if (scales) node->scale = *scale;
		node->type = r.scalar_type();
		record(node, y, {x, r});
	}
	return y;
}

TORCH_LIBRARY_FRAGMENT(ibot, m) {
	m.def("gelu(Tensor x) -> Tensor", gelu);
	m.def("layer_norm(Tensor x, Tensor weight, Tensor bias, float eps, bool for_product) -> Tensor", layer_norm);
	m.def("add_branch(Tensor x, Tensor branch, Tensor? scale) -> Tensor", add_branch);
}

} // namespace
