package imaging

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// MaxPixels is the largest picture that is taken where Options names no other limit: the size at
// which Pillow refuses one as a decompression bomb. It is checked against what the header claims,
// before memory is taken.
const MaxPixels = 2 * 89_478_485

// MaxFileBytes is the largest file that DecodeFile reads.
const MaxFileBytes = 1 << 30

// maxMemory is the most bytes that the decoding of one picture may take, with the file: 1 GiB, less
// what the program itself needs for it.
const maxMemory = 1<<30 - 32<<20

// Options say how to decode. The zero value is Decode's: RGB, whole files only, MaxPixels.
type Options struct {
	// Channels of the picture: 3 (or 0) is RGB, 1 the luma of ITU-R 601, as Pillow's convert("L").
	// Any other number wants a TIFF file with as many samples of 8 or 16 bits a pixel, whatever they
	// mean, and takes them as they are.
	Channels int
	// AllowTruncated takes the part that is there of a JPEG, PNG, GIF, BMP, TIFF or PNM file that ends
	// early, as Pillow's LOAD_TRUNCATED_IMAGES. The rest is black, or in a JPEG gray.
	AllowTruncated bool
	// MaxPixels is the largest picture that is taken; 0 means the constant MaxPixels. In any case one is
	// refused that takes more than 1 GiB with its file to decode.
	MaxPixels int

	file int // bytes of it
}

// format is one kind of file: how it begins, and how it is read. What read returns has three
// channels, or as many as Options ask for.
type format struct {
	name   string
	magics []string // '?' stands for any byte
	read   func(b []byte, o Options) (*Image, error)
}

var formats = []format{
	{"JPEG", []string{"\xff\xd8"}, decodeJPEG},
	{"PNG", []string{"\x89PNG\r\n\x1a\n"}, decodePNG},
	{"GIF", []string{"GIF87a", "GIF89a"}, decodeGIF},
	{"WebP", []string{"RIFF????WEBP"}, decodeWebP},
	{"BMP", []string{"BM"}, decodeBMP},
	{"TIFF", []string{"II*\x00", "MM\x00*", "II+\x00", "MM\x00+"}, decodeTIFF},
	{"PNM", []string{"P1", "P2", "P3", "P4", "P5", "P6"}, decodePNM},
}

// Decode reads a JPEG, PNG, GIF or WebP (the first frame), BMP, TIFF (the first page) or PNM as
// RGB, told apart by their first bytes. As Pillow's convert("RGB") does, it repeats gray, looks up
// palettes, mixes CMYK and drops alpha; and it turns the picture upright as its EXIF orientation
// says. Of 16-bit values it keeps the high byte; so does Pillow, but for 16-bit gray, which Pillow
// clips to white from 256 on.
//
// The error says what is wrong with the file: unknown format, truncated, broken, or too large.
func Decode(b []byte) (*Image, error) {
	return DecodeWith(b, Options{})
}

// DecodeWith is Decode with options.
func DecodeWith(b []byte, o Options) (*Image, error) {
	im, err := decode(b, o)
	if err != nil {
		return nil, fmt.Errorf("imaging: %w", err)
	}
	return im, nil
}

// DecodeFile is Decode for a file of at most MaxFileBytes. Errors name it.
func DecodeFile(path string) (*Image, error) {
	return DecodeFileWith(path, Options{})
}

// DecodeFileWith is DecodeFile with options.
func DecodeFileWith(path string, o Options) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("imaging: %w", err)
	}
	defer f.Close()
	var b []byte
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() && st.Size() <= MaxFileBytes {
		b = make([]byte, 0, st.Size()+bytes.MinRead) // room to see the end without growing to the double
	}
	buf := bytes.NewBuffer(b)
	n, err := buf.ReadFrom(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("imaging: %w", err)
	}
	if n > MaxFileBytes {
		return nil, fmt.Errorf("imaging: %s: larger than %d bytes, the most a picture may have", path, MaxFileBytes)
	}
	im, err := decode(buf.Bytes(), o)
	if err != nil {
		return nil, fmt.Errorf("imaging: %s: %w", path, err)
	}
	return im, nil
}

