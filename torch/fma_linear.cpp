// Linear layers and MLPs in float32 and bfloat16 on vectors. In bfloat16 values are stored so, and multiplied and summed
// as float32: the dot products of bfloat16 that some processors have are slower than that (isa.h).
//
// What a layer keeps for the backward pass is its input in tiles (fma_kernel.h), which the gradient of the weight multiplies as they
// are; an MLP keeps what GELU is taken of, and never what it gives.

#include "linear.h"
#include "caches.h"
#include "isa.h"
#include "leaf.h"
#include "node.h"
#include "packs.h"
#include "turns.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <type_traits>

namespace {

#define IB_KERNEL "fma_kernel.h"
#include "each_isa.h"

using baseline::blocks_of;
using baseline::group_of;
using baseline::SIDE;

// tiles returns room for C values of so many blocks of rows.
at::Tensor tiles(int64_t blocks, int64_t C, at::ScalarType type) { return at::empty({blocks * SIDE * C}, type); }

// sums returns room for a sum of each block of rows, of C columns.
at::Tensor sums(int64_t blocks, int64_t C) { return at::empty({blocks, C}, at::kFloat); }

template <class T>
T *data_or_null(const at::Tensor &t) { return t.defined() ? data<T>(t) : nullptr; }

void pack_rows(const float *w, int64_t n, int64_t N, int64_t K, void *to, bool for_gradient) {
	if (for_gradient) {
		IB_RUN(pack_weight_for_gradient(w, n, N, K, static_cast<float *>(to)));
	} else {
		IB_RUN(pack_weight(w, n, K, static_cast<float *>(to)));
	}
}

Packs &packs() {
	static Packs all(at::kFloat, pack_rows);
	return all;
}

// product returns x (M, K) times a packed weight, and b: (M, N). It leaves x in tiles, and the sums of its rows, where those are defined.
at::Tensor product(const at::Tensor &x, const at::Tensor &packed, const at::Tensor &b, at::IntArrayRef shape, int64_t N, int64_t K, const at::Tensor &tiles, const at::Tensor &sums) {
	auto y = at::empty(shape, x.scalar_type());
	const int64_t M = x.numel() / K;
	typed(x, [&](auto *type) {
		using T = std::remove_pointer_t<decltype(type)>;
		each_turn<float>(blocks_of(M), 1, group_of(K) * SIDE * K, [&](int64_t from, int64_t to, float *scratch) {
			IB_RUN(linear(data<T>(x), data<float>(packed), bias_of(b), data<T>(y), data_or_null<T>(tiles), data_or_null<float>(sums), M, N, K, from, to, scratch));
		});
	});
	return y;
}

// gathered brings x (M, C) into tiles, and stores the sums of its rows.
void gathered(const at::Tensor &x, int64_t C, const at::Tensor &tiles, const at::Tensor &sums) {
	const int64_t M = x.numel() / C;
	typed(x, [&](auto *type) {
		using T = std::remove_pointer_t<decltype(type)>;
		each_turn<float>(blocks_of(M), 1, SIDE * C, [&](int64_t from, int64_t to, float *scratch) {
			for (int64_t m = from; m < to; m++) {
				IB_RUN(gather(data<T>(x) + m * SIDE * C, M - m * SIDE, C, data<T>(tiles) + m * SIDE * C, data<float>(sums) + m * C, scratch));
			}
		});
	});
}

// weight_gradient makes dw = dy^T x, (N, K) in float32, of factors in tiles, or adds that to it.
void weight_gradient(const at::Tensor &dy, int64_t N, const at::Tensor &x, int64_t K, const at::Tensor &dw, bool add) {
	typed(dy, [&](auto *type) {
		using T = std::remove_pointer_t<decltype(type)>;
		const int64_t blocks = dy.numel() / (N * SIDE), n = N / SIDE, k = K / SIDE;
		each_turn<float>(std::max(n, k), 1, baseline::gradient_scratch(type, blocks), [&](int64_t from, int64_t to, float *scratch) {
			const bool rows = n >= k; // are shared out, else columns
			IB_RUN(weight_gradient(data<T>(dy), data<T>(x), data<float>(dw), add, blocks, N, K, rows ? from : 0, rows ? to : n, rows ? 0 : from, rows ? k : to, scratch));
		});
	});
}

// Kept is what a node keeps of x (..., C): its tiles.
struct Kept {
	at::Tensor tiles;
	std::vector<int64_t> shape;

