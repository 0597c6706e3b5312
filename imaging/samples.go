package imaging

// Rows of packed samples, as PNG, BMP and TIFF store them.

// unpackBits writes len(dst) samples of 1, 2, 4 or 8 bits to dst, one in a byte, unscaled. The first
// sample is in the highest bits of src.
func unpackBits(dst, src []uint8, bits int) {
	if bits == 8 {
		copy(dst, src)
		return
	}
	mask := uint8(1<<bits - 1)
	perByte := 8 / bits
	for i := range dst {
		shift := (perByte - 1 - i%perByte) * bits
		dst[i] = src[i/perByte] >> shift & mask
	}
}

// A palette holds red, green and blue of every index. Those that a file leaves out are black.
type palette [256][3]uint8

// paletteOf reads entries of size bytes, whose colours are at the given places.
func paletteOf(b []byte, size, red, green, blue int) *palette {
	p := new(palette)
	for i := range min(len(b)/size, len(p)) {
		e := b[i*size:]
		p[i] = [3]uint8{e[red], e[green], e[blue]}
	}
	return p
}

// grayPalette returns the grays of samples of at most 8 bits, evenly from black to white.
func grayPalette(bits int) *palette {
	p := new(palette)
	top := 1<<bits - 1
	for i := range top + 1 {
		v := uint8(i * 255 / top)
		p[i] = [3]uint8{v, v, v}
	}
	return p
}

// look writes the colours of indices to dst, whose pixels are step bytes apart.
func (p *palette) look(dst []uint8, step int, indices []uint8) {
	for i, v := range indices {
		c := &p[v]
		at := i * step
		dst[at], dst[at+1], dst[at+2] = c[0], c[1], c[2]
	}
}
