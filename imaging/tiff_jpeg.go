package imaging

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The tags of the JPEG of TIFF 6.0, section 22, which Technical Note 2 of 1995 replaced.
const (
	tiffJPEGStream  = 513
	tiffJPEGLength  = 514
	tiffJPEGRestart = 515
	tiffJPEGQuant   = 519
	tiffJPEGDC      = 520
	tiffJPEGAC      = 521
)

// mostTables bounds the JPEG tables that all chunks share: every one is read with a copy of them.
const mostTables = 64 << 10

// decodeJPEGChunk decodes a strip or tile: RGB for three samples (also from YCbCr), the samples as
// they are otherwise.
func (f *tiffFile) decodeJPEGChunk(data []byte, c tiffChunk) (*Image, error) {
	components := f.samples
	if f.planar {
		components = 1
	}
	stream, err := f.jpegStream(data, components)
	if err != nil {
		return nil, err
	}
	hd, err := readJPEGHeader(stream)
	if err != nil {
		return nil, err
	}
	if hd.components != components || hd.w != f.chunkW || hd.h < c.h || hd.h > f.chunkH && hd.h > f.h {
		return nil, fmt.Errorf("a JPEG of %dx%d pixels with %d components, want %dx%d with %d",
			hd.w, hd.h, hd.components, f.chunkW, c.h, components)
	}
	// libtiff repeats the chroma of the old kind, which libjpeg interpolates by default.
	im, err := decodeJPEGSamples(stream, hd, jpegOptions{plain: f.compression == tiffOldJPEG})
	if err != nil {
		return nil, err
	}
	switch {
	case components == 1:
		gray := New(im.W, im.H, 1)
		for i := range gray.Pix {
			gray.Pix[i] = im.Pix[3*i]
		}
		return gray, nil
	case f.compression == tiffOldJPEG:
		toRGB := f.ycbcr()
		for i := 0; i < len(im.Pix); i += 3 {
			p := im.Pix[i : i+3]
			toRGB(p, p[0], p[1], p[2])
		}
	}
	return im, nil
}

// jpegStream makes a file of the chunk, the tables that it shares with others, and an Adobe marker,
// which tells libjpeg whether to convert from YCbCr.
func (f *tiffFile) jpegStream(data []byte, components int) ([]byte, error) {
	transform := byte(0)
	if f.compression == tiffJPEG && f.photometric == tiffYCbCr {
		transform = 1
	}
	out := []byte{0xff, 0xd8}
	if components >= 3 {
		out = append(out, 0xff, 0xee, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, transform)
	}
	body := func(b []byte) []byte { // without the start marker
		if len(b) >= 2 && b[0] == 0xff && b[1] == 0xd8 {
			return b[2:]
		}
		return b
	}
	if f.compression == tiffJPEG {
		tables := body(f.tags[tiffJPEGTables].data)
		if len(tables) > mostTables {
			return nil, fmt.Errorf("JPEG tables of %d bytes", len(tables))
		}
		if n := len(tables); n >= 2 && tables[n-2] == 0xff && tables[n-1] == jpegEnd {
			tables = tables[:n-2]
		}
		return append(append(out, tables...), body(data)...), nil
	}
	at, n := f.int(tiffJPEGStream, 0), f.int(tiffJPEGLength, 0)
	if at > 0 && at < len(f.b) && f.offsets.whole() == 1 {
		stream := f.b[at:]
		if n > 0 && n < len(stream) {
			stream = stream[:n]
		}
		return append(out, body(stream)...), nil
	}
	tables, err := f.oldTables(components)
	if err != nil {
		return nil, err
	}
	return append(append(append(out, tables...), data...), 0xff, jpegEnd), nil
}

// oldTables writes the segments that the old kind keeps in tags: quantisation, Huffman codes, frame
// and scan header.
func (f *tiffFile) oldTables(components int) ([]byte, error) {
	quant, dc, ac := f.ints(tiffJPEGQuant), f.ints(tiffJPEGDC), f.ints(tiffJPEGAC)
	if components != 3 || len(quant) < 3 || len(dc) < 3 || len(ac) < 3 {
		return nil, errors.New("JPEG of the old kind without its tables")
	}
	if f.chunkW > 0xffff || f.chunkH > 0xffff {
		return nil, fmt.Errorf("a JPEG of %dx%d pixels", f.chunkW, f.chunkH)
	}
	var out []byte
	segment := func(marker byte, body ...byte) {
		out = binary.BigEndian.AppendUint16(append(out, 0xff, marker), uint16(len(body)+2))
		out = append(out, body...)
	}
	sampling := byte(0x22)
	if s := f.ints(tiffYCbCrSampling); len(s) == 2 {
		sampling = byte(s[0]<<4 | s[1])
	}
	frame := binary.BigEndian.AppendUint16([]byte{8}, uint16(f.chunkH))
	frame = append(binary.BigEndian.AppendUint16(frame, uint16(f.chunkW)), 3)
	scan := []byte{3}
	for i := range byte(3) {
		table, err := f.slice(quant[i], 64)
		if err != nil {
			return nil, err
		}
		segment(0xdb, append([]byte{i}, table...)...)
		for class, at := range []int{dc[i], ac[i]} {
			counts, err := f.slice(at, 16)
			if err != nil {
				return nil, err
			}
			n := 16
			for _, v := range counts {
				n += int(v)
			}
			table, err := f.slice(at, n)
			if err != nil {
				return nil, err
			}
			segment(0xc4, append([]byte{byte(class)<<4 | i}, table...)...)
		}
		frame = append(frame, i+1, sampling, i)
		scan = append(scan, i+1, i<<4|i)
		sampling = 0x11
	}
	if n := f.int(tiffJPEGRestart, 0); n > 0 {
		segment(0xdd, byte(n>>8), byte(n))
	}
	segment(jpegSOF0, frame...)
	segment(jpegScan, append(scan, 0, 63, 0)...)
	return out, nil
}

// slice returns n bytes of the file.
func (f *tiffFile) slice(at, n int) ([]byte, error) {
	if at < 0 || at > len(f.b)-n {
		return nil, truncatedf("a table is beyond its end")
	}
	return f.b[at : at+n], nil
}
