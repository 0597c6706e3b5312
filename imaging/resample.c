// Antialiased resampling, equal to Pillow's Resample.c to the bit: weights in double, turned into
// 22-bit fixed point, one pass across, rounding to a byte, one pass down.
//
// The plain loops multiply 32-bit weights. The vector loops cannot afford that multiplication
// (two 10-cycle operations for 8 or 16 values), so they cut a weight into digits that the
// byte and word dot products of AVX-512 VNNI and AVX2 accept, and add the digits' sums at the end:
// all arithmetic is modulo 2^32, so the result is the same.

#include "weights.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

// ---- plain passes

static inline uint8_t to_byte(int32_t sum) {
  int v = sum >> PRECISION;
  return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void across_plain(const axis *a, const uint8_t *src, ptrdiff_t stride, int rows, int c, uint8_t *dst,
                         ptrdiff_t dst_stride) {
  for (int y = 0; y < rows; y++, src += stride, dst += dst_stride) {
    for (int x = 0; x < a->out; x++) {
      const int32_t *w = a->weight + (size_t)x * a->taps;
      const uint8_t *p = src + (ptrdiff_t)a->start[x] * c;
      int n = a->count[x];
      if (c == 3) {
        int32_t s0 = HALF, s1 = HALF, s2 = HALF;
        for (int k = 0; k < n; k++, p += 3) {
          s0 += p[0] * w[k];
          s1 += p[1] * w[k];
          s2 += p[2] * w[k];
        }
        dst[3 * x] = to_byte(s0);
        dst[3 * x + 1] = to_byte(s1);
        dst[3 * x + 2] = to_byte(s2);
        continue;
      }
      for (int ch = 0; ch < c; ch++) {
        int32_t sum = HALF;
        for (int k = 0; k < n; k++) sum += p[(ptrdiff_t)k * c + ch] * w[k];
        dst[(ptrdiff_t)x * c + ch] = to_byte(sum);
      }
    }
  }
}

// down_columns computes columns [from, to) of one output row from the rows of its window.
PIX_ANY void down_columns(const uint8_t *rows, ptrdiff_t stride, const int32_t *w, int n, size_t from, size_t to,
                          uint8_t *dst) {
  enum { STRIP = 256 };
  int32_t sum[STRIP];
  for (size_t at = from; at < to; at += STRIP) {
    int m = to - at < STRIP ? (int)(to - at) : STRIP;
    for (int i = 0; i < m; i++) sum[i] = HALF;
    for (int k = 0; k < n; k++) {
      const uint8_t *p = rows + k * stride + at;
      int32_t v = w[k];
      for (int i = 0; i < m; i++) sum[i] += p[i] * v;
    }
    for (int i = 0; i < m; i++) dst[at + i] = to_byte(sum[i]);
  }
}

static void down_plain(const axis *a, const uint8_t *src, ptrdiff_t stride, size_t row, uint8_t *dst) {
  for (int y = 0; y < a->out; y++, dst += row)
    down_columns(src + a->start[y] * stride, stride, a->weight + (size_t)y * a->taps, a->count[y], 0, row, dst);
}

#ifdef __x86_64__

// ---- AVX2: pairs of 16-bit words
//
// weight = hi·2^11 + lo with lo in [0, 2^11). For each two taps a 32-bit word of two lo and one of
// two hi; pmaddwd then adds the products of two taps at once.

static void digits_avx2(axis *a) {
  size_t n = (size_t)a->out * a->taps;
  for (size_t i = 0; i < n; i += 2) {
    int32_t w0 = a->weight[i], w1 = a->weight[i + 1];
    a->digit[i] = (int32_t)((uint32_t)(w0 & 2047) | (uint32_t)(w1 & 2047) << 16);
    a->digit[i + 1] = (int32_t)(((uint32_t)(w0 >> 11) & 0xffff) | (uint32_t)(w1 >> 11) << 16);
  }
}

PIX_TARGET_AVX2 static inline __m256i words_to_values(__m256i lo, __m256i hi) {
  __m256i sum = _mm256_add_epi32(lo, _mm256_slli_epi32(hi, 11));
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(HALF)), PRECISION);
}

