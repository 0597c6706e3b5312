package imaging

import (
	"errors"
	"fmt"
	"math"
)

// decodePNM reads the pictures of Netpbm: bitmaps (P1, P4), gray (P2, P5) and RGB (P3, P6), in
// decimal numbers or bytes. Values are scaled to 255 from what the header calls the largest.
func decodePNM(b []byte, o Options) (*Image, error) {
	kind := b[1] - '0'
	s := pnmScanner{b: b[2:]}
	w, h, top := s.number(), s.number(), 1
	channels := 1
	if kind != 1 && kind != 4 {
		top = s.number()
	}
	if kind == 3 || kind == 6 {
		channels = 3
	}
	if s.failed {
		return nil, errors.New("its header wants numbers")
	}
	if top <= 0 || top > 65535 {
		return nil, fmt.Errorf("largest value %d, want 1 to 65535", top)
	}
	if err := o.admit("PNM", w, h, 3); err != nil {
		return nil, err
	}
	if len(s.b) < minPNMBytes(kind, w, h*channels, top) && !o.AllowTruncated {
		return nil, truncatedf("%d bytes cannot hold %dx%d pixels", len(s.b), w, h)
	}
	if kind >= 4 && len(s.b) > 0 {
		s.b = s.b[1:] // one space ends the header
	}
	im := New(w, h, 3)
	row := make([]uint8, w*channels)
	for y := range h {
		var whole bool
		switch {
		case kind < 4:
			whole = s.decimals(row, top, kind == 1)
		case kind == 4:
			whole = s.bitmap(row)
		default:
			whole = s.binary(row, top)
		}
		if s.failed {
			return nil, fmt.Errorf("row %d wants numbers from 0 to %d", y, top)
		}
		if !whole {
			if !o.AllowTruncated {
				return nil, truncatedf("its pixels end in row %d of %d", y, h)
			}
			break
		}
		for i := range w * 3 {
			im.Pix[3*y*w+i] = row[i/3*channels+i%channels]
		}
	}
	return im, nil
}

// minPNMBytes is the least that h rows of w values take.
func minPNMBytes(kind uint8, w, h, top int) int {
	switch {
	case kind == 4:
		return (w + 7) / 8 * h
	case top > 255 && kind > 4:
		return 2 * w * h
	}
	return w * h
}

// pnmScanner takes numbers off the front of b.
type pnmScanner struct {
	b      []byte
	failed bool // something else than a number stood there
}

// skip goes to the next character that is neither space nor comment, and reports whether there is
// one.
func (s *pnmScanner) skip() bool {
	for len(s.b) > 0 {
		switch s.b[0] {
		case ' ', '\t', '\n', '\v', '\f', '\r':
			s.b = s.b[1:]
		case '#':
			for len(s.b) > 0 && s.b[0] != '\n' && s.b[0] != '\r' {
				s.b = s.b[1:]
			}
		default:
			return true
		}
	}
	return false
}

// number reads a decimal number of at most 31 bits.
func (s *pnmScanner) number() int {
	v, digits := 0, 0
	for s.skip(); len(s.b) > 0 && s.b[0] >= '0' && s.b[0] <= '9'; s.b = s.b[1:] {
		v, digits = 10*v+int(s.b[0]-'0'), digits+1
		if v > math.MaxInt32 {
			s.failed = true
			return 0
		}
	}
	s.failed = s.failed || digits == 0
	return v
}

// decimals reads a row of numbers, or of single digits (1 is black) where it is of bits.
func (s *pnmScanner) decimals(row []uint8, top int, ofBits bool) bool {
	for i := range row {
		if !s.skip() {
			return false
		}
		if ofBits {
			if s.b[0] != '0' && s.b[0] != '1' {
				s.failed = true
				return false
			}
			row[i] = 255 * ('1' - s.b[0])
			s.b = s.b[1:]
			continue
		}
		v := s.number()
		if s.failed = s.failed || v > top; s.failed {
			return false
		}
		row[i] = scaledTo255(v, top)
	}
	return true
}

// bitmap reads a row of bits, 1 being black.
func (s *pnmScanner) bitmap(row []uint8) bool {
	n := (len(row) + 7) / 8
	if len(s.b) < n {
		return false
	}
	unpackBits(row, s.b[:n], 1)
	for i, v := range row {
		row[i] = 255 * (1 - v)
	}
	s.b = s.b[n:]
	return true
}

// binary reads a row of bytes, or of two bytes each where a value may be larger.
func (s *pnmScanner) binary(row []uint8, top int) bool {
	size := 1
	if top > 255 {
		size = 2
	}
	if len(s.b) < size*len(row) {
		return false
	}
	for i := range row {
		v := int(s.b[size*i])
		if size == 2 {
			v = v<<8 | int(s.b[2*i+1])
		}
		row[i] = scaledTo255(min(v, top), top)
	}
	s.b = s.b[size*len(row):]
	return true
}

// scaledTo255 rounds half to even, as Python. Of 16 bits it keeps the high byte.
func scaledTo255(v, top int) uint8 {
	switch top {
	case 255:
		return uint8(v)
	case 65535:
		return uint8(v >> 8)
	}
	return uint8(math.RoundToEven(float64(v) / float64(top) * 255))
}
