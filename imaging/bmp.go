package imaging

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// The compressions of BMP.
const (
	bmpRaw       = 0
	bmpRLE8      = 1
	bmpRLE4      = 2
	bmpBitfields = 3
)

// bmpFile is what the header of a BMP says.
type bmpFile struct {
	w, h, bits  int
	topDown     bool
	compression uint32
	masks       [3]uint32 // of red, green and blue, for 16 and 32 bits
	palette     *palette  // for up to 8 bits
	data        []byte    // the pixels
}

// decodeBMP reads a bitmap of Windows or OS/2, also those that x/image/bmp does not know: run
// lengths, 16 bits, odd headers and palettes.
func decodeBMP(b []byte, o Options) (*Image, error) {
	f, err := readBMP(b)
	if err != nil {
		return nil, err
	}
	if err := o.admit("BMP", f.w, f.h, 4); err != nil {
		return nil, err
	}
	if f.compression == bmpRLE8 || f.compression == bmpRLE4 {
		return f.decodeRuns(o)
	}
	stride := (f.w*f.bits + 31) / 32 * 4
	rows := min(f.h, len(f.data)/stride)
	if rows < f.h && !o.AllowTruncated {
		return nil, truncatedf("it has %d rows of %d", rows, f.h)
	}
	im := New(f.w, f.h, 3)
	put := f.putter()
	for y := range rows {
		put(f.row(im, y), f.data[y*stride:(y+1)*stride])
	}
	return im, nil
}

// row returns the pixels of the y-th row of the file.
func (f *bmpFile) row(im *Image, y int) []uint8 {
	if !f.topDown {
		y = f.h - 1 - y
	}
	return im.Pix[3*y*im.W : 3*(y+1)*im.W]
}

// readBMP reads the headers and the palette. The header's length tells its kind.
func readBMP(b []byte) (*bmpFile, error) {
	const fileHeader = 14
	le := binary.LittleEndian
	if len(b) < fileHeader+4 {
		return nil, truncatedf("it ends in its header")
	}
	start, n := uint64(le.Uint32(b[10:])), le.Uint32(b[14:])
	switch n {
	case 12, 40, 52, 56, 64, 108, 124:
	default:
		return nil, fmt.Errorf("there is no header of %d bytes", n)
	}
	if len(b) < fileHeader+int(n) {
		return nil, truncatedf("it ends in its header")
	}
	hd, rest := b[fileHeader:fileHeader+n], b[fileHeader+n:]
	f := &bmpFile{}
	entry, colours := 4, uint32(0)
	if n == 12 { // OS/2 1
		f.w, f.h, f.bits = int(le.Uint16(hd[4:])), int(le.Uint16(hd[6:])), int(le.Uint16(hd[10:]))
		entry = 3
	} else {
		f.w, f.h, f.bits = int(int32(le.Uint32(hd[4:]))), int(int32(le.Uint32(hd[8:]))), int(le.Uint16(hd[14:]))
		f.compression, colours = le.Uint32(hd[16:]), le.Uint32(hd[32:])
		f.topDown, f.h = f.h < 0, max(f.h, -f.h)
	}
	if err := f.checkKind(); err != nil {
		return nil, err
	}
	switch {
	case f.bits == 16:
		f.masks = [3]uint32{0x7c00, 0x3e0, 0x1f}
	case f.bits == 32:
		f.masks = [3]uint32{0xff0000, 0xff00, 0xff}
	case f.bits <= 8:
		if colours == 0 {
			colours = 1 << f.bits
		}
		if start == uint64(fileHeader+n) { // a writer forgot the palette, which is there
			start += 4 * uint64(colours)
		}
		size := min(uint64(len(rest)), uint64(entry)*uint64(colours))
		f.palette = paletteOf(rest[:size], entry, 2, 1, 0)
	}
	if f.compression == bmpBitfields {
		masks := rest
		if n >= 52 {
			masks = hd[40:]
		}
		if err := f.readMasks(masks); err != nil {
			return nil, err
		}
	}
	if start > uint64(len(b)) {
		return nil, truncatedf("its pixels begin at byte %d of %d", start, len(b))
	}
	if f.data = b[start:]; start == 0 {
		f.data = rest
	}
	return f, nil
}

