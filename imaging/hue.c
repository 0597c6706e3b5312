// The hue of interleaved 8-bit RGB, equal to Pillow's bytes: RGB to 8-bit HSV, a shift of the hue, and
// back (Convert.c, rgb2hsv_row and hsv2rgb).
//
// Pillow computes in float and double, but few bytes decide each step, so integers and small tables
// give the same:
//
//   saturation  the quotient 255·(hi-lo)/hi, truncated; all 2^15 pairs agree.
//   hue         a sixth of the circle, and the place (hi-mid)/(hi-lo) in it. Pillow's result changes only
//               where 85·place passes an integer, and its roundings show only where it equals
//               one. So 171 places (even: the integer z/2, odd: all between) in each sixth
//               form a table that is filled with Pillow's own arithmetic.
//   back        v·(1 - s/255·t/255) is never within Pillow's error of a half, so that the rounded
//               quotient of integers is right for all 2^24 of them.

#include "planes.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF  // GCC: off by -std=c17
#endif

enum { PLACES = 171, ROOM = 192 };  // ROOM: three registers of 64 bytes

// What the sixths are called below: which channel is the largest, and whether a certain other one
// is the smallest.
enum { R_LOW_B, R_OTHER, G_LOW_B, G_OTHER, B_LOW_R, B_OTHER, SIXTHS };

_Alignas(64) static uint8_t turned[SIXTHS][ROOM];           // Pillow's hue byte of a place in a sixth
_Alignas(64) static uint8_t sixth_of[256], place_of[256];   // of a hue byte: the k and the t of hsv2rgb
_Alignas(64) static uint8_t by_hi[3][256], by_range[3][256];  // the bytes, highest first, of 2^16·255/x and 2^16·85/x

__attribute__((constructor)) static void fill_tables(void) {
  static const float base[SIXTHS] = {1, -1, 1, 3, 3, 5}, sign[SIXTHS] = {-1, 1, 1, -1, 1, -1};
  for (int s = 0; s < SIXTHS; s++) {
    for (int z = 0; z < PLACES; z++) {
      float hue = base[s] + sign[s] * ((float)z / 170.0f);
      float turns = (float)((double)hue / 6.0 + (hue < 0.0f ? 1.0 : 0.0));
      turned[s][z] = (uint8_t)(int)((double)turns * 255.0);
    }
  }
  for (int h = 0; h < 256; h++) {
    int k = 6 * h / 255, n = 6 * h - 255 * k;
    sixth_of[h] = (uint8_t)(k % 6);
    place_of[h] = (uint8_t)(k & 1 ? n : 255 - n);
  }
  for (int x = 1; x < 256; x++) {
    // Rounded up. With a factor of at most x, the error stays below the 1/x that separates quotients.
    int hi = ((255 << 16) + x - 1) / x, range = ((85 << 16) + x - 1) / x;
    for (int i = 0; i < 3; i++) {
      by_hi[i][x] = (uint8_t)(hi >> (16 - 8 * i));
      by_range[i][x] = (uint8_t)(range >> (16 - 8 * i));
    }
  }
}

// hue_block: the conditions are masks, because the compiler does not vectorise what it could turn into
// a jump.
PIX_ANY void hue_block(planes *p, int n, uint8_t shift) {
  uint8_t top[BLOCK], sat[BLOCK], hue[BLOCK];
  uint16_t index[BLOCK];
  for (int i = 0; i < n; i++) {
    int r = p->r[i], g = p->g[i], b = p->b[i];
    int hi = r > g ? r : g, lo = r < g ? r : g;
    hi = hi > b ? hi : b;
    lo = lo < b ? lo : b;
    int mid = r + g + b - hi - lo, gray = hi == lo;
    int in_r = -(r == hi), in_g = -(g == hi) & ~in_r, in_b = ~(in_r | in_g);
    int sixth = (in_r & (R_OTHER - (b == lo))) | (in_g & (G_OTHER - (b == lo))) | (in_b & (B_OTHER - (r == lo)));
    float place = (float)(85 * (hi - mid)) / (float)(hi - lo + gray);
    int whole = (int)place;
    index[i] = (uint16_t)(sixth * ROOM + 2 * whole + (place != (float)whole));
    sat[i] = (uint8_t)(int)((float)(255 * (hi - lo)) / (float)(hi + (hi == 0)));
    top[i] = (uint8_t)hi;
  }
  for (int i = 0; i < n; i++) hue[i] = (uint8_t)(turned[0][index[i]] + shift);
  for (int i = 0; i < n; i++) {
    int v = top[i], s = sat[i], h = hue[i], k = 6 * h / 255, t = 6 * h - 255 * k;
    t = (k & 1) * t + (1 - (k & 1)) * (255 - t);
    int lo = (v * (255 - s) + 127) / 255;
    int mid = (v * (65025 - s * t) + 32512) / 65025;
    int at0 = -(k == 0 || k == 6), at1 = -(k == 1), at2 = -(k == 2), at3 = -(k == 3), at4 = -(k == 4), at5 = -(k == 5);
    p->r[i] = (uint8_t)((v & (at0 | at5)) | (mid & (at1 | at4)) | (lo & (at2 | at3)));
    p->g[i] = (uint8_t)((v & (at1 | at2)) | (mid & (at0 | at3)) | (lo & (at4 | at5)));
    p->b[i] = (uint8_t)((v & (at3 | at4)) | (mid & (at2 | at5)) | (lo & (at0 | at1)));
  }
}

