// Matrix units, and the vectors of 512 bits beside them, in plain C++: what the kernels of amx.h call, so that their tests run on
// processors without either. amx.h includes this in the kernels' namespace, where these names hide the compiler's.
//
// It is as strict as a processor is: tiles that have no shape, and addresses that are not aligned, end the process.

#undef _tile_loadconfig // the compiler's may be macros
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps

#define IB_VECTOR(type, bytes) typedef type __attribute__((vector_size(bytes), may_alias))
IB_VECTOR(float, 64) __m512;
IB_VECTOR(long long, 64) __m512i;
IB_VECTOR(long long, 32) __m256i;
IB_VECTOR(uint16_t, 64) shorts;
IB_VECTOR(uint16_t, 32) half_shorts;
IB_VECTOR(uint32_t, 64) words;
#undef IB_VECTOR

inline void expect(bool b) {
	if (!b) __builtin_trap();
}

template <class V>
inline V read_anywhere(const void *p) {
	V v;
	__builtin_memcpy(&v, p, sizeof v);
	return v;
}

template <class V>
inline const void *aligned(const V *p) {
	expect(reinterpret_cast<uintptr_t>(p) % 64 == 0);
	return p;
}

inline __m512 _mm512_setzero_ps() { return __m512{}; }
inline __m512 _mm512_set1_ps(float x) { return __m512{} + x; }
inline __m512 _mm512_loadu_ps(const float *p) { return read_anywhere<__m512>(p); }
inline __m512 _mm512_load_ps(const float *p) { return read_anywhere<__m512>(aligned(p)); }
inline void _mm512_storeu_ps(float *p, __m512 v) { __builtin_memcpy(p, &v, sizeof v); }
inline __m512 _mm512_max_ps(__m512 a, __m512 b) { return a > b ? a : b; }

// The compiler's sums and maxima also fold the upper half onto the lower one.
inline float _mm512_reduce_add_ps(__m512 v) {
	for (int n = 8; n > 0; n /= 2) {
		for (int i = 0; i < n; i++) v[i] += v[n + i];
	}
	return v[0];
}

inline float _mm512_reduce_max_ps(__m512 v) {
	for (int n = 8; n > 0; n /= 2) {
		for (int i = 0; i < n; i++) v[i] = v[i] > v[n + i] ? v[i] : v[n + i];
	}
	return v[0];
}

inline __m512i _mm512_setzero_si512() { return __m512i{}; }
inline __m512i _mm512_loadu_si512(const void *p) { return read_anywhere<__m512i>(p); }
inline void _mm512_storeu_si512(void *p, __m512i v) { __builtin_memcpy(p, &v, sizeof v); }
inline void _mm512_stream_si512(__m512i *p, __m512i v) {
	aligned(p);
	*p = v;
}

inline __m512i _mm512_set1_epi16(short x) { return (__m512i)(shorts{} + (uint16_t)x); }
inline __m512i _mm512_add_epi16(__m512i a, __m512i b) { return (__m512i)((shorts)a + (shorts)b); }
inline __m512i _mm512_slli_epi32(__m512i v, unsigned n) { return (__m512i)((words)v << n); }
inline __m256i _mm512_castsi512_si256(__m512i v) { return read_anywhere<__m256i>(&v); }
inline __m256i _mm512_extracti64x4_epi64(__m512i v, int half) { return read_anywhere<__m256i>(reinterpret_cast<const __m256i *>(&v) + half); }
inline __m512i _mm512_cvtepu16_epi32(__m256i v) { return (__m512i)__builtin_convertvector((half_shorts)v, words); }

// The last argument is the lowest value.
template <class... T>
inline __m512i _mm512_set_epi16(T... values) {
	const uint16_t given[] = {static_cast<uint16_t>(values)...};
	static_assert(sizeof given == 64);
	shorts v;
	for (int i = 0; i < 32; i++) v[i] = given[31 - i];
	return (__m512i)v;
}

inline __m512i _mm512_permutex2var_epi16(__m512i a, __m512i from, __m512i b) {
	return (__m512i)__builtin_shuffle((shorts)a, (shorts)b, (shorts)from);
}

