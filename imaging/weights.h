// The weights of resampling: Pillow's precompute_coeffs and normalize_coeffs_8bpc, in its order of operations.

#ifndef IBOT_IMAGING_WEIGHTS_H
#define IBOT_IMAGING_WEIGHTS_H

#include "pixel.h"

#include <math.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF  // GCC: off by -std=c17
#endif

enum { PRECISION = 32 - 8 - 2, HALF = 1 << (PRECISION - 1) };

// An axis says, for each output place, where its window starts and the weights in it. Windows have
// the same length for all places, a multiple of 4, filled up with zeros.
typedef struct {
  int in, out, taps;
  int used;         // the longest window without its filling, as a multiple of 4
  int32_t *start;   // [out]
  int32_t *count;   // [out]: weights that are not filling
  int32_t *weight;  // [out][taps]
  int32_t *digit;   // [out][taps]: see digits_avx2 and digits_avx512
} axis;

static double reach_of(int filter) {
  return filter == PIX_BOX ? 0.5 : filter == PIX_BILINEAR ? 1.0 : filter == PIX_BICUBIC ? 2.0 : 3.0;
}

static double sinc(double x) {
  x *= 3.14159265358979323846;
  return x == 0.0 ? 1.0 : sin(x) / x;
}

static inline double filter_value(int filter, double x) {
  if (filter == PIX_BOX) return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
  if (x < 0.0) x = -x;
  if (filter == PIX_BILINEAR) return x < 1.0 ? 1.0 - x : 0.0;
  if (filter == PIX_LANCZOS) return x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
  const double a = -0.5;  // Keys' cubic
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

static int window_of(int in, int out, int filter) {
  double scale = (double)in / out;
  if (scale < 1.0) scale = 1.0;
  return (int)ceil(reach_of(filter) * scale) * 2 + 1;
}

static int taps_of(int in, int out, int filter) { return (window_of(in, out, filter) + 3) & ~3; }

// window sets where the window of output place x begins and how long it is, at place `at` of the axis. It
// returns the window's centre.
static inline double window(axis *a, int filter, double scale, int x, int at) {
  double centre = (x + 0.5) * scale, support = reach_of(filter) * (scale < 1.0 ? 1.0 : scale);
  int first = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
  if (first < 0) first = 0;
  if (end > a->in) end = a->in;
  a->start[at] = first;
  a->count[at] = end - first;
  if (end - first > a->used) a->used = (end - first + 3) & ~3;
  return centre;
}

// axis_weights is precompute_coeffs and normalize_coeffs_8bpc. A mirrored axis begins with the
// output's last place. work holds taps doubles.
static void axis_weights(axis *a, int filter, int mirrored, double *work) {
  double scale = (double)a->in / a->out, ss = scale < 1.0 ? 1.0 : 1.0 / scale;
  for (int x = 0; x < a->out; x++) {
    int at = mirrored ? a->out - 1 - x : x;
    double centre = window(a, filter, scale, x, at), total = 0.0;
    int first = a->start[at], n = a->count[at];
    for (int k = 0; k < n; k++) {
      work[k] = filter_value(filter, (k + first - centre + 0.5) * ss);
      total += work[k];
    }
    int32_t *w = a->weight + (size_t)at * a->taps;
    for (int k = 0; k < n; k++) {
      double v = total != 0.0 ? work[k] / total : work[k];
      w[k] = (int32_t)((v < 0 ? -0.5 : 0.5) + v * (1 << PRECISION));
    }
    for (int k = n; k < a->taps; k++) w[k] = 0;
  }
}

#ifdef __x86_64__
// The same for eight places at once: the double arithmetic of each is that above, operation by
// operation.

PIX_TARGET_AVX512 static inline __m512d filter_values(int filter, __m512d x) {
#define NUMBER(v) _mm512_set1_pd(v)
#define LESS(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)
  if (filter == PIX_BOX)
    return _mm512_maskz_mov_pd(LESS(NUMBER(-0.5), x) & ~LESS(NUMBER(0.5), x), NUMBER(1.0));
  x = _mm512_abs_pd(x);
  if (filter == PIX_BILINEAR) return _mm512_maskz_sub_pd(LESS(x, NUMBER(1.0)), NUMBER(1.0), x);
  __m512d near = _mm512_sub_pd(_mm512_mul_pd(NUMBER(1.5), x), NUMBER(2.5));
  near = _mm512_add_pd(_mm512_mul_pd(_mm512_mul_pd(near, x), x), NUMBER(1.0));
  __m512d far = _mm512_add_pd(_mm512_mul_pd(_mm512_sub_pd(x, NUMBER(5.0)), x), NUMBER(8.0));
  far = _mm512_mul_pd(_mm512_sub_pd(_mm512_mul_pd(far, x), NUMBER(4.0)), NUMBER(-0.5));
  return _mm512_mask_mov_pd(_mm512_maskz_mov_pd(LESS(x, NUMBER(2.0)), far), LESS(x, NUMBER(1.0)), near);
}

PIX_TARGET_AVX512 static void axis_weights_avx512(axis *a, int filter, int mirrored) {
  double scale = (double)a->in / a->out, ss = scale < 1.0 ? 1.0 : 1.0 / scale;
  for (int x = 0; x < a->out; x += 8) {
    int places = a->out - x < 8 ? a->out - x : 8, at0 = mirrored ? a->out - x - places : x;
    int step = mirrored ? -1 : 1, at = mirrored ? a->out - 1 - x : x, longest = 0;
    double centres[8] = {0}, starts[8] = {0}, counts[8] = {0};
    for (int i = 0; i < places; i++, at += step) {
      centres[i] = window(a, filter, scale, x + i, at);
      starts[i] = a->start[at];
      counts[i] = a->count[at];
      if (a->count[at] > longest) longest = a->count[at];
    }
    __m512d centre = _mm512_loadu_pd(centres), start = _mm512_loadu_pd(starts), count = _mm512_loadu_pd(counts);
    __m512d total = NUMBER(0.0);
#define VALUE(k)                                                                                             \
  _mm512_maskz_mov_pd(LESS(NUMBER(k), count),                                                                \
                      filter_values(filter, _mm512_mul_pd(_mm512_add_pd(_mm512_sub_pd(_mm512_add_pd(NUMBER(k), start), \
                                                                                      centre),              \
                                                                        NUMBER(0.5)),                       \
                                                          NUMBER(ss))))
    for (int k = 0; k < longest; k++) total = _mm512_add_pd(total, VALUE(k));
    total = _mm512_mask_mov_pd(total, _mm512_cmp_pd_mask(total, NUMBER(0.0), _CMP_EQ_OQ), NUMBER(1.0));
    memset(a->weight + (size_t)at0 * a->taps, 0, (size_t)places * a->taps * sizeof *a->weight);
    for (int k = 0; k < longest; k++) {
      __m512d v = _mm512_div_pd(VALUE(k), total);
      __m512d half = _mm512_mask_mov_pd(NUMBER(0.5), LESS(v, NUMBER(0.0)), NUMBER(-0.5));
      int32_t fixed[8];
      _mm256_storeu_si256((__m256i *)fixed,
                          _mm512_cvttpd_epi32(_mm512_add_pd(half, _mm512_mul_pd(v, NUMBER(1 << PRECISION)))));
      int32_t *w = a->weight + (size_t)(mirrored ? a->out - 1 - x : x) * a->taps + k;
      for (int i = 0; i < places; i++, w += step * a->taps) *w = fixed[i];
    }
#undef VALUE
  }
#undef LESS
#undef NUMBER
}
#endif

#endif