// checkKind refuses combinations that do not exist.
func (f *bmpFile) checkKind() error {
	switch f.bits {
	case 1, 2, 4, 8, 16, 24, 32:
	default:
		return fmt.Errorf("there is no BMP of %d bits a pixel", f.bits)
	}
	want := f.bits
	switch f.compression {
	case bmpRaw:
	case bmpRLE8:
		want = 8
	case bmpRLE4:
		want = 4
	case bmpBitfields:
		if f.bits != 24 && f.bits != 32 {
			want = 16
		}
	default:
		return fmt.Errorf("compression %d is not read", f.compression)
	}
	if f.bits != want {
		return fmt.Errorf("compression %d of %d bits a pixel does not exist", f.compression, f.bits)
	}
	return nil
}

// readMasks reads which bits are red, green and blue. All zero mean the usual ones.
func (f *bmpFile) readMasks(b []byte) error {
	if len(b) < 12 {
		return truncatedf("it ends in its masks")
	}
	var masks [3]uint32
	for i := range masks {
		masks[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	if f.bits == 24 || masks == [3]uint32{} {
		return nil
	}
	for _, m := range masks {
		run := m >> bits.TrailingZeros32(m)
		if m == 0 || run&(run+1) != 0 {
			return fmt.Errorf("the mask %#x is no run of bits", m)
		}
	}
	f.masks = masks
	return nil
}

// putter returns the function that writes a row of the file as RGB.
func (f *bmpFile) putter() func(dst, row []uint8) {
	switch f.bits {
	case 24:
		return func(dst, row []uint8) {
			for i := 0; i < len(dst); i += 3 {
				dst[i], dst[i+1], dst[i+2] = row[i+2], row[i+1], row[i]
			}
		}
	case 16, 32:
		var shift [3]int
		var top [3]uint64
		for c, m := range f.masks {
			shift[c] = bits.TrailingZeros32(m)
			top[c] = uint64(m >> shift[c])
		}
		size := f.bits / 8
		return func(dst, row []uint8) {
			for i := 0; i < len(dst); i += 3 {
				v := uint32(row[0]) | uint32(row[1])<<8
				if size == 4 {
					v |= uint32(row[2])<<16 | uint32(row[3])<<24
				}
				row = row[size:]
				for c := range 3 {
					dst[i+c] = uint8(uint64(v&f.masks[c]>>shift[c]) * 255 / top[c])
				}
			}
		}
	}
	indices := make([]uint8, f.w)
	return func(dst, row []uint8) {
		unpackBits(indices, row, f.bits)
		f.palette.look(dst, 3, indices)
	}
}

// decodeRuns reads run lengths. Pixels that no run covers have index 0. (Pillow 9.4 reads them by a
// flat count of pixels, so that it loses empty rows and misplaces what follows a jump.)
func (f *bmpFile) decodeRuns(o Options) (*Image, error) {
	indices := make([]uint8, f.w*f.h)
	if done := f.runs(indices); !done && !o.AllowTruncated {
		return nil, truncatedf("its runs do not fill it")
	}
	im := New(f.w, f.h, 3)
	for y := range f.h {
		f.palette.look(f.row(im, y), 3, indices[y*f.w:(y+1)*f.w])
	}
	return im, nil
}

// runs writes the indices, and reports whether it came to the end of the picture.
func (f *bmpFile) runs(indices []uint8) bool {
	nibbles := f.compression == bmpRLE4
	b := f.data
	x, y := 0, 0
	set := func(v uint8) {
		if x < f.w && y < f.h {
			indices[y*f.w+x] = v
		}
		x++
	}
	for y < f.h {
		if len(b) < 2 {
			return y == f.h-1 && x >= f.w
		}
		n, v := int(b[0]), b[1]
		b = b[2:]
		switch {
		case n > 0: // a run; of nibbles, two in turn
			for i := range n {
				switch {
				case !nibbles:
					set(v)
				case i%2 == 0:
					set(v >> 4)
				default:
					set(v & 15)
				}
			}
		case v == 0: // end of the row
			x, y = 0, y+1
		case v == 1: // end of the picture
			return true
		case v == 2: // jump
			if len(b) < 2 {
				return false
			}
			x, y = x+int(b[0]), y+int(b[1])
			b = b[2:]
		default: // pixels one by one, padded to 16 bits
			size := int(v)
			if nibbles {
				size = (size + 1) / 2
			}
			if len(b) < size {
				return false
			}
			for i := range int(v) {
				switch {
				case !nibbles:
					set(b[i])
				case i%2 == 0:
					set(b[i/2] >> 4)
				default:
					set(b[i/2] & 15)
				}
			}
			b = b[min(size+size%2, len(b)):]
		}
	}
	return true
}
