// Products of matrices on vectors of WIDTH floats, with what follows a product in a transformer done while its result is
// in the cache. fma_linear.cpp includes this once for each instruction set; see vector.h.
//
// Matrices lie in tiles of 32 x 32 values, row after row: all tiles of 32 rows, then those of the next. A row of a tile is
// what its product with another reads from it, and so is a column; so the same tiles serve a layer, the gradient of its input
// and that of its weight, and are written once. Rows past the last are zeros. T is how values are stored, float
// or BFloat16; sums are float, and so are the factors while they are multiplied.

#include "pointwise_kernel.h"

constexpr int64_t SIDE = 32;          // of a tile
constexpr int64_t TILE = SIDE * SIDE; // its values
constexpr int64_t ROUND = 4;          // blocks that meet a panel one after the other

inline int64_t blocks_of(int64_t rows) { return (rows + SIDE - 1) / SIDE; }

// group_of is how many blocks of rows of C floats the second cache holds beside what they meet.
inline int64_t group_of(int64_t C) {
	const int64_t n = caches().second * 5 / 8 / (SIDE * C * 4);
	return n < 2 ? 2 : n > 32 ? 32 : n;
}

// strip stores R rows by two vectors of sums over so many tiles of the inner axis, or adds them to c. The factors' tiles lie a_step and
// b_step apart. Where by_column is set, a has the inner axis along its rows.
template <int R, bool by_column>
inline void strip(const float *a, int64_t a_step, const float *b, int64_t b_step, int64_t steps, float *c, int64_t row, bool add) {
	vec sum[R][2];
	for (int r = 0; r < R; r++) {
		for (int j = 0; j < 2; j++) sum[r][j] = add ? load(c + r * row + j * WIDTH) : vec{};
	}
	for (int64_t k = 0; k < steps; k++, a += a_step, b += b_step) {
		for (int i = 0; i < SIDE; i++) {
			const vec b0 = load(b + i * SIDE), b1 = load(b + i * SIDE + WIDTH);
			for (int r = 0; r < R; r++) {
				const float of_a = by_column ? a[i * SIDE + r] : a[r * SIDE + i];
				sum[r][0] += of_a * b0;
				sum[r][1] += of_a * b1;
			}
		}
	}
	for (int r = 0; r < R; r++) {
		for (int j = 0; j < 2; j++) store(c + r * row + j * WIDTH, sum[r][j]);
	}
}

// block is strip for 32 x 32 sums.
template <bool by_column>
inline void block(const float *a, int64_t a_step, const float *b, int64_t b_step, int64_t steps, float *c, int64_t row, bool add) {
	constexpr int R = ROWS == 12 ? 11 : 6;
	constexpr int64_t down = by_column ? 1 : SIDE; // from a row of the result to the next, in a
	constexpr int64_t strips = (SIDE + R - 1) / R, least = SIDE / strips, higher = SIDE % strips; // so many have a row more
	for (int64_t j = 0; j < SIDE; j += 2 * WIDTH) {
		int64_t r = 0;
		for (; r < higher * (least + 1); r += least + 1) strip<least + 1, by_column>(a + r * down, a_step, b + j, b_step, steps, c + r * row + j, row, add);
		for (; r < SIDE; r += least) strip<least, by_column>(a + r * down, a_step, b + j, b_step, steps, c + r * row + j, row, add);
	}
}

// most is how many tiles of the inner axis are summed at once at most: those of a panel and those that they meet stay in the
// nearest cache.
inline int64_t most() { return caches().nearest / (2 * TILE * 4); }

// part_of is how many tiles of the inner axis, of so many, are summed at once.
inline int64_t part_of(int64_t steps) {
	const int64_t parts = (steps + most() - 1) / most();
	return (steps + parts - 1) / parts;
}

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// product multiplies blocks of rows, K/32 tiles each, with every panel of N packed columns, and hands over the sums:
// f(m, n, sums) has rows of block m and columns n to n+31.
template <class F>
inline void product(const float *a, int64_t blocks, const float *b, int64_t N, int64_t K, F f) {
	alignas(64) float sums[ROUND][TILE];
	const int64_t steps = K / SIDE, part = part_of(steps);
	for (int64_t n = 0; n < N; n += SIDE) {
		for (int64_t first = 0; first < blocks; first += ROUND) {
			const int64_t last = smaller(first + ROUND, blocks);
			for (int64_t k = 0; k < steps; k += part) {
				const int64_t at = k * TILE, count = smaller(part, steps - k);
				for (int64_t m = first; m < last; m++) block<false>(a + m * SIDE * K + at, TILE, b + n * K + at, TILE, count, sums[m - first], SIDE, k > 0);
			}
			for (int64_t m = first; m < last; m++) f(m, n, sums[m - first]);
		}
	}
}

