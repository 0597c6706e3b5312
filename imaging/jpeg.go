package imaging

// #include "turbo.h"
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"image/jpeg"
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// turbo opens libjpeg-turbo on first use. It returns the name of the library, "" where there is
// none.
var turbo = sync.OnceValue(func() string {
	name := C.turbo_open()
	if name == nil {
		return ""
	}
	return C.GoString(name)
})

// JPEGDecoder says what decodes JPEG here: libjpeg-turbo's library, or Go's image/jpeg, which is
// four times slower and differs from Pillow by a few steps in most pixels.
func JPEGDecoder() string {
	if name := turbo(); name != "" {
		return "libjpeg-turbo (" + name + ")"
	}
	return "image/jpeg"
}

// turboHandle is a decoder of libjpeg-turbo; one goroutine may use it at a time.
type turboHandle struct{ p unsafe.Pointer }

var turboHandles = sync.Pool{New: func() any {
	h := &turboHandle{C.turbo_new()}
	if h.p != nil {
		runtime.AddCleanup(h, func(p unsafe.Pointer) { C.turbo_free(p) }, h.p)
	}
	return h
}}

func decodeJPEG(b []byte) (*Image, error) {
	hd, err := readJPEGHeader(b)
	if err != nil {
		return nil, err
	}
	if err := checkSize("JPEG", hd.w, hd.h); err != nil {
		return nil, err
	}
	// A Huffman code spends at least a bit on each block of 64 pixels, so a byte is 512 pixels at
	// most. A file far from that would only make us compute a gray plane, for seconds where it is
	// progressive.
	if hd.huffman && hd.w*hd.h > 1024*len(b) {
		return nil, fmt.Errorf("truncated JPEG: %d bytes cannot hold %dx%d pixels", len(b), hd.w, hd.h)
	}
	// libjpeg reports its first complaint only, which may be a harmless one, so the end is looked
	// for here.
	if bytes.LastIndex(b[hd.scan:], []byte{0xff, 0xd9}) < 0 {
		return nil, errors.New("truncated JPEG: it has no end marker")
	}
	var im *Image
	if turbo() != "" {
		im, err = decodeTurbo(b, hd)
	} else {
		im, err = decodePlainJPEG(b)
	}
	if err != nil {
		return nil, err
	}
	return im.upright(hd.orientation), nil
}

func decodeTurbo(b []byte, hd jpegHeader) (*Image, error) {
	h := turboHandles.Get().(*turboHandle)
	defer turboHandles.Put(h)
	if h.p == nil {
		return nil, errors.New("JPEG: libjpeg-turbo could not make a decoder")
	}
	channels, cmyk := 3, 0
	if hd.components == 4 {
		channels, cmyk = 4, 1
	}
	im := New(hd.w, hd.h, channels)
	rc := C.turbo_decode(h.p, first(b), C.size_t(len(b)), first(im.Pix), C.int(hd.w), C.int(hd.h), C.int(cmyk))
	if rc != C.TURBO_OK {
		msg := C.GoString(C.turbo_message(h.p))
		if strings.Contains(msg, "Premature end of JPEG") {
			return nil, fmt.Errorf("truncated JPEG: %s", msg)
		}
		if rc == C.TURBO_ERROR || !harmless(msg) {
			return nil, fmt.Errorf("broken JPEG: %s", msg)
		}
	}
	if cmyk != 0 {
		for i, v := range im.Pix {
			im.Pix[i] = 255 - v // Adobe stores inks inverted, and Pillow takes every file for Adobe's
		}
		return im.fromCMYK(), nil
	}
	return im, nil
}

// harmless reports whether msg is one of libjpeg's warnings (JWRN in its jerror.h), after which
// there is a whole picture, that Pillow takes too. TurboJPEG calls everything a warning once there
// was one, also the error that ended the decoding, so its code alone does not tell.
func harmless(msg string) bool {
	for _, warning := range []string{
		"Corrupt JPEG data", "Inconsistent progression", "Unknown Adobe color transform",
		"Warning: unknown JFIF revision", "Invalid SOS parameters for sequential JPEG",
	} {
		if strings.Contains(msg, warning) {
			return true
		}
	}
	return false
}

func decodePlainJPEG(b []byte) (*Image, error) {
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("broken JPEG: %w", err)
	}
	return FromImage(m), nil
}

// fromCMYK returns the RGB image of four inks, as Pillow's cmyk2rgb.
func (im *Image) fromCMYK() *Image {
	out := New(im.W, im.H, 3)
	for i := range im.W * im.H {
		ink := im.Pix[4*i : 4*i+4]
		light := 255 - int(ink[3])
		for c := range 3 {
			t := int(ink[c])*light + 128
			out.Pix[3*i+c] = uint8(light - (t>>8+t)>>8)
		}
	}
	return out
}
