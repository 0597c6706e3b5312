// Attention of one head in bfloat16 on the matrix units: attention_kernel.h in blocks of 32 queries by 32 keys. Scores, their
// softmax and all sums are float32; weights and gradients of scores are rounded to be factors of the next product.

// Rows are n rows of d values, `row` apart.
struct Rows {
	BFloat16 *p;
	int64_t row;
};

// attention_scratch is how many bfloat16 forward and backward take at most.
inline int64_t attention_scratch(int64_t n, int64_t d) {
	const int64_t N = blocks_of(n) * SIDE;
	return 7 * N * d + 2 * N * N + (2 * 2 + 2) * SIDE * N;
}

// Memory hands out parts of the scratch.
struct Memory {
	BFloat16 *p;
	BFloat16 *halves(int64_t n) {
		p += n;
		return p - n;
	}
	float *floats(int64_t n) { return reinterpret_cast<float *>(halves(2 * n)); }
};

// pack_all packs n rows as left blocks, pack_all_right as right panels whose columns they are, pack_all_inner as
// right panels whose inner axis they are.
inline BFloat16 *pack_all(Rows x, int64_t n, int64_t d, Memory &memory) {
	BFloat16 *to = memory.halves(blocks_of(n) * SIDE * d);
	for (int64_t i = 0; i < n; i += SIDE) pack_left(x.p + i * x.row, x.row, n - i, d, to + i * d);
	return to;
}

inline BFloat16 *pack_all_right(Rows x, int64_t n, int64_t d, Memory &memory) {
	BFloat16 *to = memory.halves(blocks_of(n) * SIDE * d);
	for (int64_t i = 0; i < n; i += SIDE) pack_right(x.p + i * x.row, x.row, n - i, d, to + i * d);
	return to;
}

inline BFloat16 *pack_all_inner(Rows x, int64_t n, int64_t d, Memory &memory) {
	const int64_t steps = blocks_of(n);
	BFloat16 *to = memory.halves(steps * SIDE * d);
	for (int64_t i = 0; i < steps; i++) pack_steps<false>(x.p + i * SIDE * x.row, x.row, n - i * SIDE, d, to, steps * STEP, i, nullptr);
	return to;
}

// scores stores the products of 32 queries with all keys, (32, N); keys past the last give what `past` says.
inline void scores(const BFloat16 *q, const BFloat16 *k, int64_t n, int64_t d, float *to, float past) {
	const int64_t N = blocks_of(n) * SIDE;
	for (int64_t j = 0; j < N; j += SIDE) block(q, k + j * d, d / SIDE, to + j, N, false, Nothing());
	for (int64_t r = 0; r < SIDE; r++) {
		for (int64_t j = n; j < N; j++) to[r * N + j] = past;
	}
}

// put multiplies a left block with right panels of d columns over so many steps, and stores n of the 32 rows times
// factor: that of row r is factors[r].
inline void put(const BFloat16 *a, const BFloat16 *b, int64_t steps, int64_t d, const float *factors, Rows to, int64_t n) {
	alignas(64) float sums[STEP];
	for (int64_t c = 0; c < d; c += SIDE) {
		block(a, b + c * steps * SIDE, steps, sums, SIDE, false, Nothing());
		for (int64_t r = 0; r < SIDE && r < n; r++) {
			const __m512 f = _mm512_set1_ps(factors[r]);
			write(to.p + r * to.row + c, rounded(_mm512_load_ps(sums + r * SIDE) * f, _mm512_load_ps(sums + r * SIDE + 16) * f));
		}
	}
}

// attend computes O = softmax(scale Q K^T) V, and of each query the greatest score and 1 / sum of e^(scale (score - max)).
inline void attend(Rows q, Rows k, Rows v, Rows y, int64_t n, int64_t d, float scale, float *max, float *norm, BFloat16 *scratch) {
	const Tiles tiles;
	const int64_t N = blocks_of(n) * SIDE;
	Memory memory{scratch};
	const BFloat16 *keys = pack_all_right(k, n, d, memory), *values = pack_all_inner(v, n, d, memory);
	BFloat16 *queries = memory.halves(SIDE * d), *weights = memory.halves(SIDE * N);
	float *s = memory.floats(SIDE * N);
	for (int64_t first = 0; first < n; first += SIDE) {
		pack_left(q.p + first * q.row, q.row, n - first, d, queries);
		scores(queries, keys, n, d, s, -__builtin_inff());
		alignas(64) float norms[SIDE] = {};
		for (int64_t r = 0; r < SIDE && first + r < n; r++) {
			const float *row = s + r * N;
			__m512 greatest = _mm512_loadu_ps(row);
			for (int64_t j = 16; j < N; j += 16) greatest = _mm512_max_ps(greatest, _mm512_loadu_ps(row + j));
			const float top = _mm512_reduce_max_ps(greatest), factor = scale * log2_e;
			vec sum{};
			for (int64_t j = 0; j < N; j += SIDE) {
				const vec low = exp2_short((load(row + j) - top) * factor), high = exp2_short((load(row + j + 16) - top) * factor);
				sum += low + high;
				write(weights + j * SIDE + r * SIDE, rounded((__m512)low, (__m512)high));
			}
			max[first + r] = top;
			norm[first + r] = norms[r] = 1 / _mm512_reduce_add_ps((__m512)sum);
		}
		put(weights, values, N / SIDE, d, norms, {y.p + first * y.row, y.row}, n - first);
	}
}

