package analysis

import (
	"context"
	"fmt"
	"image"
	"math"
	"slices"

	"ibot/imaging"
	"ibot/internal/chart"
)

func init() {
	Register(Study{
		Name:  "similar",
		Short: "where other images look like one patch of the first",
		Long: "Compares a patch of the first image with all patches of the others: heat\n" +
			"maps of the cosine similarity of their tokens. The patch is the one at --at,\n" +
			"or the one that [CLS] attends to most; a frame shows it, and the best patch\n" +
			"of each image.",
		New: func() Runner { return &similarStudy{At: []float64{}, Images: 12} },
	})
}

// similarStudy compares one patch with all.
type similarStudy struct {
	At      []float64 `name:"at" group:"Similar" arg:"X Y" range:"[0,1]" empty:"true" help:"place of the patch in the first image, as shares of its width and height; without: where [CLS] looks most"`
	Images  int       `name:"images" range:"[1,64]" help:"how many images are drawn, the first among them"`
	ImgSize int       `name:"img_size" range:"[0,8192]" help:"shorter side of the images in pixels; 0: 480, or twice what the network was trained on where that is below 96"`
}

// Run implements [Runner].
func (s *similarStudy) Run(ctx context.Context, in Input) (*Result, error) {
	if len(s.At) != 0 && len(s.At) != 2 {
		return nil, fmt.Errorf("analysis: --at has %d numbers; want two, shares of the width and of the height such as 0.5 0.5", len(s.At))
	}
	shown, err := in.choose(ctx, s.Images)
	if err != nil {
		return nil, err
	}
	images, patches := make([]*imaging.Image, len(shown)), make([]*Patches, len(shown))
	set := in.begin("similar", len(shown))
	for i, one := range shown {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if images[i], err = in.Net.frame(one.Image, in.Net.side(s.ImgSize)); err == nil {
			patches[i], err = in.Net.Patches(images[i])
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.Name, err)
		}
		set(i + 1)
	}
	query, err := s.query(in.Net, images[0], patches[0])
	if err != nil {
		return nil, err
	}
	maps := make([][]float64, len(shown))
	for i, p := range patches {
		maps[i] = Similarities(patches[0].Row(query), p)
	}
	f, err := similarFigure(shown, images, patches, maps, query)
	if err != nil {
		return nil, err
	}
	best := make([]map[string]any, len(shown))
	for i, m := range maps {
		at := argmax(m)
		best[i] = map[string]any{"image": shown[i].Index, "name": shown[i].Name, "patch": at, "similarity": m[at]}
	}
	cols := patches[0].Cols
	return &Result{
		Figures: []Figure{f},
		Lines:   []string{fmt.Sprintf("patch in row %d, column %d of %s", query/cols+1, query%cols+1, shown[0].Name)},
		Values:  map[string]any{"row": query / cols, "col": query % cols, "best": best},
	}, nil
}

// query is the number of the patch that is looked for.
func (s *similarStudy) query(n *Net, im *imaging.Image, p *Patches) (int, error) {
	if len(s.At) == 2 {
		col, row := int(s.At[0]*float64(p.Cols)), int(s.At[1]*float64(p.Rows))
		return min(row, p.Rows-1)*p.Cols + min(col, p.Cols-1), nil
	}
	maps, err := Attention(n.Backbone, []*imaging.Image{im}, n.Mean, n.Std, n.Device)
	if err != nil {
		return 0, fmt.Errorf("%w; choose the patch with --at", err)
	}
	return argmax(maps[0].Mean()), nil
}

// argmax is the place of the first largest value; 0 where all are NaN.
func argmax(values []float64) int {
	best := 0
	for i, v := range values {
		if v > values[best] || math.IsNaN(values[best]) && !math.IsNaN(v) {
			best = i
		}
	}
	return best
}

// Similarities are the cosines between a token and those of all patches of p.
func Similarities(token []float32, p *Patches) []float64 {
	out := make([]float64, p.Len())
	for i := range out {
		out[i] = cosine(token, p.Row(i))
	}
	return out
}

const similarColumns = 6

// similarFigure draws the images and, below them, their heat maps, on one scale for all.
func similarFigure(shown []Shown, images []*imaging.Image, patches []*Patches, maps [][]float64, query int) (Figure, error) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, m := range maps {
		low, high = min(low, slices.Min(m)), max(high, slices.Max(m))
	}
	f := Figure{Name: "similar"}
	f.Title = "Similarity to one patch of the first image"
	f.Caption = "Cosine similarity of each patch with the framed patch of the first image. Frames mark the most similar patch of each image."
	f.Cell = 200
	f.Scale = &chart.Scale{Low: fmt.Sprintf("%.2f", low), High: fmt.Sprintf("%.2f", high), Unit: "cosine", Opacity: similarOpacity}
	f.Below = [][]string{}
	for start := 0; start < len(shown); start += similarColumns {
		var above, heat []image.Image
		var names, values []string
		for i := start; i < min(start+similarColumns, len(shown)); i++ {
			at, p := argmax(maps[i]), patches[i]
			if i == 0 {
				at = query
			}
			plain, err := similarHeat(images[i], p, maps[i], low, high)
			if err != nil {
				return f, err
			}
			picture := enlargedTo(images[i], f.Cell)
			framePatch(picture, p, at)
			framePatch(plain, p, at)
			above, heat = append(above, picture), append(heat, plain)
			names, values = append(names, shown[i].Name), append(values, fmt.Sprintf("%.2f", maps[i][at]))
		}
		f.Cells = append(f.Cells, above, heat)
		f.Below = append(f.Below, names, values)
	}
	return f, nil
}

const similarOpacity = 0.75

// similarHeat is the map of one image over the image in gray.
func similarHeat(im *imaging.Image, p *Patches, values []float64, low, high float64) (*image.NRGBA, error) {
	size := enlargedTo(im, 200).Bounds().Size()
	return chart.Heat(values, p.Cols, p.Rows, chart.HeatOptions{
		Width: size.X, Height: size.Y, Low: low, High: high, Blocks: true, Under: pale(im.ToImage()), Opacity: similarOpacity,
	})
}

// enlargedTo is the image with a longer side of the given number of pixels.
func enlargedTo(im *imaging.Image, longer int) *image.NRGBA {
	big := shown(im, longer)
	out := image.NewNRGBA(big.Rect)
	for i := range out.Pix { // opaque, so the same bytes
		out.Pix[i] = big.Pix[i]
	}
	return out
}

// framePatch draws a frame around a patch, white and black so that it shows on everything.
func framePatch(img *image.NRGBA, p *Patches, at int) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	r := image.Rect(at%p.Cols*w/p.Cols, at/p.Cols*h/p.Rows, (at%p.Cols+1)*w/p.Cols, (at/p.Cols+1)*h/p.Rows)
	chart.Frame(img, r.Inset(-3), 3, ink)
	chart.Frame(img, r.Inset(-1), 2, paper)
}
