// Blocks of interleaved RGB as three planes of bytes, and back. Compilers do not find these
// permutations by themselves.

#ifndef IBOT_IMAGING_PLANES_H
#define IBOT_IMAGING_PLANES_H

#include "pixel.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { BLOCK = 512 };  // pixels: the planes of a block stay in the first-level cache

typedef struct {
  _Alignas(64) uint8_t r[BLOCK], g[BLOCK], b[BLOCK];
} planes;

static inline void split_plain(const uint8_t *restrict rgb, planes *restrict p, int from, int n) {
  for (int i = from; i < n; i++) {
    p->r[i] = rgb[3 * i];
    p->g[i] = rgb[3 * i + 1];
    p->b[i] = rgb[3 * i + 2];
  }
}

static inline void join_plain(const planes *restrict p, uint8_t *restrict rgb, int from, int n) {
  for (int i = from; i < n; i++) {
    rgb[3 * i] = p->r[i];
    rgb[3 * i + 1] = p->g[i];
    rgb[3 * i + 2] = p->b[i];
  }
}

#ifdef __x86_64__

// ---- AVX2: 48 bytes are 16 pixels in three registers of 16 bytes; every one of the result gathers
// its bytes from all three.

#define GATHER3(x, y, z, from)                                                                 \
  _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(x, from##0), _mm_shuffle_epi8(y, from##1)), \
               _mm_shuffle_epi8(z, from##2))

PIX_TARGET_AVX2 static inline void split_avx2(const uint8_t *rgb, planes *p, int n) {
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
    _mm_storeu_si128((__m128i *)(p->r + i), GATHER3(x, y, z, r));
    _mm_storeu_si128((__m128i *)(p->g + i), GATHER3(x, y, z, g));
    _mm_storeu_si128((__m128i *)(p->b + i), GATHER3(x, y, z, b));
  }
  split_plain(rgb, p, i, n);
}

PIX_TARGET_AVX2 static inline void join_avx2(const planes *p, uint8_t *rgb, int n) {
  const __m128i x0 = _mm_setr_epi8(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5);
  const __m128i x1 = _mm_setr_epi8(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1);
  const __m128i x2 = _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1);
  const __m128i y0 = _mm_setr_epi8(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1);
  const __m128i y1 = _mm_setr_epi8(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10);
  const __m128i y2 = _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1);
  const __m128i z0 = _mm_setr_epi8(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1);
  const __m128i z1 = _mm_setr_epi8(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1);
  const __m128i z2 = _mm_setr_epi8(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15);
  int i = 0;
  for (; i + 16 <= n; i += 16) {
    __m128i r = _mm_loadu_si128((const __m128i *)(p->r + i)), g = _mm_loadu_si128((const __m128i *)(p->g + i));
    __m128i b = _mm_loadu_si128((const __m128i *)(p->b + i)), *out = (__m128i *)(rgb + 3 * i);
    _mm_storeu_si128(out, GATHER3(r, g, b, x));
    _mm_storeu_si128(out + 1, GATHER3(r, g, b, y));
    _mm_storeu_si128(out + 2, GATHER3(r, g, b, z));
  }
  join_plain(p, rgb, i, n);
}
#undef GATHER3

// ---- AVX-512 VBMI: 192 bytes are 64 pixels in three registers of 64 bytes.

// The first n of 64 lanes.
static inline __mmask64 lanes(ptrdiff_t n) { return n >= 64 ? ~0ULL : n <= 0 ? 0 : (1ULL << n) - 1; }

