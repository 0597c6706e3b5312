// Attention within windows in float32 or bfloat16 on the CPU: the operator ibot::window_attention.
//
// The windows of a shifted-window transformer (Liu et al. 2021, Swin, section 3.2) are read where
// they lie in the map and written back there: no shift, no partition and no padding is ever made in
// memory. All numbers within are float32.

#include "attention.h"
#include "node.h"

#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <c10/util/BFloat16.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace ib;

// Windows cuts maps of H x W tokens, heads times d features each, into windows of side x side,
// after the map was rolled up and left by shift. What a window has beyond the map is padding.
struct Windows {
	int64_t B, H, W, heads, d, side, shift;
	int64_t down() const { return (H + side - 1) / side; }
	int64_t across() const { return (W + side - 1) / side; }
	int64_t count() const { return down() * across(); }         // of one map
	int64_t n() const { return side * side; }                   // tokens of a window
	int64_t row() const { return (n() + 15) / 16 * 16; }        // floats of a row of scores
	int64_t groups() const { return std::min<int64_t>(B * count(), 16); }
	int64_t begin(int64_t group) const { return group * B * count() / groups(); } // its first window of all
	float scale() const { return 1 / std::sqrt(static_cast<float>(d)); }
};

// places lists where the tokens of every window lie in the map (count, n); -1 is padding.
std::vector<int64_t> places(const Windows &w) {
	std::vector<int64_t> all;
	const int64_t H = w.down() * w.side, W = w.across() * w.side;
	for (int64_t top = 0; top < H; top += w.side) {
		for (int64_t left = 0; left < W; left += w.side) {
			for (int64_t i = 0; i < w.n(); i++) {
				const int64_t y = (top + i / w.side + w.shift) % H, x = (left + i % w.side + w.shift) % W;
				all.push_back(y < w.H && x < w.W ? y * w.W + x : -1);
			}
		}
	}
	return all;
}

// gather brings the tokens of a window, d features each and stride apart in the map, side by side.
template <class T>
void gather(const T *map, int64_t stride, const int64_t *place, const float *padding, int64_t n, int64_t d,
	float *to) {
	for (int64_t i = 0; i < n; i++, to += d) {
		if (place[i] < 0) {
			std::memcpy(to, padding, d * sizeof(float));
			continue;
		}
		const T *from = map + place[i] * stride;
		for (int64_t j = 0; j < d; j++) to[j] = static_cast<float>(from[j]);
	}
}

// scatter brings them back. What belongs to padding is added to padding, unless that is null.
template <class T>
void scatter(const float *from, T *map, int64_t stride, const int64_t *place, float *padding, int64_t n, int64_t d) {
	for (int64_t i = 0; i < n; i++, from += d) {
		if (place[i] >= 0) {
			T *to = map + place[i] * stride;
			for (int64_t j = 0; j < d; j++) to[j] = static_cast<T>(from[j]);
		} else if (padding != nullptr) {
			for (int64_t j = 0; j < d; j++) padding[j] += from[j];
		}
	}
}

// Scores is what the kernel adds to the scores: in its units, keys down and queries across.
struct Scores {
	at::Tensor bias, mask;       // (heads, n, row), (count, n, row)
	std::vector<uint8_t> masked; // (count): windows whose mask is not all zero
};

// transposed lays (many, queries, keys) out as (many, keys, row), times factor.
at::Tensor transposed(const at::Tensor &t, int64_t n, int64_t row, float factor) {
	auto out = at::zeros({t.size(0), n, row}, at::kFloat);
	const float *from = t.data_ptr<float>();
	float *to = out.data_ptr<float>();
	for (int64_t i = 0; i < t.size(0); i++, from += n * n, to += n * row) {
		for (int64_t q = 0; q < n; q++) {
			for (int64_t k = 0; k < n; k++) to[k * row + q] = from[q * n + k] * factor;
		}
	}
	return out;
}

Scores scores(const Windows &w, const at::Tensor &bias, const at::Tensor &mask) {
	Scores s{transposed(bias.contiguous(), w.n(), w.row(), 1 / w.scale()), {}, std::vector<uint8_t>(w.count())};
	if (mask.numel() == 0) return s;
	const auto m = mask.contiguous();
	s.mask = transposed(m, w.n(), w.row(), 1 / w.scale());
	const float *p = m.data_ptr<float>();
	const int64_t size = w.n() * w.n();
	for (int64_t i = 0; i < w.count(); i++, p += size) {
		s.masked[i] = std::any_of(p, p + size, [](float x) { return x != 0; });
	}
	return s;
}

