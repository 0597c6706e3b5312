package imaging

import (
	"fmt"
	"math"
)

// Affine says where the pixels of an image come from: the one at (x, y) from
// (m[0]·x + m[1]·y + m[2], m[3]·x + m[4]·y + m[5]), both measured at the middle of pixels.
type Affine [6]float64

// ShearX returns the map that moves rows sideways, by factor times their place.
func ShearX(factor float64) Affine { return Affine{1, factor, 0, 0, 1, 0} }

// ShearY returns the map that moves columns up or down, by factor times their place.
func ShearY(factor float64) Affine { return Affine{1, 0, 0, factor, 1, 0} }

// Translation returns the map that moves the image by (-dx, -dy) pixels.
func Translation(dx, dy float64) Affine { return Affine{1, 0, dx, 0, 1, dy} }

// rotation is the map of Pillow's Image.rotate about the middle.
func rotation(degrees float64, w, h int) Affine {
	round := func(v float64) float64 { return math.RoundToEven(v*1e15) / 1e15 }
	angle := -degrees * (math.Pi / 180)
	sin, cos := round(math.Sin(angle)), round(math.Cos(angle))
	cx, cy := float64(w)/2, float64(h)/2
	return Affine{
		cos, sin, float64(cos*-cx) + float64(sin*-cy) + cx,
		-sin, cos, float64(-sin*-cx) + float64(cos*-cy) + cy,
	}
}

// Transform returns an image of the same size, equal to Pillow's transform(AFFINE). What comes from
// outside is fill, which has a value for each channel. The filters look at the nearest pixel, or at
// 2x2 or 4x4 of them; unlike in Resize they do not grow. It panics for another filter or fill.
func (im *Image) Transform(m Affine, f Filter, fill []uint8) *Image {
	if len(fill) != im.C {
		panic(fmt.Sprintf("imaging: a fill of %d values for %d channels", len(fill), im.C))
	}
	out := New(im.W, im.H, im.C)
	for i := range out.Pix {
		out.Pix[i] = fill[i%im.C]
	}
	switch f {
	case Nearest:
		im.nearest(out, m)
	case Bilinear:
		im.sampled(out, m, bilinearPixel)
	case Bicubic:
		im.sampled(out, m, bicubicPixel)
	default:
		panic(fmt.Sprintf("imaging: Transform has no filter %v", f))
	}
	return out
}

// Rotate turns the image counterclockwise about its middle, as Pillow's rotate. Corners are lost,
// and fill appears in others.
func (im *Image) Rotate(degrees float64, f Filter, fill []uint8) *Image {
	degrees = math.Mod(degrees, 360)
	if degrees < 0 {
		degrees += 360
	}
	switch {
	case degrees == 0:
		return im.Clone()
	case degrees == 180:
		return im.upright(3)
	case degrees == 90 && im.W == im.H:
		return im.upright(8)
	case degrees == 270 && im.W == im.H:
		return im.upright(6)
	}
	return im.Transform(rotation(degrees, im.W, im.H), f, fill)
}

// nearest takes single pixels. As Pillow's Geometry.c it walks in steps of 2^-16 pixels, or, where
// rows stay rows, in floating point.
func (im *Image) nearest(out *Image, m Affine) {
	copyPixel := func(x, y, sx, sy int) {
		if sx >= 0 && sx < im.W && sy >= 0 && sy < im.H {
			copy(out.Pix[(y*im.W+x)*im.C:][:im.C], im.Pix[(sy*im.W+sx)*im.C:])
		}
	}
	if m[1] == 0 && m[3] == 0 {
		place := func(v float64) int {
			if v < 0 {
				return -1
			}
			return int(v)
		}
		fy := m[5] + float64(m[4]*0.5)
		for y := range im.H {
			fx := m[2] + float64(m[0]*0.5)
			for x := range im.W {
				copyPixel(x, y, place(fx), place(fy))
				fx += m[0]
			}
			fy += m[4]
		}
		return
	}
	fixed := func(v float64) int { return int(math.Floor(float64(v*65536) + 0.5)) }
	rowX := fixed(m[2] + float64(m[0]*0.5) + float64(m[1]*0.5))
	rowY := fixed(m[5] + float64(m[3]*0.5) + float64(m[4]*0.5))
	for y := range im.H {
		fx, fy := rowX, rowY
		for x := range im.W {
			copyPixel(x, y, fx>>16, fy>>16)
			fx, fy = fx+fixed(m[0]), fy+fixed(m[3])
		}
		rowX, rowY = rowX+fixed(m[1]), rowY+fixed(m[4])
	}
}

