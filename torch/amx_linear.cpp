// Linear layers and MLPs in bfloat16 on the matrix units of the processor.
//
// oneDNN reaches a fourth of what these units can do with the matrices of a transformer, for it packs weights at
// every call, copies what is transposed, and leaves bias, GELU and casts to passes of their own. Here a weight is packed once for
// as long as it stays the same, an MLP never writes what GELU returns, and gradients of weights come in float32, without a
// cast.

#include "amx.h"
#include "leaf.h"
#include "linear.h"
#include "node.h"
#include "packs.h"
#include "turns.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>

namespace {

#ifdef IB_AMX
using amx::blocks_of;
using amx::GROUP;
using amx::SIDE;
using amx::STEP;

constexpr int64_t segment = 32; // steps of the inner axis of a weight's gradient that are packed at a time: 1024 rows

BFloat16 *halves(const at::Tensor &t) { return data<BFloat16>(t); }

at::Tensor room(int64_t n) { return at::empty({n}, at::kBFloat16); }

// least is how many blocks of rows a thread takes at a time: fewer are not worth a pass over a packed weight.
constexpr int64_t least = 2;

void pack_rows(const float *w, int64_t n, int64_t N, int64_t K, void *to, bool for_gradient) {
	if (for_gradient) {
		amx::pack_weight_for_gradient(w, n, N, K, static_cast<BFloat16 *>(to));
	} else {
		amx::pack_weight(w, n, K, static_cast<BFloat16 *>(to));
	}
}

Packs &packs() {
	static Packs all(at::kBFloat16, pack_rows);
	return all;
}

// Factor is one side of a weight's gradient: rows to pack, or what is packed for all rows already.
struct Factor {
	at::Tensor rows;   // (M, C)
	at::Tensor packed; // C/32 panels of all steps, where rows is undefined
	int64_t C;
};

// weight_gradient makes dw = dy^T x, (N, K) in float32, or adds that to it, and in bias, where it packs dy, the sums of dy's rows.
void weight_gradient(const Factor &dy, const Factor &x, int64_t M, const at::Tensor &dw, bool add, at::Tensor *bias) {
	const int64_t steps = blocks_of(M), N = dy.C, K = x.C, rows = std::min(steps, segment);
	auto sums = at::empty({steps, dy.rows.defined() ? N : 0}, at::kFloat);
	const auto left = dy.rows.defined() ? room(rows * SIDE * N) : dy.packed, right = x.rows.defined() ? room(rows * SIDE * K) : x.packed;
	const int64_t segments = (steps + segment - 1) / segment;
	for (int64_t s = 0; s < segments; s++) {
		const int64_t first = steps * s / segments, count = steps * (s + 1) / segments - first;
		share(count, 1, [&](int64_t from, int64_t to) {
			for (int64_t i = from; i < to; i++) {
				const int64_t row = (first + i) * SIDE, n = M - row;
				if (dy.rows.defined()) amx::pack_steps<true>(halves(dy.rows) + row * N, N, n, N, halves(left), rows * STEP, i, data<float>(sums) + (first + i) * N);
				if (x.rows.defined()) amx::pack_steps<false>(halves(x.rows) + row * K, K, n, K, halves(right), rows * STEP, i, nullptr);
			}
		});
		const int64_t left_panel = (dy.rows.defined() ? rows : steps) * STEP, right_panel = (x.rows.defined() ? rows : steps) * STEP;
		const BFloat16 *a = halves(left) + (dy.rows.defined() ? 0 : first * STEP), *b = halves(right) + (x.rows.defined() ? 0 : first * STEP);
		each_turn<BFloat16>(N / SIDE, amx::MEET, 0, [&](int64_t from, int64_t to, BFloat16 *) {
			amx::weight_gradient(a, left_panel, b, right_panel, count, data<float>(dw), K, from, to, add || s > 0);
		});
	}
	if (bias != nullptr) *bias = sums.sum(0);
}

// product returns x (M, K) times a packed weight, and b: (M, N).
at::Tensor product(const at::Tensor &x, const at::Tensor &packed, const float *b, at::IntArrayRef shape, int64_t N, int64_t K) {
	auto y = at::empty(shape, at::kBFloat16);
	const int64_t M = x.numel() / K;
	each_turn<BFloat16>(blocks_of(M), least, GROUP * SIDE * K, [&](int64_t from, int64_t to, BFloat16 *scratch) {
		amx::linear(halves(x), halves(packed), b, halves(y), M, N, K, from, to, scratch);
	});
	return y;
}

struct LinearBackward : Node {
	SavedVariable x, w;
	std::string name() const override { return "LinearBackward"; }
	void release_variables() override {
		std::lock_guard<std::mutex> lock(mutex_);
		x.reset_data();
		w.reset_data();
	}
	variable_list apply(variable_list &&grads) override {
		std::lock_guard<std::mutex> lock(mutex_);
		variable_list out(3);
		if (!grads[0].defined()) return out;
		const auto in = x.unpack(), weight = w.unpack(), dy = grads[0].to(at::kBFloat16).contiguous();
		const int64_t N = weight.size(0), K = weight.size(1);
		if (task_should_compute_output(0)) out[0] = product(dy, packs().of(weight, true), nullptr, in.sizes(), K, N);
		if (!task_should_compute_output(1) && !task_should_compute_output(2)) return out;
		out[1] = weight_gradient_of(*this, 1, N, K, [&](const at::Tensor &dw, bool add) {
			weight_gradient({dy, {}, N}, {in, {}, K}, dy.numel() / N, dw, add, task_should_compute_output(2) ? &out[2] : nullptr);
		});
		return out;
	}
};

struct MLPBackward : Node {
	SavedVariable x, w1, w2;
	at::Tensor h; // what GELU was taken of, as left blocks
	std::string name() const override { return "MLPBackward"; }
	void release_variables() override {
		std::lock_guard<std::mutex> lock(mutex_);
		x.reset_data();
		w1.reset_data();
		w2.reset_data();
		h.reset();
	}
	variable_list apply(variable_list &&grads) override {
		std::lock_guard<std::mutex> lock(mutex_);
		variable_list out(5);
		if (!grads[0].defined()) return out;
		TORCH_CHECK(h.defined(), "differentiated a second time, though its values are freed");
		const auto in = x.unpack(), first = w1.unpack(), second = w2.unpack(), dy = grads[0].to(at::kBFloat16).contiguous();
		const int64_t H = first.size(0), K = first.size(1), N = second.size(0), M = in.numel() / K, steps = blocks_of(M);
		auto activations = room(steps * SIDE * H), dh = room(steps * SIDE * H);
		auto sums = at::empty({steps, H}, at::kFloat);
		if (task_should_compute_output(0)) out[0] = at::empty(in.sizes(), at::kBFloat16);
		const auto pack2 = packs().of(second, true), pack1 = packs().of(first, true);
		each_turn<BFloat16>(steps, least, GROUP * SIDE * (N + H), [&](int64_t from, int64_t to, BFloat16 *scratch) {
			amx::mlp_backward(halves(dy), halves(h), halves(pack2), halves(pack1), halves(activations), halves(dh), data<float>(sums),
				out[0].defined() ? halves(out[0]) : nullptr, steps * STEP, M, K, H, N, from, to, scratch);
		});
		if (task_should_compute_output(1)) {
			out[1] = weight_gradient_of(*this, 1, H, K, [&](const at::Tensor &dw, bool add) { weight_gradient({{}, dh, H}, {in, {}, K}, M, dw, add, nullptr); });
		}
		if (task_should_compute_output(2)) out[2] = sums.sum(0);
		if (task_should_compute_output(3) || task_should_compute_output(4)) {
			out[3] = weight_gradient_of(*this, 3, N, H, [&](const at::Tensor &dw, bool add) { weight_gradient({dy, {}, N}, {{}, activations, H}, M, dw, add, &out[4]); });
		}
		return out;
	}
};

at::Tensor linear(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b) {
	const bool learns = differentiate({x, w, b});
	at::Tensor y;
	{
		c10::AutoGradMode none(false);
		y = product(x, packs().of(w, false), bias_of(b), shape_of(x, w.size(0)), w.size(0), w.size(1));
	}
	if (learns) {
		auto node = make_node<LinearBackward>();
		node->x = SavedVariable(x, false);
		node->w = SavedVariable(w, false);
		record(node, y, {x, w, b});
	}
	return y;
}

at::Tensor mlp(const at::Tensor &x, const at::Tensor &w1, const at::Tensor &b1, const at::Tensor &w2, const at::Tensor &b2) {
	const bool learns = differentiate({x, w1, b1, w2, b2});
	const int64_t H = w1.size(0), K = w1.size(1), N = w2.size(0), M = x.numel() / K;
	at::Tensor y, h;
	{
		c10::AutoGradMode none(false);
		y = at::empty(shape_of(x, N), at::kBFloat16);
		if (learns) h = room(blocks_of(M) * SIDE * H);
		const auto pack1 = packs().of(w1, false), pack2 = packs().of(w2, false);
		each_turn<BFloat16>(blocks_of(M), least, GROUP * SIDE * (K + H), [&](int64_t from, int64_t to, BFloat16 *scratch) {
			amx::mlp(halves(x), halves(pack1), bias_of(b1), halves(pack2), bias_of(b2), learns ? halves(h) : nullptr, halves(y), M, K, H, N, from, to, scratch);
		});
	}
	if (learns) {
		auto node = make_node<MLPBackward>();
		node->x = SavedVariable(x, false);
		node->w1 = SavedVariable(w1, false);
		node->w2 = SavedVariable(w2, false);
		node->h = h;
		record(node, y, {x, w1, b1, w2, b2});
	}
	return y;
}
#endif // IB_AMX

} // namespace

const ib::Layers *ib::layers_on_units() {
#ifdef IB_AMX
	static const Layers layers{linear, mlp};
	if (units()) return &layers;
#endif
	return nullptr;
}
