package imaging

// #include "turbo.h"
import "C"

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"strings"
	"sync"
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

func decodeJPEG(b []byte, o Options) (*Image, error) {
	hd, err := readJPEGHeader(b)
	if err != nil {
		return nil, err
	}
	perPixel := hd.buffered + uprightBytes(hd.orientation)
	if hd.components == 4 {
		perPixel += 4
	}
	if err := o.admit("JPEG", hd.w, hd.h, perPixel); err != nil {
		return nil, err
	}
	if !o.AllowTruncated {
		// A Huffman code spends at least a bit on each block of 64 pixels, so a byte is 512 pixels at
		// most. A file far from that would only make us compute a gray plane, for seconds where it is
		// progressive.
		if hd.huffman && hd.w*hd.h > 1024*len(b) {
			return nil, truncatedf("%d bytes cannot hold %dx%d pixels", len(b), hd.w, hd.h)
		}
		// libjpeg reports its first complaint only, which may be a harmless one, so the end is looked
		// for here.
		if !hd.complete(b) {
			return nil, truncatedf("there is no marker behind its pixels")
		}
	}
	im, err := decodeJPEGSamples(b, hd, jpegOptions{truncated: o.AllowTruncated})
	if err != nil {
		return nil, err
	}
	if im.C == 4 {
		for i, v := range im.Pix {
			im.Pix[i] = 255 - v // Adobe stores inks inverted, and Pillow takes every file for Adobe's
		}
		im = im.fromCMYK()
	}
	return im.upright(hd.orientation), nil
}

// jpegOptions are those of the decoder.
type jpegOptions struct {
	truncated bool // take what there is
	plain     bool // repeat chroma instead of interpolating it
}

// decodeJPEGSamples returns RGB, or the four inks as they are stored.
func decodeJPEGSamples(b []byte, hd jpegHeader, o jpegOptions) (*Image, error) {
	if turbo() == "" {
		return decodePlainJPEG(b)
	}
	channels, flags := 3, 0
	if hd.components == 4 {
		channels, flags = 4, C.TURBO_INKS
	}
	if o.plain {
		flags |= C.TURBO_PLAIN
	}
	im := New(hd.w, hd.h, channels)
	var complaint [C.TURBO_MESSAGE]C.char
	rc := C.turbo_decode(first(b), C.size_t(len(b)), first(im.Pix), C.int(hd.w), C.int(hd.h), C.int(flags), &complaint[0])
	if rc == C.TURBO_OK {
		return im, nil
	}
	msg := C.GoString(&complaint[0])
	if strings.Contains(msg, "Premature end of JPEG") {
		if o.truncated {
			return im, nil
		}
		return nil, truncatedf("%s", msg)
	}
	if rc == C.TURBO_ERROR || !harmless(msg) {
		return nil, errors.New(msg)
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

// decodePlainJPEG does without libjpeg-turbo, and gives nothing of a truncated file.
func decodePlainJPEG(b []byte) (*Image, error) {
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	inks, ok := m.(*image.CMYK)
	if !ok {
		return FromImage(m), nil
	}
	out := New(inks.Rect.Dx(), inks.Rect.Dy(), 4)
	for y := range out.H {
		row := out.Pix[4*y*out.W : 4*(y+1)*out.W]
		for i, v := range inks.Pix[y*inks.Stride:][:len(row)] {
			row[i] = 255 - v // image/jpeg has turned them
		}
	}
	return out, nil
}

// fromCMYK returns the RGB image of four inks, as Pillow's cmyk2rgb.
func (im *Image) fromCMYK() *Image {
	out := New(im.W, im.H, 3)
	for i := range im.W * im.H {
		fromInks(out.Pix[3*i:3*i+3], im.Pix[4*i:4*i+4])
	}
	return out
}

// fromInks writes the colour of one pixel of CMYK.
func fromInks(rgb, inks []uint8) {
	light := 255 - int(inks[3])
	for c := range 3 {
		t := int(inks[c])*light + 128
		rgb[c] = uint8(light - (t>>8+t)>>8)
	}
}
