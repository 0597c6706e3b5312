// The C face of the engine: what package torch calls, and all it calls.
//
// Rules: a function that can fail returns its error by value as a malloc'd string (NULL: no
// error); no exception leaves; nothing that Go owns is freed or kept. A tensor handle is a
// reference-counted TensorImpl* that the caller owns once.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void *ib_tensor;
typedef void *ib_op;

enum ib_kind {
	IB_NONE,
	IB_TENSOR,      // p: handle
	IB_INT,         // i
	IB_DOUBLE,      // d
	IB_BOOL,        // i
	IB_INTS,        // i: offset into ints, n: count
	IB_DOUBLES,     // i: offset into doubles, n: count
	IB_TENSORS,     // i: offset into tensors, n: count
	IB_OPT_TENSORS, // the same; a NULL handle is None
	IB_DEVICE,      // i: type, n: index
	IB_STRING,      // i: offset into bytes, n: length
};

typedef struct {
	int64_t i, n;
	double d;
	ib_tensor p;
	int32_t kind;
} ib_value;

// The lists that ib_values point into; they hold no Go pointers.
typedef struct {
	const int64_t *ints;
	const double *doubles;
	const ib_tensor *tensors;
	const char *bytes;
} ib_lists;

typedef struct {
	char *err;      // malloc'd, or NULL
	int64_t scope;  // the scope that this thread is in
	int32_t n;      // results written
	int32_t oom;    // the error is "out of memory"
} ib_result;

// ib_find looks an operator up by its name ("aten::add") and overload ("Tensor"). It returns
// NULL where this engine has no such operator.
ib_op ib_find(const char *name, const char *overload);

// ib_call runs an operator through the dispatcher: autograd, autocast and device are its
// business. Arguments that are left out at the end take the schema's defaults.
ib_result ib_call(ib_op op, const ib_value *args, int32_t nargs, const int64_t *ints,
	const double *doubles, const ib_tensor *tensors, const char *bytes, ib_value *out, int32_t max_out);

// Tensors.
ib_result ib_from_host(const void *data, int64_t nbytes, int32_t dtype, const int64_t *shape,
	int32_t ndim, ib_tensor *out);
ib_result ib_to_host(ib_tensor t, void *data, int64_t nbytes); // contiguous CPU tensors

// ib_to_device is ib_from_host for a CUDA device. It does not wait for the device, and data may change at once.
ib_result ib_to_device(const void *data, int64_t nbytes, int32_t dtype, const int64_t *shape,
	int32_t ndim, int32_t device_type, int32_t device_index, ib_tensor *out);
ib_result ib_fill_from_host(ib_tensor t, const void *data, int64_t nbytes); // any strides, any device; does not wait for it

// ib_read_later begins to copy t to *host, a CPU tensor, without waiting for the device. *event is over when the copy is;
// NULL: it is already. ib_event_free frees it.
typedef void *ib_event;
ib_result ib_read_later(ib_tensor t, ib_tensor *host, ib_event *event);
ib_result ib_event_over(ib_event event, int32_t *over);
void ib_event_free(ib_event event);

// ib_graph_begin records what the calling thread asks of a CUDA device, without it being done, until ib_graph_end. Graphs that share
// memory are never at work at the same time. Where *out is not NULL it is to be freed, whatever the error; that waits for the device.
typedef void *ib_graph;
ib_result ib_graph_begin(int32_t device_type, int32_t device_index, ib_graph shared_or_null, ib_graph *out);
ib_result ib_graph_end(ib_graph g);
ib_result ib_graph_replay(ib_graph g);
void ib_graph_free(ib_graph g);

void ib_free(ib_tensor *handles, int64_t n);
void ib_changed(const ib_tensor *handles, int64_t n); // for what changes tensors and does not tell
int32_t ib_dtype(ib_tensor t);
int32_t ib_ndim(ib_tensor t);
void ib_shape(ib_tensor t, int64_t *out);
int64_t ib_data_ptr(ib_tensor t);
int32_t ib_is_contiguous(ib_tensor t);
void ib_device(ib_tensor t, int32_t *type, int32_t *index);

// Autograd.
ib_result ib_backward(ib_tensor loss, ib_tensor grad_or_null);
ib_result ib_grad(ib_tensor t, ib_tensor *out); // *out NULL: no gradient
ib_result ib_set_grad(ib_tensor t, ib_tensor grad_or_null);
ib_result ib_set_requires_grad(ib_tensor t, int32_t on);
int32_t ib_requires_grad(ib_tensor t);

// ib_checkpoint makes *out: result with a node that goes to the inputs by running function id again. The numbers of
// functions that no node needs any more are what ib_checkpoints_over writes to ids, at most max of them.
ib_result ib_checkpoint(int64_t id, ib_tensor result, const ib_tensor *inputs, int64_t n, ib_tensor *out);
int64_t ib_checkpoints_over(int64_t *ids, int64_t max);

// Modes of the calling thread. Each returns what was set before.
int64_t ib_set_scope(int64_t id);
int64_t ib_scope(void); // what is set now
int32_t ib_set_grad_mode(int32_t on);
int32_t ib_grad_mode(void);
int32_t ib_autocast_begin(int32_t device_type, int32_t on, int32_t dtype, int32_t *old_dtype);
int32_t ib_autocast(int32_t device_type, int32_t *dtype); // whether it is on
void ib_autocast_end(int32_t device_type, int32_t was_on, int32_t old_dtype);

// The engine and the machine.
const char *ib_version(void);
char *ib_show_config(void); // malloc'd
void ib_set_threads(int32_t n);
int32_t ib_threads(void);
void ib_set_threads_here(int32_t n); // for operators that the calling OS thread starts
char *ib_load_cuda(void); // malloc'd reason, or NULL: loaded
int32_t ib_cuda_count(void);
char *ib_gemm(void); // static: which library runs float32 products

// What operators take: between the two calls every one is timed, on all threads.
void ib_profile_begin(void);
char *ib_profile_end(void); // malloc'd lines "name\tcalls\tseconds of its own\n"

// ib_packed_bytes is what layers of linear.cpp keep of a number of a weight, packed for products in bfloat16 or float32; 0: nothing.
int32_t ib_packed_bytes(int32_t half);

#ifdef __cplusplus
}
#endif
