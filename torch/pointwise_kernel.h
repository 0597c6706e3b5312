// GELU, layer norm and the residual sum, on vectors of WIDTH floats; see vector.h for how it is included.

#include "vector.h"

// each applies f(at, count, part) to a row of n values: whole vectors, then the part that is left.
template <class F>
inline void each(int64_t n, F f) {
	int64_t i = 0;
	for (; i + WIDTH <= n; i += WIDTH) f(i, WIDTH);
	if (i < n) f(i, n - i);
}

template <class T>
inline vec get(const T *p, int64_t n) { return n == WIDTH ? load(p) : load_part(p, n); }

template <class T>
inline void put(T *p, vec v, int64_t n) { n == WIDTH ? store(p, v) : store_part(p, v, n); }

// tail returns Phi(-|x|), the smaller side of the normal distribution: two to the power of a polynomial that was
// fitted to log2 of it at Chebyshev's points of [0, 6]. Beyond 6 it is below 1e-9, and 0 here. The longer
// polynomial, for float32, is exact to 4e-8, the shorter, for bfloat16, to 2e-5.
inline vec tail(vec x, const float *) {
	const vec a = x < 0.f ? -x : x;
	vec p = a * 2.0199808e-9f - 7.8437538e-8f;
	p = p * a + 1.3484904e-6f;
	p = p * a - 1.3384026e-5f;
	p = p * a + 8.2093291e-5f;
	p = p * a - 2.8105737e-4f;
	p = p * a - 2.3096331e-5f;
	p = p * a + 6.9991895e-3f;
	p = p * a - 5.2490007e-2f;
	p = p * a - 4.5920080e-1f;
	p = p * a - 1.1511071f;
	p = p * a - 9.9999994e-1f;
	return a > 6.f ? vec{} : exp2(p);
}

inline vec tail(vec x, const BFloat16 *) {
	const vec a = x < 0.f ? -x : x;
	vec p = a * 2.2999249e-5f - 6.1149016e-4f;
	p = p * a + 7.2001889e-3f;
	p = p * a - 5.1208213e-2f;
	p = p * a - 4.6122226e-1f;
	p = p * a - 1.1502144f;
	p = p * a - 1.0000589f;
	return a > 6.f ? vec{} : exp2_short(p);
}

inline vec density(vec x, const float *) { return .39894228f * exp2(x * x * (-.5f * log2_e)); }
inline vec density(vec x, const BFloat16 *) { return .39894228f * exp2_short(x * x * (-.5f * log2_e)); }

template <class T>
inline vec distribution(vec x, const T *type) {
	const vec q = tail(x, type);
	return x < 0.f ? q : 1.f - q;
}

// gelu: y = x Phi(x), with Phi the standard normal distribution and phi its density (Hendrycks and Gimpel 2016).
template <class T>
void gelu(const T *x, T *y, int64_t n) {
	each(n, [&](int64_t i, int64_t m) {
		const vec v = get(x + i, m);
		put(y + i, v * distribution(v, x), m);
	});
}

// gelu_backward: dx = dy (Phi(x) + x phi(x)).
template <class T>
void gelu_backward(const T *x, const T *dy, T *dx, int64_t n) {
	each(n, [&](int64_t i, int64_t m) {
		const vec v = get(x + i, m);
		put(dx + i, get(dy + i, m) * (distribution(v, x) + v * density(v, x)), m);
	});
}

// layer_norm: y = (x - mean) / sqrt(var + eps) w + b over D values, of so many rows. It keeps mean and
// 1/sqrt(var + eps) of each row in stats.
template <class T, class U>
void layer_norm(const T *x, const float *w, const float *b, U *y, float *stats, int64_t rows, int64_t D, float eps) {
	for (int64_t row = 0; row < rows; row++) {
		const T *in = x + row * D;
		vec sum{};
		each(D, [&](int64_t i, int64_t m) { sum += get(in + i, m); });
		const float mean = sum_of(sum) / D;
		vec squares{};
		each(D, [&](int64_t i, int64_t m) {
			vec d = get(in + i, m) - mean;
			for (int64_t j = m; j < WIDTH; j++) d[j] = 0;
			squares += d * d;
		});
		const float rstd = 1 / __builtin_sqrtf(sum_of(squares) / D + eps);
		each(D, [&](int64_t i, int64_t m) {
			put(y + row * D + i, (get(in + i, m) - mean) * rstd * get(w + i, m) + get(b + i, m), m);
		});
		stats[2 * row] = mean;
		stats[2 * row + 1] = rstd;
	}
}

// layer_norm_backward: with g = dy w and x^ the normed x, dx = rstd (g - mean(g) - x^ mean(g x^)), and more added to it where that is not
// null. It adds dy x^ to dw and dy to db.
template <class T, class U>
void layer_norm_backward(const T *x, const float *w, const float *stats, const U *dy, const T *more, T *dx, float *dw, float *db,
	int64_t rows, int64_t D) {
	for (int64_t row = 0; row < rows; row++) {
		const T *in = x + row * D;
		const U *grad = dy + row * D;
		const float mean = stats[2 * row], rstd = stats[2 * row + 1];
		vec sum{}, inner{};
		each(D, [&](int64_t i, int64_t m) {
			const vec d = get(grad + i, m), normed = (get(in + i, m) - mean) * rstd; // past the end d is 0
			const vec g = d * get(w + i, m);
			sum += g;
			inner += g * normed;
			put(dw + i, get(dw + i, m) + d * normed, m);
			put(db + i, get(db + i, m) + d, m);
		});
		const float a = sum_of(sum) / D, c = sum_of(inner) / D;
		each(D, [&](int64_t i, int64_t m) {
			const vec normed = (get(in + i, m) - mean) * rstd;
			const vec own = (get(grad + i, m) * get(w + i, m) - a - normed * c) * rstd;
			put(dx + row * D + i, more == nullptr ? own : own + get(more + row * D + i, m), m);
		});
	}
}

// add_scaled: y = x + scale r.
template <class T>
void add_scaled(const float *x, const T *r, float scale, float *y, int64_t n) {
	each(n, [&](int64_t i, int64_t m) { put(y + i, get(x + i, m) + get(r + i, m) * scale, m); });
}

// scaled: y = scale x.
template <class T>
void scaled(const float *x, float scale, T *y, int64_t n) {
	each(n, [&](int64_t i, int64_t m) { put(y + i, get(x + i, m) * scale, m); });
}