// put_far stores what nobody reads soon, past the cache: its lines need not be fetched first. p is a multiple of a vector's size.
inline void put_far(float *p, vec v) {
#if WIDTH == 16
	__builtin_ia32_movntps512(p, v);
#elif WIDTH == 8
	__builtin_ia32_movntps256(p, v);
#else
	store(p, v);
#endif
}
inline void put_far(BFloat16 *p, vec v) { store(p, v); }

// transpose turns WIDTH vectors: in each turn, lanes whose number has a bit change places with the vectors whose has it.
inline void transpose(vec *v) {
	typedef int32_t places __attribute__((vector_size(4 * WIDTH)));
#pragma GCC unroll 4
	for (int bit = 1; bit < WIDTH; bit *= 2) {
		places low, high;
#pragma GCC unroll 16
		for (int l = 0; l < WIDTH; l++) low[l] = l & bit ? WIDTH + l - bit : l, high[l] = l & bit ? WIDTH + l : l + bit;
#pragma GCC unroll 16
		for (int i = 0; i < WIDTH; i++) {
			if (i & bit) continue;
			const vec a = v[i], b = v[i | bit];
			v[i] = __builtin_shuffle(a, b, low);
			v[i | bit] = __builtin_shuffle(a, b, high);
		}
	}
}

// pack_weight packs rows n to n+31 of a weight (N, K) as the panel of x W^T.
inline void pack_weight(const float *w, int64_t n, int64_t K, float *to) {
	for (int64_t k = 0; k < K; k += WIDTH) {
		for (int64_t j = 0; j < SIDE; j += WIDTH) {
			vec v[WIDTH];
			for (int64_t i = 0; i < WIDTH; i++) v[i] = load(w + (n + j + i) * K + k);
			transpose(v);
			for (int64_t i = 0; i < WIDTH; i++) store(to + n * K + (k + i) * SIDE + j, v[i]);
		}
	}
}

// pack_weight_for_gradient packs rows n to n+31 of a weight (N, K) as tiles of the panels of dy W.
inline void pack_weight_for_gradient(const float *w, int64_t n, int64_t N, int64_t K, float *to) {
	for (int64_t k = 0; k < K; k += SIDE) {
		for (int64_t i = 0; i < SIDE; i++) {
			for (int64_t j = 0; j < SIDE; j += WIDTH) store(to + k * N + (n + i) * SIDE + j, load(w + (n + i) * K + k + j));
		}
	}
}

// as_floats returns n values, a multiple of 32, as floats: where they are, or in scratch.
inline const float *as_floats(const float *x, int64_t, float *) { return x; }
inline const float *as_floats(const BFloat16 *x, int64_t n, float *scratch) {
	for (int64_t i = 0; i < n; i += WIDTH) store(scratch + i, load(x + i));
	return scratch;
}

// gather brings n rows of C values, of more than 32 the first, into tiles, and stores the sums of the rows in sums (C) where it is not
// null. It returns the tiles as floats: `tiles` where it can, else scratch. tiles may be null.
template <class T>
inline const float *gather(const T *x, int64_t n, int64_t C, T *tiles, float *sums, float *scratch) {
	const bool in_place = sizeof(T) == sizeof(float) && tiles != nullptr;
	for (int64_t c = 0; sums != nullptr && c < C; c += WIDTH) store(sums + c, vec{});
	for (int64_t r = 0; r < SIDE; r++) { // row after row, as memory hands them out fastest
		for (int64_t c = 0; c < C; c += WIDTH) {
			const vec v = r < n ? load(x + r * C + c) : vec{};
			const int64_t at = c / SIDE * TILE + r * SIDE + c % SIDE;
			if (tiles != nullptr) store(tiles + at, v);
			if (!in_place) store(scratch + at, v);
			if (sums != nullptr) store(sums + c, load(sums + c) + v);
		}
	}
	return in_place ? reinterpret_cast<const float *>(tiles) : scratch;
}

