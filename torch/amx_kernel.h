// Products of bfloat16 matrices on the matrix units of the processor (AMX), with what follows a product in a
// transformer done while its result is in the cache. amx.h includes this under the target of those units.
//
// A product is made in blocks of 32 x 32 sums: four tiles of 16 x 16 in registers, that meet two tiles of each
// factor a step of 32 values of the inner axis. Factors are packed in the order in which the steps read them:
//
//	left   blocks of 32 rows; a step is two tiles of 16 rows by 32 values
//	right  panels of 32 columns; a step is two tiles of 16 pairs of values by 16 columns
//
// so that a step is 1024 values side by side in either. Rows past the last are zeros. Sums are float32 and taken in the order of
// the inner axis, whatever the number of threads.

constexpr int64_t SIDE = 32;          // of a block, and the inner values of a step
constexpr int64_t STEP = SIDE * SIDE; // values of a step, of either factor
constexpr int64_t HALF = STEP / 2;

inline int64_t blocks_of(int64_t rows) { return (rows + SIDE - 1) / SIDE; }

#define IB_FENCE asm volatile("" ::: "memory") // GCC does not see that tiles read and write memory

// Tiles holds the thread's tiles, all of 16 rows by 64 bytes, while it lives.
struct Tiles {
	Tiles() {
		struct {
			uint8_t palette, start, zero[14];
			uint16_t bytes[16];
			uint8_t rows[16];
		} shape = {1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
#ifdef IB_EMULATE_UNITS
		_tile_loadconfig(&shape);
#else
		asm volatile("ldtilecfg %0" ::"m"(shape));
#endif
	}
	~Tiles() { _tile_release(); }
};

// Nothing stands where no earlier block is left to finish.
struct Nothing {
	void operator()(int) const {}
};

// block stores the 32 x 32 sums of a left block and a right panel over so many steps in c, row of it apart; where add is
// set it adds them. Between the steps it calls finish(0) to finish(15) for an earlier block, for vector instructions run beside the matrix unit's.
template <class F>
inline __attribute__((always_inline)) void block(const BFloat16 *a, const BFloat16 *b, int64_t steps, float *c, int64_t row, bool add, const F &finish) {
	IB_FENCE;
	if (add) {
		_tile_loadd(0, c, row * 4);
		_tile_loadd(1, c + 16, row * 4);
		_tile_loadd(2, c + 16 * row, row * 4);
		_tile_loadd(3, c + 16 * row + 16, row * 4);
	} else {
		_tile_zero(0);
		_tile_zero(1);
		_tile_zero(2);
		_tile_zero(3);
	}
	const int each = (16 + steps - 1) / steps;
	int done = 0;
	for (int64_t k = 0; k < steps; k++, a += STEP, b += STEP) {
		_tile_loadd(6, b, 64);
		_tile_loadd(4, a, 64);
		_tile_loadd(7, b + HALF, 64);
		_tile_loadd(5, a + HALF, 64);
		_tile_dpbf16ps(0, 4, 6);
		_tile_dpbf16ps(1, 4, 7);
		_tile_dpbf16ps(2, 5, 6);
		_tile_dpbf16ps(3, 5, 7);
		for (int i = 0; i < each && done < 16; i++) finish(done++);
	}
	while (done < 16) finish(done++);
	_tile_stored(0, c, row * 4);
	_tile_stored(1, c + 16, row * 4);
	_tile_stored(2, c + 16 * row, row * 4);
	_tile_stored(3, c + 16 * row + 16, row * 4);
	IB_FENCE;
}

// product multiplies blocks of packed rows with every panel of N packed columns, and hands over the sums two rows at a
// time: pair(m, n, i, sums) has rows 2i and 2i+1 of block m, columns n to n+31, at sums and sums + 32.
template <class F>
inline void product(const BFloat16 *a, int64_t blocks, const BFloat16 *b, int64_t N, int64_t K, const F &pair) {
	alignas(64) float sums[2][STEP];
	int64_t at_m = -1, at_n = 0;
	int turn = 0;
	for (int64_t n = 0; n < N; n += SIDE) {
		for (int64_t m = 0; m < blocks; m++, turn ^= 1) {
			const float *earlier = sums[turn ^ 1];
			auto *left = a + m * SIDE * K, *right = b + n * K;
			if (at_m < 0) {
				block(left, right, K / SIDE, sums[turn], SIDE, false, Nothing());
			} else {
				block(left, right, K / SIDE, sums[turn], SIDE, false, [&](int i) { pair(at_m, at_n, i, earlier + 64 * i); });
			}
			at_m = m, at_n = n;
		}
	}
	for (int i = 0; i < 16; i++) pair(at_m, at_n, i, sums[turn ^ 1] + 64 * i);
}

inline __m512i read(const BFloat16 *p) { return _mm512_loadu_si512(p); }
inline void write(BFloat16 *p, __m512i v) { _mm512_storeu_si512(p, v); }

// write_past_cache is for what nobody reads soon: the line need not be fetched first. p is a multiple of 64 bytes.
inline void write_past_cache(BFloat16 *p, __m512i v) { _mm512_stream_si512((__m512i *)p, v); }

// rounded makes 32 bfloat16 of the floats low and high.
inline __m512i rounded(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

inline __m512 low_floats(__m512i v) { return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(v)), 16); }
inline __m512 high_floats(__m512i v) { return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, 1)), 16); }

