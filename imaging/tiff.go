package imaging

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
)

// The tags of TIFF 6.0 that matter for the first page.
const (
	tiffWidth         = 256
	tiffHeight        = 257
	tiffBits          = 258
	tiffCompression   = 259
	tiffPhotometric   = 262
	tiffFillOrder     = 266
	tiffStripOffsets  = 273
	tiffOrientation   = 274
	tiffSamples       = 277
	tiffRowsPerStrip  = 278
	tiffStripCounts   = 279
	tiffPlanar        = 284
	tiffT4Options     = 292
	tiffPredictor     = 317
	tiffColourMap     = 320
	tiffTileWidth     = 322
	tiffTileHeight    = 323
	tiffTileOffsets   = 324
	tiffTileCounts    = 325
	tiffExtraSamples  = 338
	tiffSampleFormat  = 339
	tiffJPEGTables    = 347
	tiffYCbCrLuma     = 529
	tiffYCbCrSampling = 530
	tiffReferenceBW   = 532
)

// What photometric interpretation says of the samples.
const (
	tiffWhiteIsZero = 0
	tiffBlackIsZero = 1
	tiffRGB         = 2
	tiffIndexed     = 3
	tiffCMYK        = 5
	tiffYCbCr       = 6
)

// What the sample format says of one of them.
const (
	tiffUnsigned = 1
	tiffSigned   = 2
	tiffFloat    = 3
)

// tiffFile is what the first directory of a TIFF says.
type tiffFile struct {
	b     []byte
	order binary.ByteOrder
	tags  map[uint16]tiffTag

	w, h, bits, samples      int
	compression, photometric int
	predictor, sampleFormat  int
	planar                   bool // each sample has chunks of its own
	premultiplied            bool // the colours are multiplied with the alpha that follows them
	orientation              int
	palette                  *palette

	// Pixels come in chunks: tiles, or strips, which are as wide as the picture.
	tiled           bool
	chunkW, chunkH  int
	offsets, counts tiffTag

	packed, unpacked []uint8 // a row of a chunk
	left             int     // bytes of memory that decoders left behind
}

// tiffTag is one entry of the directory: count values of a kind, as they lie in the file. There may be
// as many as the file has bytes, so they are read one at a time.
type tiffTag struct {
	order binary.ByteOrder
	kind  uint16
	count int
	data  []byte
}

// whole is how many whole numbers the tag holds.
func (t tiffTag) whole() int {
	switch t.kind {
	case 1, 3, 4, 7, 13, 16, 18:
		return t.count
	}
	return 0
}

// int returns the i-th of the whole numbers.
func (t tiffTag) int(i int) int {
	switch t.kind {
	case 3: // short
		return int(t.order.Uint16(t.data[2*i:]))
	case 4, 13: // long
		return int(t.order.Uint32(t.data[4*i:]))
	case 16, 18: // long of 8 bytes
		return int(t.order.Uint64(t.data[8*i:]) & math.MaxInt64)
	}
	return int(t.data[i]) // byte, undefined
}

// decodeTIFF reads the first page of a TIFF or BigTIFF. The package of x/image is not used for the
// container because it knows no more than four channels, of 8 or 16 bits, in one plane.
func decodeTIFF(b []byte, o Options) (*Image, error) {
	f, err := readTIFF(b)
	if err != nil {
		return nil, err
	}
	asStored := o.Channels != 1 && o.Channels != 3
	if asStored && (f.samples != o.Channels || f.bits != 8 && f.bits != 16 || f.sampleFormat != tiffUnsigned) {
		const msg = "%d channels are wanted; this TIFF has %d samples a pixel, of %d bits (of 8 or 16 it can be read)"
		return nil, refusal{fmt.Errorf(msg, o.Channels, f.samples, f.bits)}
	}
	perPixel := uprightBytes(f.orientation)
	if asStored {
		perPixel *= (o.Channels + 2) / 3
	} else if f.planar {
		perPixel += f.samples
	}
	if err := o.admit("TIFF", f.w, f.h, perPixel); err != nil {
		return nil, err
	}
	// A row of a chunk, its samples, and for a tile of JPEG the whole of it.
	if err := o.admit("TIFF", f.chunkW, 1, f.samples*((f.bits+7)/8+1)); err != nil {
		return nil, err
	}
	if f.compression == tiffJPEG || f.compression == tiffOldJPEG {
		if err := o.admit("TIFF", f.chunkW, f.chunkH, 8); err != nil {
			return nil, err
		}
	}
	im, err := f.decode(asStored, o)
	if err != nil {
		return nil, err
	}
	return im.upright(f.orientation), nil
}