// across2 makes two output rows: a row in each half of a register, three channels in its words.
PIX_TARGET_AVX2 static void across2_avx2(const axis *a, const uint8_t *const row[2], uint8_t *dst,
                                         ptrdiff_t dst_stride) {
  const __m256i first = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  const __m256i second = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
  for (int x = 0; x < a->out; x++) {
    const int32_t *d = a->digit + (size_t)x * a->taps;
    ptrdiff_t at = 3 * (ptrdiff_t)a->start[x];
    __m256i lo = _mm256_setzero_si256(), hi = lo;
    for (int k = 0; k < a->used; k += 4, at += 12) {
      __m256i v = _mm256_inserti128_si256(
          _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(row[0] + at))),
          _mm_loadu_si128((const __m128i *)(row[1] + at)), 1);
      __m256i p = _mm256_shuffle_epi8(v, first), q = _mm256_shuffle_epi8(v, second);
      lo = _mm256_add_epi32(lo, _mm256_madd_epi16(p, _mm256_set1_epi32(d[k])));
      hi = _mm256_add_epi32(hi, _mm256_madd_epi16(p, _mm256_set1_epi32(d[k + 1])));
      lo = _mm256_add_epi32(lo, _mm256_madd_epi16(q, _mm256_set1_epi32(d[k + 2])));
      hi = _mm256_add_epi32(hi, _mm256_madd_epi16(q, _mm256_set1_epi32(d[k + 3])));
    }
    __m256i v = words_to_values(lo, hi);
    v = _mm256_packs_epi32(v, v);
    v = _mm256_packus_epi16(v, v);
    int32_t top = _mm256_extract_epi32(v, 0), bottom = _mm256_extract_epi32(v, 4);
    memcpy(dst + 3 * x, &top, 4);  // the fourth byte is overwritten by the next x
    memcpy(dst + dst_stride + 3 * x, &bottom, 4);
  }
}

PIX_TARGET_AVX2 static void down_row_avx2(const axis *a, int y, const uint8_t *src, ptrdiff_t stride, size_t row,
                                          uint8_t *dst) {
  const __m256i zero = _mm256_setzero_si256();
  const int32_t *d = a->digit + (size_t)y * a->taps;
  int last = a->in - 1, start = a->start[y], pairs = (a->count[y] + 1) / 2;
  if (row < 32) {
    down_columns(src + start * stride, stride, a->weight + (size_t)y * a->taps, a->count[y], 0, row, dst);
    return;
  }
  for (size_t i = 0; i < row; i += 32) {
    if (i + 32 > row) i = row - 32;  // the last columns may be made twice
    __m256i lo[4] = {zero, zero, zero, zero}, hi[4] = {zero, zero, zero, zero};
    for (int k = 0; k < pairs; k++) {
      int y0 = start + 2 * k, y1 = y0 + 1 > last ? last : y0 + 1;
      __m256i p = _mm256_loadu_si256((const __m256i *)(src + y0 * stride + i));
      __m256i q = _mm256_loadu_si256((const __m256i *)(src + y1 * stride + i));
      __m256i l = _mm256_unpacklo_epi8(p, q), h = _mm256_unpackhi_epi8(p, q);
      __m256i v[4] = {_mm256_unpacklo_epi8(l, zero), _mm256_unpackhi_epi8(l, zero),
                      _mm256_unpacklo_epi8(h, zero), _mm256_unpackhi_epi8(h, zero)};
      __m256i wl = _mm256_set1_epi32(d[2 * k]), wh = _mm256_set1_epi32(d[2 * k + 1]);
      for (int j = 0; j < 4; j++) {
        lo[j] = _mm256_add_epi32(lo[j], _mm256_madd_epi16(v[j], wl));
        hi[j] = _mm256_add_epi32(hi[j], _mm256_madd_epi16(v[j], wh));
      }
    }
    __m256i l = _mm256_packs_epi32(words_to_values(lo[0], hi[0]), words_to_values(lo[1], hi[1]));
    __m256i h = _mm256_packs_epi32(words_to_values(lo[2], hi[2]), words_to_values(lo[3], hi[3]));
    _mm256_storeu_si256((__m256i *)(dst + i), _mm256_packus_epi16(l, h));
  }
}

// ---- AVX-512 VNNI: fours of 8-bit digits
//
// weight = d2·2^16 + d1·2^8 + d0 with signed digits. For each four taps three 32-bit words, one of
// each digit; vpdpbusd multiplies four bytes with four digits and adds them to a sum.

