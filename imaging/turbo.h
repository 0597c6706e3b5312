// libjpeg-turbo, opened at run time so that neither its header nor the library is needed to build.

#ifndef IBOT_IMAGING_TURBO_H
#define IBOT_IMAGING_TURBO_H

#include <stddef.h>
#include <stdint.h>

// turbo_open loads the library and returns the name it was found under, or NULL.
const char *turbo_open(void);

// A decoder handle; NULL when there is no memory for one.
void *turbo_new(void);
void turbo_free(void *handle);

// turbo_decode writes w*h pixels of 3 bytes (RGB), or of 4 as stored (CMYK, also from YCCK). A
// warning may hide an error: turbo_message tells.
enum { TURBO_OK = 0, TURBO_WARNING = 1, TURBO_ERROR = 2 };
int turbo_decode(void *handle, const uint8_t *jpeg, size_t n, uint8_t *pix, int w, int h, int cmyk);

// turbo_message is the last complaint of the handle, valid until its next call.
const char *turbo_message(void *handle);

#endif