// each_group gathers blocks [from, to) of the rows of x (M, C), so many at a time at most, and calls f(number of the first, tiles as floats,
// blocks). tiles and sums, (blocks, C), may be null. scratch takes a group of blocks of C.
template <class T, class F>
inline void each_group(int64_t group, const T *x, int64_t M, int64_t C, T *tiles, float *sums, int64_t from, int64_t to, float *scratch, F f) {
	const int64_t groups = (to - from + group - 1) / group;
	for (int64_t g = 0; g < groups; g++) {
		const int64_t first = from + (to - from) * g / groups, last = from + (to - from) * (g + 1) / groups;
		const float *packed = nullptr;
		for (int64_t m = first; m < last; m++) {
			const float *p = gather(x + m * SIDE * C, M - m * SIDE, C, tiles == nullptr ? nullptr : tiles + m * SIDE * C,
				sums == nullptr ? nullptr : sums + m * C, scratch + (m - first) * SIDE * C);
			if (m == first) packed = p;
		}
		f(first, packed, last - first);
	}
}

// put_rows stores sums and a bias, which may be null, as columns of up to 32 of the n rows of y, N values apart.
template <class T>
inline void put_rows(const float *sums, const float *b, T *y, int64_t n, int64_t N) {
	for (int64_t r = 0; r < SIDE && r < n; r++) {
		for (int64_t j = 0; j < SIDE; j += WIDTH) {
			const vec v = load(sums + r * SIDE + j);
			put_far(y + r * N + j, b == nullptr ? v : v + load(b + j));
		}
	}
}

// linear stores x W^T + b for blocks [from, to) of rows, and x in tiles where they are not null, with sums as for
// each_group. scratch takes group_of(K) blocks of K.
template <class T>
void linear(const T *x, const float *w, const float *b, T *y, T *tiles, float *sums, int64_t M, int64_t N, int64_t K, int64_t from, int64_t to, float *scratch) {
	each_group(group_of(K), x, M, K, tiles, sums, from, to, scratch, [&](int64_t first, const float *packed, int64_t blocks) {
		product(packed, blocks, w, N, K, [&](int64_t m, int64_t n, const float *of) {
			const int64_t row = (first + m) * SIDE;
			put_rows(of, b == nullptr ? nullptr : b + n, y + row * N + n, M - row, N);
		});
	});
}

// mlp stores GELU(x W1^T + b1) W2^T + b2 for blocks [from, to) of rows, and in tiles x and the hidden values before GELU where those
// are not null. scratch takes group_of(H) blocks of K and of H.
template <class T>
void mlp(const T *x, const float *w1, const float *b1, const float *w2, const float *b2, T *tiles, T *h, T *y,
	int64_t M, int64_t K, int64_t H, int64_t N, int64_t from, int64_t to, float *scratch) {
	float *hidden = scratch + group_of(H) * SIDE * K;
	each_group(group_of(H), x, M, K, tiles, static_cast<float *>(nullptr), from, to, scratch, [&](int64_t first, const float *packed, int64_t blocks) {
		product(packed, blocks, w1, H, K, [&](int64_t m, int64_t n, const float *of) {
			const int64_t at = m * SIDE * H + n * SIDE;
			for (int64_t i = 0; i < TILE; i += WIDTH) {
				const vec v = load(of + i) + load(b1 + n + i % SIDE);
				if (h != nullptr) put_far(h + first * SIDE * H + at + i, v);
				store(hidden + at + i, v * distribution(v, x));
			}
		});
		product(hidden, blocks, w2, N, H, [&](int64_t m, int64_t n, const float *of) {
			const int64_t row = (first + m) * SIDE;
			put_rows(of, b2 + n, y + row * N + n, M - row, N);
		});
	});
}