#ifdef __x86_64__

// ---- AVX-512: 64 pixels in registers, with the tables looked up by vpermb

// Sixteen-bit halves of 64 bytes: unpacking and packing both keep to their quarter of a register.
typedef struct {
  __m512i lo, hi;
} words;

PIX_TARGET_AVX512 static inline words unpack(__m512i low, __m512i high) {
  return (words){_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high)};
}
PIX_TARGET_AVX512 static inline words multiply(words a, words b) {
  return (words){_mm512_mullo_epi16(a.lo, b.lo), _mm512_mullo_epi16(a.hi, b.hi)};
}
PIX_TARGET_AVX512 static inline words sum(words a, words b) {
  return (words){_mm512_add_epi16(a.lo, b.lo), _mm512_add_epi16(a.hi, b.hi)};
}
PIX_TARGET_AVX512 static inline words high_bytes(words a) {
  return (words){_mm512_srli_epi16(a.lo, 8), _mm512_srli_epi16(a.hi, 8)};
}
PIX_TARGET_AVX512 static inline __m512i pack(words a) { return _mm512_packus_epi16(a.lo, a.hi); }

PIX_TARGET_AVX512 static inline __m512i look_up(const uint8_t table[256], __m512i x) {
  __m512i lo = _mm512_permutex2var_epi8(_mm512_load_si512(table), x, _mm512_load_si512(table + 64));
  __m512i hi = _mm512_permutex2var_epi8(_mm512_load_si512(table + 128), x, _mm512_load_si512(table + 192));
  return _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), lo, hi);
}

// scaled returns a·2^8·q/b for the table of 2^16·q/b, where a <= b.
PIX_TARGET_AVX512 static inline words scaled(__m512i a, __m512i b, uint8_t table[3][256]) {
  const __m512i zero = _mm512_setzero_si512();
  words factor = unpack(a, zero), high = unpack(look_up(table[1], b), look_up(table[0], b));
  return sum(multiply(factor, high), high_bytes(multiply(factor, unpack(look_up(table[2], b), zero))));
}

// quotient16 returns (v·t + 32512)/65025 for 16 values: the float products are exact.
PIX_TARGET_AVX512 static inline __m512i quotient16(__m512i v, __m512i t) {
  __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(v), _mm512_cvtepi32_ps(t));
  return _mm512_cvttps_epi32(_mm512_fmadd_ps(product, _mm512_set1_ps(1.0f / 65025.0f), _mm512_set1_ps(0.5f)));
}

PIX_TARGET_AVX512 static inline __m512i quotients(__m512i v, __m512i t) {  // of words
  const __m512i zero = _mm512_setzero_si512();
  return _mm512_packus_epi32(quotient16(_mm512_unpacklo_epi16(v, zero), _mm512_unpacklo_epi16(t, zero)),
                             quotient16(_mm512_unpackhi_epi16(v, zero), _mm512_unpackhi_epi16(t, zero)));
}

PIX_TARGET_AVX512 static inline __m512i places(__m512i z, const uint8_t table[ROOM]) {
  __m512i low = _mm512_permutex2var_epi8(_mm512_load_si512(table), z, _mm512_load_si512(table + 64));
  return _mm512_mask_permutexvar_epi8(low, _mm512_movepi8_mask(z), z, _mm512_load_si512(table + 128));
}

