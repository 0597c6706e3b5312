// Attention in float32 on the CPU: the operators ibot::attention and ibot::self_attention.
//
// libtorch 1.13 has no fused attention, and without MKL its batched product is a loop over small ones, each
// with a dispatch and a parallel region of its own. Here the threads share out the heads, and
// nothing of size N x N outlives a head: backward computes the weights again from two numbers
// a query (Dao et al. 2022, FlashAttention, section 3.1). One thread does all of a head, so that
// results do not depend on the number of threads.

#include <ATen/TensorIterator.h>
#include <ATen/Version.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/library.h>

#include <cmath>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace {

struct Matrix {
	float *p;
	int64_t row, column; // strides
	Matrix from(int64_t i) const { return {p + i * row, row, column}; }
	Matrix transposed() const { return {p, column, row}; }
};

// Head is one head of one image: n tokens of d features.
struct Head {
	int64_t n, d;
	float scale;
	Matrix q, k, v;        // (n, d)
	Matrix y;              // (n, d), written by forward
	Matrix dy, dq, dk, dv; // (n, d), read and written by backward
	float *max, *norm;     // (n): of each query, the greatest score and 1 / sum of e^(scale (score - max))
};

constexpr int64_t BLOCK = 64; // queries; a multiple of every WIDTH

// ROWS x 2 sums, two vectors of B and one of A fill the registers: 32, or 16 before AVX-512.
#pragma GCC push_options
#pragma GCC optimize("O3") // unrolls the tiles
#define WIDTH 4
#define ROWS 6
namespace baseline {
#include "attention_kernel.h"
}
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx2,fma")
#undef WIDTH
#define WIDTH 8
namespace avx2 {
#include "attention_kernel.h"
}
#pragma GCC target("avx512f")
#undef WIDTH
#undef ROWS
#define WIDTH 16
#define ROWS 12
namespace avx512 {
#include "attention_kernel.h"
}
#define IB_WIDER_KERNELS
#endif
#pragma GCC pop_options

struct Kernel {
	int64_t (*scratch_floats)(int64_t n, int64_t d);
	void (*forward)(const Head &, float *scratch);
	void (*backward)(const Head &, float *scratch);
};

// choose follows libtorch's own choice of instruction sets, so that ATEN_CPU_CAPABILITY works here
// too. The description of the build is the one place where every engine tells it.
Kernel choose() {
#ifdef IB_WIDER_KERNELS
	const std::string config = at::show_config();
	auto uses = [&](const char *set) {
		return config.find(std::string("CPU capability usage: ") + set) != std::string::npos;
	};
	if (uses("AVX512")) return {avx512::scratch_floats, avx512::forward, avx512::backward};
	if (uses("AVX2")) return {avx2::scratch_floats, avx2::forward, avx2::backward};
#endif
	return {baseline::scratch_floats, baseline::forward, baseline::backward};
}

const Kernel &kernel() {
	static const Kernel chosen = choose();
	return chosen;
}

struct Sizes {
	int64_t B, H, N, d;
	float scale() const { return 1 / std::sqrt(static_cast<float>(d)); }
};

// Operand finds the heads of a tensor whose features lie side by side.
struct Operand {
	float *p;
	int64_t image, head, row; // strides
	Matrix of(int64_t b, int64_t h) const { return {p + b * image + h * head, row, 1}; }
};

// Queries, keys and values are three tensors (B, H, N, d), or one (B, N, 3 H d).
using Tensors = std::vector<at::Tensor>;

Operand operand(const Tensors &all, const Sizes &s, int i) {
	const auto &t = all.size() == 1 ? all[0] : all[i];
	auto p = t.data_ptr<float>();
	if (t.dim() == 4) return {p, t.stride(0), t.stride(1), t.stride(2)};
	return {p + i * s.H * s.d, t.stride(0), s.d, t.stride(1)};
}

// made_like returns a new tensor that lies as (B, N, H, d), so that joining the heads costs nothing.
at::Tensor made_like(const at::Tensor &t, const Sizes &s, int64_t parts) {
	const auto options = at::TensorOptions(at::kFloat);
	if (t.dim() == 3) return at::empty({s.B, s.N, parts * s.H * s.d}, options);
	return at::empty_strided({s.B, s.H, s.N, s.d}, {s.N * s.H * s.d, s.d, s.H * s.d, 1}, options);
}

