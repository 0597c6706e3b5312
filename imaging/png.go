package imaging

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// pngFile is what the chunks of a PNG say.
type pngFile struct {
	w, h, bits  int
	kind        uint8
	interlaced  bool
	palette     *palette
	colours     int      // that the palette has
	orientation int      // of EXIF
	data        [][]byte // the chunks of compressed pixels
}

// The kinds of pixels, as the header names them.
const (
	pngGray      = 0
	pngRGB       = 2
	pngIndexed   = 3
	pngGrayAlpha = 4
	pngRGBA      = 6
)

// decodePNG reads a PNG. It does so itself because image/png refuses what Pillow reads (data with a
// wrong checksum, files without an end, chunks out of order) and gives nothing of a truncated file.
func decodePNG(b []byte, o Options) (*Image, error) {
	f, err := readPNG(b)
	if err != nil {
		return nil, err
	}
	if err := o.admit("PNG", f.w, f.h, uprightBytes(f.orientation)); err != nil {
		return nil, err
	}
	if err := f.roomy(); err != nil && !o.AllowTruncated {
		return nil, err
	}
	im := New(f.w, f.h, 3)
	if err := f.decode(im); err != nil && !(o.AllowTruncated && ended(err)) {
		return nil, err
	}
	return im.upright(f.orientation), nil
}

// readPNG walks the chunks. As Pillow, it does not verify the checksum of pixels, does not mind what
// follows them, and takes the first run of data chunks only.
func readPNG(b []byte) (*pngFile, error) {
	f := &pngFile{orientation: 1}
	inData := false
	for b = b[8:]; len(b) >= 8; {
		n, name := binary.BigEndian.Uint32(b), string(b[4:8])
		body := b[8:]
		if uint64(n)+4 > uint64(len(body)) {
			if name == "IDAT" && (inData || f.data == nil) { // truncated
				f.data = append(f.data, body[:min(uint64(n), uint64(len(body)))])
			}
			break
		}
		sum := binary.BigEndian.Uint32(body[n:])
		sound := crc32.ChecksumIEEE(b[4:8+n]) == sum
		body, b = body[:n], body[n+4:]
		if name == "IDAT" {
			if f.data == nil || inData {
				f.data = append(f.data, body)
				inData = true
			}
			continue
		}
		inData = false
		switch name {
		case "IHDR":
			if !sound {
				return nil, errors.New("the checksum of its header is wrong")
			}
			if f.bits == 0 {
				if err := f.header(body); err != nil {
					return nil, err
				}
			}
		case "PLTE":
			if !sound {
				return nil, errors.New("the checksum of its palette is wrong")
			}
			if f.data == nil {
				f.palette, f.colours = paletteOf(body, 3, 0, 1, 2), min(len(body)/3, 256)
			}
		case "eXIf":
			f.orientation = exifOrientation(body)
		}
	}
	switch {
	case f.bits == 0:
		return nil, truncatedf("it has no header")
	case len(f.data) == 0:
		return nil, truncatedf("it has no pixels")
	case f.kind == pngIndexed && f.palette == nil:
		return nil, errors.New("an indexed picture without a palette")
	}
	return f, nil
}

// header reads the IHDR chunk.
func (f *pngFile) header(b []byte) error {
	if len(b) < 13 {
		return fmt.Errorf("a header of %d bytes, want 13", len(b))
	}
	w, h := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if w > 1<<31-1 || h > 1<<31-1 {
		return fmt.Errorf("a picture of %dx%d pixels", w, h)
	}
	f.w, f.h, f.bits, f.kind = int(w), int(h), int(b[8]), b[9]
	f.interlaced = b[12] != 0
	depths := map[uint8][]int{
		pngGray: {1, 2, 4, 8, 16}, pngRGB: {8, 16}, pngIndexed: {1, 2, 4, 8}, pngGrayAlpha: {8, 16}, pngRGBA: {8, 16},
	}
	for _, d := range depths[f.kind] {
		if f.bits == d && b[10] == 0 && b[11] == 0 {
			return nil
		}
	}
	return fmt.Errorf("colour type %d of %d bits, compression %d, filter method %d: there is no such PNG",
		f.kind, f.bits, b[10], b[11])
}

// samples is the number of samples a pixel has.
func (f *pngFile) samples() int {
	switch f.kind {
	case pngGrayAlpha:
		return 2
	case pngRGB:
		return 3
	case pngRGBA:
		return 4
	}
	return 1
}

// rowBytes is the length of a row of w pixels.
func (f *pngFile) rowBytes(w int) int {
	return (w*f.samples()*f.bits + 7) / 8
}

// roomy says why the compressed pixels are too few for the picture, before memory is taken for it.
func (f *pngFile) roomy() error {
	compressed := 0
	for _, d := range f.data {
		compressed += len(d)
	}
	// Deflate makes at most 1032 bytes of one.
	if f.rowBytes(f.w) > 1032*(compressed+1)/f.h {
		return truncatedf("%d bytes cannot hold %dx%d pixels", compressed, f.w, f.h)
	}
	return nil
}

// decode writes the rows as RGB. Where it fails, the rows before are in im.
func (f *pngFile) decode(im *Image) error {
	put := f.putter()
	return f.rows(func(start, n, step int, row []uint8) {
		put(im.Pix[3*start:3*(start+(n-1)*step+1)], 3*step, row)
	})
}