// mlp_backward makes, for blocks [from, to) of rows, dh = (dy W2) GELU'(h) and, where it is not null, dx = dh W1. It leaves
// dy, GELU(h) and dh in tiles, and the sums of rows of dy and of dh in sums (blocks, N) and sums_of_dh (blocks, H). scratch takes
// group_of(H) blocks of N and of H.
template <class T>
void mlp_backward(const T *dy, const T *h, const float *w2, const float *w1, T *dy_tiles, float *sums, T *activations, T *dh, float *sums_of_dh, T *dx,
	int64_t M, int64_t K, int64_t H, int64_t N, int64_t from, int64_t to, float *scratch) {
	float *hidden = scratch + group_of(H) * SIDE * N;
	each_group(group_of(H), dy, M, N, dy_tiles, sums, from, to, scratch, [&](int64_t first, const float *packed, int64_t blocks) {
		product(packed, blocks, w2, H, N, [&](int64_t m, int64_t n, const float *of) {
			const int64_t at = m * SIDE * H + n * SIDE, whole = first * SIDE * H + at;
			for (int64_t j = 0; j < SIDE; j += WIDTH) {
				vec sum{};
				for (int64_t i = j; i < TILE; i += SIDE) {
					const vec v = load(h + whole + i), d = distribution(v, dy);
					const vec g = load(of + i) * (d + v * density(v, dy));
					put_far(activations + whole + i, v * d);
					put_far(dh + whole + i, g);
					store(hidden + at + i, g);
					sum += g;
				}
				store(sums_of_dh + (first + m) * H + n + j, sum);
			}
		});
		if (dx == nullptr) return;
		product(hidden, blocks, w1, K, H, [&](int64_t m, int64_t n, const float *of) {
			const int64_t row = (first + m) * SIDE;
			put_rows(of, static_cast<float *>(nullptr), dx + row * K + n, M - row, K);
		});
	});
}

// floats_of returns so many tiles of a column of tiles, C values wide, as floats, and how far apart they are.
inline const float *floats_of(const float *tiles, int64_t C, int64_t, float *, int64_t &apart) {
	apart = C * SIDE;
	return tiles;
}
inline const float *floats_of(const BFloat16 *tiles, int64_t C, int64_t steps, float *scratch, int64_t &apart) {
	apart = TILE;
	for (int64_t s = 0; s < steps; s++) as_floats(tiles + s * C * SIDE, TILE, scratch + s * TILE);
	return scratch;
}

// gradient_scratch is how many floats weight_gradient takes of scratch.
inline int64_t gradient_scratch(const float *, int64_t) { return 0; }
inline int64_t gradient_scratch(const BFloat16 *, int64_t blocks) { return (ROUND * blocks + most()) * TILE; }

// weight_gradient stores rows 32 [from_n, to_n) and columns 32 [from_k, to_k) of dW (N, K) = dy^T x, of factors in tiles, so
// many blocks of them each, or adds them. What is summed meanwhile, and what it is made of, stays in the second cache.
template <class T>
void weight_gradient(const T *dy, const T *x, float *dw, bool add, int64_t blocks, int64_t N, int64_t K, int64_t from_n, int64_t to_n, int64_t from_k, int64_t to_k, float *scratch) {
	constexpr int64_t columns = 12;
	float *of_x = scratch + ROUND * blocks * TILE;
	const int64_t part = part_of(blocks);
	for (int64_t first = from_n; first < to_n; first += ROUND) {
		const int64_t last = smaller(first + ROUND, to_n);
		const float *a[ROUND];
		int64_t a_step = 0, b_step = 0;
		for (int64_t n = first; n < last; n++) a[n - first] = floats_of(dy + n * TILE, N, blocks, scratch + (n - first) * blocks * TILE, a_step);
		for (int64_t left = from_k; left < to_k; left += columns) {
			const int64_t right = smaller(left + columns, to_k);
			for (int64_t m = 0; m < blocks; m += part) {
				const int64_t count = smaller(part, blocks - m);
				for (int64_t k = left; k < right; k++) {
					const float *b = floats_of(x + m * SIDE * K + k * TILE, K, count, of_x, b_step);
					for (int64_t n = first; n < last; n++) {
						block<true>(a[n - first] + m * a_step, a_step, b, b_step, count, dw + n * SIDE * K + k * SIDE, K, add || m > 0);
					}
				}
			}
		}
	}
}
