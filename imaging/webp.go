package imaging

import (
	"bytes"
	"image"

	"golang.org/x/image/webp"
)

// decodeWebP returns a lossless picture as it is, and a lossy one with libwebp's colours: x/image
// hands out VP8's planes as if they spanned 0 to 255 like JPEG's, while luma spans 16 to 235, and
// libwebp, which Pillow uses, interpolates chroma.
func decodeWebP(b []byte) (image.Image, error) {
	m, err := webp.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *image.YCbCr:
		return fromVP8(m), nil
	case *image.NYCbCrA:
		return fromVP8(&m.YCbCr), nil
	}
	return m, nil
}

// fromVP8 converts 4:2:0 planes to RGB as libwebp's upsampling.c: each pixel takes 9/16 of the
// nearest chroma sample, 3/16 of the nearest in its row and column, 1/16 of the one across, in
// integers.
func fromVP8(m *image.YCbCr) *image.NRGBA {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	cw, ch := (w+1)/2, (h+1)/2
	for y := range h {
		near := y / 2
		far := near - 1 + 2*(y&1) // even rows look up, odd rows down
		far = min(max(far, 0), ch-1)
		cNear, cFar := near*m.CStride, far*m.CStride
		for x := range w {
			px := x / 2
			qx := min(max(px-1+2*(x&1), 0), cw-1)
			u := vp8Chroma(m.Cb[cNear+px], m.Cb[cNear+qx], m.Cb[cFar+px], m.Cb[cFar+qx], px == qx)
			v := vp8Chroma(m.Cr[cNear+px], m.Cr[cNear+qx], m.Cr[cFar+px], m.Cr[cFar+qx], px == qx)
			luma := int(m.Y[y*m.YStride+x]) * 19077 >> 8
			p := out.Pix[out.PixOffset(x, y):]
			p[0] = vp8Byte(luma + v*26149>>8 - 14234)
			p[1] = vp8Byte(luma - u*6419>>8 - v*13320>>8 + 8708)
			p[2] = vp8Byte(luma + u*33050>>8 - 17685)
			p[3] = 255
		}
	}
	return out
}

// vp8Chroma mixes the nearest sample a, its neighbours b (same row) and c (same column), and d
// across. At the left and right edge there is no b.
func vp8Chroma(a, b, c, d uint8, edge bool) int {
	if edge {
		return (3*int(a) + int(c) + 2) >> 2
	}
	sum := int(a) + int(b) + int(c) + int(d)
	diagonal := (sum + 2*(int(b)+int(c)) + 8) >> 3
	return (diagonal + int(a)) >> 1
}

// vp8Byte drops the 6 fractional bits and clips.
func vp8Byte(v int) uint8 {
	return uint8(min(max(v>>6, 0), 255))
}