// Attention is all that both ways need of one call.
struct Attention {
	Windows w;
	at::Tensor qkv, padding; // (B, H, W, 3 D), (3 D)
	Scores scores;
	std::vector<int64_t> place;
	at::Tensor stats; // (2, B count heads, n): max and norm of every head

	int64_t D() const { return w.heads * w.d; }
	float *max(int64_t window, int64_t head) {
		return stats.data_ptr<float>() + (window * w.heads + head) * w.n();
	}
	float *norm(int64_t window, int64_t head) { return max(window + w.B * w.count(), head); }

	// head begins the description of a head of a window: its tokens are gathered into memory.
	template <class T>
	Head head(int64_t window, int64_t head, float *memory) {
		const int64_t image = window / w.count(), of = window % w.count(), n = w.n(), d = w.d;
		const T *from = qkv.data_ptr<T>() + image * w.H * w.W * 3 * D() + head * d;
		const float *beyond = padding.data_ptr<float>() + head * d;
		for (int64_t part = 0; part < 3; part++) {
			gather(from + part * D(), 3 * D(), &place[of * n], beyond + part * D(), n, d, memory + part * n * d);
		}
		Head h{};
		h.n = n, h.d = d, h.scale = w.scale();
		h.q = {memory, d, 1}, h.k = {memory + n * d, d, 1}, h.v = {memory + 2 * n * d, d, 1};
		h.max = max(window, head), h.norm = norm(window, head);
		h.bias = scores.bias.data_ptr<float>() + head * n * w.row(), h.bias_row = w.row();
		if (scores.masked[of]) h.mask = scores.mask.data_ptr<float>() + of * n * w.row();
		return h;
	}

	// each calls f(window, head, group, scratch, memory) for all heads of all windows. A group of
	// windows is done in their order by one thread, so that sums over them do not depend on the
	// number of threads.
	template <class F>
	void each(F f) {
		const int64_t own = kernel().scratch_floats(w.n(), w.d);
		const int64_t work = w.n() * w.n() * w.d * w.B * w.count() / w.groups();
		share_out(w.groups() * w.heads, work, own + 7 * w.n() * w.d, [&](int64_t unit, float *scratch) {
			const int64_t group = unit / w.heads, head = unit % w.heads;
			for (int64_t i = w.begin(group); i < w.begin(group + 1); i++) f(i, head, group, scratch, scratch + own);
		});
	}

	template <class T>
	at::Tensor forward() {
		auto y = at::empty({w.B, w.H, w.W, D()}, qkv.options());
		each([&](int64_t window, int64_t head, int64_t, float *scratch, float *memory) {
			const int64_t n = w.n(), d = w.d;
			Head h = this->head<T>(window, head, memory);
			h.y = {memory + 3 * n * d, d, 1};
			kernel().forward(h, scratch);
			T *to = y.data_ptr<T>() + window / w.count() * w.H * w.W * D() + head * d;
			scatter(h.y.p, to, D(), &place[window % w.count() * n], nullptr, n, d);
		});
		return y;
	}

	// backward returns the gradients of qkv, padding and the bias (heads, n, n).
	template <class T>
	std::vector<at::Tensor> backward(const at::Tensor &dy) {
		auto dqkv = at::empty(qkv.sizes(), qkv.options());
		auto dpadding = at::zeros({w.groups(), w.heads, 3, w.d}, at::kFloat);
		auto dbias = at::zeros({w.groups(), w.heads, w.n(), w.row()}, at::kFloat);
		const std::vector<float> zeros(w.d);
		each([&](int64_t window, int64_t head, int64_t group, float *scratch, float *memory) {
			const int64_t n = w.n(), d = w.d, image = window / w.count() * w.H * w.W;
			const int64_t *at = &place[window % w.count() * n];
			Head h = this->head<T>(window, head, memory);
			float *grads = memory + 4 * n * d; // of q, k and v
			h.dy = {memory + 3 * n * d, d, 1};
			h.dq = {grads, d, 1}, h.dk = {grads + n * d, d, 1}, h.dv = {grads + 2 * n * d, d, 1};
			h.dbias = dbias.data_ptr<float>() + (group * w.heads + head) * n * w.row();
			gather(dy.data_ptr<T>() + image * D() + head * d, D(), at, zeros.data(), n, d, h.dy.p);
			kernel().backward(h, scratch);
			float *beyond = dpadding.data_ptr<float>() + (group * w.heads + head) * 3 * d;
			T *to = dqkv.data_ptr<T>() + image * 3 * D() + head * d;
			for (int64_t part = 0; part < 3; part++) {
				scatter(grads + part * n * d, to + part * D(), 3 * D(), at, beyond + part * d, n, d);
			}
		});
		return {dqkv, dpadding.sum(0).permute({1, 0, 2}).reshape({3 * D()}),
			dbias.sum(0).narrow(2, 0, w.n()).transpose(1, 2).contiguous()};
	}
};