PIX_TARGET_AVX512 static void digits_avx512(axis *a) {
  size_t n = (size_t)a->out * a->taps;
  for (size_t i = 0; i < n; i += 16) {
    __mmask16 m = n - i >= 16 ? 0xffff : (__mmask16)((1u << (n - i)) - 1);
    __m512i w = _mm512_maskz_loadu_epi32(m, a->weight + i);
    __m512i d0 = _mm512_srai_epi32(_mm512_slli_epi32(w, 24), 24);
    w = _mm512_srai_epi32(_mm512_sub_epi32(w, d0), 8);
    __m512i d1 = _mm512_srai_epi32(_mm512_slli_epi32(w, 24), 24);
    __m512i d2 = _mm512_srai_epi32(_mm512_sub_epi32(w, d1), 8);
    __m128i p = _mm512_cvtepi32_epi8(d0), q = _mm512_cvtepi32_epi8(d1), r = _mm512_cvtepi32_epi8(d2);
    __m128i lo = _mm_unpacklo_epi32(p, q), hi = _mm_unpackhi_epi32(p, q);
    __m128i fours[4] = {_mm_unpacklo_epi64(lo, _mm_unpacklo_epi32(r, r)), _mm_unpackhi_epi64(lo, _mm_unpacklo_epi32(r, r)),
                        _mm_unpacklo_epi64(hi, _mm_unpackhi_epi32(r, r)), _mm_unpackhi_epi64(hi, _mm_unpackhi_epi32(r, r))};
    for (size_t j = 0; j < 4 && i + 4 * j < n; j++) _mm_storeu_si128((__m128i *)(a->digit + i + 4 * j), fours[j]);
  }
}

PIX_TARGET_AVX512 static inline __m512i digits_to_values(__m512i s0, __m512i s1, __m512i s2) {
  __m512i sum = _mm512_add_epi32(s0, _mm512_add_epi32(_mm512_slli_epi32(s1, 8), _mm512_slli_epi32(s2, 16)));
  return _mm512_srai_epi32(sum, PRECISION);
}

// across4 makes four output rows: a row in each quarter of a register, three channels in its words.
PIX_TARGET_AVX512 static void across4_avx512(const axis *a, const uint8_t *const row[4], uint8_t *dst,
                                             ptrdiff_t dst_stride) {
  const __m512i by_channel = _mm512_broadcast_i32x4(
      _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
  const __m512i half = _mm512_set1_epi32(HALF), zero = _mm512_setzero_si512();
  const uint8_t *r0 = row[0], *r1 = row[1], *r2 = row[2], *r3 = row[3];
  for (int x = 0; x < a->out; x++) {
    const int32_t *d = a->digit + (size_t)x * a->taps;
    ptrdiff_t at = 3 * (ptrdiff_t)a->start[x];
    __m512i s0 = half, s1 = zero, s2 = zero;
    for (int k = 0; k < a->used; k += 4, at += 12) {
      __m256i top = _mm256_inserti128_si256(
          _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(r0 + at))),
          _mm_loadu_si128((const __m128i *)(r1 + at)), 1);
      __m256i bottom = _mm256_inserti128_si256(
          _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(r2 + at))),
          _mm_loadu_si128((const __m128i *)(r3 + at)), 1);
      __m512i v = _mm512_inserti64x4(_mm512_castsi256_si512(top), bottom, 1);
      v = _mm512_shuffle_epi8(v, by_channel);
      s0 = _mm512_dpbusd_epi32(s0, v, _mm512_set1_epi32(d[k]));
      s1 = _mm512_dpbusd_epi32(s1, v, _mm512_set1_epi32(d[k + 1]));
      s2 = _mm512_dpbusd_epi32(s2, v, _mm512_set1_epi32(d[k + 2]));
    }
    __m512i v = _mm512_max_epi32(digits_to_values(s0, s1, s2), zero);
    int32_t pixel[4];
    _mm_storeu_si128((__m128i *)pixel, _mm512_cvtusepi32_epi8(v));
    for (int i = 0; i < 4; i++) memcpy(dst + i * dst_stride + 3 * x, &pixel[i], 4);
  }
}

// Where the windows of five neighbouring output places lie close together, one permutation of 64
// source bytes gives four taps of all five places and three channels: 15 of 16 words. A group holds that
// permutation and the digits in the order of the words, three registers for each four taps.
enum { GROUP = 5, NEAR = 17 };  // 3 channels · (NEAR + 4 taps) are 63 bytes