// paired joins two rows of 32 values to 32 pairs, one of each.
struct Pairs {
	__m512i low, high;
};

inline Pairs paired(__m512i x, __m512i y) {
	const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
	const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
	return {_mm512_permutex2var_epi16(x, low, y), _mm512_permutex2var_epi16(x, high, y)};
}

// transpose turns 16 rows of 16 words of 32 bits.
inline void transpose(__m512i *r) {
	__m512i t[16], u[16];
	for (int i = 0; i < 16; i += 2) {
		t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
	}
	for (int i = 0; i < 16; i += 4) {
		u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
		u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
		u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
		u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
	}
	for (int j = 0; j < 4; j++) { // u[4 g + j] has column 4 l + j of rows 4 g to 4 g + 3 in its quarter l
		const __m512i a = _mm512_shuffle_i32x4(u[j], u[4 + j], 0x88), b = _mm512_shuffle_i32x4(u[j], u[4 + j], 0xdd);
		const __m512i c = _mm512_shuffle_i32x4(u[8 + j], u[12 + j], 0x88), d = _mm512_shuffle_i32x4(u[8 + j], u[12 + j], 0xdd);
		r[j] = _mm512_shuffle_i32x4(a, c, 0x88);
		r[4 + j] = _mm512_shuffle_i32x4(b, d, 0x88);
		r[8 + j] = _mm512_shuffle_i32x4(a, c, 0xdd);
		r[12 + j] = _mm512_shuffle_i32x4(b, d, 0xdd);
	}
}

// pack_left packs n rows of K values, `row` apart, as a left block; of more than 32 only the first, of fewer than none all zeros.
inline void pack_left(const BFloat16 *x, int64_t row, int64_t n, int64_t K, BFloat16 *to) {
	for (int64_t r = 0; r < SIDE; r++) {
		BFloat16 *out = to + r * SIDE;
		for (int64_t k = 0; k < K; k += SIDE) write(out + k * SIDE, r < n ? read(x + r * row + k) : _mm512_setzero_si512());
	}
}

// pack_right packs n rows of K values, `row` apart, as a right panel whose columns they are; n counts as for pack_left.
inline void pack_right(const BFloat16 *x, int64_t row, int64_t n, int64_t K, BFloat16 *to) {
	for (int64_t k = 0; k < K; k += SIDE) {
		for (int64_t half = 0; half < 2; half++) {
			__m512i rows[16];
			for (int64_t i = 0; i < 16; i++) rows[i] = 16 * half + i < n ? read(x + (16 * half + i) * row + k) : _mm512_setzero_si512();
			transpose(rows);
			for (int64_t i = 0; i < 16; i++) write(to + k * SIDE + half * HALF + SIDE * i, rows[i]);
		}
	}
}

