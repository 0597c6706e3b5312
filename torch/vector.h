// Vectors of WIDTH floats, and rows of float32 or bfloat16 in memory. A kernel header includes this once for
// each instruction set, in a namespace and under a target of its own; hence no include guard. Nothing of the
// standard library is called: the linker keeps one copy of its inline functions, which might be the one with
// instructions that the processor lacks.

typedef float vec __attribute__((vector_size(4 * WIDTH)));
typedef float unaligned_vec __attribute__((vector_size(4 * WIDTH), aligned(4)));
typedef uint32_t bits __attribute__((vector_size(4 * WIDTH)));
typedef uint16_t half_bits __attribute__((vector_size(2 * WIDTH)));
typedef uint16_t unaligned_half_bits __attribute__((vector_size(2 * WIDTH), aligned(2)));

inline vec &lanes(float *p) { return *reinterpret_cast<vec *>(p); }
inline unaligned_vec &unaligned(float *p) { return *reinterpret_cast<unaligned_vec *>(p); }
inline int64_t padded(int64_t n) { return (n + WIDTH - 1) / WIDTH * WIDTH; }

inline vec load(const float *p) { return *reinterpret_cast<const unaligned_vec *>(p); }
inline void store(float *p, vec v) { *reinterpret_cast<unaligned_vec *>(p) = v; }

inline vec load(const BFloat16 *p) {
	const half_bits h = *reinterpret_cast<const unaligned_half_bits *>(p);
	return (vec)(__builtin_convertvector(h, bits) << 16);
}

// store rounds to the nearest bfloat16, ties to even; NaN stays NaN.
inline void store(BFloat16 *p, vec v) {
	const bits b = (bits)v;
	bits rounded = (b + 0x7fffu + ((b >> 16) & 1u)) >> 16;
	rounded = v == v ? rounded : bits{} + 0x7fc0u;
	*reinterpret_cast<unaligned_half_bits *>(p) = __builtin_convertvector(rounded, half_bits);
}

// load_part and store_part handle the last n < WIDTH values of a row.
template <class T>
inline vec load_part(const T *p, int64_t n) {
	T part[WIDTH] = {};
	for (int64_t i = 0; i < n; i++) part[i] = p[i];
	return load(part);
}

template <class T>
inline void store_part(T *p, vec v, int64_t n) {
	T part[WIDTH];
	store(part, v);
	for (int64_t i = 0; i < n; i++) p[i] = part[i];
}

inline float sum_of(vec v) {
	float sum = 0;
	for (int i = 0; i < WIDTH; i++) sum += v[i];
	return sum;
}

// exp2 returns 2^x for x <= 0 to about 2e-7 of it; 0 below -126, NaN for NaN. 2^x = 2^n 2^f with
// |f| <= 1/2, and the polynomial of Cephes' exp2f (Moshier 1989) for 2^f.
inline vec exp2(vec x) {
	const float round = 12582912; // 1.5 2^23: adding it leaves the nearest integer in the low bits
	const vec shifted = x + round;
	const vec f = x - (shifted - round);
	vec p = f * 1.535336188319500e-4f + 1.339887440266574e-3f;
	p = p * f + 9.618437357674640e-3f;
	p = p * f + 5.550332471162809e-2f;
	p = p * f + 2.402264791363012e-1f;
	p = p * f + 6.931472028550421e-1f;
	p = p * f + 1.f;
	return x < -126.f ? vec{} : p * (vec)(((bits)shifted + 127u) << 23);
}

// exp2_short is exp2 to 3e-6, for what is rounded to bfloat16.
inline vec exp2_short(vec x) {
	const float round = 12582912;
	const vec shifted = x + round;
	const vec f = x - (shifted - round);
	vec p = f * 9.5605102e-3f + 5.5917039e-2f;
	p = p * f + 2.4024981e-1f;
	p = p * f + 6.9312197e-1f;
	p = p * f + 9.9999919e-1f;
	return x < -126.f ? vec{} : p * (vec)(((bits)shifted + 127u) << 23);
}

const float log2_e = 1.44269504f;