// Byte i of a joined block is byte i/3 of one of its planes. FROM[i] says which of r (i/3) and g
// (64 + i/3); IS_B has a bit for each byte that comes from b, where FROM[i] is i/3 too.
#define PIXEL1(i) i, 64 + i, i
#define PIXEL4(i) PIXEL1(i), PIXEL1(i + 1), PIXEL1(i + 2), PIXEL1(i + 3)
#define PIXEL16(i) PIXEL4(i), PIXEL4(i + 4), PIXEL4(i + 8), PIXEL4(i + 12)
_Alignas(64) static const uint8_t FROM[192] = {PIXEL16(0), PIXEL16(16), PIXEL16(32), PIXEL16(48)};
static const uint64_t IS_B[3] = {0x4924924924924924, 0x2492492492492492, 0x9249249249249249};
#define COUNT4(i) i, i + 1, i + 2, i + 3
#define COUNT16(i) COUNT4(i), COUNT4(i + 4), COUNT4(i + 8), COUNT4(i + 12)
_Alignas(64) static const uint8_t COUNT[64] = {COUNT16(0), COUNT16(16), COUNT16(32), COUNT16(48)};

// every_third gathers bytes at, at+3, at+6 and so on of x, y and z.
PIX_TARGET_AVX512 static inline __m512i every_third(__m512i x, __m512i y, __m512i z, int at) {
  __m512i count = _mm512_load_si512(COUNT);
  __m512i from = _mm512_add_epi8(_mm512_add_epi8(count, count), _mm512_add_epi8(count, _mm512_set1_epi8((char)at)));
  __m512i early = _mm512_permutex2var_epi8(x, from, y);  // from counts modulo 128 here, and 64 in z
  return _mm512_mask_permutexvar_epi8(early, _mm512_movepi8_mask(from), from, z);
}

PIX_TARGET_AVX512 static inline void split_avx512(const uint8_t *rgb, planes *p, int n) {
  for (int i = 0; i < n; i += 64) {
    ptrdiff_t left = 3 * (ptrdiff_t)(n - i);
    const uint8_t *in = rgb + 3 * i;
    __m512i x = _mm512_maskz_loadu_epi8(lanes(left), in), y = _mm512_maskz_loadu_epi8(lanes(left - 64), in + 64);
    __m512i z = _mm512_maskz_loadu_epi8(lanes(left - 128), in + 128);
    _mm512_store_si512(p->r + i, every_third(x, y, z, 0));
    _mm512_store_si512(p->g + i, every_third(x, y, z, 1));
    _mm512_store_si512(p->b + i, every_third(x, y, z, 2));
  }
}

PIX_TARGET_AVX512 static inline void join_avx512(const planes *p, uint8_t *rgb, int n) {
  for (int i = 0; i < n; i += 64) {
    ptrdiff_t left = 3 * (ptrdiff_t)(n - i);
    __m512i r = _mm512_load_si512(p->r + i), g = _mm512_load_si512(p->g + i), b = _mm512_load_si512(p->b + i);
    for (int j = 0; j < 3; j++) {
      __m512i from = _mm512_load_si512(FROM + 64 * j), v = _mm512_permutex2var_epi8(r, from, g);
      v = _mm512_mask_permutexvar_epi8(v, IS_B[j], from, b);
      _mm512_mask_storeu_epi8(rgb + 3 * i + 64 * j, lanes(left - 64 * j), v);
    }
  }
}

#endif

// split takes the first n pixels of rgb apart, join puts them together; n is at most BLOCK. What
// lies behind the n bytes of a plane is of no meaning.
static inline void split(int isa, const uint8_t *rgb, planes *p, int n) {
#ifdef __x86_64__
  if (isa == PIX_AVX512) {
    split_avx512(rgb, p, n);
    return;
  }
  if (isa == PIX_AVX2) {
    split_avx2(rgb, p, n);
    return;
  }
#endif
  (void)isa;
  split_plain(rgb, p, 0, n);
}

static inline void join(int isa, const planes *p, uint8_t *rgb, int n) {
#ifdef __x86_64__
  if (isa == PIX_AVX512) {
    join_avx512(p, rgb, n);
    return;
  }
  if (isa == PIX_AVX2) {
    join_avx2(p, rgb, n);
    return;
  }
#endif
  (void)isa;
  join_plain(p, rgb, 0, n);
}

#endif