// pack_steps packs n rows of C values, `row` apart, that are the inner axis: as step number `step` of C/32 right
// panels, or transposed, of left blocks, which lie `apart` values apart. It stores the sums of the rows (C) where sums
// is not null; n counts as for pack_left.
template <bool transposed>
inline void pack_steps(const BFloat16 *x, int64_t row, int64_t n, int64_t C, BFloat16 *to, int64_t apart, int64_t step, float *sums) {
	for (int64_t c = 0; c < C; c += SIDE) {
		__m512i low[16], high[16];
		__m512 sum_low = _mm512_setzero_ps(), sum_high = _mm512_setzero_ps();
		for (int64_t i = 0; i < 16; i++) {
			const __m512i first = 2 * i < n ? read(x + 2 * i * row + c) : _mm512_setzero_si512();
			const __m512i second = 2 * i + 1 < n ? read(x + (2 * i + 1) * row + c) : _mm512_setzero_si512();
			const Pairs p = paired(first, second);
			low[i] = p.low, high[i] = p.high;
			if (sums != nullptr) {
				sum_low += low_floats(first) + low_floats(second);
				sum_high += high_floats(first) + high_floats(second);
			}
		}
		if (transposed) {
			transpose(low);
			transpose(high);
		}
		if (sums != nullptr) {
			_mm512_storeu_ps(sums + c, sum_low);
			_mm512_storeu_ps(sums + c + 16, sum_high);
		}
		BFloat16 *out = to + c / SIDE * apart + step * STEP;
		for (int i = 0; i < 16; i++) write(out + SIDE * i, low[i]), write(out + HALF + SIDE * i, high[i]);
	}
}

// pack_weight packs rows n to n+31 of a weight (N, K), float32, as the right panel of x W^T.
inline void pack_weight(const float *w, int64_t n, int64_t K, BFloat16 *to) {
	for (int64_t k = 0; k < K; k += SIDE) {
		for (int64_t half = 0; half < 2; half++) {
			__m512i rows[16];
			for (int64_t i = 0; i < 16; i++) {
				const float *from = w + (n + 16 * half + i) * K + k;
				rows[i] = rounded(_mm512_loadu_ps(from), _mm512_loadu_ps(from + 16));
			}
			transpose(rows);
			for (int64_t i = 0; i < 16; i++) write(to + n * K + k * SIDE + half * HALF + SIDE * i, rows[i]);
		}
	}
}

// pack_weight_for_gradient packs rows n to n+31 of a weight (N, K), float32, as a step of the right panels of dy W.
inline void pack_weight_for_gradient(const float *w, int64_t n, int64_t N, int64_t K, BFloat16 *to) {
	for (int64_t k = 0; k < K; k += SIDE) {
		BFloat16 *out = to + k * N + n * SIDE;
		for (int64_t i = 0; i < 16; i++) {
			const float *first = w + (n + 2 * i) * K + k, *second = first + K;
			const Pairs p = paired(rounded(_mm512_loadu_ps(first), _mm512_loadu_ps(first + 16)), rounded(_mm512_loadu_ps(second), _mm512_loadu_ps(second + 16)));
			write(out + SIDE * i, p.low);
			write(out + HALF + SIDE * i, p.high);
		}
	}
}

constexpr int64_t GROUP = 4; // blocks of rows that meet a panel while it is in the cache

// each_group packs blocks [from, to) of the rows of x (M, K) and calls f(first row, packed, blocks), GROUP at a time at most.
template <class F>
inline void each_group(const BFloat16 *x, int64_t M, int64_t K, int64_t from, int64_t to, BFloat16 *scratch, const F &f) {
	const int64_t groups = (to - from + GROUP - 1) / GROUP;
	for (int64_t g = 0; g < groups; g++) {
		const int64_t first = from + (to - from) * g / groups, last = from + (to - from) * (g + 1) / groups;
		for (int64_t m = first; m < last; m++) pack_left(x + m * SIDE * K, K, M - m * SIDE, K, scratch + (m - first) * SIDE * K);
		f(first * SIDE, scratch, last - first);
	}
}

