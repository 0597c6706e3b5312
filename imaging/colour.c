// Colour operations on interleaved 8-bit RGB, equal to Pillow's bytes.
//
// Operations that look at one byte alone are a table of 256 (pix_lookup). The others work on
// blocks: split into planes, computed plane by plane in loops that the compiler vectorises, joined.

#include "planes.h"

#include <string.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF  // GCC: off by -std=c17. A fused multiply-add rounds once too little.
#endif

int pix_best_isa(void) {
#ifdef __x86_64__
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni"))
    return PIX_AVX512;
  if (__builtin_cpu_supports("avx2")) return PIX_AVX2;
#endif
  return PIX_PORTABLE;
}

// luma is Pillow's L: ITU-R 601 in 16-bit fixed point, rounded.
PIX_ANY int luma(int r, int g, int b) { return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16; }

#ifdef __x86_64__
// lumas16 takes pairs of words. 38470 is no signed word, so two dot products share it: 19595·r + 19235·g and 19235·g + 7471·b.
PIX_TARGET_AVX512 static inline __m512i lumas16(__m512i rg, __m512i gb) {
  __m512i sum = _mm512_dpwssd_epi32(_mm512_set1_epi32(32768), rg, _mm512_set1_epi32(19235 << 16 | 19595));
  return _mm512_srli_epi32(_mm512_dpwssd_epi32(sum, gb, _mm512_set1_epi32(7471 << 16 | 19235)), 16);
}

PIX_TARGET_AVX512 static inline __m512i lumas64(__m512i r, __m512i g, __m512i b) {
  const __m512i zero = _mm512_setzero_si512();
  __m512i half[2];
  for (int i = 0; i < 2; i++) {
    __m512i rw = i ? _mm512_unpackhi_epi8(r, zero) : _mm512_unpacklo_epi8(r, zero);
    __m512i gw = i ? _mm512_unpackhi_epi8(g, zero) : _mm512_unpacklo_epi8(g, zero);
    __m512i bw = i ? _mm512_unpackhi_epi8(b, zero) : _mm512_unpacklo_epi8(b, zero);
    half[i] = _mm512_packus_epi32(lumas16(_mm512_unpacklo_epi16(rw, gw), _mm512_unpacklo_epi16(gw, bw)),
                                  lumas16(_mm512_unpackhi_epi16(rw, gw), _mm512_unpackhi_epi16(gw, bw)));
  }
  return _mm512_packus_epi16(half[0], half[1]);
}

PIX_TARGET_AVX512 static void lumas_avx512(const planes *p, uint8_t *gray, int n) {
  for (int i = 0; i < n; i += 64)
    _mm512_store_si512(gray + i, lumas64(_mm512_load_si512(p->r + i), _mm512_load_si512(p->g + i),
                                         _mm512_load_si512(p->b + i)));
}
#endif

// lumas writes the luma of the first n pixels to gray.
PIX_ANY void lumas(int isa, const planes *p, uint8_t *gray, int n) {
#ifdef __x86_64__
  if (isa == PIX_AVX512) {
    lumas_avx512(p, gray, n);
    return;
  }
#endif
  (void)isa;
  for (int i = 0; i < n; i++) gray[i] = (uint8_t)luma(p->r[i], p->g[i], p->b[i]);
}

// ---- one byte at a time

PIX_ANY void lookup_any(uint8_t *pix, size_t n, const uint8_t *table) {
  for (size_t i = 0; i < n; i++) pix[i] = table[pix[i]];
}

#ifdef __x86_64__
// The table is held in four registers of 64 bytes; the top bit of a byte chooses the pair.
PIX_TARGET_AVX512 static void lookup_avx512(uint8_t *pix, size_t n, const uint8_t *table) {
  const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
  const __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
  for (size_t i = 0; i < n; i += 64) {
    __mmask64 m = n - i >= 64 ? ~0ULL : (1ULL << (n - i)) - 1;
    __m512i x = _mm512_maskz_loadu_epi8(m, pix + i);
    __m512i lo = _mm512_permutex2var_epi8(t0, x, t1), hi = _mm512_permutex2var_epi8(t2, x, t3);
    _mm512_mask_storeu_epi8(pix + i, m, _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), lo, hi));
  }
}
#endif

void pix_lookup(int isa, uint8_t *pix, size_t n, const uint8_t table[256]) {
#ifdef __x86_64__
  if (isa == PIX_AVX512) {
    lookup_avx512(pix, n, table);
    return;
  }
#endif
  (void)isa;  // a table look-up gains nothing from AVX2
  lookup_any(pix, n, table);
}

// ---- gray