bool is_bf16(const at::Tensor &t) { return t.scalar_type() == at::kBFloat16; }

struct WindowAttentionBackward : Node {
	Attention attention; // without qkv and padding, which are saved apart
	SavedVariable qkv, padding;

	std::string name() const override { return "WindowAttentionBackward"; }

	void release_variables() override {
		std::lock_guard<std::mutex> lock(mutex_);
		qkv.reset_data();
		padding.reset_data();
		attention = {};
	}

	variable_list apply(variable_list &&grads) override {
		std::lock_guard<std::mutex> lock(mutex_);
		TORCH_CHECK(!c10::GradMode::is_enabled(), "attention on the CPU has no second derivative");
		if (!grads[0].defined()) return std::vector<at::Tensor>(3);
		Attention a = attention;
		a.qkv = qkv.unpack(), a.padding = padding.unpack();
		const auto dy = grads[0].contiguous();
		return is_bf16(dy) ? a.backward<at::BFloat16>(dy) : a.backward<float>(dy);
	}
};

// check refuses what does not belong together.
void check(const Windows &w, const at::Tensor &qkv, const at::Tensor &padding, const at::Tensor &bias, const at::Tensor &mask) {
	TORCH_CHECK(qkv.device().is_cpu() && (qkv.scalar_type() == at::kFloat || is_bf16(qkv)),
		"wants float32 or bfloat16 on the CPU, got ", qkv.scalar_type(), " on ", qkv.device());
	for (auto &t : {padding, bias, mask}) {
		TORCH_CHECK(t.device().is_cpu() && t.scalar_type() == at::kFloat,
			"wants padding, bias and mask in float32 on the CPU");
	}
	TORCH_CHECK(w.B * w.H * w.W * w.d > 0 && qkv.size(3) == 3 * w.heads * w.d, "wants (B, H, W, 3 D) with D a multiple of ",
		w.heads, " heads");
	TORCH_CHECK(padding.dim() == 1 && padding.size(0) == qkv.size(3), "wants padding of ", qkv.size(3), " features");
	const int64_t n = w.n();
	TORCH_CHECK(bias.size(1) == n && bias.size(2) == n, "wants a bias (heads, ", n, ", ", n, ")");
	const bool fits = mask.dim() == 3 && mask.size(0) == w.count() && mask.size(1) == n && mask.size(2) == n;
	TORCH_CHECK(mask.numel() == 0 || fits, "wants a mask (", w.count(), ", ", n, ", ", n, ") or none");
}

at::Tensor window_attention(const at::Tensor &qkv, const at::Tensor &padding, const at::Tensor &bias, const at::Tensor &mask,
	int64_t side, int64_t shift) {
	TORCH_CHECK(side > 0 && shift >= 0 && shift < side, "wants a shift from 0 to below the window of ", side);
	TORCH_CHECK(qkv.dim() == 4 && bias.dim() == 3 && bias.size(0) > 0, "wants qkv (B, H, W, 3 D) and a bias (heads, n, n)");
	Attention a;
	a.w = {qkv.size(0), qkv.size(1), qkv.size(2), bias.size(0), qkv.size(3) / (3 * bias.size(0)), side, shift};
	check(a.w, qkv, padding, bias, mask);
	a.qkv = qkv.contiguous(), a.padding = padding.contiguous();
	a.scores = scores(a.w, bias, mask);
	a.place = places(a.w);
	a.stats = at::empty({2, a.w.B * a.w.count() * a.w.heads, a.w.n()}, at::kFloat);
	auto y = is_bf16(qkv) ? a.forward<at::BFloat16>() : a.forward<float>();
	if (!differentiate({qkv, padding, bias})) return y;
	auto node = make_node<WindowAttentionBackward>();
	node->qkv = SavedVariable(a.qkv, false);
	node->padding = SavedVariable(a.padding, false);
	a.qkv.reset(), a.padding.reset();
	node->attention = std::move(a);
	record(node, y, {qkv, padding, bias});
	return y;
}

TORCH_LIBRARY_FRAGMENT(ibot, m) {
	m.def("window_attention(Tensor qkv, Tensor padding, Tensor bias, Tensor mask, int side, int shift) -> Tensor",
		window_attention);
}

} // namespace