struct Bias {
	__m512 low, high;
	Bias(const float *b, int64_t n) : low(_mm512_setzero_ps()), high(_mm512_setzero_ps()) {
		if (b != nullptr) low = _mm512_loadu_ps(b + n), high = _mm512_loadu_ps(b + n + 16);
	}
	__m512i add(const float *sums) const { return rounded(_mm512_load_ps(sums) + low, _mm512_load_ps(sums + 16) + high); }
};

// store_pair stores 32 columns of rows r and r+1, those below M, in rows that are N values apart, and fetches
// the lines where the next columns go.
inline void store_pair(const float *sums, const Bias &bias, BFloat16 *y, int64_t r, int64_t M, int64_t N) {
	for (int64_t j = 0; j < 2 && r + j < M; j++) {
		write(y + (r + j) * N, bias.add(sums + j * SIDE));
		__builtin_prefetch(y + (r + j) * N + SIDE, 1);
	}
}

// linear stores x W^T + b for blocks [from, to) of rows. scratch takes GROUP blocks of K.
inline void linear(const BFloat16 *x, const BFloat16 *w, const float *b, BFloat16 *y, int64_t M, int64_t N, int64_t K, int64_t from, int64_t to, BFloat16 *scratch) {
	const Tiles tiles;
	each_group(x, M, K, from, to, scratch, [&](int64_t row, const BFloat16 *packed, int64_t blocks) {
		product(packed, blocks, w, N, K, [&](int64_t m, int64_t n, int i, const float *sums) {
			store_pair(sums, Bias(b, n), y + n, row + m * SIDE + 2 * i, M, N);
		});
	});
}

inline __m512i gelu_of(__m512i h) {
	const BFloat16 *type = nullptr;
	const vec low = (vec)low_floats(h), high = (vec)high_floats(h);
	return rounded((__m512)(low * distribution(low, type)), (__m512)(high * distribution(high, type)));
}

// mlp stores GELU(x W1^T + b1) W2^T + b2 for blocks [from, to) of rows, and the hidden values before GELU, as left blocks,
// where h is not null. scratch takes GROUP blocks of K and of H.
inline void mlp(const BFloat16 *x, const BFloat16 *w1, const float *b1, const BFloat16 *w2, const float *b2, BFloat16 *h, BFloat16 *y,
	int64_t M, int64_t K, int64_t H, int64_t N, int64_t from, int64_t to, BFloat16 *scratch) {
	const Tiles tiles;
	BFloat16 *hidden = scratch + GROUP * SIDE * K;
	each_group(x, M, K, from, to, scratch, [&](int64_t row, const BFloat16 *packed, int64_t blocks) {
		product(packed, blocks, w1, H, K, [&](int64_t m, int64_t n, int i, const float *sums) {
			const Bias bias(b1, n);
			const int64_t at = m * SIDE * H + n * SIDE + 2 * i * SIDE;
			for (int64_t j = 0; j < 2 * SIDE; j += SIDE) {
				const __m512i values = bias.add(sums + j);
				if (h != nullptr) write_past_cache(h + row * H + at + j, values);
				write(hidden + at + j, gelu_of(values));
			}
		});
		product(hidden, blocks, w2, N, H, [&](int64_t m, int64_t n, int i, const float *sums) {
			store_pair(sums, Bias(b2, n), y + n, row + m * SIDE + 2 * i, M, N);
		});
	});
}