PIX_ANY uint64_t luma_sum_any(int isa, const uint8_t *rgb, size_t pixels) {
  uint64_t total = 0;
  planes p;
  _Alignas(64) uint8_t gray[BLOCK];
  for (size_t at = 0; at < pixels; at += BLOCK) {
    int n = pixels - at < BLOCK ? (int)(pixels - at) : BLOCK;
    split(isa, rgb + 3 * at, &p, n);
    lumas(isa, &p, gray, n);
    uint32_t sum = 0;
    for (int i = 0; i < n; i++) sum += gray[i];
    total += sum;
  }
  return total;
}

PIX_ANY void grayscale_any(int isa, uint8_t *rgb, size_t pixels) {
  planes p;
  for (size_t at = 0; at < pixels; at += BLOCK) {
    int n = pixels - at < BLOCK ? (int)(pixels - at) : BLOCK;
    split(isa, rgb + 3 * at, &p, n);
    lumas(isa, &p, p.r, n);
    memcpy(p.g, p.r, n);
    memcpy(p.b, p.r, n);
    join(isa, &p, rgb + 3 * at, n);
  }
}

// ---- saturation

// blend is Blend.c's a + factor·(b-a) in float, clipped and truncated. Pillow clips only where
// the factor lies outside [0, 1]; inside, the result is in range anyway.
PIX_ANY uint8_t blend(int a, int b, float factor) {
  float v = (float)a + factor * (float)(b - a);
  v = v < 0.0f ? 0.0f : v;
  v = v > 255.0f ? 255.0f : v;
  return (uint8_t)(int)v;
}

#ifdef __x86_64__
// The same for 16 values: what is below 0 becomes 0 when it is packed to bytes.
PIX_TARGET_AVX512 static inline __m512i blend16(__m512i a, __m512i b, __m512 factor) {
  __m512 base = _mm512_cvtepi32_ps(a), by = _mm512_mul_ps(factor, _mm512_sub_ps(_mm512_cvtepi32_ps(b), base));
  return _mm512_cvttps_epi32(_mm512_min_ps(_mm512_add_ps(base, by), _mm512_set1_ps(255.0f)));
}

PIX_TARGET_AVX512 static inline __m512i blend32(__m512i a, __m512i b, __m512 factor) {  // of words
  const __m512i zero = _mm512_setzero_si512();
  return _mm512_packus_epi32(
      blend16(_mm512_unpacklo_epi16(a, zero), _mm512_unpacklo_epi16(b, zero), factor),
      blend16(_mm512_unpackhi_epi16(a, zero), _mm512_unpackhi_epi16(b, zero), factor));
}

PIX_TARGET_AVX512 static inline void blend_avx512(const uint8_t *from, uint8_t *plane, int n, float factor) {
  const __m512i zero = _mm512_setzero_si512();
  for (int i = 0; i < n; i += 64) {
    __m512i a = _mm512_load_si512(from + i), b = _mm512_load_si512(plane + i);
    __m512i lo = blend32(_mm512_unpacklo_epi8(a, zero), _mm512_unpacklo_epi8(b, zero), _mm512_set1_ps(factor));
    __m512i hi = blend32(_mm512_unpackhi_epi8(a, zero), _mm512_unpackhi_epi8(b, zero), _mm512_set1_ps(factor));
    _mm512_store_si512(plane + i, _mm512_packus_epi16(lo, hi));
  }
}
#endif

// blends moves the first n values of a plane away from those of another.
PIX_ANY void blends(int isa, const uint8_t *restrict from, uint8_t *restrict plane, int n, float factor) {
#ifdef __x86_64__
  if (isa == PIX_AVX512) {
    blend_avx512(from, plane, n, factor);
    return;
  }
#endif
  (void)isa;
  for (int i = 0; i < n; i++) plane[i] = blend(from[i], plane[i], factor);
}

PIX_ANY void saturation_any(int isa, uint8_t *rgb, size_t pixels, float factor) {
  planes p;
  _Alignas(64) uint8_t gray[BLOCK];
  for (size_t at = 0; at < pixels; at += BLOCK) {
    int n = pixels - at < BLOCK ? (int)(pixels - at) : BLOCK;
    split(isa, rgb + 3 * at, &p, n);
    lumas(isa, &p, gray, n);
    blends(isa, gray, p.r, n, factor);
    blends(isa, gray, p.g, n, factor);
    blends(isa, gray, p.b, n, factor);
    join(isa, &p, rgb + 3 * at, n);
  }
}

// ---- floats

// normal is (v/255 - mean)/std, rounded after each of the three as torchvision's to_tensor and
// normalize do.
static inline float normal(int v, float mean, float std) { return ((float)v / 255.0f - mean) / std; }

