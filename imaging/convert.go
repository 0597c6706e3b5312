package imaging

import (
	"image"
	"image/color"
)

// FromImage returns the picture as RGB, as Pillow's convert("RGB") does: alpha is dropped (values
// that are multiplied with it are divided again) and of 16 bits the high byte is kept. It panics
// where m is empty.
func FromImage(m image.Image) *Image {
	bounds := m.Bounds()
	out := New(bounds.Dx(), bounds.Dy(), 3)
	row := pixelRow(m)
	for y := range out.H {
		row(out.Pix[3*y*out.W:3*(y+1)*out.W], bounds.Min.X, bounds.Min.Y+y)
	}
	return out
}

// pixelRow returns the function that writes a row of m as RGB to dst, from the pixel (x, y) on.
func pixelRow(m image.Image) func(dst []uint8, x, y int) {
	switch m := m.(type) {
	case *image.NRGBA:
		return func(dst []uint8, x, y int) { strided(dst, m.Pix[m.PixOffset(x, y):], 4, 1) }
	case *image.NRGBA64:
		return func(dst []uint8, x, y int) { strided(dst, m.Pix[m.PixOffset(x, y):], 8, 2) }
	case *image.Gray:
		return func(dst []uint8, x, y int) { strided(dst, m.Pix[m.PixOffset(x, y):], 1, 0) }
	case *image.Gray16:
		return func(dst []uint8, x, y int) { strided(dst, m.Pix[m.PixOffset(x, y):], 2, 0) }
	case *image.Paletted:
		return palettedRow(m)
	case *image.YCbCr:
		return func(dst []uint8, x, y int) {
			for i := 0; i < len(dst); i, x = i+3, x+1 {
				c := m.COffset(x, y)
				dst[i], dst[i+1], dst[i+2] = color.YCbCrToRGB(m.Y[m.YOffset(x, y)], m.Cb[c], m.Cr[c])
			}
		}
	case *image.CMYK:
		return func(dst []uint8, x, y int) {
			for i, j := 0, m.PixOffset(x, y); i < len(dst); i, j = i+3, j+4 {
				fromInks(dst[i:i+3], m.Pix[j:j+4])
			}
		}
	}
	return func(dst []uint8, x, y int) {
		for i := 0; i < len(dst); i, x = i+3, x+1 {
			c := color.NRGBA64Model.Convert(m.At(x, y)).(color.NRGBA64)
			dst[i], dst[i+1], dst[i+2] = uint8(c.R>>8), uint8(c.G>>8), uint8(c.B>>8)
		}
	}
}

// strided copies three bytes of each pixel of size bytes, gap apart.
func strided(dst, src []uint8, size, gap int) {
	for i, j := 0, 0; i < len(dst); i, j = i+3, j+size {
		dst[i], dst[i+1], dst[i+2] = src[j], src[j+gap], src[j+2*gap]
	}
}

func palettedRow(m *image.Paletted) func(dst []uint8, x, y int) {
	var palette [256][3]uint8 // an index beyond the palette is black
	for i, c := range m.Palette[:min(len(m.Palette), 256)] {
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		palette[i] = [3]uint8{n.R, n.G, n.B}
	}
	return func(dst []uint8, x, y int) {
		src := m.Pix[m.PixOffset(x, y):]
		for i := 0; i < len(dst); i += 3 {
			copy(dst[i:i+3], palette[src[i/3]][:])
		}
	}
}
