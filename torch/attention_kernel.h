// Attention of one head, on vectors of WIDTH floats. attention.cpp includes this file once for each
// instruction set; see vector.h.
//
// Scores are kept transposed: a row is a key, its lanes are the queries. So softmax runs down the
// rows without sums across a vector, and lanes past the last query hold numbers that nobody reads.
// BLOCK queries at a time meet all keys.

#include "vector.h"

// Scratch hands out matrices whose rows are whole vectors.
struct Scratch {
	float *p;
	Matrix take(int64_t rows, int64_t columns) {
		Matrix m{p, padded(columns), 1};
		p += rows * m.row;
		return m;
	}
};

// scratch_floats is what forward and backward take at most.
int64_t scratch_floats(int64_t n, int64_t d) { return (3 * n + 2 * BLOCK) * padded(d) + (2 * n + d) * BLOCK; }

// tile computes R rows by C vectors of a product, in registers.
template <int R, int C>
inline void tile(Matrix a, Matrix b, Matrix c, int64_t k, bool add) {
	vec sum[R][C];
	for (int r = 0; r < R; r++) {
		for (int j = 0; j < C; j++) sum[r][j] = add ? lanes(c.p + r * c.row + j * WIDTH) : vec{};
	}
	for (; k > 0; k--, a.p += a.column, b.p += b.row) {
		vec of_b[C];
		for (int j = 0; j < C; j++) of_b[j] = lanes(b.p + j * WIDTH);
		for (int r = 0; r < R; r++) {
			const float of_a = a.p[r * a.row];
			for (int j = 0; j < C; j++) sum[r][j] += of_a * of_b[j];
		}
	}
	for (int r = 0; r < R; r++) {
		for (int j = 0; j < C; j++) lanes(c.p + r * c.row + j * WIDTH) = sum[r][j];
	}
}

// strip computes all m rows by C vectors.
template <int C>
inline void strip(Matrix a, Matrix b, Matrix c, int64_t m, int64_t k, bool add) {
	for (; m >= ROWS; m -= ROWS, a = a.from(ROWS), c = c.from(ROWS)) tile<ROWS, C>(a, b, c, k, add);
	for (; m >= 6; m -= 6, a = a.from(6), c = c.from(6)) tile<6, C>(a, b, c, k, add);
	switch (m) {
	case 5: return tile<5, C>(a, b, c, k, add);
	case 4: return tile<4, C>(a, b, c, k, add);
	case 3: return tile<3, C>(a, b, c, k, add);
	case 2: return tile<2, C>(a, b, c, k, add);
	case 1: return tile<1, C>(a, b, c, k, add);
	}
}

// product stores A B in C, or adds it to C. A (m, k) may have any strides; B (k, n) and C (m, n) are
// scratch. An element is summed in the order of k, whichever tile it falls into.
inline void product(Matrix a, Matrix b, Matrix c, int64_t m, int64_t n, int64_t k, bool add) {
	for (; n > WIDTH; n -= 2 * WIDTH, b.p += 2 * WIDTH, c.p += 2 * WIDTH) strip<2>(a, b, c, m, k, add);
	if (n > 0) strip<1>(a, b, c, m, k, add);
}

// copy_in copies n rows of d floats into scratch, the last vector of a row filled up with zeros.
inline void copy_in(Matrix from, Matrix to, int64_t n, int64_t d) {
	for (; n > 0; n--, from = from.from(1), to = to.from(1)) {
		int64_t i = 0;
		for (; i + WIDTH <= d; i += WIDTH) lanes(to.p + i) = unaligned(from.p + i);
		if (i < d) lanes(to.p + i) = vec{};
		for (; i < d; i++) to.p[i] = from.p[i];
	}
}

// copy_in_transposed copies n rows of d floats to d rows of n.
inline void copy_in_transposed(Matrix from, Matrix to, int64_t n, int64_t d) {
	for (int64_t i = 0; i < d; i++, to = to.from(1)) {
		lanes(to.p + padded(n) - WIDTH) = vec{};
		for (int64_t j = 0; j < n; j++) to.p[j] = from.p[j * from.row + i];
	}
}

// copy_out copies n rows of d floats out of scratch, times scale.
inline void copy_out(Matrix from, Matrix to, int64_t n, int64_t d, float scale) {
	for (; n > 0; n--, from = from.from(1), to = to.from(1)) {
		int64_t i = 0;
		for (; i + WIDTH <= d; i += WIDTH) unaligned(to.p + i) = lanes(from.p + i) * scale;
		for (; i < d; i++) to.p[i] = from.p[i] * scale;
	}
}

// add_bias adds bias and mask to the scores of n queries from first on.
inline void add_bias(const Head &h, Matrix scores, int64_t first, int64_t n) {
	for (int64_t j = 0; j < h.n; j++) {
		float *s = scores.p + j * BLOCK, *b = h.bias + j * h.bias_row + first;
		for (int64_t i = 0; i < n; i += WIDTH) lanes(s + i) += lanes(b + i);
		if (h.mask == nullptr) continue;
		float *m = h.mask + j * h.bias_row + first;
		for (int64_t i = 0; i < n; i += WIDTH) lanes(s + i) += lanes(m + i);
	}
}

