// Extended box blur (Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended
// Box Filtering", SSVM 2011) in the 24-bit fixed point of Pillow's BoxBlur.c:
//
//   out[x] = (inner · Σ in[x-r..x+r] + outer · (in[x-r-1] + in[x+r+1]) + 2^23) >> 24
//
// with the edge pixel repeated beyond the edge. The window sum is an exact integer, so
// its order does not matter; the multiplications wrap at 32 bits as Pillow's do.

#include "pixel.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

// The rows or columns that a window of one (radius 0) or three taps (radius 1) looks at, the only ones
// that standard deviations up to 2.8 need: the same line at five places.
typedef struct {
  const uint8_t *far_before, *near_before, *centre, *near_after, *far_after;
} taps;

#ifdef __x86_64__
PIX_TARGET_AVX512 static inline __m512i window16(__m512i near_far, __m512i low, __m512i high) {
  __m512i sum = _mm512_srai_epi32(_mm512_dpwssd_epi32(_mm512_set1_epi32(1 << 23), near_far, low), 16);
  return _mm512_dpwssd_epi32(sum, near_far, high);
}

PIX_TARGET_AVX512 static inline __m512i window32(__m512i near, __m512i far, __m512i low, __m512i high) {
  __m512i sum = _mm512_packus_epi32(window16(_mm512_unpacklo_epi16(near, far), low, high),
                                    window16(_mm512_unpackhi_epi16(near, far), low, high));
  return _mm512_srli_epi16(sum, 8);
}

// With AVX-512 a weight is high·2^16 + low, low signed, and a word dot product adds near·inner and
// far·outer at once. What is carried from the low halves starts the sum of the high ones, which
// is then the result times 256.
PIX_TARGET_AVX512 static void blur_taps_avx512(uint8_t *out, taps in, size_t n, int radius, uint32_t inner,
                                               uint32_t outer) {
  uint32_t inner_high = (inner + 32768) >> 16, outer_high = (outer + 32768) >> 16;
  const __m512i low = _mm512_set1_epi32((int32_t)((inner & 65535) | outer << 16));
  const __m512i high = _mm512_set1_epi32((int32_t)(inner_high | outer_high << 16));
  const __m512i ones = _mm512_set1_epi8(1), zero = _mm512_setzero_si512();
  for (size_t i = 0; i < n; i += 64) {
    __mmask64 m = n - i >= 64 ? ~0ULL : (1ULL << (n - i)) - 1;
    __m512i p = _mm512_maskz_loadu_epi8(m, in.far_before + i), q = _mm512_maskz_loadu_epi8(m, in.far_after + i);
    __m512i far_lo = _mm512_maddubs_epi16(_mm512_unpacklo_epi8(p, q), ones);
    __m512i far_hi = _mm512_maddubs_epi16(_mm512_unpackhi_epi8(p, q), ones);
    __m512i centre = _mm512_maskz_loadu_epi8(m, in.centre + i);
    __m512i lo = _mm512_unpacklo_epi8(centre, zero), hi = _mm512_unpackhi_epi8(centre, zero);
    if (radius == 1) {
      p = _mm512_maskz_loadu_epi8(m, in.near_before + i), q = _mm512_maskz_loadu_epi8(m, in.near_after + i);
      lo = _mm512_add_epi16(lo, _mm512_maddubs_epi16(_mm512_unpacklo_epi8(p, q), ones));
      hi = _mm512_add_epi16(hi, _mm512_maddubs_epi16(_mm512_unpackhi_epi8(p, q), ones));
    }
    __m512i v = _mm512_packus_epi16(window32(lo, far_lo, low, high), window32(hi, far_hi, low, high));
    _mm512_mask_storeu_epi8(out + i, m, v);
  }
}
#endif

PIX_ANY void blur_taps(int isa, uint8_t *restrict out, taps in, size_t n, int radius, uint32_t inner,
                       uint32_t outer) {
#ifdef __x86_64__
  if (isa == PIX_AVX512) {
    blur_taps_avx512(out, in, n, radius, inner, outer);
    return;
  }
#endif
  (void)isa;
  for (size_t i = 0; i < n; i++) {
    uint16_t near = (uint16_t)(radius == 0 ? in.centre[i] : in.near_before[i] + in.centre[i] + in.near_after[i]);
    uint16_t far = (uint16_t)(in.far_before[i] + in.far_after[i]);  // 16 bits: twice as many to a register
    out[i] = (uint8_t)((near * inner + far * outer + (1u << 23)) >> 24);
  }
}

static inline int clamp(int v, int last) { return v < 0 ? 0 : v > last ? last : v; }

