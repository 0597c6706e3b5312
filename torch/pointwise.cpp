// The operators between the matrix products, on the CPU: ibot::gelu, ibot::layer_norm, ibot::fork, ibot::add_branch.
//
// They are bound by memory, and libtorch goes through it more often than it must, above all in mixed
// precision: a layer norm in float32 whose result is then cast, a mask that is multiplied and
// added in two passes with a cast between. Here each is one pass forward and one backward, that reads
// and writes float32 and bfloat16 as they come and computes in float32.

#include "isa.h"
#include "mixed.h"
#include "node.h"
#include "parallel.h"
#include "values.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>
#include <vector>

namespace {

#define IB_KERNEL "pointwise_kernel.h"
#include "each_isa.h"

constexpr int64_t grain = 16384; // values worth a thread
constexpr at::ScalarType f32 = at::kFloat, bf16 = at::kBFloat16;

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

// Samples are those of the first axis that an operator works on: all of them, or some in ascending order.
struct Samples {
	std::vector<int64_t> some;
	bool all = true;

	explicit Samples(at::OptionalIntArrayRef given, int64_t of) {
		if (!given.has_value()) return;
		all = false, some = given->vec();
		for (size_t i = 0; i < some.size(); i++) {
			TORCH_CHECK(some[i] >= (i == 0 ? 0 : some[i - 1] + 1) && some[i] < of, "wants samples below ", of, " in ascending order, got ", some);
		}
	}
	Samples() {}

	int64_t count(int64_t of) const { return all ? of : static_cast<int64_t>(some.size()); }
	int64_t operator[](int64_t i) const { return all ? i : some[i]; }

