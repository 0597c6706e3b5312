package imaging

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/png"
	"io"
	"os"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// MaxPixels is the largest picture that Decode takes: the size at which Pillow refuses one as a
// decompression bomb. It is checked against what the header claims, before memory is taken.
const MaxPixels = 2 * 89_478_485

// MaxFileBytes is the largest file that DecodeFile reads.
const MaxFileBytes = 1 << 30

// format is one kind of file: how it begins, and how it is read.
type format struct {
	name   string
	magics []string // '?' stands for any byte
	config func(io.Reader) (image.Config, error)
	decode func(b []byte) (image.Image, error)
}

var formats = []format{
	{"PNG", []string{"\x89PNG\r\n\x1a\n"}, png.DecodeConfig, reading(png.Decode)},
	{"GIF", []string{"GIF87a", "GIF89a"}, gif.DecodeConfig, decodeGIF},
	{"WebP", []string{"RIFF????WEBP"}, webp.DecodeConfig, decodeWebP},
	{"BMP", []string{"BM"}, bmp.DecodeConfig, reading(bmp.Decode)},
	{"TIFF", []string{"II*\x00", "MM\x00*"}, tiff.DecodeConfig, reading(tiff.Decode)},
}

func reading(f func(io.Reader) (image.Image, error)) func([]byte) (image.Image, error) {
	return func(b []byte) (image.Image, error) { return f(bytes.NewReader(b)) }
}

// Decode reads a JPEG, PNG, GIF (its first frame), WebP, BMP or TIFF as RGB, told apart by their
// first bytes. As Pillow's convert("RGB") does, it repeats gray, looks up palettes, mixes CMYK,
// keeps the high byte of 16-bit values, and drops alpha; a JPEG is also turned upright as its EXIF
// orientation says. The error says what is wrong with the file: unknown format, truncated, broken,
// or larger than MaxPixels.
func Decode(b []byte) (*Image, error) {
	im, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("imaging: %w", err)
	}
	return im, nil
}

// DecodeFile is Decode for a file of at most MaxFileBytes. Errors name it.
func DecodeFile(path string) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("imaging: %w", err)
	}
	defer f.Close()
	var b []byte
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() && st.Size() <= MaxFileBytes {
		b = make([]byte, 0, st.Size()+1) // one more, so that the end is seen without growing
	}
	buf := bytes.NewBuffer(b)
	n, err := buf.ReadFrom(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("imaging: %w", err)
	}
	if n > MaxFileBytes {
		return nil, fmt.Errorf("imaging: %s: larger than %d bytes, the most a picture may have", path, MaxFileBytes)
	}
	im, err := decode(buf.Bytes())
	if err != nil {
		return nil, fmt.Errorf("imaging: %s: %w", path, err)
	}
	return im, nil
}

func decode(b []byte) (*Image, error) {
	if bytes.HasPrefix(b, []byte("\xff\xd8")) {
		return decodeJPEG(b)
	}
	for _, f := range formats {
		for _, magic := range f.magics {
			if hasMagic(b, magic) {
				return f.read(b)
			}
		}
	}
	if len(b) == 0 {
		return nil, errors.New("empty file, wanted a picture")
	}
	return nil, fmt.Errorf("not a picture of a known format (JPEG, PNG, GIF, WebP, BMP, TIFF): it begins with %q",
		b[:min(len(b), 8)])
}

func hasMagic(b []byte, magic string) bool {
	if len(b) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != b[i] {
			return false
		}
	}
	return true
}

// read decodes in two steps, the size first. A panic of the decoder is an error of the file: these
// libraries have had such bugs, and one hostile picture must not end a run.
func (f format) read(b []byte) (im *Image, err error) {
	defer func() {
		if r := recover(); r != nil {
			im, err = nil, fmt.Errorf("broken %s: its decoder failed: %v", f.name, r)
		}
	}()
	cfg, err := f.config(bytes.NewReader(b))
	if err != nil {
		return nil, f.fault(err)
	}
	if err := checkSize(f.name, cfg.Width, cfg.Height); err != nil {
		return nil, err
	}
	m, err := f.decode(b)
	if err != nil {
		return nil, f.fault(err)
	}
	if size := m.Bounds().Size(); size.X <= 0 || size.Y <= 0 {
		return nil, fmt.Errorf("broken %s: a picture of %dx%d pixels", f.name, size.X, size.Y)
	}
	return FromImage(m), nil
}

func (f format) fault(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("truncated %s: %w", f.name, err)
	}
	return fmt.Errorf("broken %s: %w", f.name, err)
}

func checkSize(format string, w, h int) error {
	if w <= 0 || h <= 0 {
		return fmt.Errorf("broken %s: a picture of %dx%d pixels", format, w, h)
	}
	if w > MaxPixels/h {
		return fmt.Errorf("%s of %dx%d pixels is larger than the %d that are taken; scale it down first",
			format, w, h, MaxPixels)
	}
	return nil
}

// decodeGIF returns the first frame on its screen, the rest of which has the transparent colour, or
// the first of the palette. Go's decoder forgets the colour of the transparent index, which shows
// once alpha is dropped, so the transparency is cut out of a copy of the file.
func decodeGIF(b []byte) (image.Image, error) {
	b, background := opaqueGIF(b)
	cfg, err := gif.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	m, err := gif.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	frame, ok := m.(*image.Paletted)
	if !ok || frame.Rect == image.Rect(0, 0, cfg.Width, cfg.Height) {
		return m, nil
	}
	screen := image.NewPaletted(image.Rect(0, 0, cfg.Width, cfg.Height), frame.Palette)
	for i := range screen.Pix {
		screen.Pix[i] = background
	}
	for y := frame.Rect.Min.Y; y < frame.Rect.Max.Y; y++ {
		at := frame.PixOffset(frame.Rect.Min.X, y)
		copy(screen.Pix[screen.PixOffset(frame.Rect.Min.X, y):], frame.Pix[at:at+frame.Rect.Dx()])
	}
	return screen, nil
}

// opaqueGIF returns the file without the transparency of its first frame, and the index that was
// transparent (0 where none was). It walks the extensions before the frame.
func opaqueGIF(b []byte) (opaque []byte, index uint8) {
	const header, extension, graphicControl = 13, 0x21, 0xf9
	if len(b) < header {
		return b, 0
	}
	i := header
	if b[10]&0x80 != 0 {
		i += 3 << (b[10]&7 + 1) // the global palette
	}
	for i+2 < len(b) && b[i] == extension {
		if b[i+1] == graphicControl && i+6 < len(b) && b[i+3]&1 != 0 {
			index = b[i+6]
			b = bytes.Clone(b)
			b[i+3] &^= 1
		}
		for i += 2; i < len(b) && b[i] != 0; { // its blocks
			i += 1 + int(b[i])
		}
		i++
	}
	return b, index
}
