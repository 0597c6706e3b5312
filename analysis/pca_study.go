package analysis

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"math"

	"ibot/imaging"
	"ibot/internal/chart"
	"ibot/metrics"
)

func init() {
	Register(Study{
		Name:  "pca",
		Short: "the principal components of patches as colours",
		Long: "Finds the principal components of the patch tokens of all images together.\n" +
			"The first one is divided in two (Otsu's threshold): the side that touches\n" +
			"the borders of the images less is the foreground. The first three components\n" +
			"of the foreground's patches alone are shown as red, green and blue, and each\n" +
			"by itself. Equal colours in different images mean equal features.",
		New: func() Runner { return &pcaStudy{Images: 8} },
	})
}

// pcaStudy colours patches.
type pcaStudy struct {
	Images  int  `name:"images" group:"PCA" range:"[1,64]" help:"how many images share the components, one a class in turn"`
	ImgSize int  `name:"img_size" range:"[0,8192]" help:"shorter side of the images in pixels; 0: 480, or twice what the network was trained on where that is below 96"`
	All     bool `name:"all" help:"take the components of all patches, not of the foreground's alone"`
}

// Run implements [Runner].
func (s *pcaStudy) Run(ctx context.Context, in Input) (*Result, error) {
	shown, err := in.choose(ctx, s.Images)
	if err != nil {
		return nil, err
	}
	c := &coloured{all: s.All}
	set := in.begin("pca", len(shown))
	for i, one := range shown {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		im, err := in.Net.frame(one.Image, in.Net.side(s.ImgSize))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.Name, err)
		}
		p, err := in.Net.Patches(im)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.Name, err)
		}
		c.images, c.patches, c.names = append(c.images, im), append(c.patches, p), append(c.names, one.Name)
		set(i + 1)
	}
	if err := c.find(); err != nil {
		return nil, err
	}
	f, err := c.figure()
	if err != nil {
		return nil, err
	}
	shares := make([]float64, len(c.second.Variance))
	for i, v := range c.second.Variance {
		shares[i] = v / c.second.Total
	}
	line := fmt.Sprintf("the first component has %.0f %% of the variance of all patches; ", 100*c.first.Variance[0]/c.first.Total)
	if c.all && !s.All {
		line += "it does not divide the images into foreground and background, so the colours are those of all patches"
	} else {
		line += fmt.Sprintf("%.0f %% of them are foreground", 100*c.share())
	}
	return &Result{
		Figures: []Figure{f},
		Lines:   []string{line},
		Values:  map[string]any{"first": c.first.Variance[0] / c.first.Total, "foreground": c.share(), "components": shares},
	}, nil
}

// coloured are images with the components of their patches.
type coloured struct {
	all     bool // colour all patches; set where there is no foreground
	names   []string
	images  []*imaging.Image
	patches []*Patches

	first, second *PCA        // of all patches, and of the foreground's
	one           [][]float64 // the first component of each patch, an image after the other
	foreground    [][]bool
	three         [][][]float64 // the second PCA's, of each patch
}

// find finds the components and the foreground.
func (c *coloured) find() (err error) {
	var rows []float32
	for _, p := range c.patches {
		rows = append(rows, p.X...)
	}
	D := c.patches[0].Dim
	if c.first, err = NewPCA(rows, D, 3); err != nil {
		return err
	}
	var all []float64
	for _, p := range c.patches {
		one := make([]float64, p.Len())
		for i := range one {
			one[i] = c.first.Project(p.Row(i))[0]
		}
		c.one, all = append(c.one, one), append(all, one...)
	}
	c.split(otsu(all))
	if !c.divides() {
		c.all = true
	}
	var front []float32
	for i, p := range c.patches {
		for k, on := range c.foreground[i] {
			if on || c.all {
				front = append(front, p.Row(k)...)
			}
		}
	}
	if c.second, err = NewPCA(front, D, 3); err != nil {
		return err
	}
	for _, p := range c.patches {
		three := make([][]float64, p.Len())
		for k := range three {
			three[k] = c.second.Project(p.Row(k))
		}
		c.three = append(c.three, three)
	}
	return nil
}

// split divides the patches at a threshold of the first component. Background is the side with the larger
// share of the patches at the border; the first component is turned so that the foreground is high.
func (c *coloured) split(threshold float64) {
	var high, border, inner, highInner float64
	for i, p := range c.patches {
		for k, v := range c.one[i] {
			on := 0.0
			if v > threshold {
				on = 1
			}
			row, col := k/p.Cols, k%p.Cols
			if row == 0 || col == 0 || row == p.Rows-1 || col == p.Cols-1 {
				border, high = border+1, high+on
			} else {
				inner, highInner = inner+1, highInner+on
			}
		}
	}
	turn := 1.0
	if high*max(inner, 1) > highInner*border { // the high side prefers the border
		turn = -1
	}
	for _, one := range c.one {
		fore := make([]bool, len(one))
		for k := range one {
			one[k] *= turn
			fore[k] = one[k] > turn*threshold
		}
		c.foreground = append(c.foreground, fore)
	}
}

