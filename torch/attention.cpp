// Attention on the CPU, in float32 and bfloat16: the operators ibot::attention and ibot::self_attention.
//
// libtorch 1.13 has no fused attention, and without MKL its batched product is a loop over small ones, each
// with a dispatch and a parallel region of its own. Here the threads share out the heads, and
// nothing of size N x N outlives a head: backward computes the weights again from two numbers
// a query (Dao et al. 2022, FlashAttention, section 3.1). Sums are float32; bfloat16 is a way to store, but on
// the processor's matrix units (amx_attention_kernel.h), whose factors it is. One thread does all of a head, so that
// results do not depend on the number of threads.

#include "amx.h"
#include "attention.h"
#include "node.h"

#include <ATen/ops/empty_strided.h>
#include <torch/library.h>

#include <cmath>
#include <string>
#include <vector>

namespace {

using namespace ib;

constexpr int64_t BLOCK = 64; // queries; a multiple of every WIDTH

#define IB_KERNEL "attention_kernel.h"
#include "each_isa.h"

} // namespace

const Kernel &ib::kernel() {
	static const Kernel chosen = IB_RUN(table());
	return chosen;
}

namespace {

struct Sizes {
	int64_t B, H, N, d;
	float scale() const { return 1 / std::sqrt(static_cast<float>(d)); }
	int64_t room() const { return (N * d + 15) / 16 * 16; } // floats of a head, whole vectors
};

// Operand finds the heads of a tensor, float32 or bfloat16, whose features lie side by side.
struct Operand {
	void *p;
	bool half;                // bfloat16
	int64_t image, head, row; // strides
	int64_t at(int64_t b, int64_t h) const { return b * image + h * head; }

	// read returns head h of image b in float32: where it lies, or a copy for which it takes room from scratch.
	Matrix read(const Sizes &s, int64_t b, int64_t h, float *&scratch) const {
		const Matrix m = room(s, b, h, scratch);
		if (half) kernel().widen(static_cast<BFloat16 *>(p) + at(b, h), row, m.p, s.N, s.d);
		return m;
	}

	// room returns where to write head h of image b in float32; write brings it home.
	Matrix room(const Sizes &s, int64_t b, int64_t h, float *&scratch) const {
		if (!half) return {static_cast<float *>(p) + at(b, h), row, 1};
		const Matrix m{scratch, s.d, 1};
		scratch += s.room();
		return m;
	}
	void write(const Sizes &s, int64_t b, int64_t h, Matrix m) const {
		if (half) kernel().narrow(m.p, static_cast<BFloat16 *>(p) + at(b, h), row, s.N, s.d);
	}

#ifdef IB_AMX
	amx::Rows rows(int64_t b, int64_t h) const { return {static_cast<BFloat16 *>(p) + at(b, h), row}; }
#endif
};

// Queries, keys and values are three tensors (B, H, N, d), or one (B, N, 3 H d).
using Tensors = std::vector<at::Tensor>;

Operand operand(const Tensors &all, const Sizes &s, int i) {
	const auto &t = all.size() == 1 ? all[0] : all[i];
	const bool half = t.scalar_type() == at::kBFloat16;
	if (t.dim() == 4) return {t.data_ptr(), half, t.stride(0), t.stride(1), t.stride(2)};
	auto p = static_cast<char *>(t.data_ptr()) + i * s.H * s.d * t.element_size();
	return {p, half, t.stride(0), s.d, t.stride(1)};
}

// made_like returns a new tensor that lies as (B, N, H, d), so that joining the heads costs nothing.
at::Tensor made_like(const at::Tensor &t, const Sizes &s, int64_t parts) {
	const auto options = at::TensorOptions(t.scalar_type());
	if (t.dim() == 3) return at::empty({s.B, s.N, parts * s.H * s.d}, options);
	return at::empty_strided({s.B, s.H, s.N, s.d}, {s.N * s.H * s.d, s.d, s.H * s.d, 1}, options);
}

// room_for is how many floats a head takes: for the kernel and copies of q, k, v, dy, dq, dk, dv.
int64_t room_for(const Sizes &s) { return kernel().scratch_floats(s.N, s.d) + 7 * s.room(); }

#ifdef IB_AMX
bool on_units(const Sizes &s, const Operand &q) { return q.half && s.d % amx::SIDE == 0 && units(); }
#endif

// each_head calls f(image, head, number of both, scratch), the heads shared out over the threads.
template <class F>
void each_head(const Sizes &s, int64_t floats, F f) {
	if (s.B * s.H * s.N * s.d == 0) return;
	share_out(s.B * s.H, s.N * s.N * s.d, floats, [&](int64_t i, float *scratch) { f(i / s.H, i % s.H, i, scratch); });
}

at::Tensor with_adjacent_features(const at::Tensor &t) { return t.stride(-1) == 1 ? t : t.contiguous(); }

struct AttentionBackward : Node {
	Sizes s;
	std::vector<SavedVariable> saved;
	at::Tensor stats; // (2, B H, N): max and norm of every head

