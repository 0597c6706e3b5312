package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"

	"golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"
)

// webpFile is what the chunks of a WebP say up to the pixels of its first frame.
type webpFile struct {
	w, h        int // of the canvas; 0 where only the frame tells
	left, top   int // of the frame on it
	data        []byte
	lossless    bool
	orientation int // of EXIF
}

// decodeWebP returns the only frame, or the first one of an animation on its canvas, which is black
// elsewhere. Its alpha is not looked at. The frames themselves are x/image's work, whose package
// webp knows no animation.
func decodeWebP(b []byte, o Options) (*Image, error) {
	f, err := readWebP(b)
	if err != nil {
		return nil, err
	}
	w, h, err := f.frameSize()
	if err != nil {
		return nil, err
	}
	if f.w == 0 {
		f.w, f.h = w, h
	}
	if w <= 0 || h <= 0 || f.left+w > f.w || f.top+h > f.h {
		return nil, fmt.Errorf("a frame of %dx%d at %d, %d, on a canvas of %dx%d", w, h, f.left, f.top, f.w, f.h)
	}
	// Beside the pixels there are planes, or four bytes a pixel where it is lossless, and a copy.
	if err := o.admit("WebP", f.w, f.h, 4+uprightBytes(f.orientation)); err != nil {
		return nil, err
	}
	frame, err := f.decode()
	if err != nil {
		return nil, err
	}
	if frame.W == f.w && frame.H == f.h {
		return frame.upright(f.orientation), nil
	}
	return frame.Crop(Box{-f.left, -f.top, f.w, f.h}).upright(f.orientation), nil
}

// readWebP walks the chunks of a RIFF file. Frames of an animation hold chunks of their own.
func readWebP(b []byte) (*webpFile, error) {
	f := &webpFile{orientation: 1}
	uint24 := func(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
	for b = b[12:]; len(b) >= 8; {
		name, n := string(b[:4]), uint64(binary.LittleEndian.Uint32(b[4:]))
		b = b[8:]
		if n > uint64(len(b)) {
			if f.data == nil {
				return nil, truncatedf("a chunk of %d bytes, of which %d are there", n, len(b))
			}
			break
		}
		body := b[:n]
		b = b[min(n+n&1, uint64(len(b))):]
		switch {
		case name == "VP8X" && len(body) >= 10:
			f.w, f.h = uint24(body[4:])+1, uint24(body[7:])+1
		case name == "ANMF" && len(body) >= 16 && f.data == nil:
			f.left, f.top = 2*uint24(body), 2*uint24(body[3:])
			b = body[16:] // what follows the first frame is of no interest
		case (name == "VP8 " || name == "VP8L") && f.data == nil:
			f.data, f.lossless = body, name == "VP8L"
		case name == "EXIF":
			f.orientation = exifOrientation(bytes.TrimPrefix(body, []byte("Exif\x00\x00")))
		}
	}
	if f.data == nil {
		return nil, truncatedf("it has no frame")
	}
	return f, nil
}

// frameSize reads the header of the frame.
func (f *webpFile) frameSize() (w, h int, err error) {
	if f.lossless {
		c, err := vp8l.DecodeConfig(bytes.NewReader(f.data))
		return c.Width, c.Height, err
	}
	d := vp8.NewDecoder()
	d.Init(bytes.NewReader(f.data), len(f.data))
	fh, err := d.DecodeFrameHeader()
	return fh.Width, fh.Height, err
}

func (f *webpFile) decode() (*Image, error) {
	if f.lossless {
		m, err := vp8l.Decode(bytes.NewReader(f.data))
		if err != nil {
			return nil, err
		}
		return FromImage(m), nil
	}
	d := vp8.NewDecoder()
	d.Init(bytes.NewReader(f.data), len(f.data))
	if _, err := d.DecodeFrameHeader(); err != nil {
		return nil, err
	}
	m, err := d.DecodeFrame()
	if err != nil {
		return nil, err
	}
	if m.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		return nil, errors.New("planes that are not 4:2:0")
	}
	return fromVP8(m), nil
}

// fromVP8 converts 4:2:0 planes to RGB as libwebp's upsampling.c: each pixel takes 9/16 of the
// nearest chroma sample, 3/16 of the nearest in its row and column, 1/16 of the one across, in
// integers. (The luma of VP8 spans 16 to 235, while x/image's types mean JPEG's, from 0 to 255.)
func fromVP8(m *image.YCbCr) *Image {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := New(w, h, 3)
	cw, ch := (w+1)/2, (h+1)/2
	for y := range h {
		near := y / 2
		far := near - 1 + 2*(y&1) // even rows look up, odd rows down
		far = min(max(far, 0), ch-1)
		cNear, cFar := near*m.CStride, far*m.CStride
		for x := range w {
			px := x / 2
			qx := min(max(px-1+2*(x&1), 0), cw-1)
			u := vp8Chroma(m.Cb[cNear+px], m.Cb[cNear+qx], m.Cb[cFar+px], m.Cb[cFar+qx], px == qx)
			v := vp8Chroma(m.Cr[cNear+px], m.Cr[cNear+qx], m.Cr[cFar+px], m.Cr[cFar+qx], px == qx)
			luma := int(m.Y[y*m.YStride+x]) * 19077 >> 8
			p := out.Pix[3*(y*w+x):]
			p[0] = vp8Byte(luma + v*26149>>8 - 14234)
			p[1] = vp8Byte(luma - u*6419>>8 - v*13320>>8 + 8708)
			p[2] = vp8Byte(luma + u*33050>>8 - 17685)
		}
	}
	return out
}

// vp8Chroma mixes the nearest sample a, its neighbours b (same row) and c (same column), and d
// across. At the left and right edge there is no b.
func vp8Chroma(a, b, c, d uint8, edge bool) int {
	if edge {
		return (3*int(a) + int(c) + 2) >> 2
	}
	sum := int(a) + int(b) + int(c) + int(d)
	diagonal := (sum + 2*(int(b)+int(c)) + 8) >> 3
	return (diagonal + int(a)) >> 1
}

// vp8Byte drops the 6 fractional bits and clips.
func vp8Byte(v int) uint8 {
	return uint8(min(max(v>>6, 0), 255))
}