// inflaters keeps readers of zlib: to make one is a fifth of the work on a picture of 32 pixels.
var inflaters sync.Pool

// inflate returns a reader of what r holds compressed, for the caller to put back.
func inflate(r io.Reader) (io.ReadCloser, error) {
	z, ok := inflaters.Get().(io.ReadCloser)
	if !ok {
		return zlib.NewReader(r)
	}
	return z, z.(zlib.Resetter).Reset(r, nil)
}

// rows inflates and unfilters the rows and hands them to put: n pixels, step apart, of which the
// first is pixel number start.
func (f *pngFile) rows(put func(start, n, step int, row []uint8)) error {
	parts := make([]io.Reader, len(f.data))
	for i, d := range f.data {
		parts[i] = bytes.NewReader(d)
	}
	z, err := inflate(io.MultiReader(parts...))
	if err != nil {
		return err
	}
	defer inflaters.Put(z)
	if !f.interlaced {
		if err := f.pass(z, f.w, f.h, func(y int, row []uint8) { put(y*f.w, f.w, 1, row) }); err != nil {
			return err
		}
		return sumOf(z)
	}
	// Adam7: the first column and row of each pass, and the steps to the next ones.
	for _, p := range [7][4]int{
		{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2},
	} {
		x0, y0, dx, dy := p[0], p[1], p[2], p[3]
		w, h := (f.w-x0+dx-1)/dx, (f.h-y0+dy-1)/dy
		if w <= 0 || h <= 0 {
			continue
		}
		if err := f.pass(z, w, h, func(y int, row []uint8) { put((y0+y*dy)*f.w+x0, w, dx, row) }); err != nil {
			return err
		}
	}
	return sumOf(z)
}

// sumOf returns an error where the data just read do not have the checksum that follows them. That
// there is none, or something else, does not matter.
func sumOf(z io.Reader) error {
	if _, err := z.Read(make([]byte, 1)); err == zlib.ErrChecksum {
		return errors.New("the checksum of its pixels is wrong")
	}
	return nil
}

// pass reads h rows of w pixels, undoes their filters and hands them to put.
func (f *pngFile) pass(z io.Reader, w, h int, put func(y int, row []uint8)) error {
	gap := max(1, f.samples()*f.bits/8) // from a byte to the one of the pixel before
	n := f.rowBytes(w)
	row, above := make([]uint8, 1+n), make([]uint8, 1+n)
	for y := range h {
		if _, err := io.ReadFull(z, row); err != nil {
			return inRow(err, y, h)
		}
		if err := unfilter(row[0], row[1:], above[1:], gap); err != nil {
			return err
		}
		put(y, row[1:])
		row, above = above, row
	}
	return nil
}

// unfilter undoes a row filter in place (ISO/IEC 15948, 9.2). gap bytes to the left is the same
// sample of the pixel before.
func unfilter(filter uint8, row, above []uint8, gap int) error {
	switch filter {
	case 0:
	case 1: // sub
		for i := gap; i < len(row); i++ {
			row[i] += row[i-gap]
		}
	case 2: // up
		for i, v := range above {
			row[i] += v
		}
	case 3: // average
		for i := range min(gap, len(row)) {
			row[i] += above[i] / 2
		}
		for i := gap; i < len(row); i++ {
			row[i] += uint8((int(row[i-gap]) + int(above[i])) / 2)
		}
	case 4: // Paeth
		for i := range min(gap, len(row)) {
			row[i] += above[i]
		}
		for i := gap; i < len(row); i++ {
			row[i] += paeth(int(row[i-gap]), int(above[i]), int(above[i-gap]))
		}
	default:
		return fmt.Errorf("there is no row filter %d", filter)
	}
	return nil
}

// paeth returns the one of left, up and corner that is nearest to left + up - corner.
func paeth(left, up, corner int) uint8 {
	dLeft, dUp := up-corner, left-corner
	dCorner := max(dLeft+dUp, -dLeft-dUp)
	dLeft, dUp = max(dLeft, -dLeft), max(dUp, -dUp)
	if dLeft <= dUp && dLeft <= dCorner {
		return uint8(left)
	}
	if dUp <= dCorner {
		return uint8(up)
	}
	return uint8(corner)
}

// putter returns the function that writes a row as RGB to pixels step bytes apart.
func (f *pngFile) putter() func(dst []uint8, step int, row []uint8) {
	colours := f.palette
	if f.kind == pngGray {
		colours = grayPalette(min(f.bits, 8))
	}
	if f.bits <= 8 && f.samples() == 1 {
		indices := make([]uint8, f.w)
		return func(dst []uint8, step int, row []uint8) {
			n := (len(dst) + step - 1) / step
			unpackBits(indices[:n], row, f.bits)
			colours.look(dst, step, indices[:n])
		}
	}
	size := f.bits / 8 // of 16 bits the first byte is kept
	pixel, green, blue := f.samples()*size, size, 2*size
	if f.kind == pngGray || f.kind == pngGrayAlpha {
		green, blue = 0, 0
	}
	return func(dst []uint8, step int, row []uint8) {
		for i, j := 0, 0; i < len(dst); i, j = i+step, j+pixel {
			dst[i], dst[i+1], dst[i+2] = row[j], row[j+green], row[j+blue]
		}
	}
}
