package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// jpegHeader is what the markers before the first scan say.
type jpegHeader struct {
	w, h, components int
	huffman          bool
	orientation      int // of EXIF, 1 to 8; 1 is upright
	scan             int // where the first scan begins
}

// readJPEGHeader walks the segments of a JPEG up to the first scan. Bytes between segments are
// skipped, as libjpeg does.
func readJPEGHeader(b []byte) (jpegHeader, error) {
	hd := jpegHeader{orientation: 1}
	for i := 2; ; {
		for i < len(b) && b[i] != 0xff {
			i++
		}
		for i < len(b) && b[i] == 0xff {
			i++
		}
		if i >= len(b) {
			return hd, errors.New("truncated JPEG: it ends before the first scan")
		}
		marker := b[i]
		if marker == 0 || marker == 0x01 || marker >= 0xd0 && marker <= 0xd8 {
			i++ // a stuffed byte, or a marker without a segment
			continue
		}
		if marker == 0xd9 {
			return hd, errors.New("JPEG without a picture: it ends before the first scan")
		}
		if i+3 > len(b) {
			return hd, errors.New("truncated JPEG: it ends before the first scan")
		}
		n := int(binary.BigEndian.Uint16(b[i+1:]))
		if n < 2 || i+1+n > len(b) {
			return hd, errors.New("truncated JPEG: a segment is longer than the file")
		}
		segment := b[i+3 : i+1+n]
		switch {
		case marker == 0xda:
			if hd.components == 0 {
				return hd, errors.New("broken JPEG: a scan without a frame header")
			}
			hd.scan = i
			return hd, nil
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			if len(segment) < 6 {
				return hd, errors.New("broken JPEG: short frame header")
			}
			hd.h, hd.w = int(binary.BigEndian.Uint16(segment[1:])), int(binary.BigEndian.Uint16(segment[3:]))
			hd.components = int(segment[5])
			hd.huffman = marker < 0xc8 // beyond are arithmetic codes
			if hd.w == 0 || hd.h == 0 || hd.components == 0 {
				return hd, errors.New("broken JPEG: its frame header gives no size")
			}
		case marker == 0xe1 && bytes.HasPrefix(segment, []byte("Exif\x00\x00")):
			hd.orientation = exifOrientation(segment[6:])
		}
		i += 1 + n
	}
}

// exifOrientation finds tag 0x112 in the first directory of a TIFF block. It returns 1, upright,
// where there is none or the block is broken.
func exifOrientation(b []byte) int {
	var order binary.ByteOrder = binary.LittleEndian
	if bytes.HasPrefix(b, []byte("MM")) {
		order = binary.BigEndian
	} else if !bytes.HasPrefix(b, []byte("II")) {
		return 1
	}
	if len(b) < 8 {
		return 1
	}
	at := uint64(order.Uint32(b[4:]))
	if at+2 > uint64(len(b)) {
		return 1
	}
	entries := int(order.Uint16(b[at:]))
	rest := b[at+2:]
	for i := 0; i < entries && len(rest) >= 12; i, rest = i+1, rest[12:] {
		const tagOrientation, typeShort = 0x112, 3
		if order.Uint16(rest) == tagOrientation && order.Uint16(rest[2:]) == typeShort {
			if v := int(order.Uint16(rest[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
	}
	return 1
}

// upright returns im turned and mirrored as the EXIF orientation asks.
func (im *Image) upright(orientation int) *Image {
	if orientation <= 1 || orientation > 8 {
		return im
	}
	// From 5 on, rows of the stored image are columns of the upright one.
	turned := orientation >= 5
	w, h := im.W, im.H
	if turned {
		w, h = h, w
	}
	out := New(w, h, im.C)
	for y := range h {
		for x := range w {
			sx, sy := x, y
			if turned {
				sx, sy = y, x
			}
			switch orientation {
			case 2:
				sx = im.W - 1 - sx
			case 3:
				sx, sy = im.W-1-sx, im.H-1-sy
			case 4:
				sy = im.H - 1 - sy
			case 6:
				sy = im.H - 1 - sy
			case 7:
				sx, sy = im.W-1-sx, im.H-1-sy
			case 8:
				sx = im.W - 1 - sx
			}
			copy(out.Pix[(y*w+x)*im.C:][:im.C], im.Pix[(sy*im.W+sx)*im.C:])
		}
	}
	return out
}