// unpacked_words and unpacked_pairs interleave values of a and b in each quarter, those from number `first` on.
inline __m512i unpacked_words(__m512i a, __m512i b, int first) {
	words v;
	for (int q = 0; q < 16; q += 4) {
		for (int i = 0; i < 2; i++) v[q + 2 * i] = ((words)a)[q + first + i], v[q + 2 * i + 1] = ((words)b)[q + first + i];
	}
	return (__m512i)v;
}

inline __m512i unpacked_pairs(__m512i a, __m512i b, int first) {
	__m512i v;
	for (int q = 0; q < 8; q += 2) v[q] = a[q + first], v[q + 1] = b[q + first];
	return v;
}

inline __m512i _mm512_unpacklo_epi32(__m512i a, __m512i b) { return unpacked_words(a, b, 0); }
inline __m512i _mm512_unpackhi_epi32(__m512i a, __m512i b) { return unpacked_words(a, b, 2); }
inline __m512i _mm512_unpacklo_epi64(__m512i a, __m512i b) { return unpacked_pairs(a, b, 0); }
inline __m512i _mm512_unpackhi_epi64(__m512i a, __m512i b) { return unpacked_pairs(a, b, 1); }

// Two quarters of a and two of b, each named by two bits.
inline __m512i _mm512_shuffle_i32x4(__m512i a, __m512i b, int named) {
	__m512i v;
	for (int q = 0; q < 4; q++, named >>= 2) {
		for (int i = 0; i < 2; i++) v[2 * q + i] = (q < 2 ? a : b)[2 * (named & 3) + i];
	}
	return v;
}

// Rounds to the nearest bfloat16, ties to even; NaN stays NaN. The second argument goes to the lower half.
inline __m512i _mm512_cvtne2ps_pbh(__m512 high, __m512 low) {
	half_shorts halves[2];
	for (int i = 0; i < 2; i++) {
		const __m512 v = i == 0 ? low : high;
		const words w = (words)v, rounded = (w + 0x7fffu + ((w >> 16) & 1u)) >> 16;
		halves[i] = __builtin_convertvector(v == v ? rounded : w >> 16 | 0x40u, half_shorts);
	}
	return read_anywhere<__m512i>(halves);
}

// The thread's tiles. Of shapes only that of the kernels is known: all of 16 rows by 64 bytes.
thread_local words tiles_of_thread[8][16];
thread_local bool tiles_have_shape;

inline words *tile(int t) {
	expect(tiles_have_shape);
	return tiles_of_thread[t];
}

inline void _tile_loadconfig(const void *shape) {
	const auto *bytes = static_cast<const uint8_t *>(shape); // palette, first row, 14 zeros, widths in 16 bits each, heights
	expect(bytes[0] == 1 && bytes[1] == 0);
	for (int t = 0; t < 8; t++) expect(bytes[16 + 2 * t] == 64 && bytes[17 + 2 * t] == 0 && bytes[48 + t] == 16);
	__builtin_memset(tiles_of_thread, 0, sizeof tiles_of_thread);
	tiles_have_shape = true;
}

inline void _tile_release() { tiles_have_shape = false; }

inline void _tile_zero(int t) { __builtin_memset(tile(t), 0, sizeof tiles_of_thread[t]); }

// Rows in memory lie `row` bytes apart.
inline void _tile_loadd(int t, const void *p, int64_t row) {
	for (int r = 0; r < 16; r++) __builtin_memcpy(tile(t) + r, static_cast<const char *>(p) + r * row, 64);
}

inline void _tile_stored(int t, void *p, int64_t row) {
	for (int r = 0; r < 16; r++) __builtin_memcpy(static_cast<char *>(p) + r * row, tile(t) + r, 64);
}

// As Intel's manual has it: first and second values of the pairs are summed apart, and both sums are added to c at the end. That
// numbers below float32's full precision count as zeros is left out.
inline void _tile_dpbf16ps(int c, int a, int b) {
	const words *left = tile(a), *right = tile(b);
	for (int m = 0; m < 16; m++) {
		__m512 first{}, second{};
		for (int k = 0; k < 16; k++) {
			const words pair = words{} + left[m][k];
			first += (__m512)(pair << 16) * (__m512)(right[k] << 16);
			second += (__m512)(pair & 0xffff0000u) * (__m512)(right[k] & 0xffff0000u);
		}
		tile(c)[m] = (words)((__m512)tile(c)[m] + (first + second));
	}
}