// forward computes O = softmax(scale (Q K^T + bias + mask)) V.
void forward(const Head &h, float *memory) {
	const int64_t N = h.n, d = h.d;
	Scratch scratch{memory};
	const Matrix v = scratch.take(N, d), q = scratch.take(d, BLOCK), out = scratch.take(BLOCK, d);
	const Matrix weights = scratch.take(N, BLOCK);
	copy_in(h.v, v, N, d);
	for (int64_t first = 0; first < N; first += BLOCK) {
		const int64_t n = N - first < BLOCK ? N - first : BLOCK;
		copy_in_transposed(h.q.from(first), q, n, d);
		product(h.k, q, weights, N, n, d, false);
		if (h.bias != nullptr) add_bias(h, weights, first, n);
		alignas(64) float max[BLOCK], norm[BLOCK];
		for (int64_t i = 0; i < n; i += WIDTH) {
			float *w = weights.p + i;
			vec greatest = lanes(w), sum{};
			for (int64_t j = 1; j < N; j++) greatest = lanes(w + j * BLOCK) > greatest ? lanes(w + j * BLOCK) : greatest;
			for (int64_t j = 0; j < N; j++) {
				sum += lanes(w + j * BLOCK) = exp2((lanes(w + j * BLOCK) - greatest) * (h.scale * log2_e));
			}
			lanes(max + i) = greatest;
			lanes(norm + i) = 1.f / sum;
		}
		product(weights.transposed(), v, out, n, d, N, false);
		for (int64_t i = 0; i < n; i++) {
			copy_out(out.from(i), h.y.from(first + i), 1, d, norm[i]);
			h.max[first + i] = max[i];
			h.norm[first + i] = norm[i];
		}
	}
}

// backward computes the weights P again, in the same order and so to the same bits. Then dV = P^T dO,
// dP = dO V^T, dS = P (dP - D) with D the sum of P dP over the keys, dQ = scale dS K, dK = scale dS^T Q.
void backward(const Head &h, float *memory) {
	const int64_t N = h.n, d = h.d;
	Scratch scratch{memory};
	const Matrix k = scratch.take(N, d), dk = scratch.take(N, d), dv = scratch.take(N, d);
	const Matrix columns = scratch.take(d, BLOCK), rows = scratch.take(BLOCK, d), dq = scratch.take(BLOCK, d);
	const Matrix weights = scratch.take(N, BLOCK), grads = scratch.take(N, BLOCK);
	copy_in(h.k, k, N, d);
	for (int64_t first = 0; first < N; first += BLOCK) {
		const int64_t n = N - first < BLOCK ? N - first : BLOCK;
		copy_in_transposed(h.q.from(first), columns, n, d);
		product(h.k, columns, weights, N, n, d, false);
		if (h.bias != nullptr) add_bias(h, weights, first, n);
		copy_in_transposed(h.dy.from(first), columns, n, d);
		product(h.v, columns, grads, N, n, d, false);
		alignas(64) float max[BLOCK] = {}, norm[BLOCK] = {};
		for (int64_t i = 0; i < n; i++) max[i] = h.max[first + i], norm[i] = h.norm[first + i];
		for (int64_t i = 0; i < n; i += WIDTH) {
			float *w = weights.p + i, *g = grads.p + i;
			vec sum{};
			for (int64_t j = 0; j < N * BLOCK; j += BLOCK) {
				lanes(w + j) = exp2((lanes(w + j) - lanes(max + i)) * (h.scale * log2_e)) * lanes(norm + i);
				sum += lanes(w + j) * lanes(g + j);
			}
			for (int64_t j = 0; j < N * BLOCK; j += BLOCK) lanes(g + j) = lanes(w + j) * (lanes(g + j) - sum);
			if (h.dbias == nullptr) continue;
			float *b = h.dbias + first + i;
			for (int64_t j = 0; j < N; j++) lanes(b + j * h.bias_row) += lanes(g + j * BLOCK);
		}
		copy_in(h.dy.from(first), rows, n, d);
		product(weights, rows, dv, N, d, n, first > 0);
		copy_in(h.q.from(first), rows, n, d);
		product(grads, rows, dk, N, d, n, first > 0);
		product(grads.transposed(), k, dq, n, d, N, false);
		copy_out(dq, h.dq.from(first), n, d, h.scale);
	}
	copy_out(dk, h.dk, N, d, h.scale);
	copy_out(dv, h.dv, N, d, 1);
}

// widen copies n rows of d bfloat16, row of them apart, to floats without gaps; narrow goes the other way.
void widen(const BFloat16 *from, int64_t row, float *to, int64_t n, int64_t d) {
	for (; n > 0; n--, from += row, to += d) {
		int64_t i = 0;
		for (; i + WIDTH <= d; i += WIDTH) store(to + i, load(from + i));
		if (i < d) store_part(to + i, load_part(from + i, d - i), d - i);
	}
}

void narrow(const float *from, BFloat16 *to, int64_t row, int64_t n, int64_t d) {
	for (; n > 0; n--, from += d, to += row) {
		int64_t i = 0;
		for (; i + WIDTH <= d; i += WIDTH) store(to + i, load(from + i));
		if (i < d) store_part(to + i, load_part(from + i, d - i), d - i);
	}
}

Kernel table() { return {scratch_floats, forward, backward, widen, narrow}; }