func decode(b []byte, o Options) (*Image, error) {
	if o.Channels < 0 || o.MaxPixels < 0 {
		return nil, fmt.Errorf("options of %d channels and at most %d pixels; want positive numbers, or 0 for the defaults",
			o.Channels, o.MaxPixels)
	}
	if o.Channels == 0 {
		o.Channels = 3
	}
	if o.MaxPixels == 0 {
		o.MaxPixels = MaxPixels
	}
	o.file = len(b)
	for _, f := range formats {
		for _, magic := range f.magics {
			if hasMagic(b, magic) {
				return f.decode(b, o)
			}
		}
	}
	if len(b) == 0 {
		return nil, errors.New("empty file, wanted a picture")
	}
	return nil, fmt.Errorf("not a picture of a known format (JPEG, PNG, GIF, WebP, BMP, TIFF, PNM): it begins with %q",
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

// decode reads the file and gives it the channels that are asked for. A panic of a decoder is an
// error of the file: the libraries have had such bugs, and one hostile picture must not end a run.
func (f format) decode(b []byte, o Options) (im *Image, err error) {
	defer func() {
		if r := recover(); r != nil {
			im, err = nil, fmt.Errorf("broken %s: its decoder failed: %v", f.name, r)
		}
	}()
	if o.Channels != 1 && o.Channels != 3 && f.name != "TIFF" {
		return nil, fmt.Errorf("in_chans is %d, and this is a %s, which is read with 3 channels or 1; of picture files only TIFF has others",
			o.Channels, f.name)
	}
	im, err = f.read(b, o)
	if err != nil {
		return nil, f.fault(err)
	}
	if o.Channels == 1 && im.C == 3 {
		im = im.luma()
	}
	return im, nil
}

// fault says of an error whether the file ends too early or is broken.
func (f format) fault(err error) error {
	var refused refusal
	switch {
	case errors.As(err, &refused):
		return err
	case ended(err):
		return fmt.Errorf("truncated %s: %w", f.name, err)
	}
	return fmt.Errorf("broken %s: %w", f.name, err)
}

// truncation is the error of a file that ends before its picture.
type truncation struct{ error }

func truncatedf(format string, args ...any) error {
	return truncation{fmt.Errorf(format, args...)}
}

// ended reports whether err is a truncation, or an error of package io that means the same.
func ended(err error) bool {
	var t truncation
	return errors.As(err, &t) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// inRow adds where the pixels failed.
func inRow(err error, y, h int) error {
	if ended(err) {
		return truncatedf("its pixels end in row %d of %d", y, h)
	}
	return fmt.Errorf("row %d of %d: %w", y, h, err)
}

// refusal is the error of a file that may be sound, but is not taken.
type refusal struct{ error }

// admit returns an error where a picture of w x h pixels is not taken: because it has none, or more
// than o.MaxPixels, or because decoding it, at the given bytes a pixel, takes more than maxMemory.
func (o Options) admit(format string, w, h, bytesPerPixel int) error {
	if o.Channels == 1 {
		bytesPerPixel++ // the luma
	}
	switch {
	case w <= 0 || h <= 0:
		return fmt.Errorf("a picture of %dx%d pixels", w, h)
	case w > o.MaxPixels/h:
		return refusal{fmt.Errorf("%s of %dx%d pixels is larger than the %d that are taken; scale it down first",
			format, w, h, o.MaxPixels)}
	case w*h > (maxMemory-o.file)/bytesPerPixel:
		return refusal{fmt.Errorf("%s of %dx%d pixels takes %d MiB to decode, the most is %d; scale it down first",
			format, w, h, (w*h*bytesPerPixel+o.file)>>20, maxMemory>>20)}
	}
	return nil
}

// luma returns the gray image of an RGB one, as Pillow's convert("L").
func (im *Image) luma() *Image {
	out := New(im.W, im.H, 1)
	for i := range out.Pix {
		p := im.Pix[3*i : 3*i+3]
		out.Pix[i] = uint8((19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 1<<15) >> 16)
	}
	return out
}
