package analysis

import (
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"io"
	"math"
	"slices"

	"golang.org/x/image/draw"

	"ibot/imaging"
	"ibot/internal/chart"
)

// The 256 colours of an animated GIF are those of attention over a pale image and no others: animationGrays
// of its shades under animationHeats steps of viridis. So every frame has the same colours, and nothing
// flickers.
const (
	animationGrays = 16
	animationHeats = 16

	palest, darkest = 175, 80 // of pale
)

// animation collects frames of one size.
type animation struct {
	gif     gif.GIF
	palette color.Palette
}

func newAnimation(fps float64) *animation {
	a := &animation{}
	delay := max(2, int(math.Round(100/fps))) // hundredths of a second; browsers slow down what is faster
	a.gif.Delay = []int{delay}
	for g := range animationGrays {
		v := uint8(darkest + g*(palest-darkest)/(animationGrays-1))
		for h := range animationHeats {
			c := chart.Viridis(float64(h) / (animationHeats - 1))
			a.palette = append(a.palette, chart.Mix(color.NRGBA{v, v, v, 0xff}, c, attentionOpacity))
		}
	}
	return a
}

// fps is the frames a second that the delay of a GIF, which counts hundredths of a second, comes to.
func (a *animation) fps() float64 { return 100 / float64(a.gif.Delay[0]) }

// add appends a frame: the mean of the heads over the image in gray. Later frames take the size of the
// first.
func (a *animation) add(im *imaging.Image, m AttentionMap) error {
	size := image.Pt(m.Width, m.Height)
	if len(a.gif.Image) > 0 {
		size = a.gif.Image[0].Rect.Size()
	}
	mean := m.Mean()
	top := slices.Max(mean)
	heat := make([]float64, len(mean))
	for i, w := range mean {
		heat[i] = w / top
	}
	values, err := chart.Resample(heat, m.Cols, m.Rows, size.X, size.Y)
	if err != nil {
		return fmt.Errorf("analysis: %w", err)
	}
	under := image.NewGray(image.Rectangle{Max: size})
	draw.CatmullRom.Scale(under, under.Rect, pale(im.ToImage()), image.Rect(0, 0, m.Width, m.Height), draw.Src, nil)
	frame := image.NewPaletted(under.Rect, a.palette)
	for i := range frame.Pix {
		x, y := i%size.X, i/size.X
		threshold := bayer[y%4][x%4]
		g := dither((float64(under.Pix[y*under.Stride+x])-darkest)/(palest-darkest), animationGrays, threshold)
		h := 0
		if v := values[i]; !math.IsNaN(v) {
			h = dither(v, animationHeats, bayer[x%4][y%4])
		}
		frame.Pix[i] = uint8(g*animationHeats + h)
	}
	a.gif.Image = append(a.gif.Image, frame)
	return nil
}

// dither chooses one of n steps for a value in [0, 1]: the one above or the one below, by a threshold.
func dither(v float64, n int, threshold float64) int {
	return min(max(int(v*float64(n-1)+threshold), 0), n-1)
}

// bayer is the ordered dither of 4 x 4 pixels (Bayer 1973), as thresholds in (0, 1).
var bayer = func() (m [4][4]float64) {
	for y, row := range [4][4]float64{{0, 8, 2, 10}, {12, 4, 14, 6}, {3, 11, 1, 9}, {15, 7, 13, 5}} {
		for x, v := range row {
			m[y][x] = (v + .5) / 16
		}
	}
	return m
}()

// encode writes the GIF, which repeats for ever.
func (a *animation) encode(w io.Writer) error {
	g := a.gif
	g.Config = image.Config{ColorModel: a.palette, Width: g.Image[0].Rect.Dx(), Height: g.Image[0].Rect.Dy()}
	g.Delay = slices.Repeat(g.Delay[:1], len(g.Image))
	return gif.EncodeAll(w, &g)
}
