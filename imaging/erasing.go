package imaging

import (
	"fmt"
	"math"
)

// Erasing holds the settings of random erasing (Zhong et al. 2017), as timm has them.
type Erasing struct {
	Prob     float64    // that an image is erased at all
	Area     [2]float64 // the share of the image that a box takes
	Aspect   [2]float64 // height over width of a box, drawn evenly in its logarithm
	MaxBoxes int        // boxes are 1 to so many, which share the area
}

// DefaultErasing returns timm's settings with the given probability: one box, of 2 to 33 % of the
// image, three times as high as wide at most or the other way round.
func DefaultErasing(prob float64) Erasing {
	return Erasing{Prob: prob, Area: [2]float64{0.02, 1. / 3}, Aspect: [2]float64{0.3, 1 / 0.3}, MaxBoxes: 1}
}

// Draw returns the boxes to erase of an image of w x h, none where it stays whole. A box that does
// not fit after ten attempts is left out.
func (e Erasing) Draw(r Rand, w, h int) []Box {
	if r.Float64() >= e.Prob {
		return nil
	}
	n := 1
	if e.MaxBoxes > 1 {
		n += r.IntN(e.MaxBoxes)
	}
	var boxes []Box
	for range n {
		for range 10 {
			area := uniform(r, e.Area[0], e.Area[1]) * float64(w) * float64(h) / float64(n)
			aspect := math.Exp(uniform(r, math.Log(e.Aspect[0]), math.Log(e.Aspect[1])))
			bh := int(math.RoundToEven(math.Sqrt(area * aspect)))
			bw := int(math.RoundToEven(math.Sqrt(area / aspect)))
			if bw > 0 && bh > 0 && bw < w && bh < h {
				top := r.IntN(h - bh + 1)
				boxes = append(boxes, Box{Left: r.IntN(w - bw + 1), Top: top, Width: bw, Height: bh})
				break
			}
		}
	}
	return boxes
}

// EraseCHW replaces b in c planes of h x w normalised floats by normal noise, a value for each, as
// timm's mode "pixel". It panics where the box leaves the planes or dst has another length.
func EraseCHW(dst []float32, c, h, w int, b Box, r Rand) {
	if len(dst) != c*h*w || !b.inside(&Image{W: w, H: h, C: c}) {
		panic(fmt.Sprintf("imaging: cannot erase %+v of %d floats as %dx%dx%d", b, len(dst), c, h, w))
	}
	for plane := range c {
		for y := b.Top; y < b.Top+b.Height; y++ {
			row := dst[(plane*h+y)*w+b.Left:][:b.Width]
			for x := range row {
				row[x] = float32(normal(r))
			}
		}
	}
}
