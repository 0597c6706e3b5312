// The few functions of the TurboJPEG API (2.0 and later) that decoding needs, declared here from
// its documentation and looked up with dlsym.

#include "turbo.h"

#include <dlfcn.h>
#include <stdio.h>

typedef void *(*init_fn)(void);
typedef int (*destroy_fn)(void *);
typedef int (*decompress_fn)(void *, const unsigned char *, unsigned long, unsigned char *, int, int, int, int,
                             int);
typedef char *(*message_fn)(void *);
typedef int (*code_fn)(void *);

static struct {
  init_fn init;
  destroy_fn destroy;
  decompress_fn decompress;
  message_fn message;
  code_fn code;
} turbo;

enum {
  PIXELS_RGB = 0,        // TJPF_RGB
  PIXELS_CMYK = 11,      // TJPF_CMYK
  FLAGS = 4096 | 32768,  // TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS (500 progressive scans)
  FLAG_PLAIN = 256,      // TJFLAG_FASTUPSAMPLE
  CODE_WARNING = 0,      // TJERR_WARNING
};

const char *turbo_open(void) {
  static const char *const names[] = {"libturbojpeg.so.0", "libturbojpeg.so", "libturbojpeg.0.dylib",
                                      "libturbojpeg.dylib", "/opt/homebrew/opt/jpeg-turbo/lib/libturbojpeg.dylib",
                                      "/usr/local/opt/jpeg-turbo/lib/libturbojpeg.dylib"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    void *lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!lib) continue;
    turbo.init = (init_fn)dlsym(lib, "tjInitDecompress");
    turbo.destroy = (destroy_fn)dlsym(lib, "tjDestroy");
    turbo.decompress = (decompress_fn)dlsym(lib, "tjDecompress2");
    turbo.message = (message_fn)dlsym(lib, "tjGetErrorStr2");
    turbo.code = (code_fn)dlsym(lib, "tjGetErrorCode");
    if (turbo.init && turbo.destroy && turbo.decompress && turbo.message && turbo.code)
      return names[i];
    dlclose(lib);  // older than 2.0
  }
  return NULL;
}

// Every picture has a decoder of its own: one that is used again remembers tables, and decodes a file
// that lacks them with those of the file before.
int turbo_decode(const uint8_t *jpeg, size_t n, uint8_t *pix, int w, int h, int options,
                 char message[TURBO_MESSAGE]) {
  void *handle = turbo.init();
  if (!handle) {
    snprintf(message, TURBO_MESSAGE, "libjpeg-turbo could not make a decoder");
    return TURBO_ERROR;
  }
  int inks = options & TURBO_INKS, status = TURBO_OK;
  int rc = turbo.decompress(handle, jpeg, n, pix, w, w * (inks ? 4 : 3), h, inks ? PIXELS_CMYK : PIXELS_RGB,
                            FLAGS | (options & TURBO_PLAIN ? FLAG_PLAIN : 0));
  if (rc != 0) {
    status = turbo.code(handle) == CODE_WARNING ? TURBO_WARNING : TURBO_ERROR;
    snprintf(message, TURBO_MESSAGE, "%s", turbo.message(handle));
  }
  turbo.destroy(handle);
  return status;
}