// mlp_backward makes, for blocks [from, to) of rows, dh = (dy W2) GELU'(h) and dx = dh W1. It leaves what the gradients
// of the weights need: GELU(h) as right panels, dh transposed as left blocks, both `panel` values apart, and in sums,
// (blocks, H), the sums of dh. scratch takes GROUP blocks of N and of H.
inline void mlp_backward(const BFloat16 *dy, const BFloat16 *h, const BFloat16 *w2, const BFloat16 *w1, BFloat16 *activations, BFloat16 *dh, float *sums_of_dh,
	BFloat16 *dx, int64_t panel, int64_t M, int64_t K, int64_t H, int64_t N, int64_t from, int64_t to, BFloat16 *scratch) {
	const Tiles tiles;
	BFloat16 *hidden = scratch + GROUP * SIDE * N;
	const BFloat16 *type = nullptr;
	each_group(dy, M, N, from, to, scratch, [&](int64_t row, const BFloat16 *packed, int64_t blocks) {
		alignas(64) __m512i low[16], high[16];
		__m512 sum_low = _mm512_setzero_ps(), sum_high = sum_low;
		product(packed, blocks, w2, H, N, [&](int64_t m, int64_t n, int i, const float *sums) {
			const int64_t step = row / SIDE + m;
			__m512i grad[2], act[2];
			for (int64_t j = 0; j < 2; j++) {
				const __m512i values = read(h + step * SIDE * H + n * SIDE + (2 * i + j) * SIDE);
				const vec v0 = (vec)low_floats(values), v1 = (vec)high_floats(values);
				const vec d0 = distribution(v0, type), d1 = distribution(v1, type);
				act[j] = rounded((__m512)(v0 * d0), (__m512)(v1 * d1));
				const vec g0 = (vec)_mm512_load_ps(sums + j * SIDE) * (d0 + v0 * density(v0, type)), g1 = (vec)_mm512_load_ps(sums + j * SIDE + 16) * (d1 + v1 * density(v1, type));
				grad[j] = rounded((__m512)g0, (__m512)g1);
				write(hidden + m * SIDE * H + n * SIDE + (2 * i + j) * SIDE, grad[j]);
			}
			sum_low = (i == 0 ? _mm512_setzero_ps() : sum_low) + low_floats(grad[0]) + low_floats(grad[1]);
			sum_high = (i == 0 ? _mm512_setzero_ps() : sum_high) + high_floats(grad[0]) + high_floats(grad[1]);
			const int64_t at = n / SIDE * panel + step * STEP;
			const Pairs a = paired(act[0], act[1]), g = paired(grad[0], grad[1]);
			write(activations + at + SIDE * i, a.low);
			write(activations + at + HALF + SIDE * i, a.high);
			low[i] = g.low, high[i] = g.high;
			if (i < 15) return;
			transpose(low);
			transpose(high);
			for (int r = 0; r < 16; r++) write(dh + at + SIDE * r, low[r]), write(dh + at + HALF + SIDE * r, high[r]);
			_mm512_storeu_ps(sums_of_dh + step * H + n, sum_low);
			_mm512_storeu_ps(sums_of_dh + step * H + n + 16, sum_high);
		});
		if (dx == nullptr) return;
		product(hidden, blocks, w1, K, H, [&](int64_t m, int64_t n, int i, const float *sums) {
			store_pair(sums, Bias(nullptr, 0), dx + n, row + m * SIDE + 2 * i, M, K);
		});
	});
}

constexpr int64_t MEET = 4; // blocks of rows of a weight's gradient that meet a panel while it is in the cache

// weight_gradient stores rows 32 [from, to) of dW (N, K) = dy^T x, or adds to them, from so many steps of packed factors
// whose blocks lie dy_block and whose panels lie x_panel values apart.
inline void weight_gradient(const BFloat16 *dy, int64_t dy_block, const BFloat16 *x, int64_t x_panel, int64_t steps, float *dw, int64_t K, int64_t from, int64_t to, bool add) {
	const Tiles tiles;
	for (int64_t first = from; first < to; first += MEET) {
		for (int64_t k = 0; k < K; k += SIDE) {
			for (int64_t n = first; n < to && n < first + MEET; n++) block(dy + n * dy_block, x + k / SIDE * x_panel, steps, dw + n * SIDE * K + k, K, add, Nothing());
		}
	}
}