static int groups_of(int out) { return (out + GROUP - 1) / GROUP; }
static size_t group_size(int taps) { return 64 * (1 + 3 * (size_t)taps / 4); }

static int group_start(const axis *a, int x) {  // starts rise, or fall in a mirrored axis
  int last = x + GROUP - 1 < a->out ? x + GROUP - 1 : a->out - 1;
  return a->start[x] < a->start[last] ? a->start[x] : a->start[last];
}

static int windows_are_near(const axis *a) {
  for (int x = 0; x < a->out; x += GROUP) {
    int last = x + GROUP - 1 < a->out ? x + GROUP - 1 : a->out - 1;
    if (a->start[x] + a->start[last] - 2 * group_start(a, x) > NEAR) return 0;
  }
  return 1;
}

PIX_TARGET_AVX512 static void fill_groups(const axis *a, uint8_t *groups) {
  const __m512i place = _mm512_setr_epi32(0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4);
  const __m512i channel = _mm512_setr_epi32(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 2);
  const __m512i four = _mm512_set1_epi32(0x09060300);  // pixels are three bytes apart
  for (int x = 0; x < a->out; x += GROUP, groups += group_size(a->taps)) {
    __m512i p = _mm512_min_epi32(place, _mm512_set1_epi32(a->out - 1 - x));
    __m512i at = _mm512_sub_epi32(_mm512_i32gather_epi32(p, a->start + x, 4), _mm512_set1_epi32(group_start(a, x)));
    at = _mm512_add_epi32(_mm512_mullo_epi32(at, _mm512_set1_epi32(3)), channel);
    _mm512_store_si512(groups, _mm512_add_epi8(_mm512_mullo_epi32(at, _mm512_set1_epi32(0x01010101)), four));
    __m512i row = _mm512_mullo_epi32(p, _mm512_set1_epi32(a->taps));
    const int32_t *d = a->digit + (size_t)x * a->taps;
    for (int k = 0; k < a->used; k += 4)
      for (int t = 0; t < 3; t++)
        _mm512_store_si512(groups + 64 * (1 + 3 * k / 4 + t), _mm512_i32gather_epi32(row, d + k + t, 4));
  }
}

// across_near makes n output rows, group by group.
PIX_TARGET_AVX512 static void across_near(const axis *a, const uint8_t *groups, const uint8_t *const *row, int n,
                                          uint8_t *dst, ptrdiff_t dst_stride) {
  const __m512i half = _mm512_set1_epi32(HALF), zero = _mm512_setzero_si512();
  for (int x = 0; x < a->out; x += GROUP, groups += group_size(a->taps)) {
    const __m512i from = _mm512_load_si512(groups);
    ptrdiff_t at = 3 * (ptrdiff_t)group_start(a, x);
    for (int y = 0; y < n; y++) {
      __m512i s0 = half, s1 = zero, s2 = zero;
      for (int k = 0; k < a->used; k += 4) {
        const uint8_t *d = groups + 64 * (1 + 3 * k / 4);
        __m512i v = _mm512_permutexvar_epi8(from, _mm512_loadu_si512(row[y] + at + 3 * k));
        s0 = _mm512_dpbusd_epi32(s0, v, _mm512_load_si512(d));
        s1 = _mm512_dpbusd_epi32(s1, v, _mm512_load_si512(d + 64));
        s2 = _mm512_dpbusd_epi32(s2, v, _mm512_load_si512(d + 128));
      }
      __m512i v = _mm512_max_epi32(digits_to_values(s0, s1, s2), zero);
      // The sixteenth byte is overwritten by the next group.
      _mm_storeu_si128((__m128i *)(dst + y * dst_stride + 3 * x), _mm512_cvtusepi32_epi8(v));
    }
  }
}