	const at::Tensor &get() const {
		TORCH_CHECK(tiles.defined(), "differentiated a second time, though its values are freed");
		return tiles;
	}
};

struct LinearBackward : Node {
	Kept x;
	SavedVariable w;
	std::string name() const override { return "LinearBackward"; }
	void release_variables() override {
		std::lock_guard<std::mutex> lock(mutex_);
		x.tiles.reset();
		w.reset_data();
	}
	variable_list apply(variable_list &&grads) override {
		std::lock_guard<std::mutex> lock(mutex_);
		variable_list out(3);
		if (!grads[0].defined()) return out;
		const auto in = x.get(), weight = w.unpack(), dy = grads[0].to(in.scalar_type()).contiguous();
		const int64_t N = weight.size(0), K = weight.size(1), blocks = in.numel() / (K * SIDE);
		const auto of_dy = tiles(blocks, N, in.scalar_type()), sum = sums(blocks, N);
		if (task_should_compute_output(0)) {
			out[0] = product(dy, packs().of(weight, true), at::Tensor(), x.shape, K, N, of_dy, sum);
		} else {
			gathered(dy, N, of_dy, sum);
		}
		if (task_should_compute_output(1)) {
			out[1] = weight_gradient_of(*this, 1, N, K, [&](const at::Tensor &dw, bool add) { weight_gradient(of_dy, N, in, K, dw, add); });
		}
		if (task_should_compute_output(2)) out[2] = sum.sum(0);
		return out;
	}
};

struct MLPBackward : Node {
	Kept x, h;
	SavedVariable w1, w2;
	std::string name() const override { return "MLPBackward"; }
	void release_variables() override {
		std::lock_guard<std::mutex> lock(mutex_);
		x.tiles.reset();
		h.tiles.reset();
		w1.reset_data();
		w2.reset_data();
	}
	variable_list apply(variable_list &&grads) override {
		std::lock_guard<std::mutex> lock(mutex_);
		variable_list out(5);
		if (!grads[0].defined()) return out;
		const auto in = x.get(), hidden = h.get(), first = w1.unpack(), second = w2.unpack();
		const auto type = in.scalar_type();
		const auto dy = grads[0].to(type).contiguous();
		const int64_t H = first.size(0), K = first.size(1), N = second.size(0), M = dy.numel() / N, blocks = blocks_of(M);
		const auto of_dy = tiles(blocks, N, type), activations = tiles(blocks, H, type), dh = tiles(blocks, H, type);
		const auto sum = sums(blocks, N), sum_of_dh = sums(blocks, H);
		if (task_should_compute_output(0)) out[0] = at::empty(x.shape, type);
		const auto pack2 = packs().of(second, true), pack1 = packs().of(first, true);
		typed(in, [&](auto *typed_as) {
			using T = std::remove_pointer_t<decltype(typed_as)>;
			each_turn<float>(blocks, 1, group_of(H) * SIDE * (N + H), [&](int64_t from, int64_t to, float *scratch) {
				IB_RUN(mlp_backward(data<T>(dy), data<T>(hidden), data<float>(pack2), data<float>(pack1), data<T>(of_dy), data<float>(sum), data<T>(activations),
					data<T>(dh), data<float>(sum_of_dh), data_or_null<T>(out[0]), M, K, H, N, from, to, scratch));
			});
		});
		if (task_should_compute_output(1)) {
			out[1] = weight_gradient_of(*this, 1, H, K, [&](const at::Tensor &dw, bool add) { weight_gradient(dh, H, in, K, dw, add); });
		}
		if (task_should_compute_output(2)) out[2] = sum_of_dh.sum(0);
		if (task_should_compute_output(3)) {
			out[3] = weight_gradient_of(*this, 3, N, H, [&](const at::Tensor &dw, bool add) { weight_gradient(of_dy, N, activations, H, dw, add); });
		}
		if (task_should_compute_output(4)) out[4] = sum.sum(0);
		return out;
	}
};

at::Tensor linear(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b) {
	const bool learns = differentiate({x, w, b});
	const int64_t N = w.size(0), K = w.size(1);
	at::Tensor y, kept;
	{
		c10::AutoGradMode none(false);
		if (learns) kept = tiles(blocks_of(x.numel() / K), K, x.scalar_type());
		y = product(x, packs().of(w, false), b, shape_of(x, N), N, K, kept, at::Tensor());
	}
	if (learns) {
		auto node = make_node<LinearBackward>();
		node->x = {kept, x.sizes().vec()};
		node->w = SavedVariable(w, false);
		record(node, y, {x, w, b});
	}
	return y;
}

at::Tensor mlp(const at::Tensor &x, const at::Tensor &w1, const at::Tensor &b1, const at::Tensor &w2, const at::Tensor &b2) {
	const bool learns = differentiate({x, w1, b1, w2, b2});
	const int64_t H = w1.size(0), K = w1.size(1), N = w2.size(0), M = x.numel() / K, blocks = blocks_of(M);
	at::Tensor y, kept, h;
	{
		c10::AutoGradMode none(false);
		y = at::empty(shape_of(x, N), x.scalar_type());
		if (learns) kept = tiles(blocks, K, x.scalar_type()), h = tiles(blocks, H, x.scalar_type());
		const auto pack1 = packs().of(w1, false), pack2 = packs().of(w2, false);
		typed(x, [&](auto *type) {
			using T = std::remove_pointer_t<decltype(type)>;
			each_turn<float>(blocks, 1, group_of(H) * SIDE * (K + H), [&](int64_t from, int64_t to, float *scratch) {
				IB_RUN(mlp(data<T>(x), data<float>(pack1), bias_of(b1), data<float>(pack2), bias_of(b2), data_or_null<T>(kept), data_or_null<T>(h), data<T>(y),
					M, K, H, N, from, to, scratch));
			});
		});
	}
	if (learns) {
		auto node = make_node<MLPBackward>();
		node->x = {kept, x.sizes().vec()};
		node->h = {h, {}};
		node->w1 = SavedVariable(w1, false);
		node->w2 = SavedVariable(w2, false);
		record(node, y, {x, w1, b1, w2, b2});
	}
	return y;
}

} // namespace

const ib::Layers *ib::layers_on_vectors() {
	static const Layers layers{linear, mlp};
	return isa() == Isa::baseline ? nullptr : &layers;
}