// blur_line blurs one row of any radius with a running sum for each channel.
static void blur_line(uint8_t *restrict out, const uint8_t *restrict in, int w, int c, int radius,
                      uint32_t inner, uint32_t outer) {
  int last = w - 1, reach = radius < last ? radius : last;
  for (int ch = 0; ch < c; ch++) {
    uint32_t sum = (uint32_t)in[ch] * (uint32_t)(radius + 1);  // the window around x = 0
    for (int x = 1; x <= reach; x++) sum += in[x * c + ch];
    sum += (uint32_t)in[last * c + ch] * (uint32_t)(radius - reach);
    for (int x = 0; x < w; x++) {
      uint32_t before = in[clamp(x - radius - 1, last) * c + ch], after = in[clamp(x + radius + 1, last) * c + ch];
      out[x * c + ch] = (uint8_t)((sum * inner + (before + after) * outer + (1u << 23)) >> 24);
      sum += after - in[clamp(x - radius, last) * c + ch];
    }
  }
}

// blur_across blurs each row of pix `passes` times into dst. lines holds two rows with room for two
// pixels more at both ends.
PIX_ANY void blur_across(int isa, uint8_t *dst, const uint8_t *pix, int w, int h, int c, int passes, int radius,
                         uint32_t inner, uint32_t outer, uint8_t *lines) {
  size_t row = (size_t)w * c, margin = 2 * (size_t)c;
  uint8_t *a = lines + margin, *b = a + row + 2 * margin;
  for (int y = 0; y < h; y++) {
    memcpy(a, pix + y * row, row);
    for (int pass = 1; pass <= passes; pass++) {
      uint8_t *out = pass == passes ? dst + y * row : b;
      if (radius <= 1) {
        for (int i = 1; i <= 2; i++) {
          memcpy(a - i * c, a, c);
          memcpy(a + row + (i - 1) * c, a + row - c, c);
        }
        size_t far = (size_t)(radius + 1) * c;
        blur_taps(isa, out, (taps){a - far, a - c, a, a + c, a + far}, row, radius, inner, outer);
      } else {
        blur_line(out, a, w, c, radius, inner, outer);
      }
      b = a;
      a = out;
    }
    a = lines + margin;
    b = a + row + 2 * margin;
  }
}

// blur_down blurs the columns once. sums holds a running sum for each byte of a row.
PIX_ANY void blur_down(int isa, uint8_t *restrict dst, const uint8_t *restrict pix, int w, int h, int c,
                       int radius, uint32_t inner, uint32_t outer, uint32_t *restrict sums) {
  size_t row = (size_t)w * c;
  int last = h - 1, reach = radius < last ? radius : last;
  if (radius <= 1) {
    for (int y = 0; y < h; y++)
      blur_taps(isa, dst + y * row,
                (taps){pix + clamp(y - radius - 1, last) * row, pix + clamp(y - 1, last) * row, pix + y * row,
                       pix + clamp(y + 1, last) * row, pix + clamp(y + radius + 1, last) * row},
                row, radius, inner, outer);
    return;
  }
  for (size_t i = 0; i < row; i++)
    sums[i] = pix[i] * (uint32_t)(radius + 1) + pix[last * row + i] * (uint32_t)(radius - reach);
  for (int y = 1; y <= reach; y++)
    for (size_t i = 0; i < row; i++) sums[i] += pix[y * row + i];
  for (int y = 0; y < h; y++) {
    const uint8_t *before = pix + clamp(y - radius - 1, last) * row, *leaving = pix + clamp(y - radius, last) * row;
    const uint8_t *after = pix + clamp(y + radius + 1, last) * row;
    for (size_t i = 0; i < row; i++) {
      dst[y * row + i] = (uint8_t)((sums[i] * inner + (before[i] + after[i]) * outer + (1u << 23)) >> 24);
      sums[i] += (uint32_t)after[i] - leaving[i];
    }
  }
}

// blur_any: all passes across, then all passes down, as Pillow (which transposes between).
PIX_ANY void blur_any(int isa, uint8_t *pix, int w, int h, int c, int passes, int radius, uint32_t inner,
                      uint32_t outer, uint8_t *scratch) {
  size_t row = (size_t)w * c, size = row * h;
  uint32_t *sums = (uint32_t *)scratch;
  uint8_t *other = scratch + row * sizeof *sums, *lines = other + size;
  blur_across(isa, other, pix, w, h, c, passes, radius, inner, outer, lines);
  uint8_t *from = other, *to = pix;
  for (int pass = 0; pass < passes; pass++) {
    blur_down(isa, to, from, w, h, c, radius, inner, outer, sums);
    uint8_t *t = from;
    from = to;
    to = t;
  }
  if (from != pix) memcpy(pix, from, size);
}

PIX_VARIANTS(void, blur,
             (int isa, uint8_t *pix, int w, int h, int c, int passes, int radius, uint32_t inner, uint32_t outer,
              uint8_t *scratch),
             (isa, pix, w, h, c, passes, radius, inner, outer, scratch))

size_t pix_blur_scratch(int w, int h, int c) {
  size_t row = (size_t)w * c;
  return row * sizeof(uint32_t) + row * h + 2 * (row + 4 * (size_t)c);
}

void pix_blur(int isa, uint8_t *pix, int w, int h, int c, int passes, int radius, uint32_t inner, uint32_t outer,
              void *scratch) {
  PIX_CALL(isa, blur, (isa, pix, w, h, c, passes, radius, inner, outer, scratch));
}
