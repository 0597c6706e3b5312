// What the attention operators on the CPU share: one head at a time, and how heads are shared out.
#pragma once

#include "isa.h"
#include "parallel.h"

#include <c10/core/CPUAllocator.h>

#include <cstdint>

namespace ib {

struct Matrix {
	float *p;
	int64_t row, column; // strides
	Matrix from(int64_t i) const { return {p + i * row, row, column}; }
	Matrix transposed() const { return {p, column, row}; }
};

// Head is one head of one image, or of one window of it: n tokens of d features.
struct Head {
	int64_t n, d;
	float scale;
	Matrix q, k, v;        // (n, d)
	Matrix y;              // (n, d), written by forward
	Matrix dy, dq, dk, dv; // (n, d), read and written by backward
	float *max, *norm;     // (n): of each query, the greatest score and 1 / sum of e^(scale (score - max))
	// Added to the scores before they are scaled, a row a key and a column a query; null: nothing.
	// Rows lie bias_row floats apart, a multiple of 16, and are whole vectors, as are those of
	// dbias, to which backward adds the gradient of the scaled scores.
	float *bias, *mask, *dbias;
	int64_t bias_row;
};

// Kernel is attention of one head for one instruction set; scratch_floats is what both ways take.
struct Kernel {
	int64_t (*scratch_floats)(int64_t n, int64_t d);
	void (*forward)(const Head &, float *scratch);
	void (*backward)(const Head &, float *scratch);
	void (*widen)(const BFloat16 *from, int64_t row, float *to, int64_t n, int64_t d);
	void (*narrow)(const float *from, BFloat16 *to, int64_t row, int64_t n, int64_t d);
};

// kernel is the one for the instruction set that isa names.
const Kernel &kernel();

// share_out calls f(unit, scratch) for every unit, shared out over the threads. work is that of a unit, the
// multiplications of one product of it.
template <class F>
void share_out(int64_t units, int64_t work, int64_t scratch_floats, F f) {
	const int64_t grain = 1 + 32768 / work; // at least 100 microseconds or so for a thread
	share(units, grain, [&](int64_t from, int64_t to) {
		auto scratch = c10::GetCPUAllocator()->allocate(scratch_floats * sizeof(float));
		for (int64_t i = from; i < to; i++) f(i, static_cast<float *>(scratch.get()));
	});
}

} // namespace ib
