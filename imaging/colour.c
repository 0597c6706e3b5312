// Colour operations on interleaved 8-bit RGB, equal to Pillow's bytes.
//
// Operations that look at one byte alone are a table of 256 (pix_lookup). The others work on
// blocks: split into planes, computed plane by plane in loops that the compiler vectorises, joined.

#include "pixel.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF  // GCC: off by -std=c17. A fused multiply-add rounds once too little.
#endif

enum { BLOCK = 512 };  // pixels: the planes of a block stay in the first-level cache

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

// ---- planes

typedef struct {
  uint8_t r[BLOCK], g[BLOCK], b[BLOCK];
} planes;

static void split_plain(const uint8_t *restrict rgb, planes *restrict p, int from, int n) {
  for (int i = from; i < n; i++) {
    p->r[i] = rgb[3 * i];
    p->g[i] = rgb[3 * i + 1];
    p->b[i] = rgb[3 * i + 2];
  }
}

#ifdef __x86_64__
// 48 bytes are 16 pixels. Each plane gathers its 16 bytes from three registers: GCC does not find
// this.
PIX_TARGET_AVX2 static void split_avx2(const uint8_t *rgb, planes *p, int n) {
  const __m128i r0 = _mm_setr_epi8(0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m128i r1 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14, -1, -1, -1, -1, -1);
  const __m128i r2 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 4, 7, 10, 13);
  const __m128i g0 = _mm_setr_epi8(1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m128i g1 = _mm_setr_epi8(-1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1);
  const __m128i g2 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14);
  const __m128i b0 = _mm_setr_epi8(2, 5, 8, 11, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m128i b1 = _mm_setr_epi8(-1, -1, -1, -1, -1, 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1);
  const __m128i b2 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15);
  int i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m128i *in = (const __m128i *)(rgb + 3 * i);
    __m128i x = _mm_loadu_si128(in), y = _mm_loadu_si128(in + 1), z = _mm_loadu_si128(in + 2);
#define PLANE(c)                                                                       \
  _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(x, c##0), _mm_shuffle_epi8(y, c##1)), \
               _mm_shuffle_epi8(z, c##2))
    _mm_storeu_si128((__m128i *)(p->r + i), PLANE(r));
    _mm_storeu_si128((__m128i *)(p->g + i), PLANE(g));
    _mm_storeu_si128((__m128i *)(p->b + i), PLANE(b));
#undef PLANE
  }
  split_plain(rgb, p, i, n);
}
#endif

static void split(int isa, const uint8_t *rgb, planes *p, int n) {
#ifdef __x86_64__
  if (isa != PIX_PORTABLE) {
    split_avx2(rgb, p, n);
    return;
  }
#endif
  (void)isa;
  split_plain(rgb, p, 0, n);
}

PIX_ANY void join(const planes *restrict p, uint8_t *restrict rgb, int n) {
  for (int i = 0; i < n; i++) {
    rgb[3 * i] = p->r[i];
    rgb[3 * i + 1] = p->g[i];
    rgb[3 * i + 2] = p->b[i];
  }
}

// luma is Pillow's L: ITU-R 601 in 16-bit fixed point, rounded.
PIX_ANY int luma(int r, int g, int b) { return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16; }

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
  for (size_t at = 0; at < pixels; at += BLOCK) {
    int n = pixels - at < BLOCK ? (int)(pixels - at) : BLOCK;
    split(isa, rgb + 3 * at, &p, n);
    uint32_t sum = 0;
    for (int i = 0; i < n; i++) sum += (uint32_t)luma(p.r[i], p.g[i], p.b[i]);
    total += sum;
  }
  return total;
}