// readTIFF reads the first directory.
func readTIFF(b []byte) (*tiffFile, error) {
	f := &tiffFile{b: b, order: binary.LittleEndian}
	if b[0] == 'M' {
		f.order = binary.BigEndian
	}
	if err := f.readDirectory(); err != nil {
		return nil, err
	}
	f.w, f.h = f.int(tiffWidth, 0), f.int(tiffHeight, 0)
	if f.w <= 0 || f.h <= 0 {
		return nil, fmt.Errorf("a picture of %dx%d pixels", f.w, f.h)
	}
	f.compression = f.int(tiffCompression, tiffRaw)
	f.photometric = f.int(tiffPhotometric, tiffWhiteIsZero)
	f.orientation = f.int(tiffOrientation, 1)
	f.predictor = f.int(tiffPredictor, 1)
	f.sampleFormat = f.int(tiffSampleFormat, tiffUnsigned)
	if f.sampleFormat == 4 { // undefined
		f.sampleFormat = tiffUnsigned
	}
	f.bits = f.int(tiffBits, 1)
	f.samples = f.int(tiffSamples, 1)
	if f.compression == tiffOldJPEG {
		f.photometric, f.samples = tiffYCbCr, f.int(tiffSamples, 3)
	}
	f.planar = f.int(tiffPlanar, 1) == 2 && f.samples > 1
	f.premultiplied = f.int(tiffExtraSamples, 0) == 1
	for i := range min(f.tags[tiffBits].whole(), f.samples) {
		if n := f.tags[tiffBits].int(i); n != f.bits {
			return nil, fmt.Errorf("samples of %d and of %d bits in a pixel", f.bits, n)
		}
	}
	if err := f.checkSamples(); err != nil {
		return nil, err
	}
	return f, f.readChunks()
}

// checkSamples refuses what cannot be turned into colours, and reads the palette.
func (f *tiffFile) checkSamples() error {
	sound := false
	switch f.bits {
	case 1, 2, 4, 8, 12:
		sound = f.sampleFormat == tiffUnsigned
	case 16:
		sound = f.sampleFormat == tiffUnsigned || f.sampleFormat == tiffSigned
	case 32:
		sound = f.sampleFormat <= tiffFloat
	}
	if !sound {
		return fmt.Errorf("samples of %d bits and format %d are not read", f.bits, f.sampleFormat)
	}
	want, most := 1, 8
	switch f.photometric {
	case tiffWhiteIsZero, tiffBlackIsZero:
		most = 32
	case tiffRGB:
		want, most = 3, 16
	case tiffIndexed:
		colours := f.tags[tiffColourMap] // all red, all green, all blue, of 16 bits
		n := colours.whole() / 3
		if n == 0 {
			return errors.New("an indexed picture without a palette")
		}
		f.palette = new(palette)
		for i := range min(n, 256) {
			f.palette[i] = [3]uint8{uint8(colours.int(i) >> 8), uint8(colours.int(n+i) >> 8), uint8(colours.int(2*n+i) >> 8)}
		}
	case tiffCMYK:
		want, most = 4, 16
	case tiffYCbCr:
		want = 3
	default:
		return fmt.Errorf("photometric interpretation %d is not read", f.photometric)
	}
	if f.samples < want || f.samples > math.MaxUint16 || f.bits > most {
		return fmt.Errorf("%d samples a pixel of %d bits for photometric interpretation %d", f.samples, f.bits, f.photometric)
	}
	return nil
}