	std::string name() const override { return "AttentionBackward"; }

	void release_variables() override {
		std::lock_guard<std::mutex> lock(mutex_);
		for (auto &x : saved) x.reset_data();
		stats.reset();
	}

	variable_list apply(variable_list &&grads) override {
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
#ifdef IB_AMX
		if (on_units(s, q)) {
			each_head(s, amx::attention_scratch(s.N, s.d) / 2, [&](int64_t b, int64_t h, int64_t i, float *scratch) {
				amx::attend_backward(q.rows(b, h), k.rows(b, h), v.rows(b, h), dy.rows(b, h), dq.rows(b, h), dk.rows(b, h), dv.rows(b, h),
					s.N, s.d, s.scale(), max + i * s.N, norm + i * s.N, reinterpret_cast<BFloat16 *>(scratch));
			});
			return out;
		}
#endif
		each_head(s, room_for(s), [&](int64_t b, int64_t h, int64_t i, float *scratch) {
			const Head head{s.N, s.d, s.scale(), q.read(s, b, h, scratch), k.read(s, b, h, scratch), v.read(s, b, h, scratch), {},
				dy.read(s, b, h, scratch), dq.room(s, b, h, scratch), dk.room(s, b, h, scratch), dv.room(s, b, h, scratch),
				max + i * s.N, norm + i * s.N};
			kernel().backward(head, scratch);
			dq.write(s, b, h, head.dq);
			dk.write(s, b, h, head.dk);
			dv.write(s, b, h, head.dv);
		});
		return out;
	}
};

// attend computes all heads: y, and the greatest score and the norm of every query.
void attend(const Sizes &s, const Operand &q, const Operand &k, const Operand &v, const Operand &y, float *max, float *norm) {
#ifdef IB_AMX
	if (on_units(s, q)) {
		return each_head(s, amx::attention_scratch(s.N, s.d) / 2, [&](int64_t b, int64_t h, int64_t i, float *scratch) {
			amx::attend(q.rows(b, h), k.rows(b, h), v.rows(b, h), y.rows(b, h), s.N, s.d, s.scale(), max + i * s.N, norm + i * s.N,
				reinterpret_cast<BFloat16 *>(scratch));
		});
	}
#endif
	each_head(s, room_for(s), [&](int64_t b, int64_t h, int64_t i, float *scratch) {
		const Head head{s.N, s.d, s.scale(), q.read(s, b, h, scratch), k.read(s, b, h, scratch), v.read(s, b, h, scratch),
			y.room(s, b, h, scratch), {}, {}, {}, {}, max + i * s.N, norm + i * s.N};
		kernel().forward(head, scratch);
		y.write(s, b, h, head.y);
	});
}

at::Tensor attend(const Tensors &given, const Sizes &s) {
	Tensors in;
	for (auto &t : given) {
		TORCH_CHECK(t.device().is_cpu() && (t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16) &&
			t.scalar_type() == given[0].scalar_type(), "wants one of float32 and bfloat16 on the CPU, got ", t.scalar_type(), " on ", t.device());
		in.push_back(with_adjacent_features(t));
	}
	auto y = made_like(in[0], s, 1);
	auto stats = at::empty({2, s.B * s.H, s.N}, at::kFloat);
	const Operand q = operand(in, s, 0), k = operand(in, s, 1), v = operand(in, s, 2), to = operand({y}, s, 0);
	float *max = stats.data_ptr<float>(), *norm = max + s.B * s.H * s.N;
	attend(s, q, k, v, to, max, norm);
	if (!differentiate(in)) return y;
	auto node = make_node<AttentionBackward>();
	node->s = s;
	for (auto &t : in) node->saved.emplace_back(t, false);
	node->stats = stats;
	record(node, y, in);
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

TORCH_LIBRARY_FRAGMENT(ibot, m) {
	m.def("attention(Tensor q, Tensor k, Tensor v) -> Tensor", attention);
	m.def("self_attention(Tensor qkv, int heads) -> Tensor", self_attention);
}

} // namespace