PIX_ANY void grayscale_any(int isa, uint8_t *rgb, size_t pixels) {
  planes p;
  for (size_t at = 0; at < pixels; at += BLOCK) {
    int n = pixels - at < BLOCK ? (int)(pixels - at) : BLOCK;
    split(isa, rgb + 3 * at, &p, n);
    for (int i = 0; i < n; i++) p.r[i] = (uint8_t)luma(p.r[i], p.g[i], p.b[i]);
    memcpy(p.g, p.r, n);
    memcpy(p.b, p.r, n);
    join(&p, rgb + 3 * at, n);
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

PIX_ANY void saturation_any(int isa, uint8_t *rgb, size_t pixels, float factor) {
  planes p;
  for (size_t at = 0; at < pixels; at += BLOCK) {
    int n = pixels - at < BLOCK ? (int)(pixels - at) : BLOCK;
    split(isa, rgb + 3 * at, &p, n);
    for (int i = 0; i < n; i++) {
      int gray = luma(p.r[i], p.g[i], p.b[i]);
      p.r[i] = blend(gray, p.r[i], factor);
      p.g[i] = blend(gray, p.g[i], factor);
      p.b[i] = blend(gray, p.b[i], factor);
    }
    join(&p, rgb + 3 * at, n);
  }
}

// ---- hue

// hue_block turns RGB into Pillow's 8-bit HSV, adds shift to the hue, and turns it back (Convert.c,
// rgb2hsv_row and hsv2rgb). Pillow branches on the largest channel and on the sixth of the circle;
// here every side is computed, in the same precision as there, and one is chosen with masks: the
// compiler does not vectorise a conditional that it could turn into a jump.
PIX_ANY void hue_block(planes *p, int n, uint8_t shift) {
  float hue[BLOCK], sat[BLOCK];
  uint8_t top[BLOCK], bottom[BLOCK], middle[BLOCK];
  int32_t sixth[BLOCK], turned[BLOCK];

  // The middle channel decides the hue: one of the two others is 0 and one is 1 after scaling, so
  // Pillow's 2+rc-bc and its like have one operation that rounds: 1±x, 3±x or 5-x.
  for (int i = 0; i < n; i++) {
    int r = p->r[i], g = p->g[i], b = p->b[i];
    int hi = r > g ? r : g, lo = r < g ? r : g;
    hi = hi > b ? hi : b;
    lo = lo < b ? lo : b;
    int mid = r + g + b - hi - lo;
    int rmin = r == lo, bmin = b == lo, gray = hi == lo;
    int in_r = -(r == hi), in_g = -(g == hi) & ~in_r, in_b = ~(in_r | in_g);  // masks
    // Where r is the largest: b smallest gives 1-gc, else bc-1, and so on round the circle.
    int base = (in_r & (2 * bmin - 1)) | (in_g & (3 - 2 * bmin)) | (in_b & (5 - 2 * rmin));
    int sign = (in_r & (1 - 2 * bmin)) | (in_g & (2 * bmin - 1)) | (in_b & (2 * rmin - 1));
    base &= gray - 1;
    float x = (float)(sign * (hi - mid)) / (float)(hi - lo + gray);
    hue[i] = (float)base + x;
    sat[i] = (float)(hi - lo) / (float)(hi + (hi == 0));
    top[i] = (uint8_t)hi;
  }
  for (int i = 0; i < n; i++) {
    float h = (float)((double)hue[i] / 6.0 + (hue[i] < 0.0f ? 1.0 : 0.0));
    turned[i] = (int32_t)((double)h * 255.0);
  }
  for (int i = 0; i < n; i++) {
    int h = (turned[i] + shift) & 255;
    int s = (int)((double)sat[i] * 255.0);
    int k = 6 * h / 255;                          // 0..6
    float f = (float)(6 * h - 255 * k) / 255.0f;  // the place within the sixth
    float fs = (float)s / 255.0f;
    double odd = (double)(k & 1), v = (double)top[i];
    double x = odd * (double)(fs * f) + (1.0 - odd) * ((double)fs * (1.0 - (double)f));
    bottom[i] = (uint8_t)(int)(v * (1.0 - (double)fs) + 0.5);
    middle[i] = (uint8_t)(int)(v * (1.0 - x) + 0.5);
    sixth[i] = k == 6 ? 0 : k;
  }
  for (int i = 0; i < n; i++) {
    int k = sixth[i], v = top[i], lo = bottom[i], mid = middle[i];
    int k0 = -(k == 0), k1 = -(k == 1), k2 = -(k == 2), k3 = -(k == 3), k4 = -(k == 4), k5 = -(k == 5);
    p->r[i] = (uint8_t)((v & (k0 | k5)) | (mid & (k1 | k4)) | (lo & (k2 | k3)));
    p->g[i] = (uint8_t)((v & (k1 | k2)) | (mid & (k0 | k3)) | (lo & (k4 | k5)));
    p->b[i] = (uint8_t)((v & (k3 | k4)) | (mid & (k2 | k5)) | (lo & (k0 | k1)));
  }
}

PIX_ANY void hue_any(int isa, uint8_t *rgb, size_t pixels, uint8_t shift) {
  planes p;
  for (size_t at = 0; at < pixels; at += BLOCK) {
    int n = pixels - at < BLOCK ? (int)(pixels - at) : BLOCK;
    split(isa, rgb + 3 * at, &p, n);
    hue_block(&p, n, shift);
    join(&p, rgb + 3 * at, n);
  }
}

// ---- floats

// normalize_any writes (v/255 - mean)/std, rounded after each of the three as torchvision's
// to_tensor and normalize do.
PIX_ANY void normalize_any(int isa, const uint8_t *pix, size_t pixels, int c, const float *mean, const float *std,
                           float *restrict out) {
  planes p;
  for (size_t at = 0; at < pixels; at += BLOCK) {
    int n = pixels - at < BLOCK ? (int)(pixels - at) : BLOCK;
    if (c == 3) split(isa, pix + 3 * at, &p, n);
    for (int ch = 0; ch < c; ch++) {
      const uint8_t *plane = ch == 1 ? p.g : ch == 2 ? p.b : p.r;
      if (c != 3) {
        for (int i = 0; i < n; i++) p.r[i] = pix[(at + i) * c + ch];
        plane = p.r;
      }
      float *to = out + ch * pixels + at, m = mean[ch], s = std[ch];
      for (int i = 0; i < n; i++) to[i] = ((float)plane[i] / 255.0f - m) / s;
    }
  }
}

PIX_VARIANTS(uint64_t, luma_sum, (int isa, const uint8_t *rgb, size_t pixels), (isa, rgb, pixels))
PIX_VARIANTS(void, grayscale, (int isa, uint8_t *rgb, size_t pixels), (isa, rgb, pixels))
PIX_VARIANTS(void, saturation, (int isa, uint8_t *rgb, size_t pixels, float factor), (isa, rgb, pixels, factor))
PIX_VARIANTS(void, hue, (int isa, uint8_t *rgb, size_t pixels, uint8_t shift), (isa, rgb, pixels, shift))
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
void pix_hue(int isa, uint8_t *rgb, size_t pixels, uint8_t shift) { PIX_CALL(isa, hue, (isa, rgb, pixels, shift)); }
void pix_normalize(int isa, const uint8_t *pix, size_t pixels, int c, const float *mean, const float *std,
                   float *out) {
  PIX_CALL(isa, normalize, (isa, pix, pixels, c, mean, std, out));
}