// divides reports whether at least half of the images have a foreground and a background: each a twentieth
// of the patches or more. The first component of a small network rather tells image from image.
func (c *coloured) divides() bool {
	both := 0
	for _, fore := range c.foreground {
		on := 0
		for _, f := range fore {
			if f {
				on++
			}
		}
		if 20*on >= len(fore) && 20*on <= 19*len(fore) {
			both++
		}
	}
	return 2*both >= len(c.foreground)
}

// share is the foreground's of all patches.
func (c *coloured) share() float64 {
	on, all := 0, 0
	for _, fore := range c.foreground {
		for _, f := range fore {
			all++
			if f {
				on++
			}
		}
	}
	return float64(on) / float64(all)
}

const pcaCell = 160

// figure draws a row for each image.
func (c *coloured) figure() (Figure, error) {
	f := Figure{Name: "pca"}
	f.Title = "Principal components of the patches, shared by all images"
	f.Columns = []string{"image", "component 1", "high side", "1, 2, 3 as RGB"}
	f.Caption = "The first component of all patches; the patches on its high side, the foreground; and, for these alone, " +
		"their own first three components as red, green and blue, and each by itself from dark (low) to bright (high)."
	if c.all {
		f.Caption = "The first component of all patches; the patches on its high side; and the first three components " +
			"of all patches as red, green and blue, and each by itself from dark (low) to bright (high)."
	}
	for k := range c.second.Components {
		f.Columns = append(f.Columns, fmt.Sprintf("%d (%.0f %%)", k+1, 100*c.second.Variance[k]/c.second.Total))
	}
	f.Cell = pcaCell
	f.Scale = &chart.Scale{Low: "low", High: "high"}
	limits := c.limits()
	low, high := percentiles(c.one)
	for i, im := range c.images {
		p := c.patches[i]
		hidden := make([]bool, p.Len())
		for k := range hidden {
			hidden[k] = !c.foreground[i][k]
		}
		first, err := chart.Heat(c.one[i], p.Cols, p.Rows, chart.HeatOptions{Low: low, High: high, Blocks: true})
		if err != nil {
			return f, err
		}
		fore, err := chart.MaskOverlay(im.ToImage(), hidden, p.Rows, p.Cols)
		if err != nil {
			return f, err
		}
		row := []image.Image{im.ToImage(), first, fore, c.rgb(i, limits)}
		for k := range c.second.Components {
			values := make([]float64, p.Len())
			for at := range values {
				if values[at] = c.three[i][at][k]; !c.shows(i, at) {
					values[at] = math.NaN()
				}
			}
			heat, err := chart.Heat(values, p.Cols, p.Rows, chart.HeatOptions{Low: limits[k][0], High: limits[k][1], Blocks: true})
			if err != nil {
				return f, err
			}
			row = append(row, heat)
		}
		f.addRow(c.names[i], row...)
	}
	return f, nil
}

// shows reports whether a patch has colours of the second components.
func (c *coloured) shows(i, patch int) bool { return c.all || c.foreground[i][patch] }

// limits are the values of each second component that stand for its darkest and brightest colour.
func (c *coloured) limits() (limits [][2]float64) {
	for k := range c.second.Components {
		var values []float64
		for i, three := range c.three {
			for at, v := range three {
				if c.shows(i, at) {
					values = append(values, v[k])
				}
			}
		}
		low, high := percentiles([][]float64{values})
		limits = append(limits, [2]float64{low, high})
	}
	return limits
}

// percentiles are the values below which 2 and 98 percent lie, so that a few patches do not take all the colours.
func percentiles(values [][]float64) (low, high float64) {
	var all []float64
	for _, v := range values {
		all = append(all, v...)
	}
	if len(all) == 0 {
		return 0, 1
	}
	return metrics.Percentile(all, 2), metrics.Percentile(all, 98)
}

// rgb is image i with a pixel for each patch.
func (c *coloured) rgb(i int, limits [][2]float64) *image.NRGBA {
	p := c.patches[i]
	img := image.NewNRGBA(image.Rect(0, 0, p.Cols, p.Rows))
	for at, v := range c.three[i] {
		pixel := color.NRGBA{0x99, 0x99, 0x99, 0xff}
		if c.shows(i, at) {
			rgb := [3]uint8{0x80, 0x80, 0x80}
			for k := range v {
				if width := limits[k][1] - limits[k][0]; width > 0 {
					rgb[k] = uint8(255*min(max((v[k]-limits[k][0])/width, 0), 1) + .5)
				}
			}
			pixel = color.NRGBA{rgb[0], rgb[1], rgb[2], 0xff}
		}
		img.SetNRGBA(at%p.Cols, at/p.Cols, pixel)
	}
	return img
}