// attend_backward computes the weights P again. Then dV = P^T dO, dP = dO V^T, dS = P (dP - D) with D the sum of P dP over
// the keys, dQ = scale dS K, dK = scale dS^T Q.
inline void attend_backward(Rows q, Rows k, Rows v, Rows dy, Rows dq, Rows dk, Rows dv, int64_t n, int64_t d, float scale, const float *max, const float *norm,
	BFloat16 *scratch) {
	const Tiles tiles;
	const int64_t steps = blocks_of(n), N = steps * SIDE;
	Memory memory{scratch};
	const BFloat16 *queries = pack_all(q, n, d, memory), *grads = pack_all(dy, n, d, memory);
	const BFloat16 *keys = pack_all_right(k, n, d, memory), *values = pack_all_right(v, n, d, memory);
	const BFloat16 *inner_keys = pack_all_inner(k, n, d, memory), *inner_queries = pack_all_inner(q, n, d, memory), *inner_grads = pack_all_inner(dy, n, d, memory);
	BFloat16 *weights_t = memory.halves(N * N), *ds_t = memory.halves(N * N); // left blocks of 32 keys, a step 32 queries
	BFloat16 *weights = memory.halves(SIDE * N), *ds = memory.halves(SIDE * N);
	float *s = memory.floats(SIDE * N), *dp = memory.floats(SIDE * N);
	alignas(64) float ones[SIDE], scales[SIDE];
	for (int64_t r = 0; r < SIDE; r++) ones[r] = 1, scales[r] = scale;
	for (int64_t i = 0; i < steps; i++) {
		const int64_t first = i * SIDE;
		scores(queries + first * d, keys, n, d, s, -__builtin_inff());
		scores(grads + first * d, values, n, d, dp, 0);
		for (int64_t r = 0; r < SIDE; r++) {
			float *row = s + r * N;
			const float *of_dp = dp + r * N;
			const bool real = first + r < n;
			const float top = real ? max[first + r] : 0, inverse = real ? norm[first + r] : 0, factor = scale * log2_e;
			vec sum{};
			for (int64_t j = 0; j < N; j += SIDE) {
				const vec low = exp2_short((load(row + j) - top) * factor) * inverse, high = exp2_short((load(row + j + 16) - top) * factor) * inverse;
				sum += low * load(of_dp + j) + high * load(of_dp + j + 16);
				store(row + j, low);
				store(row + j + 16, high);
				write(weights + j * SIDE + r * SIDE, rounded((__m512)low, (__m512)high));
			}
			const float mean = _mm512_reduce_add_ps((__m512)sum);
			for (int64_t j = 0; j < N; j += SIDE) {
				const vec low = load(row + j) * (load(of_dp + j) - mean), high = load(row + j + 16) * (load(of_dp + j + 16) - mean);
				write(ds + j * SIDE + r * SIDE, rounded((__m512)low, (__m512)high));
			}
		}
		for (int64_t j = 0; j < N; j += SIDE) {
			pack_steps<true>(weights + j * SIDE, SIDE, SIDE, SIDE, weights_t + j * N, 0, i, nullptr);
			pack_steps<true>(ds + j * SIDE, SIDE, SIDE, SIDE, ds_t + j * N, 0, i, nullptr);
		}
		put(ds, inner_keys, steps, d, scales, {dq.p + first * dq.row, dq.row}, n - first);
	}
	for (int64_t j = 0; j < N; j += SIDE) {
		put(weights_t + j * N, inner_grads, steps, d, ones, {dv.p + j * dv.row, dv.row}, n - j);
		put(ds_t + j * N, inner_queries, steps, d, scales, {dk.p + j * dk.row, dk.row}, n - j);
	}
}
