package imaging

import (
	"fmt"
	"io"
	"math"
	"slices"
)

// colours returns the function that writes a row of samples as RGB.
func (f *tiffFile) colours() (func(dst, samples []uint8), error) {
	n := f.samples
	switch f.photometric {
	case tiffWhiteIsZero, tiffBlackIsZero:
		invert := uint8(0)
		if f.photometric == tiffWhiteIsZero && f.sampleFormat == tiffUnsigned && f.bits <= 16 {
			invert = 255
		}
		return func(dst, samples []uint8) {
			for i, j := 0, 0; i < len(dst); i, j = i+3, j+n {
				v := samples[j] ^ invert
				dst[i], dst[i+1], dst[i+2] = v, v, v
			}
		}, nil
	case tiffIndexed:
		return func(dst, samples []uint8) {
			for i, j := 0, 0; i < len(dst); i, j = i+3, j+n {
				copy(dst[i:i+3], f.palette[samples[j]][:])
			}
		}, nil
	case tiffCMYK:
		return func(dst, samples []uint8) {
			for i, j := 0, 0; i < len(dst); i, j = i+3, j+n {
				fromInks(dst[i:i+3], samples[j:j+4])
			}
		}, nil
	case tiffYCbCr:
		if f.planar {
			return nil, fmt.Errorf("YCbCr in planes is not read")
		}
	}
	if f.premultiplied && n >= 4 {
		return func(dst, samples []uint8) {
			for i, j := 0, 0; i < len(dst); i, j = i+3, j+n {
				for c, alpha := 0, int(samples[j+3]); c < 3 && alpha > 0; c++ {
					dst[i+c] = uint8(min(int(samples[j+c])*255/alpha, 255))
				}
			}
		}, nil
	}
	return func(dst, samples []uint8) {
		for i, j := 0, 0; i < len(dst); i, j = i+3, j+n {
			dst[i], dst[i+1], dst[i+2] = samples[j], samples[j+1], samples[j+2]
		}
	}, nil
}

// readYCbCr reads a chunk whose samples are luma and chroma, in blocks of across x down luma values
// and one of each chroma (TIFF 6.0, section 21). It hands RGB to put.
func (f *tiffFile) readYCbCr(data []byte, c tiffChunk, put func(y int, samples []uint8)) error {
	across, down := 2, 2
	if s := f.ints(tiffYCbCrSampling); len(s) == 2 {
		across, down = s[0], s[1]
	}
	if across < 1 || across > 4 || down < 1 || down > 4 || f.samples != 3 {
		return fmt.Errorf("YCbCr of %d samples, subsampled %dx%d", f.samples, across, down)
	}
	r, err := f.decompress(data, c)
	if err != nil {
		return err
	}
	toRGB := f.ycbcr()
	size := across*down + 2
	blocks := make([]uint8, (f.chunkW+across-1)/across*size)
	row := make([]uint8, 3*c.w)
	for top := 0; top < c.h; top += down {
		if _, err := io.ReadFull(r, blocks); err != nil {
			return inRow(err, c.top+top, f.h)
		}
		f.unpredict(blocks, size) // a block counts as a pixel
		for y := top; y < min(top+down, c.h); y++ {
			for x := range c.w {
				block := blocks[x/across*size:]
				toRGB(row[3*x:3*x+3], block[(y-top)*across+x%across], block[size-2], block[size-1])
			}
			put(y, row)
		}
	}
	return nil
}

// ycbcr returns the conversion of one pixel, with the roundings of libtiff's tif_color.c.
func (f *tiffFile) ycbcr() func(rgb []uint8, y, cb, cr uint8) {
	luma := []float64{0.299, 0.587, 0.114}
	if v := f.floats(tiffYCbCrLuma); len(v) == 3 && v[1] > 0 && slices.Max(v) < 1 {
		luma = v
	}
	reference := []float64{0, 255, 128, 255, 128, 255} // black and white of each
	if v := f.floats(tiffReferenceBW); len(v) == 6 {
		reference = v
	}
	const shift, half = 16, 1 << 15
	fixed := func(v float64) int {
		if !(v > 0) {
			v = 0
		}
		return int(min(v, 2)*(1<<shift) + 0.5)
	}
	value := func(code int, black, white float64, span float32) int {
		width := float32(white - black)
		if width == 0 {
			width = 1
		}
		v := float64(float32(code-int(black)) * span / width)
		if math.IsNaN(v) {
			v = 0
		}
		return int(min(max(v, -128*32), 128*32))
	}
	red, blue := 2-2*luma[0], 2-2*luma[2]
	toRed, toBlue := fixed(red), fixed(blue)
	redToGreen, blueToGreen := -fixed(luma[0]*red/luma[1]), -fixed(luma[2]*blue/luma[1])
	var ys, cbs, crs [256]int
	for i := range 256 {
		ys[i] = value(i, reference[0], reference[1], 255)
		cbs[i] = value(i-128, reference[2]-128, reference[3]-128, 127)
		crs[i] = value(i-128, reference[4]-128, reference[5]-128, 127)
	}
	clip := func(v int) uint8 { return uint8(min(max(v, 0), 255)) }
	return func(rgb []uint8, y, cb, cr uint8) {
		l, b, r := ys[y], cbs[cb], crs[cr]
		rgb[0] = clip(l + (toRed*r+half)>>shift)
		rgb[1] = clip(l + (blueToGreen*b+half+redToGreen*r)>>shift)
		rgb[2] = clip(l + (toBlue*b+half)>>shift)
	}
}