PIX_TARGET_AVX512 static void hue_block_avx512(planes *p, int n, uint8_t shift) {
  const __m512i zero = _mm512_setzero_si512(), one = _mm512_set1_epi8(1), ones = _mm512_set1_epi8(-1);
  for (int i = 0; i < n; i += 64) {
    __m512i r = _mm512_load_si512(p->r + i), g = _mm512_load_si512(p->g + i), b = _mm512_load_si512(p->b + i);
    __m512i hi = _mm512_max_epu8(_mm512_max_epu8(r, g), b), lo = _mm512_min_epu8(_mm512_min_epu8(r, g), b);
    __m512i mid = _mm512_xor_si512(_mm512_xor_si512(_mm512_xor_si512(r, g), b), _mm512_xor_si512(hi, lo));
    __m512i range = _mm512_sub_epi8(hi, lo);
    __m512i s = pack(high_bytes(scaled(range, hi, by_hi)));

    words place = scaled(_mm512_sub_epi8(hi, mid), range, by_range);
    __m512i whole = pack(high_bytes(place)), z = _mm512_add_epi8(whole, whole);
    const __m512i low = _mm512_set1_epi16(255);
    __m512i rest = pack((words){_mm512_and_si512(place.lo, low), _mm512_and_si512(place.hi, low)});
    z = _mm512_mask_add_epi8(z, _mm512_test_epi8_mask(rest, rest), z, one);

    __mmask64 in_r = _mm512_cmpeq_epi8_mask(r, hi), in_g = _mm512_cmpeq_epi8_mask(g, hi) & ~in_r;
    __mmask64 in_b = ~(in_r | in_g), low_b = _mm512_cmpeq_epi8_mask(b, lo), low_r = _mm512_cmpeq_epi8_mask(r, lo);
    __m512i h = places(z, turned[R_OTHER]);
    h = _mm512_mask_mov_epi8(h, in_r & low_b, places(z, turned[R_LOW_B]));
    h = _mm512_mask_mov_epi8(h, in_g & low_b, places(z, turned[G_LOW_B]));
    h = _mm512_mask_mov_epi8(h, in_g & ~low_b, places(z, turned[G_OTHER]));
    h = _mm512_mask_mov_epi8(h, in_b & low_r, places(z, turned[B_LOW_R]));
    h = _mm512_mask_mov_epi8(h, in_b & ~low_r, places(z, turned[B_OTHER]));
    h = _mm512_add_epi8(h, _mm512_set1_epi8((char)shift));

    // (x + 128 + (x+128)/256)/256 is x/255, rounded, for products of bytes.
    words v = unpack(hi, zero), x = multiply(v, unpack(_mm512_xor_si512(s, ones), zero));
    x = sum(x, (words){_mm512_set1_epi16(128), _mm512_set1_epi16(128)});
    __m512i bottom = pack(high_bytes(sum(x, high_bytes(x))));
    words t = multiply(unpack(s, zero), unpack(look_up(place_of, h), zero));
    const __m512i all = _mm512_set1_epi16((short)65025);
    __m512i middle = pack((words){quotients(v.lo, _mm512_sub_epi16(all, t.lo)),
                                  quotients(v.hi, _mm512_sub_epi16(all, t.hi))});

    __m512i k = look_up(sixth_of, h);
    __mmask64 at[SIXTHS];
    for (int j = 0; j < SIXTHS; j++) at[j] = _mm512_cmpeq_epi8_mask(k, _mm512_set1_epi8((char)j));
    r = _mm512_mask_mov_epi8(_mm512_mask_mov_epi8(bottom, at[1] | at[4], middle), at[0] | at[5], hi);
    g = _mm512_mask_mov_epi8(_mm512_mask_mov_epi8(bottom, at[0] | at[3], middle), at[1] | at[2], hi);
    b = _mm512_mask_mov_epi8(_mm512_mask_mov_epi8(bottom, at[2] | at[5], middle), at[3] | at[4], hi);
    _mm512_store_si512(p->r + i, r);
    _mm512_store_si512(p->g + i, g);
    _mm512_store_si512(p->b + i, b);
  }
}

#endif

PIX_ANY void hue_any(int isa, uint8_t *rgb, size_t pixels, uint8_t shift) {
  planes p;
  for (size_t at = 0; at < pixels; at += BLOCK) {
    int n = pixels - at < BLOCK ? (int)(pixels - at) : BLOCK;
    split(isa, rgb + 3 * at, &p, n);
#ifdef __x86_64__
    if (isa == PIX_AVX512)
      hue_block_avx512(&p, n, shift);
    else
#endif
      hue_block(&p, n, shift);
    join(isa, &p, rgb + 3 * at, n);
  }
}

PIX_VARIANTS(void, hue, (int isa, uint8_t *rgb, size_t pixels, uint8_t shift), (isa, rgb, pixels, shift))

void pix_hue(int isa, uint8_t *rgb, size_t pixels, uint8_t shift) { PIX_CALL(isa, hue, (isa, rgb, pixels, shift)); }
