package chart

import (
	"fmt"
	"image"
	"image/color"
	"math"

	"golang.org/x/image/draw"
)

// HeatOptions say how Heat looks.
type HeatOptions struct {
	Width, Height int         // pixels; 0 for those of Under, or else for one to each value
	Low, High     float64     // values of the darkest and the brightest colour; equal for those of the map
	Blocks        bool        // draw each value as a rectangle of one colour instead of blending neighbours
	Under         image.Image // drawn below the colours, scaled to the size
	Opacity       float64     // of the colours over Under; 0 for 0.6
}

// Heat shows a map of w x h values, row by row, in the colours of Viridis: dark blue for low, green, and
// yellow for high, in even steps to the eye with any kind of colour vision. Values that are NaN or
// infinite have no colour: Under shows there, or grey.
//
// It fails where the map does not have w x h values or the picture would have more than 2^26 pixels.
func Heat(values []float64, w, h int, o HeatOptions) (*image.NRGBA, error) {
	if w < 1 || h < 1 || len(values)/w != h || len(values)%w != 0 {
		return nil, fmt.Errorf("chart: want %d x %d values for a heat map, found %d", w, h, len(values))
	}
	width, height := w, h
	if o.Under != nil {
		width, height = o.Under.Bounds().Dx(), o.Under.Bounds().Dy()
	}
	if o.Width > 0 {
		width = o.Width
	}
	if o.Height > 0 {
		height = o.Height
	}
	if width < 1 || height < 1 || width > maxPixels/height {
		return nil, fmt.Errorf("chart: want a heat map of 1 to %d pixels, found %d x %d", maxPixels, width, height)
	}
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	opacity := 1.0
	if o.Under == nil {
		draw.Draw(img, img.Bounds(), image.NewUniform(color.Gray{0x99}), image.Point{}, draw.Src)
	} else {
		place(img, img.Bounds(), o.Under)
		if opacity = 0.6; o.Opacity > 0 {
			opacity = min(o.Opacity, 1)
		}
	}
	low, high := o.Low, o.High
	if low == high {
		low, high = limits(values)
	}
	at := blend
	if o.Blocks {
		at = block
	}
	for y := range height {
		for x := range width {
			v := at(values, w, h, (float64(x)+0.5)/float64(width)*float64(w), (float64(y)+0.5)/float64(height)*float64(h))
			if math.IsNaN(v) || math.IsInf(v, 0) {
				continue
			}
			t := 0.0
			if high > low {
				t = v/(high-low) - low/(high-low)
			}
			img.SetNRGBA(x, y, Mix(img.NRGBAAt(x, y), Viridis(t), opacity))
		}
	}
	return img, nil
}

// Resample brings a map of w x h values, row by row, to width x height, as Heat does: bilinear between the
// middles of the cells, NaN where a value that is needed is.
func Resample(values []float64, w, h, width, height int) ([]float64, error) {
	if w < 1 || h < 1 || len(values) != w*h || width < 1 || height < 1 || width > maxPixels/height {
		return nil, fmt.Errorf("chart: cannot bring %d values of a map of %d x %d to %d x %d", len(values), w, h, width, height)
	}
	out := make([]float64, width*height)
	for i := range out {
		x, y := float64(i%width)+0.5, float64(i/width)+0.5
		out[i] = blend(values, w, h, x/float64(width)*float64(w), y/float64(height)*float64(h))
	}
	return out, nil
}

// limits is the range of the finite values.
func limits(values []float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			low, high = min(low, v), max(high, v)
		}
	}
	return low, high
}

// block is the value of the cell that (x, y) lies in; cell (0, 0) is the square from 0 to 1.
func block(values []float64, w, h int, x, y float64) float64 {
	return values[min(int(y), h-1)*w+min(int(x), w-1)]
}

// blend is the bilinear interpolation between the middles of cells, NaN where a cell that it needs is.
func blend(values []float64, w, h int, x, y float64) float64 {
	x, y = min(max(x-0.5, 0), float64(w-1)), min(max(y-0.5, 0), float64(h-1))
	x0, y0 := int(x), int(y)
	fx, fy := x-float64(x0), y-float64(y0)
	x1, y1 := x0, y0
	if fx > 0 { // not where its weight is 0, which times NaN is NaN
		x1++
	}
	if fy > 0 {
		y1++
	}
	upper := values[y0*w+x0]*(1-fx) + values[y0*w+x1]*fx
	lower := values[y1*w+x0]*(1-fx) + values[y1*w+x1]*fx
	return upper*(1-fy) + lower*fy
}

// Mix is share of b and the rest of a, which is opaque.
func Mix(a, b color.NRGBA, share float64) color.NRGBA {
	one := func(a, b uint8) uint8 { return uint8(float64(a)*(1-share) + float64(b)*share + 0.5) }
	return color.NRGBA{one(a.R, b.R), one(a.G, b.G), one(a.B, b.B), 0xff}
}

// Viridis is the colour of t in [0, 1]; what is outside has the colour of the nearer end. The map is that
// of van der Walt and Smith (2015), within 5 of 255 in each channel.
func Viridis(t float64) color.NRGBA {
	at := min(max(t, 0), 1) * float64(len(viridis)-1)
	i := min(int(at), len(viridis)-2)
	return Mix(viridis[i], viridis[i+1], at-float64(i))
}

// viridis is every 15th of the map's 256 colours.
var viridis = [18]color.NRGBA{
	{0x44, 0x01, 0x54, 0xff},
	{0x48, 0x17, 0x69, 0xff},
	{0x47, 0x2a, 0x7a, 0xff},
	{0x43, 0x3d, 0x84, 0xff},
	{0x3d, 0x4e, 0x8a, 0xff},
	{0x35, 0x5e, 0x8d, 0xff},
	{0x2e, 0x6d, 0x8e, 0xff},
	{0x29, 0x7b, 0x8e, 0xff},
	{0x23, 0x89, 0x8e, 0xff},
	{0x1f, 0x97, 0x8b, 0xff},
	{0x21, 0xa5, 0x85, 0xff},
	{0x2e, 0xb3, 0x7c, 0xff},
	{0x46, 0xc0, 0x6f, 0xff},
	{0x65, 0xcb, 0x5e, 0xff},
	{0x89, 0xd5, 0x48, 0xff},
	{0xb0, 0xdd, 0x2f, 0xff},
	{0xd8, 0xe2, 0x19, 0xff},
	{0xfd, 0xe7, 0x25, 0xff},
}
