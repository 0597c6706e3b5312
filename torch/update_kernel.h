// What a step does to parameters, on vectors of WIDTH floats; see vector.h for how it is included.

#include "vector.h"

// root_of returns square roots. Of a loop over lanes GCC makes as many scalar instructions.
inline vec root_of(vec v) {
#if WIDTH == 16
	return __builtin_ia32_sqrtps512_mask(v, v, -1, 4);
#elif WIDTH == 8
	return __builtin_ia32_sqrtps256(v);
#else
	for (int i = 0; i < WIDTH; i++) v[i] = __builtin_sqrtf(v[i]);
	return v;
#endif
}

// adamw is one step of AdamW on n values: see update.cpp for the factors.
void adamw(float *p, const float *g, float *m, float *v, const Factors &f, int64_t n) {
	auto update = [&](vec &p, vec g, vec &m, vec &v) {
		m = m + (g - m) * f.grad;
		v = v * f.keep + g * g * f.square;
		p = p * f.decay - m / (root_of(v) * f.root + f.eps) * f.step;
	};
	int64_t i = 0;
	for (; i + WIDTH <= n; i += WIDTH) {
		vec a = load(p + i), b = load(m + i), c = load(v + i);
		update(a, load(g + i), b, c);
		store(p + i, a), store(m + i, b), store(v + i, c);
	}
	if (i < n) {
		vec a = load_part(p + i, n - i), b = load_part(m + i, n - i), c = load_part(v + i, n - i);
		update(a, load_part(g + i, n - i), b, c);
		store_part(p + i, a, n - i), store_part(m + i, b, n - i), store_part(v + i, c, n - i);
	}
}

// lerp moves n values of a the given part of the way to b.
void lerp(float *a, const float *b, float part, int64_t n) {
	int64_t i = 0;
	for (; i + WIDTH <= n; i += WIDTH) store(a + i, load(a + i) + (load(b + i) - load(a + i)) * part);
	for (; i < n; i++) a[i] += (b[i] - a[i]) * part;
}

// scale multiplies n values.
void scale(float *a, float factor, int64_t n) {
	int64_t i = 0;
	for (; i + WIDTH <= n; i += WIDTH) store(a + i, load(a + i) * factor);
	for (; i < n; i++) a[i] *= factor;
}

// square_sum returns the sum of squares; the caller adds those of many chunks in double.
double square_sum(const float *a, int64_t n) {
	vec sum{};
	int64_t i = 0;
	for (; i + WIDTH <= n; i += WIDTH) sum += load(a + i) * load(a + i);
	double total = 0;
	for (int j = 0; j < WIDTH; j++) total += sum[j];
	for (; i < n; i++) total += static_cast<double>(a[i]) * a[i];
	return total;
}