	// places says of each of so many samples which one it is of those named; -1: of none.
	std::vector<int64_t> places(int64_t of) const {
		std::vector<int64_t> at(of, -1);
		for (int64_t i = 0; i < count(of); i++) at[(*this)[i]] = i;
		return at;
	}
};

// of_samples calls f(row, at, n) for n rows that lie side by side from row on, rows from to to (excluded) of those of the
// samples, each of so many rows; at counts through the rows of the samples alone.
template <class F>
void of_samples(const Samples &samples, int64_t each, int64_t from, int64_t to, F f) {
	if (samples.all) return f(from, from, to - from);
	for (int64_t at = from; at < to;) {
		const int64_t i = at / each, n = std::min(to, (i + 1) * each) - at;
		f(samples[i] * each + at % each, at, n);
		at += n;
	}
}

// LayerNormBackward is the node of layer_norm, and of fork, whose second result is x itself.
struct LayerNormBackward : Node {
	SavedVariable x, w;
	at::Tensor stats; // (rows, 2)
	Samples samples;
	std::string name() const override { return "LayerNormBackward"; }
	void release_variables() override {
		std::lock_guard<std::mutex> lock(mutex_);
		x.reset_data();
		w.reset_data();
		stats.reset();
	}
	variable_list apply(variable_list &&grads) override {
		std::lock_guard<std::mutex> lock(mutex_);
		const at::Tensor through = grads.size() > 1 ? grads[1] : at::Tensor();
		if (!grads[0].defined()) return {through, at::Tensor(), at::Tensor()};
		auto in = x.unpack(), weight = w.unpack(), dy = grads[0].contiguous();
		const auto more = through.defined() ? through.to(in.scalar_type()).contiguous() : at::Tensor();
		const int64_t B = in.size(0), D = weight.numel(), each = in.numel() / (B * D), rows = samples.count(B) * each;
		const int64_t parts = (rows + part_rows - 1) / part_rows;
		auto dx = at::empty_like(in);
		auto sums = at::zeros({2, parts, D}, at::kFloat); // dw and db of each part
		typed(in, [&](auto *of_x) {
			using T = std::remove_pointer_t<decltype(of_x)>;
			const T *added = more.defined() ? data<T>(more) : nullptr;
			typed(dy, [&](auto *of_y) {
				using U = std::remove_pointer_t<decltype(of_y)>;
				share(parts, 1, [&](int64_t from, int64_t to) {
					for (int64_t p = from; p < to; p++) {
						of_samples(samples, each, p * part_rows, std::min(rows, (p + 1) * part_rows), [&](int64_t row, int64_t at, int64_t n) {
							IB_RUN(layer_norm_backward(data<T>(in) + row * D, data<float>(weight), data<float>(stats) + 2 * at, data<U>(dy) + at * D,
								added == nullptr ? added : added + row * D, data<T>(dx) + row * D, data<float>(sums) + p * D, data<float>(sums) + (parts + p) * D, n, D));
						});
					}
				});
			});
			if (samples.all) return;
			const auto places = samples.places(B);
			const int64_t n = each * D;
			share(B, std::max<int64_t>(1, grain / n), [&](int64_t from, int64_t to) {
				for (int64_t i = from; i < to; i++) {
					if (places[i] >= 0) continue;
					if (added == nullptr) {
						std::fill_n(data<T>(dx) + i * n, n, T{});
					} else {
						std::copy_n(added + i * n, n, data<T>(dx) + i * n);
					}
				}
			});
		});
		auto total = sums.sum(1);
		return {dx, total[0], total[1]};
	}
};

// normed gives the type that the next matrix product takes, where for_product says that one comes next.
// Only the samples named are normed; the result has no others. Where forks is set x itself is the second result.
variable_list normed(const at::Tensor &given, const at::Tensor &weight, const at::Tensor &bias, double eps, bool for_product, at::OptionalIntArrayRef some, bool forks) {
	check(given, "values");
	TORCH_CHECK(weight.scalar_type() == f32 && bias.scalar_type() == f32 && weight.dim() == 1 && bias.sizes() == weight.sizes() &&
		given.dim() > 0 && given.size(-1) == weight.numel(), "wants (..., D) with a weight and a bias (D) in float32");
	auto x = given.contiguous();
	const Samples samples(some, x.size(0));
	const int64_t D = weight.numel(), each = x.numel() / std::max<int64_t>(1, x.size(0) * D), rows = samples.count(x.size(0)) * each;
	auto shape = x.sizes().vec();
	if (!samples.all) shape[0] = samples.count(0);
	variable_list out{at::empty(shape, x.options().dtype(for_product && mixed() ? bf16 : x.scalar_type()))};
	auto stats = at::empty({rows, 2}, at::kFloat);
	typed(x, [&](auto *of_x) {
		using T = std::remove_pointer_t<decltype(of_x)>;
		typed(out[0], [&](auto *of_y) {
			using U = std::remove_pointer_t<decltype(of_y)>;
			share(rows, std::max<int64_t>(1, grain / D), [&](int64_t from, int64_t to) {
				of_samples(samples, each, from, to, [&](int64_t row, int64_t at, int64_t n) {
					IB_RUN(layer_norm(data<T>(x) + row * D, data<float>(weight), data<float>(bias), data<U>(out[0]) + at * D, data<float>(stats) + 2 * at, n, D,
						static_cast<float>(eps)));
				});
			});
		});
	});
	const bool learns = differentiate({x, weight, bias});
	if (forks) out.push_back(learns ? x.variable_data() : x);
	if (learns) {
		auto node = make_node<LayerNormBackward>();
		node->x = SavedVariable(x, false);
		node->w = SavedVariable(weight, false);
		node->stats = stats;
		node->samples = samples;
		record(node, out, {x, weight, bias});
	}
	return out;
}

at::Tensor layer_norm(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias, double eps, bool for_product) {
	return normed(x, weight, bias, eps, for_product, c10::nullopt, false)[0];
}

// fork returns x normed for a product, and x, which a branch of the normed one will be added to. So the gradients of both come to one node, which adds
// them in the pass that it makes anyway.
std::tuple<at::Tensor, at::Tensor> fork(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias, double eps, at::OptionalIntArrayRef samples) {
	auto both = normed(x, weight, bias, eps, true, samples, true);
	return {both[0], both[1]};
}

// ---- the residual sum

struct AddBranchBackward : Node {
	Samples samples;
	float scale;
	at::ScalarType type;
	std::string name() const override { return "AddBranchBackward"; }
	variable_list apply(variable_list &&grads) override {
		if (!grads[0].defined()) return {at::Tensor(), at::Tensor()};
		if (samples.all && scale == 1) return {grads[0], grads[0].to(type)};
		auto g = grads[0].contiguous();
		const int64_t B = samples.count(g.size(0)), n = g.numel() / g.size(0);
		auto shape = g.sizes().vec();
		shape[0] = B;
		auto dr = at::empty(shape, g.options().dtype(type));
		typed(dr, [&](auto *of_r) {
			using T = std::remove_pointer_t<decltype(of_r)>;
			share(B, std::max<int64_t>(1, grain / n), [&](int64_t from, int64_t to) {
				for (int64_t i = from; i < to; i++) IB_RUN(scaled(data<float>(g) + samples[i] * n, scale, data<T>(dr) + i * n, n));
			});
		});
		return {g, dr};
	}
};

// add_branch returns x + scale r, in float32; where samples are named r has these alone, and the others of x stay as they are.
at::Tensor add_branch(const at::Tensor &given_x, const at::Tensor &given_r, double scale, at::OptionalIntArrayRef some) {
	check(given_r, "a branch");
	TORCH_CHECK(given_x.scalar_type() == f32 && given_x.dim() > 0 && given_x.dim() == given_r.dim() &&
		given_x.sizes().slice(1) == given_r.sizes().slice(1), "wants float32 and a branch of the same shape, got ", given_x.sizes(), " and ", given_r.sizes());
	auto x = given_x.contiguous(), r = given_r.contiguous();
	const int64_t B = x.size(0), n = x.numel() / std::max<int64_t>(1, B);
	const Samples samples(some, B);
	TORCH_CHECK(r.size(0) == samples.count(B), "wants a branch of the same shape, of ", samples.count(B), " samples, got ", r.size(0));
	const auto at = samples.places(B); // where each sample's branch is
	auto y = at::empty_like(x);
	typed(r, [&](auto *of_r) {
		using T = std::remove_pointer_t<decltype(of_r)>;
		share(B, std::max<int64_t>(1, grain / std::max<int64_t>(1, n)), [&](int64_t from, int64_t to) {
			for (int64_t i = from; i < to; i++) {
				if (at[i] < 0) {
					std::copy_n(data<float>(x) + i * n, n, data<float>(y) + i * n);
				} else {
					IB_RUN(add_scaled(data<float>(x) + i * n, data<T>(r) + at[i] * n, static_cast<float>(scale), data<float>(y) + i * n, n));
				}
			}
		});
	});
	if (differentiate({x, r})) {
		auto node = make_node<AddBranchBackward>();
		node->samples = samples;
		node->scale = static_cast<float>(scale);
		node->type = r.scalar_type();
		record(node, y, {x, r});
	}
	return y;
}

TORCH_LIBRARY_FRAGMENT(ibot, m) {
	m.def("gelu(Tensor x) -> Tensor", gelu);
	m.def("layer_norm(Tensor x, Tensor weight, Tensor bias, float eps, bool for_product) -> Tensor", layer_norm);
	m.def("fork(Tensor x, Tensor weight, Tensor bias, float eps, int[]? samples) -> (Tensor, Tensor)", fork);
	m.def("add_branch(Tensor x, Tensor branch, float scale, int[]? samples) -> Tensor", add_branch);
}

} // namespace
