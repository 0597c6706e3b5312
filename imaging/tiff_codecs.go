package imaging

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"

	"golang.org/x/image/ccitt"
	"golang.org/x/image/tiff/lzw"
)

// The compressions of TIFF.
const (
	tiffRaw        = 1
	tiffGroup3     = 3
	tiffGroup4     = 4
	tiffLZW        = 5
	tiffOldJPEG    = 6
	tiffJPEG       = 7
	tiffDeflate    = 8
	tiffPackBits   = 32773
	tiffOldDeflate = 32946
)

// decompress returns the packed samples of a chunk, as much as the reader is asked for.
func (f *tiffFile) decompress(data []byte, c tiffChunk) (io.Reader, error) {
	f.leave(48<<10 + 2*f.chunkW) // more than the tables of any of them, and two rows of a fax
	if f.int(tiffFillOrder, 1) == 2 && f.compression != tiffJPEG {
		f.leave(len(data))
		turned := make([]byte, len(data))
		for i, v := range data {
			turned[i] = bits.Reverse8(v)
		}
		data = turned
	}
	r := bytes.NewReader(data)
	switch f.compression {
	case tiffRaw:
		return r, nil
	case tiffGroup3, tiffGroup4:
		kind, options := ccitt.Group4, f.int(tiffT4Options, 0)
		if f.compression == tiffGroup3 {
			kind = ccitt.Group3
			if options&1 != 0 {
				return nil, fmt.Errorf("two-dimensional fax group 3 is not read")
			}
		}
		if f.bits != 1 || f.samples != 1 {
			return nil, fmt.Errorf("a fax of %d samples of %d bits", f.samples, f.bits)
		}
		// Inverted, white is 0, which is what photometric interpretation speaks of.
		return ccitt.NewReader(r, ccitt.MSB, kind, f.chunkW, c.h, &ccitt.Options{Invert: true}), nil
	case tiffLZW:
		return lzw.NewReader(r, lzw.MSB, 8), nil
	case tiffDeflate, tiffOldDeflate:
		return zlib.NewReader(r)
	case tiffPackBits:
		return &packBits{b: data}, nil
	case tiffJPEG, tiffOldJPEG:
		f.leave(len(data) + 4*f.chunkW*f.chunkH)
		im, err := f.decodeJPEGChunk(data, c)
		if err != nil {
			return nil, err
		}
		return bytes.NewReader(im.Pix), nil
	}
	return nil, fmt.Errorf("compression %d is not read", f.compression)
}

// packBits undoes the run lengths of Macintosh (TIFF 6.0, section 9).
type packBits struct {
	b       []byte
	literal int // bytes to copy
	repeats int // of the first byte of b
}

// Read implements io.Reader.
func (r *packBits) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		switch {
		case len(r.b) == 0:
			return n, io.ErrUnexpectedEOF
		case r.literal > 0:
			k := copy(p[n:], r.b[:min(r.literal, len(r.b))])
			n, r.literal, r.b = n+k, r.literal-k, r.b[k:]
		case r.repeats > 0:
			p[n] = r.b[0]
			n, r.repeats = n+1, r.repeats-1
			if r.repeats == 0 {
				r.b = r.b[1:]
			}
		default:
			if v := int8(r.b[0]); v >= 0 {
				r.literal = int(v) + 1
			} else if v != -128 {
				r.repeats = 1 - int(v)
			}
			r.b = r.b[1:]
		}
	}
	return n, nil
}

// unpredict undoes horizontal differences in place (TIFF 6.0, section 14; for floats, Adobe's
// Technical Note 3). Only these compressions have them.
func (f *tiffFile) unpredict(row []uint8, perPixel int) {
	if f.compression != tiffLZW && f.compression != tiffDeflate && f.compression != tiffOldDeflate {
		return
	}
	switch {
	case f.predictor == 2 && f.bits == 8:
		for i := perPixel; i < len(row); i++ {
			row[i] += row[i-perPixel]
		}
	case f.predictor == 2 && f.bits == 16:
		for i := 2 * perPixel; i+1 < len(row); i += 2 {
			f.order.PutUint16(row[i:], f.order.Uint16(row[i:])+f.order.Uint16(row[i-2*perPixel:]))
		}
	case f.predictor == 2 && f.bits == 32:
		for i := 4 * perPixel; i+3 < len(row); i += 4 {
			f.order.PutUint32(row[i:], f.order.Uint32(row[i:])+f.order.Uint32(row[i-4*perPixel:]))
		}
	case f.predictor == 3 && f.bits == 32:
		// The highest bytes of all samples come first, then the next ones, and each byte is a
		// difference.
		for i := perPixel; i < len(row); i++ {
			row[i] += row[i-perPixel]
		}
		planes := bytes.Clone(row)
		n := len(row) / 4
		for i := range n {
			f.order.PutUint32(row[4*i:], binary.BigEndian.Uint32([]byte{planes[i], planes[n+i], planes[2*n+i], planes[3*n+i]}))
		}
	}
}

// unpack writes the samples at the front of row as bytes: of 16 bits and 12 the high 8, below 8
// scaled to 255 unless they are indices; wider and signed ones are clipped to 0 to 255, as Pillow
// does.
func (f *tiffFile) unpack(samples, row []uint8) {
	clip := func(v float64) uint8 { return uint8(min(max(v, 0), 255)) }
	switch {
	case f.bits == 8:
		copy(samples, row)
	case f.bits < 8:
		unpackBits(samples, row, f.bits)
		if f.photometric != tiffIndexed {
			for i, v := range samples {
				samples[i] = v * uint8(255/(1<<f.bits-1))
			}
		}
	case f.bits == 12:
		for i := range samples {
			if at := i * 12 / 8; i%2 == 0 {
				samples[i] = row[at]
			} else {
				samples[i] = row[at]<<4 | row[at+1]>>4
			}
		}
	case f.bits == 16:
		for i := range samples {
			v := f.order.Uint16(row[2*i:])
			if samples[i] = uint8(v >> 8); f.sampleFormat == tiffSigned {
				samples[i] = clip(float64(int16(v)))
			}
		}
	case f.sampleFormat == tiffFloat:
		for i := range samples {
			v := math.Float32frombits(f.order.Uint32(row[4*i:]))
			if v != v {
				v = 0
			}
			samples[i] = clip(float64(v))
		}
	default:
		for i := range samples {
			samples[i] = clip(float64(int32(f.order.Uint32(row[4*i:]))))
		}
	}
}
