// A generic shim over libtorch's dispatcher: an operator is found by its schema and called
// boxed, so that a new operator is one line of Go and this file stays as it is. It compiles
// against libtorch 1.13 to 2.11.

#include "shim.h"
#include "guarded.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/api/include/torch/version.h>

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#define IB_AT_LEAST(major, minor) \
	(TORCH_VERSION_MAJOR > (major) || (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

namespace {

thread_local int64_t current_scope = 0;

using TensorPtr = c10::intrusive_ptr<at::TensorImpl, at::UndefinedTensorImpl>;

at::Tensor borrow(ib_tensor handle) {
	return at::Tensor(TensorPtr::unsafe_reclaim_from_nonowning(static_cast<at::TensorImpl *>(handle)));
}

ib_tensor release(at::Tensor t) {
	return t.defined() ? static_cast<ib_tensor>(t.unsafeReleaseTensorImpl()) : nullptr;
}

struct Op {
	c10::OperatorHandle handle;
	std::vector<c10::TypeKind> kinds; // of each argument, without "optional"
	std::vector<c10::optional<c10::IValue>> defaults;
};

c10::TypeKind kind_of(const c10::Argument &arg) {
	auto type = arg.type();
	while (type->kind() == c10::TypeKind::OptionalType) {
		type = type->castRaw<c10::OptionalType>()->getElementType();
	}
	return type->kind();
}

c10::IValue to_ivalue(const Op &op, size_t index, const ib_value &v, const ib_lists &lists) {
	switch (v.kind) {
	case IB_NONE:
		return {};
	case IB_TENSOR:
		return borrow(v.p);
	case IB_INT:
		if (op.kinds[index] == c10::TypeKind::FloatType) return static_cast<double>(v.i);
		return v.i;
	case IB_DOUBLE:
		return v.d;
	case IB_BOOL:
		return v.i != 0;
	case IB_INTS:
		return std::vector<int64_t>(lists.ints + v.i, lists.ints + v.i + v.n);
	case IB_DOUBLES:
		return std::vector<double>(lists.doubles + v.i, lists.doubles + v.i + v.n);
	case IB_TENSORS: {
		c10::List<at::Tensor> list;
		list.reserve(v.n);
		for (int64_t k = 0; k < v.n; k++) list.push_back(borrow(lists.tensors[v.i + k]));
		return list;
	}
	case IB_OPT_TENSORS: {
		c10::List<c10::optional<at::Tensor>> list;
		list.reserve(v.n);
		for (int64_t k = 0; k < v.n; k++) {
			auto h = lists.tensors[v.i + k];
			list.push_back(h ? c10::optional<at::Tensor>(borrow(h)) : c10::nullopt);
		}
		return list;
	}
	case IB_DEVICE:
		return c10::Device(static_cast<c10::DeviceType>(v.i), static_cast<c10::DeviceIndex>(v.n));
	case IB_STRING:
		return std::string(lists.bytes + v.i, v.n);
	}
	TORCH_CHECK(false, "argument ", index, " has an unknown kind ", v.kind);
}

// take writes the results on the stack to out, tensor lists flattened.
int32_t take(std::vector<c10::IValue> &stack, ib_value *out, int32_t max_out) {
	int32_t n = 0;
	auto put = [&](ib_value v) {
		TORCH_CHECK(n < max_out, "more than ", max_out, " results");
		out[n++] = v;
	};
	auto put_tensor = [&](at::Tensor t) {
		ib_value v{};
		v.kind = t.defined() ? IB_TENSOR : IB_NONE;
		v.p = release(std::move(t));
		put(v);
	};
	for (auto &iv : stack) {
		if (iv.isTensor()) {
			put_tensor(std::move(iv).toTensor());
		} else if (iv.isTensorList()) {
			for (at::Tensor t : iv.toTensorVector()) put_tensor(std::move(t));
		} else if (iv.isInt()) {
			put(ib_value{iv.toInt(), 0, 0, nullptr, IB_INT});
		} else if (iv.isDouble()) {
			put(ib_value{0, 0, iv.toDouble(), nullptr, IB_DOUBLE});
		} else if (iv.isBool()) {
			put(ib_value{iv.toBool(), 0, 0, nullptr, IB_BOOL});
		} else if (iv.isNone()) {
			put(ib_value{0, 0, 0, nullptr, IB_NONE});
		} else if (iv.isScalar()) {
			put(ib_value{0, 0, iv.toScalar().toDouble(), nullptr, IB_DOUBLE});
		} else {
			TORCH_CHECK(false, "a result of type ", iv.tagKind(), " is not understood");
		}
	}
	return n;
}

// staged copies data into page-locked memory, from which a GPU reads by itself while the program goes on. The
// engine's allocator of such memory notes the copies that were queued from a block (copy_ with non_blocking tells it), and
// gives the block out again when they are over. So the tensor may be let go of as soon as they are queued.
at::Tensor staged(const void *data, int64_t nbytes, at::IntArrayRef shape, at::ScalarType dtype) {
	auto t = at::empty(shape, at::TensorOptions().dtype(dtype).pinned_memory(true));
	TORCH_CHECK(static_cast<int64_t>(t.nbytes()) == nbytes, "shape takes ", t.nbytes(), " bytes, got ", nbytes);
	if (nbytes > 0) std::memcpy(t.data_ptr(), data, nbytes);
	return t;
}

} // namespace

extern "C" {

ib_op ib_find(const char *name, const char *overload) {
	try {
		auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
		if (!handle) return nullptr;
		auto op = new Op{*handle, {}, {}};
		for (const auto &arg : handle->schema().arguments()) {
			op->kinds.push_back(kind_of(arg));
			op->defaults.push_back(arg.default_value());
		}
		return op;
	} catch (...) {
		return nullptr;
	}
}

ib_result ib_call(ib_op handle, const ib_value *args, int32_t nargs, const int64_t *ints,
	const double *doubles, const ib_tensor *tensors, const char *bytes, ib_value *out, int32_t max_out) {
	return guarded([&] {
		const Op &op = *static_cast<Op *>(handle);
		TORCH_CHECK(static_cast<size_t>(nargs) <= op.kinds.size(), "takes ", op.kinds.size(), " arguments, got ", nargs);
		const ib_lists lists{ints, doubles, tensors, bytes};
		std::vector<c10::IValue> stack;
		stack.reserve(op.kinds.size());
		for (int32_t k = 0; k < nargs; k++) stack.push_back(to_ivalue(op, k, args[k], lists));
		for (size_t k = nargs; k < op.kinds.size(); k++) {
			TORCH_CHECK(op.defaults[k].has_value(), "argument ", op.handle.schema().arguments()[k].name(), " is missing");
			stack.push_back(*op.defaults[k]);
		}
		op.handle.callBoxed(&stack);
		return take(stack, out, max_out);
	});
}

ib_result ib_from_host(const void *data, int64_t nbytes, int32_t dtype, const int64_t *shape,
	int32_t ndim, ib_tensor *out) {
	return guarded([&] {
		auto t = at::empty(at::IntArrayRef(shape, ndim), at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype)));
		TORCH_CHECK(static_cast<int64_t>(t.nbytes()) == nbytes, "shape takes ", t.nbytes(), " bytes, got ", nbytes);
		if (nbytes > 0) std::memcpy(t.data_ptr(), data, nbytes);
		*out = release(std::move(t));
		return 1;
	});
}

ib_result ib_to_host(ib_tensor handle, void *data, int64_t nbytes) {
	return guarded([&] {
		auto t = borrow(handle);
		TORCH_CHECK(t.device().is_cpu() && t.is_contiguous(), "wants a contiguous CPU tensor");
		TORCH_CHECK(static_cast<int64_t>(t.nbytes()) == nbytes, "tensor holds ", t.nbytes(), " bytes, wanted ", nbytes);
		if (nbytes > 0) std::memcpy(data, t.data_ptr(), nbytes);
		return 0;
	});
}

ib_result ib_to_device(const void *data, int64_t nbytes, int32_t dtype, const int64_t *shape,
	int32_t ndim, int32_t device_type, int32_t device_index, ib_tensor *out) {
	return guarded([&] {
		c10::AutoGradMode no_grad(false);
		auto host = staged(data, nbytes, at::IntArrayRef(shape, ndim), static_cast<at::ScalarType>(dtype));
		c10::Device device(static_cast<c10::DeviceType>(device_type), static_cast<c10::DeviceIndex>(device_index));
		*out = release(host.to(device, host.scalar_type(), true));
		return 1;
	});
}

ib_result ib_fill_from_host(ib_tensor handle, const void *data, int64_t nbytes) {
	return guarded([&] {
		auto t = borrow(handle);
		TORCH_CHECK(static_cast<int64_t>(t.nbytes()) == nbytes, "tensor holds ", t.nbytes(), " bytes, got ", nbytes);
		if (t.device().is_cpu() && t.is_contiguous()) {
			t.unsafeGetTensorImpl()->bump_version();
			if (nbytes > 0) std::memcpy(t.data_ptr(), data, nbytes);
			return 0;
		}
		c10::AutoGradMode no_grad(false);
		if (t.device().is_cuda()) {
			t.detach().copy_(staged(data, nbytes, t.sizes(), t.scalar_type()), true);
		} else {
			t.detach().copy_(at::from_blob(const_cast<void *>(data), t.sizes(), t.options().device(at::kCPU).requires_grad(false)));
		}
		return 0;
	});
}

ib_result ib_read_later(ib_tensor handle, ib_tensor *host, ib_event *event) {
	return guarded([&] {
		auto t = borrow(handle);
		c10::AutoGradMode no_grad(false);
		*event = nullptr;
		if (t.device().is_cpu()) {
			*host = release(t.detach().clone());
			return 1;
		}
		auto to = at::empty(t.sizes(), at::TensorOptions().dtype(t.scalar_type()).pinned_memory(true));
		to.copy_(t, true);
		auto over = std::make_unique<c10::Event>(t.device().type());
		over->record(c10::impl::VirtualGuardImpl(t.device().type()).getStream(t.device()));
		*event = over.release();
		*host = release(std::move(to));
		return 1;
	});
}

ib_result ib_event_over(ib_event event, int32_t *over) {
	return guarded([&] {
		*over = static_cast<c10::Event *>(event)->query();
		return 0;
	});
}

void ib_event_free(ib_event event) { delete static_cast<c10::Event *>(event); }

void ib_free(ib_tensor *handles, int64_t n) {
	for (int64_t k = 0; k < n; k++) TensorPtr::reclaim(static_cast<at::TensorImpl *>(handles[k])).reset();
}

void ib_changed(const ib_tensor *handles, int64_t n) {
	for (int64_t k = 0; k < n; k++) static_cast<at::TensorImpl *>(handles[k])->bump_version();
}

int32_t ib_dtype(ib_tensor t) { return static_cast<int32_t>(borrow(t).scalar_type()); }
int32_t ib_ndim(ib_tensor t) { return static_cast<int32_t>(borrow(t).dim()); }
int32_t ib_is_contiguous(ib_tensor t) { return borrow(t).is_contiguous(); }
int64_t ib_data_ptr(ib_tensor t) { return reinterpret_cast<int64_t>(borrow(t).data_ptr()); }

void ib_shape(ib_tensor t, int64_t *out) {
	for (int64_t s : borrow(t).sizes()) *out++ = s;
}

void ib_device(ib_tensor t, int32_t *type, int32_t *index) {
	auto d = borrow(t).device();
	*type = static_cast<int32_t>(d.type());
	*index = d.index();
}

ib_result ib_backward(ib_tensor loss, ib_tensor grad) {
	return guarded([&] {
		borrow(loss).backward(grad ? borrow(grad) : at::Tensor());
		return 0;
	});
}

ib_result ib_grad(ib_tensor t, ib_tensor *out) {
	return guarded([&] {
		*out = release(borrow(t).grad());
		return *out != nullptr;
	});
}

ib_result ib_set_grad(ib_tensor t, ib_tensor grad) {
	return guarded([&] {
		borrow(t).mutable_grad() = grad ? borrow(grad) : at::Tensor();
		return 0;
	});
}

ib_result ib_set_requires_grad(ib_tensor t, int32_t on) {
	return guarded([&] {
		borrow(t).set_requires_grad(on != 0);
		return 0;
	});
}

int32_t ib_requires_grad(ib_tensor t) { return borrow(t).requires_grad(); }

int64_t ib_set_scope(int64_t id) {
	int64_t old = current_scope;
	current_scope = id;
	return old;
}

int64_t ib_scope(void) { return current_scope; }

int32_t ib_grad_mode(void) { return c10::GradMode::is_enabled(); }

int32_t ib_set_grad_mode(int32_t on) {
	bool was = c10::GradMode::is_enabled();
	c10::GradMode::set_enabled(on != 0);
	return was;
}

int32_t ib_autocast_begin(int32_t device_type, int32_t on, int32_t dtype, int32_t *old_dtype) {
	auto type = static_cast<at::ScalarType>(dtype);
	at::autocast::increment_nesting();
#if IB_AT_LEAST(2, 4)
	auto device = static_cast<at::DeviceType>(device_type);
	int32_t was = at::autocast::is_autocast_enabled(device);
	*old_dtype = static_cast<int32_t>(at::autocast::get_autocast_dtype(device));
	at::autocast::set_autocast_enabled(device, on != 0);
	at::autocast::set_autocast_dtype(device, type);
#else
	int32_t was;
	if (static_cast<at::DeviceType>(device_type) == at::kCPU) {
		was = at::autocast::is_cpu_enabled();
		*old_dtype = static_cast<int32_t>(at::autocast::get_autocast_cpu_dtype());
		at::autocast::set_cpu_enabled(on != 0);
		at::autocast::set_autocast_cpu_dtype(type);
	} else {
		was = at::autocast::is_enabled();
		*old_dtype = static_cast<int32_t>(at::autocast::get_autocast_gpu_dtype());
		at::autocast::set_enabled(on != 0);
		at::autocast::set_autocast_gpu_dtype(type);
	}
#endif
	return was;
}

void ib_autocast_end(int32_t device_type, int32_t was_on, int32_t old_dtype) {
	auto type = static_cast<at::ScalarType>(old_dtype);
	if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
#if IB_AT_LEAST(2, 4)
	auto device = static_cast<at::DeviceType>(device_type);
	at::autocast::set_autocast_enabled(device, was_on != 0);
	at::autocast::set_autocast_dtype(device, type);
#else
	if (static_cast<at::DeviceType>(device_type) == at::kCPU) {
		at::autocast::set_cpu_enabled(was_on != 0);
		at::autocast::set_autocast_cpu_dtype(type);
	} else {
		at::autocast::set_enabled(was_on != 0);
		at::autocast::set_autocast_gpu_dtype(type);
	}
#endif
}

const char *ib_version(void) { return TORCH_VERSION; }

char *ib_show_config(void) {
	try {
		return copy(at::show_config());
	} catch (...) {
		return copy("");
	}
}

void ib_set_threads(int32_t n) { at::set_num_threads(n); }
int32_t ib_threads(void) { return at::get_num_threads(); }

// Debian's at::set_num_threads also makes a pool of threads anew, which nothing here uses: some 0.2 ms, and threads that spin.
void ib_set_threads_here(int32_t n) {
	static const auto set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
	set ? set(n) : at::set_num_threads(n);
}

char *ib_load_cuda(void) {
	if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) return nullptr;
	const char *why = dlerror();
	return copy(why ? why : "libtorch_cuda.so cannot be opened");
}

int32_t ib_cuda_count(void) {
	try {
		if (!at::hasCUDA()) return 0;
		return at::detail::getCUDAHooks().getNumGPUs();
	} catch (...) {
		return 0;
	}
}

} // extern "C"