PIX_TARGET_AVX512 static void down_row_avx512(const axis *a, int y, const uint8_t *src, ptrdiff_t stride,
                                              size_t row, uint8_t *dst) {
  const __m512i half = _mm512_set1_epi32(HALF), zero = _mm512_setzero_si512();
  const int32_t *d = a->digit + (size_t)y * a->taps;
  int last = a->in - 1, start = a->start[y], n = a->count[y];
  for (size_t i = 0; i < row; i += 64) {
    __mmask64 m = row - i >= 64 ? ~0ULL : (1ULL << (row - i)) - 1;
    __m512i s[4][3];
    for (int j = 0; j < 4; j++) s[j][0] = half, s[j][1] = s[j][2] = zero;
    for (int k = 0; k < n; k += 4) {
      __m512i p[4];
      for (int j = 0; j < 4; j++) {
        int line = start + k + j > last ? last : start + k + j;
        p[j] = _mm512_maskz_loadu_epi8(m, src + line * stride + i);
      }
      __m512i l0 = _mm512_unpacklo_epi8(p[0], p[1]), h0 = _mm512_unpackhi_epi8(p[0], p[1]);
      __m512i l1 = _mm512_unpacklo_epi8(p[2], p[3]), h1 = _mm512_unpackhi_epi8(p[2], p[3]);
      __m512i v[4] = {_mm512_unpacklo_epi16(l0, l1), _mm512_unpackhi_epi16(l0, l1),
                      _mm512_unpacklo_epi16(h0, h1), _mm512_unpackhi_epi16(h0, h1)};
      for (int j = 0; j < 4; j++)
        for (int t = 0; t < 3; t++) s[j][t] = _mm512_dpbusd_epi32(s[j][t], v[j], _mm512_set1_epi32(d[k + t]));
    }
    __m512i v[4];
    for (int j = 0; j < 4; j++) v[j] = digits_to_values(s[j][0], s[j][1], s[j][2]);
    v[0] = _mm512_packus_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
    _mm512_mask_storeu_epi8(dst + i, m, v[0]);
  }
}

#endif

// ---- the two passes

// slack_of is what the vector loops may read beyond the last window of a row: its filling and
// the rest of a 64-byte load.
static size_t slack_of(int taps) { return 3 * (size_t)taps + 64; }

// aligned is the next address that begins a line of the cache.
static inline uint8_t *aligned(uint8_t *p) { return (uint8_t *)(((uintptr_t)p + 63) & ~(uintptr_t)63); }

enum { ROWS = 8 };  // their bytes stay in the first-level cache, while the groups pass by

// across_vector runs the loops above over a few rows at a time. Rows whose reads would leave the buffer
// are copied to edge.
#ifdef __x86_64__
static void across_vector(int isa, const axis *a, const uint8_t *src, ptrdiff_t readable, ptrdiff_t stride,
                          int rows, uint8_t *dst, ptrdiff_t dst_stride, uint8_t *edge) {
  size_t row = 3 * (size_t)a->in, copy = row + slack_of(a->taps);
  uint8_t *groups = aligned(edge + ROWS * copy);
  int near = isa == PIX_AVX512 && windows_are_near(a);
  if (near) fill_groups(a, groups);
  for (int y = 0; y < rows; y += ROWS, dst += ROWS * dst_stride) {
    const uint8_t *line[ROWS];
    for (int i = 0; i < ROWS; i++) {
      ptrdiff_t offset = (y + i < rows ? y + i : rows - 1) * stride;
      line[i] = src + offset;
      if (offset + (ptrdiff_t)copy > readable) line[i] = memcpy(edge + i * copy, line[i], row);
    }
    if (near) {
      across_near(a, groups, line, rows - y < ROWS ? rows - y : ROWS, dst, dst_stride);
    } else if (isa == PIX_AVX512) {
      for (int i = 0; i < ROWS; i += 4) across4_avx512(a, line + i, dst + i * dst_stride, dst_stride);
    } else {
      for (int i = 0; i < ROWS; i += 2) across2_avx2(a, line + i, dst + i * dst_stride, dst_stride);
    }
  }
}
#endif

static void down(int isa, const axis *a, const uint8_t *src, ptrdiff_t stride, size_t row, uint8_t *dst) {
#ifdef __x86_64__
  if (isa != PIX_PORTABLE) {
    for (int y = 0; y < a->out; y++, dst += row) {
      if (isa == PIX_AVX512)
        down_row_avx512(a, y, src, stride, row, dst);
      else
        down_row_avx2(a, y, src, stride, row, dst);
    }
    return;
  }
#endif
  (void)isa;
  down_plain(a, src, stride, row, dst);
}

