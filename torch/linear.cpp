// Linear layers and MLPs on the CPU: ibot::linear and ibot::mlp, and which kernels they run on.
//
// Between two products of a transformer stand bias, GELU and casts, and a library's product leaves each to a pass of its own over
// memory; it packs weights at every call, and copies what is transposed. Ours do all that while the sums are in the
// cache, and keep a weight packed for as long as it stays the same. Where the sizes are no multiples of 32, or the processor
// has neither matrix units nor vectors that are worth it, the products are libtorch's.

#include "isa.h"
#include "linear.h"
#include "mixed.h"
#include "shim.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/linear.h>
#include <torch/library.h>

namespace {

constexpr int64_t multiple = 32;

// suits reports whether a weight and its bias are as the kernels take them.
bool suits(const at::Tensor &w, const at::Tensor &b) {
	return w.dim() == 2 && w.scalar_type() == at::kFloat && w.device().is_cpu() && w.numel() > 0 && w.size(0) % multiple == 0 && w.size(1) % multiple == 0 &&
		(!b.defined() || (b.scalar_type() == at::kFloat && b.is_contiguous() && b.numel() == w.size(0)));
}

// layers_in returns the kernels for products in bfloat16 or float32, or null for libtorch's.
const ib::Layers *layers_in(bool half) {
	if (half && ib::layers_on_units() != nullptr) return ib::layers_on_units();
	return half && fast_dots() ? nullptr : ib::layers_on_vectors();
}

// layers_for returns the kernels for a layer of x, or null for libtorch's.
const ib::Layers *layers_for(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b) {
	const bool half = x.scalar_type() == at::kBFloat16;
	if (!x.device().is_cpu() || !(half || x.scalar_type() == at::kFloat) || x.dim() == 0 || x.numel() == 0 || !suits(w, b) || x.size(-1) != w.size(1)) return nullptr;
	if (mixed()) return layers_in(true);
	// For few rows packing the weight would take longer than the product, but one that learns is packed anyway.
	const bool few = x.numel() / x.size(-1) < multiple && !w.requires_grad();
	return half || few ? nullptr : layers_in(false);
}

// taken is x as the kernels take it.
at::Tensor taken(const at::Tensor &x) { return x.to(mixed() ? at::kBFloat16 : at::kFloat).contiguous(); }

// engine_linear is libtorch's. Where oneDNN has no bfloat16, libtorch would multiply and sum in it, a tenth off after a
// thousand rows; so there the factors are float32.
at::Tensor engine_linear(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b) {
	if (!x.device().is_cpu() || !mixed() || half_products()) return at::linear(x, w, b);
	c10::impl::ExcludeDispatchKeyGuard as_they_are(c10::DispatchKey::AutocastCPU);
	return at::linear(x.to(at::kFloat), w.to(at::kFloat), b.defined() ? b.to(at::kFloat) : b).to(at::kBFloat16);
}

at::Tensor linear(const at::Tensor &x, const at::Tensor &w, const c10::optional<at::Tensor> &bias) {
	const at::Tensor b = bias.has_value() ? *bias : at::Tensor();
	if (const auto *layers = layers_for(x, w, b)) return layers->linear(taken(x), w, b);
	return engine_linear(x, w, b);
}

// mlp returns GELU(x W1^T + b1) W2^T + b2.
at::Tensor mlp(const at::Tensor &x, const at::Tensor &w1, const at::Tensor &b1, const at::Tensor &w2, const at::Tensor &b2) {
	const auto *layers = layers_for(x, w1, b1);
	if (layers != nullptr && suits(w2, b2) && w2.size(1) == w1.size(0)) return layers->mlp(taken(x), w1, b1, w2, b2);
	static auto gelu = c10::Dispatcher::singleton().findSchemaOrThrow("ibot::gelu", "").typed<at::Tensor(const at::Tensor &)>();
	return engine_linear(gelu.call(engine_linear(x, w1, b1)), w2, b2);
}

TORCH_LIBRARY_FRAGMENT(ibot, m) {
	m.def("linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor", linear);
	m.def("mlp(Tensor x, Tensor weight1, Tensor bias1, Tensor weight2, Tensor bias2) -> Tensor", mlp);
}

} // namespace

int32_t ib_packed_bytes(int32_t half) {
	const auto *layers = layers_in(half);
	return layers == nullptr ? 0 : layers == ib::layers_on_units() ? 2 : 4;
}
