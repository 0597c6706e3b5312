// What a step does to all parameters at once, on the CPU in float32: ibot::adamw_, ibot::lerp_, ibot::clip_.
//
// An optimizer in plain operators goes through memory a dozen times and starts some ten operators a parameter.
// Here every value is read and written once, and all parameters are shared out over the threads
// together, in chunks that stay in a core's cache.

#include "isa.h"
#include "parallel.h"

#include <ATen/ops/tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

// Factors of AdamW (Loshchilov and Hutter 2019) at step t:
//
//	m <- m + (g - m) grad                       grad = 1 - beta1
//	v <- v keep + g^2 square                    keep = beta2, square = 1 - beta2
//	p <- p decay - step m / (sqrt(v) root + eps)    decay = 1 - lr wd, step = lr / (1 - beta1^t), root = 1 / sqrt(1 - beta2^t)
struct Factors {
	float grad, keep, square, decay, step, root, eps;
};

#define IB_KERNEL "update_kernel.h"
#include "each_isa.h"

constexpr int64_t chunk_values = 1 << 15;

// Chunk is a part of tensor number i.
struct Chunk {
	size_t i;
	int64_t from, count;
};

std::vector<Chunk> chunks(at::TensorList all) {
	std::vector<Chunk> parts;
	for (size_t i = 0; i < all.size(); i++) {
		for (int64_t from = 0; from < all[i].numel(); from += chunk_values) {
			parts.push_back({i, from, std::min(chunk_values, all[i].numel() - from)});
		}
	}
	return parts;
}

float *values(const at::Tensor &t) { return static_cast<float *>(t.data_ptr()); }

void check(at::TensorList all, size_t n, const char *what) {
	TORCH_CHECK(all.size() == n, "wants ", n, " ", what, ", got ", all.size());
	for (auto &t : all) {
		TORCH_CHECK(t.device().is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous(), "wants ", what,
			" in float32, contiguous on the CPU, got ", t.scalar_type(), " ", t.sizes(), " on ", t.device());
	}
}

void changed(at::TensorList all) {
	for (auto &t : all) t.unsafeGetTensorImpl()->bump_version();
}

// adamw_ makes one step of every parameter. decay, step and root are lists of a factor each.
void adamw_(at::TensorList p, at::TensorList g, at::TensorList m, at::TensorList v, double beta1, double beta2, double eps,
	at::ArrayRef<double> decay, at::ArrayRef<double> step, at::ArrayRef<double> root) {
	check(p, p.size(), "parameters");
	check(m, p.size(), "first moments");
	check(v, p.size(), "second moments");
	std::vector<at::Tensor> grads;
	for (auto &t : g) grads.push_back(t.contiguous());
	check(grads, p.size(), "gradients");
	TORCH_CHECK(decay.size() == p.size() && step.size() == p.size() && root.size() == p.size(), "wants factors for each parameter");
	for (size_t i = 0; i < p.size(); i++) {
		TORCH_CHECK(grads[i].numel() == p[i].numel() && m[i].numel() == p[i].numel() && v[i].numel() == p[i].numel(),
			"wants gradient and moments of the shape of parameter ", i, ", ", p[i].sizes());
	}
	const auto parts = chunks(p);
	share(parts.size(), 1, [&](int64_t from, int64_t to) {
		for (int64_t k = from; k < to; k++) {
			const Chunk &c = parts[k];
			const Factors f{static_cast<float>(1 - beta1), static_cast<float>(beta2), static_cast<float>(1 - beta2), static_cast<float>(decay[c.i]),
				static_cast<float>(step[c.i]), static_cast<float>(root[c.i]), static_cast<float>(eps)};
			IB_RUN(adamw(values(p[c.i]) + c.from, values(grads[c.i]) + c.from, values(m[c.i]) + c.from, values(v[c.i]) + c.from, f, c.count));
		}
	});
	changed(p), changed(m), changed(v);
}

// lerp_ moves every a[i] the given part of the way to b[i].
void lerp_(at::TensorList a, at::TensorList b, double part) {
	check(a, a.size(), "values");
	check(b, a.size(), "ends");
	for (size_t i = 0; i < a.size(); i++) TORCH_CHECK(a[i].numel() == b[i].numel(), "wants pairs of one shape, got ", a[i].sizes(), " and ", b[i].sizes());
	const auto parts = chunks(a);
	share(parts.size(), 1, [&](int64_t from, int64_t to) {
		for (int64_t k = from; k < to; k++) {
			const Chunk &c = parts[k];
			IB_RUN(lerp(values(a[c.i]) + c.from, values(b[c.i]) + c.from, static_cast<float>(part), c.count));
		}
	});
	changed(a);
}

// clip_ scales every tensor whose Euclidean norm exceeds limit by limit / (norm + 1e-6); a limit of 0 only
// measures. It returns the norm of all together before that.
at::Tensor clip_(at::TensorList g, double limit) {
	check(g, g.size(), "gradients");
	const auto parts = chunks(g);
	std::vector<double> sums(parts.size()), squares(g.size());
	share(parts.size(), 1, [&](int64_t from, int64_t to) {
		for (int64_t k = from; k < to; k++) sums[k] = IB_RUN(square_sum(values(g[parts[k].i]) + parts[k].from, parts[k].count));
	});
	double total = 0;
	for (size_t k = 0; k < parts.size(); k++) squares[parts[k].i] += sums[k], total += sums[k];
	share(parts.size(), 1, [&](int64_t from, int64_t to) {
		for (int64_t k = from; k < to; k++) {
			const Chunk &c = parts[k];
			const double factor = limit / (std::sqrt(squares[c.i]) + 1e-6);
			if (limit > 0 && factor < 1) IB_RUN(scale(values(g[c.i]) + c.from, static_cast<float>(factor), c.count));
		}
	});
	changed(g);
	return at::tensor(static_cast<float>(std::sqrt(total)));
}

TORCH_LIBRARY_FRAGMENT(ibot, m) {
	m.def("adamw_(Tensor(a!)[] p, Tensor[] g, Tensor(b!)[] m, Tensor(c!)[] v, float beta1, float beta2, float eps, float[] decay, float[] step, float[] root) -> ()", adamw_);
	m.def("lerp_(Tensor(a!)[] a, Tensor[] b, float part) -> ()", lerp_);
	m.def("clip_(Tensor(a!)[] g, float limit) -> Tensor", clip_);
}

} // namespace
