package imaging

import (
	"compress/lzw"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// decodeGIF returns the first frame on its screen. Around a frame that is smaller the screen has the
// transparent colour, or the first of the palette; so have pixels that are missing. Unlike image/gif
// it is as indulgent as Pillow: it skips what is neither frame nor extension, takes a frame that is
// larger than the screen, does without a palette, and minds nothing behind the last pixel.
func decodeGIF(b []byte, o Options) (*Image, error) {
	f, err := readGIF(b)
	if err != nil {
		return nil, err
	}
	w, h := max(f.w, f.left+f.frameW), max(f.h, f.top+f.frameH)
	if err := o.admit("GIF", w, h, 3); err != nil {
		return nil, err
	}
	// A code of LZW is at least 2 bits long and stands for at most 4096 pixels.
	if f.frameH > 0 && f.frameW > 4*4096*(len(f.data)+1)/f.frameH && !o.AllowTruncated {
		return nil, truncatedf("%d bytes cannot hold %dx%d pixels", len(f.data), f.frameW, f.frameH)
	}
	im := New(w, h, 3)
	if f.frameW != w || f.frameH != h || o.AllowTruncated {
		background := f.palette[f.transparent]
		for i := 0; i < len(im.Pix); i += 3 {
			copy(im.Pix[i:], background[:])
		}
	}
	if err := f.decode(im); err != nil && !(o.AllowTruncated && ended(err)) {
		return nil, err
	}
	return im, nil
}

// gifFile is what a GIF says up to the pixels of its first frame.
type gifFile struct {
	w, h                      int // of the screen
	left, top, frameW, frameH int
	palette                   *palette
	transparent               uint8
	interlaced                bool
	codeBits                  int
	data                      []byte // the rest of the file, from the pixels on
}

// readGIF finds the first frame.
func readGIF(b []byte) (*gifFile, error) {
	const paletteFlag = 0x80
	if len(b) < 13 {
		return nil, truncatedf("it ends in its header")
	}
	f := &gifFile{
		w: int(binary.LittleEndian.Uint16(b[6:])), h: int(binary.LittleEndian.Uint16(b[8:])),
		palette: grayPalette(8),
	}
	flags := b[10]
	b = b[13:]
	var err error
	if flags&paletteFlag != 0 {
		if f.palette, b, err = gifPalette(b, flags); err != nil {
			return nil, err
		}
	}
	for len(b) > 0 {
		kind := b[0]
		b = b[1:]
		switch kind {
		case '!':
			b = f.extension(b)
		case ';':
			return nil, errors.New("it ends without a picture")
		case ',':
			if len(b) < 9 {
				return nil, truncatedf("it ends in a frame's header")
			}
			f.left, f.top = int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[2:]))
			f.frameW, f.frameH = int(binary.LittleEndian.Uint16(b[4:])), int(binary.LittleEndian.Uint16(b[6:]))
			flags := b[8]
			f.interlaced = flags&0x40 != 0
			b = b[9:]
			if flags&paletteFlag != 0 {
				if f.palette, b, err = gifPalette(b, flags); err != nil {
					return nil, err
				}
			}
			if len(b) == 0 {
				return nil, truncatedf("it ends in a frame's header")
			}
			f.codeBits, f.data = int(b[0]), b[1:]
			return f, nil
		}
	}
	return nil, truncatedf("it has no frame")
}

func gifPalette(b []byte, flags uint8) (*palette, []byte, error) {
	n := 3 << (flags&7 + 1)
	if len(b) < n {
		return nil, nil, truncatedf("it ends in a palette")
	}
	return paletteOf(b[:n], 3, 0, 1, 2), b[n:], nil
}

// extension reads one, for the sake of the transparent colour, and returns what follows it.
func (f *gifFile) extension(b []byte) []byte {
	const graphicControl = 0xf9
	if len(b) == 0 {
		return nil
	}
	kind := b[0]
	blocks := &gifBlocks{b: b[1:]}
	for first := true; ; first = false {
		block := blocks.next()
		if block == nil {
			return blocks.b
		}
		if first && kind == graphicControl && len(block) >= 4 && block[0]&1 != 0 {
			f.transparent = block[3]
		}
	}
}

// gifBlocks reads a chain of blocks, each with its length in front, up to an empty one.
type gifBlocks struct {
	b    []byte // what follows the block in hand
	rest []byte // of the block in hand
}

// next returns the next block, nil at the end of the chain or the file.
func (g *gifBlocks) next() []byte {
	if len(g.b) == 0 {
		return nil
	}
	n := int(g.b[0])
	if n == 0 || n >= len(g.b) {
		g.b = g.b[min(n+1, len(g.b)):]
		return nil
	}
	block := g.b[1 : n+1]
	g.b = g.b[n+1:]
	return block
}

// Read implements io.Reader.
func (g *gifBlocks) Read(p []byte) (int, error) {
	if len(g.rest) == 0 {
		if g.rest = g.next(); g.rest == nil {
			return 0, io.EOF
		}
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

// decode writes the frame's pixels. Where it fails, the pixels before are in im.
func (f *gifFile) decode(im *Image) error {
	if f.codeBits < 2 || f.codeBits > 8 {
		return fmt.Errorf("pixels of %d bits, want 2 to 8", f.codeBits)
	}
	r := lzw.NewReader(&gifBlocks{b: f.data}, lzw.LSB, f.codeBits)
	defer r.Close()
	row := make([]uint8, f.frameW)
	passes := [][2]int{{0, 1}} // the first row of each, and the step to the next
	if f.interlaced {
		passes = [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	for _, p := range passes {
		for y := p[0]; y < f.frameH; y += p[1] {
			n, err := io.ReadFull(r, row)
			at := 3 * ((f.top+y)*im.W + f.left)
			f.palette.look(im.Pix[at:], 3, row[:n])
			if err != nil {
				return inRow(err, y, f.frameH)
			}
		}
	}
	return nil
}