// each_head calls f(image, head, number of both, scratch), the heads shared out over libtorch's threads. An
// iterator over as many bytes does that whatever these threads are; at::parallel_for, an inline
// function, would need this file compiled and linked for the same OpenMP.
template <class F>
void each_head(const Sizes &s, F f) {
	if (s.B * s.H * s.N * s.d == 0) return;
	const int64_t floats = kernel().scratch_floats(s.N, s.d);
	const int64_t grain = 1 + 32768 / (s.N * s.N * s.d); // at least 100 microseconds or so for a thread
	auto turns = at::empty({s.B * s.H}, at::kByte);
	const char *start = static_cast<char *>(turns.data_ptr());
	auto share = [&](char **data, const int64_t *, int64_t n) {
		auto scratch = c10::GetCPUAllocator()->allocate(floats * sizeof(float));
		for (int64_t i = *data - start, end = i + n; i < end; i++) {
			f(i / s.H, i % s.H, i, static_cast<float *>(scratch.get()));
		}
	};
	at::TensorIterator::borrowing_nullary_op(turns).for_each(share, grain);
}

at::Tensor with_adjacent_features(const at::Tensor &t) { return t.stride(-1) == 1 ? t : t.contiguous(); }

struct AttentionBackward : torch::autograd::Node {
	Sizes s;
	std::vector<torch::autograd::SavedVariable> saved;
	at::Tensor stats; // (2, B H, N): max and norm of every head

	std::string name() const override { return "AttentionBackward"; }

	void release_variables() override {
		std::lock_guard<std::mutex> lock(mutex_);
		for (auto &x : saved) x.reset_data();
		stats.reset();
	}

	torch::autograd::variable_list apply(torch::autograd::variable_list &&grads) override {
		std::lock_guard<std::mutex> lock(mutex_);
		TORCH_CHECK(!c10::GradMode::is_enabled(), "attention on the CPU has no second derivative");
		if (!grads[0].defined()) return Tensors(saved.size());
		Tensors in, out;
		for (auto &x : saved) {
			in.push_back(x.unpack());
			out.push_back(made_like(in.back(), s, 3));
		}
		const Tensors grad{with_adjacent_features(grads[0])};
		const Operand q = operand(in, s, 0), k = operand(in, s, 1), v = operand(in, s, 2), dy = operand(grad, s, 0);
		const Operand dq = operand(out, s, 0), dk = operand(out, s, 1), dv = operand(out, s, 2);
		float *max = stats.data_ptr<float>(), *norm = max + s.B * s.H * s.N;
		each_head(s, [&](int64_t b, int64_t h, int64_t i, float *scratch) {
			kernel().backward({s.N, s.d, s.scale(), q.of(b, h), k.of(b, h), v.of(b, h), {}, dy.of(b, h), dq.of(b, h),
				dk.of(b, h), dv.of(b, h), max + i * s.N, norm + i * s.N}, scratch);
		});
		return out;
	}
};

at::Tensor attend(const Tensors &given, const Sizes &s) {
	Tensors in;
	bool differentiate = false;
	for (auto &t : given) {
		TORCH_CHECK(t.device().is_cpu() && t.scalar_type() == at::kFloat, "wants float32 on the CPU, got ", t.scalar_type(),
			" on ", t.device());
		in.push_back(with_adjacent_features(t));
		differentiate |= c10::GradMode::is_enabled() && t.requires_grad();
	}
	auto y = made_like(in[0], s, 1);
	auto stats = at::empty({2, s.B * s.H, s.N}, at::kFloat);
	const Operand q = operand(in, s, 0), k = operand(in, s, 1), v = operand(in, s, 2), to = operand({y}, s, 0);
	float *max = stats.data_ptr<float>(), *norm = max + s.B * s.H * s.N;
	each_head(s, [&](int64_t b, int64_t h, int64_t i, float *scratch) {
		kernel().forward({s.N, s.d, s.scale(), q.of(b, h), k.of(b, h), v.of(b, h), to.of(b, h), {}, {}, {}, {},
			max + i * s.N, norm + i * s.N}, scratch);
	});
	if (!differentiate) return y;
	std::shared_ptr<AttentionBackward> node(new AttentionBackward, torch::autograd::deleteNode);
	node->set_next_edges(torch::autograd::collect_next_edges(in));
	node->s = s;
	for (auto &t : in) node->saved.emplace_back(t, false);
	node->stats = stats;
	torch::autograd::set_history(y, node);
	return y;
}

at::Tensor attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v) {
	TORCH_CHECK(q.dim() == 4 && q.sizes() == k.sizes() && q.sizes() == v.sizes(),
		"wants three tensors of one shape (B, H, N, d)");
	return attend({q, k, v}, {q.size(0), q.size(1), q.size(2), q.size(3)});
}

at::Tensor self_attention(const at::Tensor &qkv, int64_t heads) {
	TORCH_CHECK(qkv.dim() == 3 && heads > 0 && qkv.size(2) % (3 * heads) == 0,
		"wants (B, N, 3 D) with D a multiple of ", heads, " heads");
	return attend({qkv}, {qkv.size(0), heads, qkv.size(1), qkv.size(2) / (3 * heads)});
}

TORCH_LIBRARY(ibot, m) {
	m.def("attention(Tensor q, Tensor k, Tensor v) -> Tensor", attention);
	m.def("self_attention(Tensor qkv, int heads) -> Tensor", self_attention);
}

} // namespace