// sampled mixes pixels around the place that each comes from.
func (im *Image) sampled(out *Image, m Affine, pixel func(dst []uint8, im *Image, x, y float64)) {
	w, h := float64(im.W), float64(im.H)
	for y := range im.H {
		fy := float64(y) + 0.5
		for x := range im.W {
			fx := float64(x) + 0.5
			sx := float64(m[0]*fx) + float64(m[1]*fy) + m[2]
			sy := float64(m[3]*fx) + float64(m[4]*fy) + m[5]
			if sx >= 0 && sx < w && sy >= 0 && sy < h {
				at := (y*im.W + x) * im.C
				pixel(out.Pix[at:at+im.C], im, sx-0.5, sy-0.5)
			}
		}
	}
}

// bilinearPixel mixes 2x2 pixels. Values are truncated, as Pillow does.
func bilinearPixel(dst []uint8, im *Image, x, y float64) {
	x0, y0 := math.Floor(x), math.Floor(y)
	dx, dy := x-x0, y-y0
	left, right := im.clampX(int(x0)), im.clampX(int(x0)+1)
	above, below := im.clampY(int(y0)), im.clampY(int(y0)+1)
	for c := range dst {
		mix := func(row int) float64 {
			a, b := float64(im.Pix[row+left+c]), float64(im.Pix[row+right+c])
			return a + float64((b-a)*dx)
		}
		a := mix(above)
		dst[c] = uint8(a + float64((mix(below)-a)*dy))
	}
}

// bicubicPixel mixes 4x4 pixels with Keys' cubic of a = -1, as Pillow's transform (its resize has
// -0.5).
func bicubicPixel(dst []uint8, im *Image, x, y float64) {
	x0, y0 := math.Floor(x), math.Floor(y)
	dx, dy := x-x0, y-y0
	var columns, rows [4]int
	for i := range 4 {
		columns[i], rows[i] = im.clampX(int(x0)-1+i), im.clampY(int(y0)-1+i)
	}
	for c := range dst {
		var v [4]float64
		for i, row := range rows {
			v[i] = cubic(float64(im.Pix[row+columns[0]+c]), float64(im.Pix[row+columns[1]+c]),
				float64(im.Pix[row+columns[2]+c]), float64(im.Pix[row+columns[3]+c]), dx)
		}
		dst[c] = uint8(min(max(cubic(v[0], v[1], v[2], v[3], dy), 0), 255))
	}
}

// cubic is the polynomial through the four values, d of the way from the second to the third. The
// conversions keep products from being fused with sums.
func cubic(v1, v2, v3, v4, d float64) float64 {
	p2 := -v1 + v3
	p3 := float64(2*(v1-v2)) + v3 - v4
	p4 := -v1 + v2 - v3 + v4
	return v2 + float64(d*(p2+float64(d*(p3+float64(d*p4)))))
}

// clampX returns the offset in a row of the nearest column there is.
func (im *Image) clampX(x int) int { return min(max(x, 0), im.W-1) * im.C }

// clampY returns the offset of the nearest row there is.
func (im *Image) clampY(y int) int { return min(max(y, 0), im.H-1) * im.W * im.C }