// Scratch, in this order: two axes, the doubles, the rows between the passes, the edge copies, the groups. Rows
// between the passes have 64 bytes to spare and come in eights.
static size_t axis_size(int out, int taps) { return 4 * ((size_t)out * 2 + 2 * (size_t)out * taps); }
static size_t middle_stride(int ow, int c) { return ((size_t)ow * c + 64 + 63) & ~(size_t)63; }

size_t pix_resize_scratch(int w, int h, int c, int ow, int oh, int filter) {
  int tx = taps_of(w, ow, filter), ty = taps_of(h, oh, filter);
  return axis_size(ow, tx) + axis_size(oh, ty) + 8 * ((size_t)(tx > ty ? tx : ty) + 1) +
         middle_stride(ow, c) * ((size_t)h + ROWS) +         ROWS * (3 * (size_t)w + slack_of(tx)) + 2 * 64 + groups_of(ow) * group_size(tx);
}

static uint8_t *axis_place(axis *a, int in, int out, int filter, uint8_t *at) {
  *a = (axis){.in = in, .out = out, .taps = taps_of(in, out, filter)};
  a->start = (int32_t *)at;
  a->count = a->start + out;
  a->weight = a->count + out;
  a->digit = a->weight + (size_t)out * a->taps;
  return at + axis_size(out, a->taps);
}

static void axis_fill(int isa, axis *a, int filter, int mirrored, double *work) {
#ifdef __x86_64__
  if (isa == PIX_AVX512 && filter != PIX_LANCZOS)
    axis_weights_avx512(a, filter, mirrored);
  else
    axis_weights(a, filter, mirrored, work);
  if (isa == PIX_AVX512) digits_avx512(a);
  if (isa == PIX_AVX2) digits_avx2(a);
#else
  (void)isa;
  axis_weights(a, filter, mirrored, work);
#endif
}

// pix_taps is the number of weights of an output place, filling included, and of the doubles that pix_weights works with.
int pix_taps(int in, int out, int filter) { return taps_of(in, out, filter); }

// pix_weights tells the weights of a pass: start and count of each of the out windows, and pix_taps weights of each.
void pix_weights(int in, int out, int filter, int mirrored, int32_t *start, int32_t *count, int32_t *weight, double *work) {
  axis a = {.in = in, .out = out, .taps = taps_of(in, out, filter), .start = start, .count = count, .weight = weight};
  axis_weights(&a, filter, mirrored, work);
}

// pix_resize: scratch must be aligned to 8 bytes. readable is how many bytes from src on may be
// read. Where mirrored is not 0 the result is flipped left to right, which wants w != ow.
void pix_resize(int isa, const uint8_t *src, ptrdiff_t readable, ptrdiff_t stride, int w, int h, int c,
                uint8_t *dst, int ow, int oh, int filter, int mirrored, void *scratch) {
  axis x, y;
  uint8_t *at = axis_place(&x, w, ow, filter, scratch);
  at = axis_place(&y, h, oh, filter, at);
  double *work = (double *)at;
  uint8_t *middle = aligned(at + 8 * ((size_t)(x.taps > y.taps ? x.taps : y.taps) + 1));
  ptrdiff_t middle_row = (ptrdiff_t)middle_stride(ow, c);
  size_t row = (size_t)ow * c;

  axis_fill(isa, &y, filter, 0, work);
  int first = 0, rows = h;
  if (h != oh) {  // only the rows that the second pass looks at
    first = y.start[0];
    rows = y.start[oh - 1] + y.count[oh - 1] - first;
    for (int i = 0; i < oh; i++) y.start[i] -= first;
    y.in = rows;
    src += first * stride;
    readable -= first * stride;
  }
  const uint8_t *between = src;
  ptrdiff_t between_stride = stride;
  if (w != ow) {
    axis_fill(isa, &x, filter, mirrored, work);
#ifdef __x86_64__
    if (isa != PIX_PORTABLE && c == 3)
      across_vector(isa, &x, src, readable, stride, rows, middle, middle_row,
                    middle + middle_row * (rows + ROWS));
    else
#endif
      across_plain(&x, src, stride, rows, c, middle, middle_row);
    (void)readable;
    between = middle;
    between_stride = middle_row;
  }
  if (h != oh)
    down(isa, &y, between, between_stride, row, dst);
  else
    for (int i = 0; i < oh; i++) memcpy(dst + i * row, between + i * between_stride, row);
}