// A division is slow, so with AVX-512 a quotient is the product with the reciprocal, corrected once by
// the remainder, which a fused multiply-add gives without rounding (Markstein, "Computation of elementary
// functions on the IBM RISC System/6000 processor", 1990).
#ifdef __x86_64__
PIX_TARGET_AVX512 static inline __m512 quotient(__m512 a, __m512 b, __m512 reciprocal) {
  __m512 q = _mm512_mul_ps(a, reciprocal);
  return _mm512_fmadd_ps(_mm512_fnmadd_ps(q, b, a), reciprocal, q);
}

PIX_TARGET_AVX512 static inline __m512 normal16(__m128i v, float mean, float std) {
  __m512 share = quotient(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(v)), _mm512_set1_ps(255.0f),
                          _mm512_set1_ps(1.0f / 255.0f));
  return quotient(_mm512_sub_ps(share, _mm512_set1_ps(mean)), _mm512_set1_ps(std), _mm512_set1_ps(1.0f / std));
}

// normal16_holds reports whether normal16 gives all bytes what normal does. One correction is not
// proven to be enough for every divisor, but there are no more than 256 dividends.
PIX_TARGET_AVX512 static int normal16_holds(float mean, float std) {
  for (int v = 0; v < 256; v += 16) {
    float got[16], want[16];
    _mm512_storeu_ps(got, normal16(_mm_add_epi8(_mm_load_si128((const __m128i *)COUNT), _mm_set1_epi8((char)v)), mean, std));
    for (int i = 0; i < 16; i++) want[i] = normal(v + i, mean, std);
    if (memcmp(got, want, sizeof want) != 0) return 0;
  }
  return 1;
}

PIX_TARGET_AVX512 static void normals_avx512(const uint8_t *plane, float *to, int n, float mean, float std) {
  for (int i = 0; i < n; i += 16)
    _mm512_mask_storeu_ps(to + i, (__mmask16)lanes(n - i),
                          normal16(_mm_load_si128((const __m128i *)(plane + i)), mean, std));
}
#endif

PIX_ANY void normalize_any(int isa, const uint8_t *pix, size_t pixels, int c, const float *mean, const float *std,
                           float *restrict out) {
  planes p;
#ifdef __x86_64__
  int quick = isa == PIX_AVX512 && c == 3;
  for (int ch = 0; quick && ch < c; ch++) quick = normal16_holds(mean[ch], std[ch]);
#endif
  for (size_t at = 0; at < pixels; at += BLOCK) {
    int n = pixels - at < BLOCK ? (int)(pixels - at) : BLOCK;
    if (c == 3) split(isa, pix + 3 * at, &p, n);
    for (int ch = 0; ch < c; ch++) {
      const uint8_t *plane = ch == 1 ? p.g : ch == 2 ? p.b : p.r;
      if (c != 3) {
        for (int i = 0; i < n; i++) p.r[i] = pix[(at + i) * c + ch];
        plane = p.r;
      }
      float *to = out + ch * pixels + at;
#ifdef __x86_64__
      if (quick) {
        normals_avx512(plane, to, n, mean[ch], std[ch]);
        continue;
      }
#endif
      for (int i = 0; i < n; i++) to[i] = normal(plane[i], mean[ch], std[ch]);
    }
  }
}

PIX_VARIANTS(uint64_t, luma_sum, (int isa, const uint8_t *rgb, size_t pixels), (isa, rgb, pixels))
PIX_VARIANTS(void, grayscale, (int isa, uint8_t *rgb, size_t pixels), (isa, rgb, pixels))
PIX_VARIANTS(void, saturation, (int isa, uint8_t *rgb, size_t pixels, float factor), (isa, rgb, pixels, factor))
PIX_VARIANTS(void, normalize,
             (int isa, const uint8_t *pix, size_t pixels, int c, const float *mean, const float *std, float *out),
             (isa, pix, pixels, c, mean, std, out))

uint64_t pix_luma_sum(int isa, const uint8_t *rgb, size_t pixels) {
  return PIX_CALL(isa, luma_sum, (isa, rgb, pixels));
}
void pix_grayscale(int isa, uint8_t *rgb, size_t pixels) { PIX_CALL(isa, grayscale, (isa, rgb, pixels)); }
void pix_saturation(int isa, uint8_t *rgb, size_t pixels, float factor) {
  PIX_CALL(isa, saturation, (isa, rgb, pixels, factor));
}
void pix_normalize(int isa, const uint8_t *pix, size_t pixels, int c, const float *mean, const float *std,
                   float *out) {
  PIX_CALL(isa, normalize, (isa, pix, pixels, c, mean, std, out));
}