// readChunks reads where the pixels lie.
func (f *tiffFile) readChunks() error {
	if f.tiled = f.tags[tiffTileOffsets].count > 0; f.tiled {
		f.chunkW, f.chunkH = f.int(tiffTileWidth, 0), f.int(tiffTileHeight, 0)
		f.offsets, f.counts = f.tags[tiffTileOffsets], f.tags[tiffTileCounts]
	} else {
		f.chunkW, f.chunkH = f.w, min(f.int(tiffRowsPerStrip, f.h), f.h)
		f.offsets, f.counts = f.tags[tiffStripOffsets], f.tags[tiffStripCounts]
	}
	if f.chunkW <= 0 || f.chunkH <= 0 {
		return fmt.Errorf("strips or tiles of %dx%d pixels", f.chunkW, f.chunkH)
	}
	return nil
}

// readDirectory reads the header and the first directory, of TIFF or of BigTIFF.
func (f *tiffFile) readDirectory() error {
	if len(f.b) < 16 {
		return truncatedf("it ends in its header")
	}
	big := f.order.Uint16(f.b[2:]) == 43
	at, countSize, entrySize, inline := uint64(f.order.Uint32(f.b[4:])), 2, 12, 4
	if big {
		at, countSize, entrySize, inline = f.order.Uint64(f.b[8:]), 8, 20, 8
	}
	number := func(b []byte, size int) uint64 {
		switch size {
		case 2:
			return uint64(f.order.Uint16(b))
		case 4:
			return uint64(f.order.Uint32(b))
		}
		return f.order.Uint64(b)
	}
	size := uint64(len(f.b))
	if at > size-uint64(countSize) {
		return truncatedf("its directory is beyond the end")
	}
	entries := number(f.b[at:], countSize)
	rest := f.b[at+uint64(countSize):]
	f.tags = map[uint16]tiffTag{}
	for ; entries > 0; entries-- {
		if len(rest) < entrySize {
			return truncatedf("its directory goes beyond the end")
		}
		t := tiffTag{order: f.order, kind: f.order.Uint16(rest[2:]), data: rest[4+inline : entrySize]}
		count := number(rest[4:], inline)
		if t.kind < uint16(len(tiffKindSize)) && count < size {
			t.count = int(count)
			if n := count * tiffKindSize[t.kind]; n > uint64(inline) {
				at := number(t.data, inline)
				if at > size || n > size-at {
					t.count, at, n = 0, 0, 0 // beyond the end: as if it were missing
				}
				t.data = f.b[at : at+n]
			}
			f.tags[f.order.Uint16(rest)] = t
		}
		rest = rest[entrySize:]
	}
	return nil
}

// tiffKindSize is the size of a value of each kind.
var tiffKindSize = [...]uint64{1, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 8, 8, 8, 8, 8}

// mostInts is more than any tag has that is read as a list.
const mostInts = 16

// ints returns the values of a tag, at most mostInts; none where it is missing or holds no whole numbers.
func (f *tiffFile) ints(tag uint16) []int {
	t := f.tags[tag]
	out := make([]int, min(t.whole(), mostInts))
	for i := range out {
		out[i] = t.int(i)
	}
	return out
}

// int returns the first value of a tag.
func (f *tiffFile) int(tag uint16, missing int) int {
	if t := f.tags[tag]; t.whole() > 0 {
		return t.int(0)
	}
	return missing
}

// floats returns the values of a tag that holds fractions or whole numbers, at most mostInts.
func (f *tiffFile) floats(tag uint16) []float64 {
	t := f.tags[tag]
	if t.kind != 5 {
		var out []float64
		for _, v := range f.ints(tag) {
			out = append(out, float64(v))
		}
		return out
	}
	out := make([]float64, min(t.count, mostInts))
	for i := range out {
		out[i] = float64(f.order.Uint32(t.data[8*i:])) / float64(f.order.Uint32(t.data[8*i+4:]))
	}
	return out
}

