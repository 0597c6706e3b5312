// The pixel kernels behind package imaging. Every one takes plain pointers and an instruction set,
// allocates nothing and never fails: sizes are checked, and scratch memory is owned, by Go.
//
// Numbers follow Pillow 9.4 to the bit (libImaging/Resample.c, BoxBlur.c, Blend.c, Convert.c).

#ifndef IBOT_IMAGING_PIXEL_H
#define IBOT_IMAGING_PIXEL_H

#include <stddef.h>
#include <stdint.h>

// The instruction sets a kernel may be asked for. All give equal bytes.
enum { PIX_PORTABLE = 0, PIX_AVX2 = 1, PIX_AVX512 = 2 };

// pix_best_isa returns the widest of them that this processor has.
int pix_best_isa(void);

// The width of images is w, the height h, the number of interleaved channels c.
// Their rows follow each other without padding unless a stride says otherwise.

// resample.c
enum { PIX_BOX = 0, PIX_BILINEAR = 1, PIX_BICUBIC = 2, PIX_LANCZOS = 4 };
int pix_taps(int in, int out, int filter);
void pix_weights(int in, int out, int filter, int mirrored, int32_t *start, int32_t *count, int32_t *weight, double *work);
size_t pix_resize_scratch(int w, int h, int c, int ow, int oh, int filter);
void pix_resize(int isa, const uint8_t *src, ptrdiff_t readable, ptrdiff_t stride, int w, int h, int c,
                uint8_t *dst, int ow, int oh, int filter, int mirrored, void *scratch);

// blur.c
size_t pix_blur_scratch(int w, int h, int c);
void pix_blur(int isa, uint8_t *pix, int w, int h, int c, int passes, int radius, uint32_t inner,
              uint32_t outer, void *scratch);

// hue.c
void pix_hue(int isa, uint8_t *rgb, size_t pixels, uint8_t shift);

// colour.c
void pix_lookup(int isa, uint8_t *pix, size_t n, const uint8_t table[256]);
uint64_t pix_luma_sum(int isa, const uint8_t *rgb, size_t pixels);
void pix_grayscale(int isa, uint8_t *rgb, size_t pixels);
void pix_saturation(int isa, uint8_t *rgb, size_t pixels, float factor);
void pix_normalize(int isa, const uint8_t *pix, size_t pixels, int c, const float *mean, const float *std,
                   float *out);

// A kernel is written once, as name_any, in plain C that the compiler vectorises. PIX_VARIANTS
// compiles it for each instruction set. (target_clones would do the choosing too, but
// then no test could run every variant, and it needs a libc with ifuncs.)
#define PIX_ANY static inline __attribute__((always_inline))
#ifdef __x86_64__
#define PIX_TARGET_AVX2 __attribute__((target("avx2")))
#define PIX_TARGET_AVX512 \
  __attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,prefer-vector-width=512")))
#define PIX_VARIANTS(ret, name, params, args)                          \
  PIX_TARGET_AVX2 static ret name##_avx2 params { return name##_any args; }     \
  PIX_TARGET_AVX512 static ret name##_avx512 params { return name##_any args; } \
  static ret name##_portable params { return name##_any args; }
#define PIX_CALL(isa, name, args)                  \
  ((isa) == PIX_AVX512 ? name##_avx512 args        \
                       : (isa) == PIX_AVX2 ? name##_avx2 args : name##_portable args)
#else
#define PIX_VARIANTS(ret, name, params, args) \
  static ret name##_portable params { return name##_any args; }
#define PIX_CALL(isa, name, args) ((void)(isa), name##_portable args)
#endif

#endif
