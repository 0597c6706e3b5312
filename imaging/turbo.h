// libjpeg-turbo, opened at run time so that neither its header nor the library is needed to build.

#ifndef IBOT_IMAGING_TURBO_H
#define IBOT_IMAGING_TURBO_H

#include <stddef.h>
#include <stdint.h>

// turbo_open loads the library and returns the name it was found under, or NULL.
const char *turbo_open(void);

// turbo_decode writes w*h pixels of 3 bytes (RGB), or with TURBO_INKS of 4 as stored (CMYK, also from
// YCCK). TURBO_PLAIN repeats chroma, which is interpolated otherwise. Unless it returns TURBO_OK,
// message holds libjpeg's last complaint. A warning may hide an error: the message tells.
enum { TURBO_INKS = 1, TURBO_PLAIN = 2 };
enum { TURBO_OK = 0, TURBO_WARNING = 1, TURBO_ERROR = 2 };
enum { TURBO_MESSAGE = 256 };
int turbo_decode(const uint8_t *jpeg, size_t n, uint8_t *pix, int w, int h, int options,
                 char message[TURBO_MESSAGE]);

#endif