// decode reads the chunks one after the other, row by row.
func (f *tiffFile) decode(asStored bool, o Options) (*Image, error) {
	across, down := (f.w+f.chunkW-1)/f.chunkW, (f.h+f.chunkH-1)/f.chunkH
	planes := 1
	if f.planar {
		planes = f.samples
	}
	if n := across * down * planes; f.offsets.whole() < n {
		return nil, fmt.Errorf("it has %d strips or tiles, want %d", f.offsets.whole(), n)
	}
	var stored *Image // all samples, where they are wanted or do not come together
	if asStored || f.planar {
		stored = New(f.w, f.h, f.samples)
	}
	out := stored
	if !asStored {
		out = New(f.w, f.h, 3)
	}
	toRGB, err := f.colours()
	if err != nil {
		return nil, err
	}
	for i := range across * down * planes {
		c := tiffChunk{plane: i / (across * down), left: i % across * f.chunkW, top: i / across % down * f.chunkH}
		c.w, c.h = min(f.chunkW, f.w-c.left), min(f.chunkH, f.h-c.top)
		err := f.readChunk(i, c, func(y int, samples []uint8) {
			at := (c.top+y)*f.w + c.left
			switch {
			case f.planar:
				for x, v := range samples {
					stored.Pix[(at+x)*f.samples+c.plane] = v
				}
			case asStored:
				copy(stored.Pix[at*f.samples:], samples)
			default:
				toRGB(out.Pix[3*at:3*(at+c.w)], samples)
			}
		})
		if err != nil {
			if o.AllowTruncated && ended(err) {
				break
			}
			return nil, err
		}
	}
	if f.planar && !asStored {
		for y := range f.h {
			toRGB(out.Pix[3*y*f.w:3*(y+1)*f.w], stored.Pix[y*f.w*f.samples:(y+1)*f.w*f.samples])
		}
	}
	return out, nil
}

// tiffChunk is where the pixels of a strip or tile go, without those beyond the picture's edge.
type tiffChunk struct {
	plane, left, top, w, h int
}

// readChunk hands the samples of each row of the i-th chunk to put, as bytes.
func (f *tiffFile) readChunk(i int, c tiffChunk, put func(y int, samples []uint8)) error {
	data, err := f.chunkData(i)
	if err != nil {
		return err
	}
	if f.photometric == tiffYCbCr && f.compression != tiffJPEG && f.compression != tiffOldJPEG {
		return f.readYCbCr(data, c, put)
	}
	r, err := f.decompress(data, c)
	if err != nil {
		return err
	}
	perPixel := f.samples
	if f.planar {
		perPixel = 1
	}
	if f.packed == nil {
		f.packed, f.unpacked = make([]uint8, (f.chunkW*perPixel*f.bits+7)/8), make([]uint8, f.chunkW*perPixel)
	}
	row, samples := f.packed, f.unpacked[:c.w*perPixel]
	for y := range c.h {
		if _, err := io.ReadFull(r, row); err != nil {
			return inRow(err, c.top+y, f.h)
		}
		f.unpredict(row, perPixel)
		f.unpack(samples, row)
		put(y, samples)
	}
	return nil
}

// chunkData returns the bytes of the i-th chunk. Where the file does not say how many there are, it
// is all that follow.
func (f *tiffFile) chunkData(i int) ([]byte, error) {
	at := f.offsets.int(i)
	if at < 0 || at > len(f.b) {
		return nil, truncatedf("a strip or tile begins at byte %d of %d", at, len(f.b))
	}
	data := f.b[at:]
	if i < f.counts.whole() && f.counts.int(i) > 0 && f.counts.int(i) < len(data) {
		data = data[:f.counts.int(i)]
	}
	return data, nil
}

// leave counts the memory that the decoder of a chunk leaves behind, and has it collected before it is
// much. The collector by itself waits until it is as much as all that is in use, the picture too.
func (f *tiffFile) leave(n int) {
	if f.left += n; f.left > 64<<20 {
		runtime.GC()
		f.left = 0
	}
}
