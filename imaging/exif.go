package imaging

import (
	"bytes"
	"encoding/binary"
)

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

// uprightBytes is what a pixel of an RGB picture takes, with the copy that upright may make.
func uprightBytes(orientation int) int {
	if orientation <= 1 {
		return 3
	}
	return 6
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
