// Extended box blur (Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended
// Box Filtering", SSVM 2011) in the 24-bit fixed point of Pillow's BoxBlur.c:
//
//   out[x] = (inner · Σ in[x-r..x+r] + outer · (in[x-r-1] + in[x+r+1]) + 2^23) >> 24
//
// with the edge pixel repeated beyond the edge. The window sum is an exact integer, so
// its order does not matter; the multiplications wrap at 32 bits as Pillow's do.

#include "pixel.h"

#include <string.h>

// blur_taps is the formula for windows of one (near == 0) or three taps: the only ones that radii
// up to 2.8 need. far_* and near_* are the same line or row at other places.
PIX_ANY void blur_taps(uint8_t *restrict out, const uint8_t *far_before, const uint8_t *near_before,
                       const uint8_t *centre, const uint8_t *near_after, const uint8_t *far_after, size_t n,
                       int radius, uint32_t inner, uint32_t outer) {
  for (size_t i = 0; i < n; i++) {
    uint16_t near = (uint16_t)(radius == 0 ? centre[i] : near_before[i] + centre[i] + near_after[i]);
    uint16_t far = (uint16_t)(far_before[i] + far_after[i]);  // 16 bits: twice as many to a register
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

// blur_across blurs each row of pix `passes` times into dst. line holds two rows with room for two
// pixels more at both ends.
PIX_ANY void blur_across(uint8_t *dst, const uint8_t *pix, int w, int h, int c, int passes, int radius,
                         uint32_t inner, uint32_t outer, uint8_t *lines) {
  size_t row = (size_t)w * c, margin = 2 * (size_t)c;
  uint8_t *a = lines + margin, *b = a + row + 2 * margin;
  for (int y = 0; y < h; y++) {
    memcpy(a, pix + y * row, row);
    for (int pass = 0; pass < passes; pass++) {
      if (radius <= 1) {
        for (int i = 1; i <= 2; i++) {
          memcpy(a - i * c, a, c);
          memcpy(a + row + (i - 1) * c, a + row - c, c);
        }
        size_t far = (size_t)(radius + 1) * c;
        blur_taps(b, a - far, a - c, a, a + c, a + far, row, radius, inner, outer);
      } else {
        blur_line(b, a, w, c, radius, inner, outer);
      }
      uint8_t *t = a;
      a = b;
      b = t;
    }
    memcpy(dst + y * row, a, row);
  }
}

// blur_down blurs the columns once. sums holds a running sum for each byte of a row.
PIX_ANY void blur_down(uint8_t *restrict dst, const uint8_t *restrict pix, int w, int h, int c, int radius,
                       uint32_t inner, uint32_t outer, uint32_t *restrict sums) {
  size_t row = (size_t)w * c;
  int last = h - 1, reach = radius < last ? radius : last;
  if (radius <= 1) {
    for (int y = 0; y < h; y++)
      blur_taps(dst + y * row, pix + clamp(y - radius - 1, last) * row, pix + clamp(y - 1, last) * row,
                pix + y * row, pix + clamp(y + 1, last) * row, pix + clamp(y + radius + 1, last) * row, row,
                radius, inner, outer);
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
PIX_ANY void blur_any(uint8_t *pix, int w, int h, int c, int passes, int radius, uint32_t inner, uint32_t outer,
                      uint8_t *scratch) {
  size_t row = (size_t)w * c, size = row * h;
  uint32_t *sums = (uint32_t *)scratch;
  uint8_t *other = scratch + row * sizeof *sums, *lines = other + size;
  blur_across(other, pix, w, h, c, passes, radius, inner, outer, lines);
  uint8_t *from = other, *to = pix;
  for (int pass = 0; pass < passes; pass++) {
    blur_down(to, from, w, h, c, radius, inner, outer, sums);
    uint8_t *t = from;
    from = to;
    to = t;
  }
  if (from != pix) memcpy(pix, from, size);
}

PIX_VARIANTS(void, blur,
             (uint8_t *pix, int w, int h, int c, int passes, int radius, uint32_t inner, uint32_t outer,
              uint8_t *scratch),
             (pix, w, h, c, passes, radius, inner, outer, scratch))

size_t pix_blur_scratch(int w, int h, int c) {
  size_t row = (size_t)w * c;
  return row * sizeof(uint32_t) + row * h + 2 * (row + 4 * (size_t)c);
}

void pix_blur(int isa, uint8_t *pix, int w, int h, int c, int passes, int radius, uint32_t inner, uint32_t outer,
              void *scratch) {
  PIX_CALL(isa, blur, (pix, w, h, c, passes, radius, inner, outer, scratch));
}
