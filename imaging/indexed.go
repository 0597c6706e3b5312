package imaging

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"

	"ibot/internal/atomicfile"
)

// Indexed is a picture of numbers, such as a mask in which every object has one: the number of the
// pixel at (x, y) is Pix[y*W+x].
type Indexed struct {
	W, H int
	Pix  []uint8
	// Palette are the colours that programs show the numbers in, which say nothing about them. It
	// has at most 256; a number without one is black.
	Palette [][3]uint8
}

// DecodeIndexed reads the numbers in a PNG with a palette, as they are stored, or in a gray PNG of 8
// bits, whose palette is the grays. Its size is limited as [Decode] limits it.
func DecodeIndexed(b []byte) (*Indexed, error) {
	if !hasMagic(b, "\x89PNG\r\n\x1a\n") {
		return nil, fmt.Errorf("imaging: not a PNG: it begins with %q; numbers of objects come as PNG with a palette", b[:min(len(b), 8)])
	}
	f, err := readPNG(b)
	if err == nil {
		err = Options{MaxPixels: MaxPixels, file: len(b)}.admit("PNG", f.w, f.h, 1)
	}
	if err == nil {
		err = f.roomy()
	}
	if err != nil {
		return nil, fmt.Errorf("imaging: %w", format{name: "PNG"}.fault(err))
	}
	switch {
	case f.kind == pngGray && f.bits == 8:
		f.palette, f.colours = grayPalette(8), 256
	case f.kind != pngIndexed:
		return nil, errors.New("imaging: a PNG without a palette, of colours or of gray that is not 8 bits; want one whose pixels are numbers of objects")
	}
	out := &Indexed{W: f.w, H: f.h, Pix: make([]uint8, f.w*f.h), Palette: f.palette[:f.colours:f.colours]}
	samples := make([]uint8, f.w)
	err = f.rows(func(start, n, step int, row []uint8) {
		unpackBits(samples[:n], row, f.bits)
		for i, v := range samples[:n] {
			out.Pix[start+i*step] = v
		}
	})
	if err != nil {
		return nil, fmt.Errorf("imaging: %w", format{name: "PNG"}.fault(err))
	}
	return out, nil
}

// Encode writes a PNG with the palette. Its pixels have as many bits as the palette needs: 1, 2, 4
// or 8.
func (m *Indexed) Encode(w io.Writer) error {
	out := image.NewPaletted(image.Rect(0, 0, m.W, m.H), nil)
	out.Pix = m.Pix
	top := len(m.Palette) - 1
	for _, v := range m.Pix {
		top = max(top, int(v))
	}
	for i := range top + 1 {
		var c [3]uint8
		if i < len(m.Palette) {
			c = m.Palette[i]
		}
		out.Palette = append(out.Palette, color.RGBA{c[0], c[1], c[2], 255})
	}
	if err := png.Encode(w, out); err != nil {
		return fmt.Errorf("imaging: %w", err)
	}
	return nil
}

// Write writes the PNG to a file, in full or not at all.
func (m *Indexed) Write(path string) error {
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, b.Bytes())
}

// Resize returns the numbers at w x h pixels, each that of the nearest pixel, as Pillow's
// Image.resize with NEAREST. It panics where w or h is not positive.
func (m *Indexed) Resize(w, h int) *Indexed {
	if w < 1 || h < 1 {
		panic(fmt.Sprintf("imaging: there is no picture of %dx%d pixels", w, h))
	}
	out := &Indexed{W: w, H: h, Pix: make([]uint8, w*h), Palette: m.Palette}
	dx, dy := float64(m.W)/float64(w), float64(m.H)/float64(h)
	columns := make([]int, w)
	for x := range columns {
		columns[x] = min(int((float64(x)+0.5)*dx), m.W-1)
	}
	for y := range h {
		row := m.Pix[min(int((float64(y)+0.5)*dy), m.H-1)*m.W:]
		for x, from := range columns {
			out.Pix[y*w+x] = row[from]
		}
	}
	return out
}

// ObjectColours is the palette of PASCAL VOC and DAVIS, in which neighbouring numbers differ: the
// bits of a number go in turn to red, green and blue, the lowest to the highest places.
func ObjectColours() [][3]uint8 {
	palette := make([][3]uint8, 256)
	for i := range palette {
		for place, rest := 7, i; rest > 0; place, rest = place-1, rest>>3 {
			for c := range 3 {
				palette[i][c] |= uint8(rest >> c & 1 << place)
			}
		}
	}
	return palette
}
