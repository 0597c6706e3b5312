package analysis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"slices"

	"golang.org/x/image/draw"

	"ibot/internal/chart"
)

func init() {
	Register(Study{
		Name:  "correspondence",
		Short: "which patches of two pictures the network takes for the same",
		Long: "Draws lines between patches of two views of one image, or of two images (of\n" +
			"one class, where there are classes), whose tokens have the largest scalar\n" +
			"product. Lines start at the patches that [CLS] attends to most. For two\n" +
			"views the true patch is known, and the accuracy over all patches that both\n" +
			"views show is measured.",
		New: func() Runner { return &correspondenceStudy{Of: "views", Images: 6, Measured: 50, Lines: 12} },
	})
}

// correspondenceStudy matches patches.
type correspondenceStudy struct {
	Of       string `name:"of" group:"Correspondence" choices:"views,images" help:"two views of one image, or two images"`
	Images   int    `name:"images" range:"[1,64]" help:"how many pairs are drawn"`
	Measured int    `name:"measured" range:"[0,)" help:"how many images the accuracy is measured on, for views"`
	Lines    int    `name:"lines" range:"[1,400]" help:"lines a pair at most"`
	Radius   int    `name:"radius" range:"[0,64]" help:"rows and columns that a match may be off and still count as right"`
	ImgSize  int    `name:"img_size" range:"[0,2048]" help:"side of the views in pixels, and shorter side of images; 0: what the network was trained on, doubled where that is below 96"`
}

// Run implements [Runner].
func (s *correspondenceStudy) Run(ctx context.Context, in Input) (*Result, error) {
	size := s.ImgSize
	if size == 0 {
		size = min(in.Net.side(0), max(in.Net.ImgSize, 2*smallImage))
	}
	if s.Of == "images" {
		return s.images(ctx, in, size)
	}
	shown, err := in.choose(ctx, max(s.Images, s.Measured))
	if err != nil {
		return nil, err
	}
	var pairs []*pair
	var accuracy, chance float64
	counted := 0
	set := in.begin("views", len(shown))
	for i, one := range shown {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := in.Net.matchViews(in.Seed, one, size)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.Name, err)
		}
		if len(pairs) < s.Images {
			pairs = append(pairs, p)
		}
		if a, c, of := p.accuracy(s.Radius); of > 0 {
			accuracy, chance, counted = accuracy+a, chance+c, counted+1
		}
		set(i + 1)
	}
	if counted == 0 {
		return nil, errors.New("analysis: the two views of no image overlap; take more images with --measured, or another --seed")
	}
	accuracy, chance = accuracy/float64(counted), chance/float64(counted)
	grid := pairs[0].patches[0]
	f := s.figure(pairs)
	f.Name, f.Title = "correspondence_views", "Patches of two views that the network takes for the same"
	f.Columns = []string{"blue lines are right, orange ones wrong"}
	f.Caption = fmt.Sprintf("Two views of each image. Over %d images %.1f %% of the patches that both views show are matched right (guessing: %.1f %%).",
		counted, 100*accuracy, 100*chance)
	return &Result{
		Figures: []Figure{f},
		Lines: []string{fmt.Sprintf("accuracy %.1f %% of patches, mean over %d images (guessing: %.1f %%; %d x %d patches, radius %d)",
			100*accuracy, counted, 100*chance, grid.Rows, grid.Cols, s.Radius)},
		Values: map[string]any{"accuracy": accuracy, "chance": chance, "images": counted, "radius": s.Radius, "img_size": size, "pairs": pairValues(pairs)},
	}, nil
}

// images matches pairs of images: two of a class, or neighbours in the order of the set.
func (s *correspondenceStudy) images(ctx context.Context, in Input, size int) (*Result, error) {
	couples, err := s.couples(ctx, in)
	if err != nil {
		return nil, err
	}
	var pairs []*pair
	set := in.begin("pairs", len(couples))
	for i, c := range couples {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := in.Net.matchImages(c[0], c[1], size)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, p)
		set(i + 1)
	}
	f := s.figure(pairs)
	f.Name, f.Title = "correspondence_images", "Patches of two images that the network takes for the same"
	f.Caption = "The patches of the left image that [CLS] attends to most, and the most similar patch of the right one."
	return &Result{Figures: []Figure{f}, Values: map[string]any{"img_size": size, "pairs": pairValues(pairs)}}, nil
}

// couples chooses the images of each pair.
func (s *correspondenceStudy) couples(ctx context.Context, in Input) (couples [][2]Shown, err error) {
	classes := len(in.Images.Classes())
	shown, err := in.choose(ctx, 2*max(s.Images, classes))
	if err != nil {
		return nil, err
	}
	waiting := map[int]Shown{}
	for _, one := range shown {
		other, ok := waiting[one.Label]
		if !ok {
			waiting[one.Label] = one
			continue
		}
		delete(waiting, one.Label)
		if couples = append(couples, [2]Shown{other, one}); len(couples) == s.Images {
			break
		}
	}
	if couples == nil {
		return nil, fmt.Errorf("analysis: among %d images there are no two to compare; give two images, or two of a class", len(shown))
	}
	return couples, nil
}

// accuracy is the share of right matches among the patches that have a true one, what guessing would give,
// and how many such patches there are.
func (p *pair) accuracy(radius int) (accuracy, chance float64, of int) {
	cols, all := p.patches[1].Cols, p.patches[1].Len()
	right, lucky := 0, 0
	for _, m := range p.matches {
		if m.True < 0 {
			continue
		}
		of++
		if m.Right(radius, cols) {
			right++
		}
		for to := range all {
			if (Match{To: to, True: m.True}).Right(radius, cols) {
				lucky++
			}
		}
	}
	if of == 0 {
		return 0, 0, 0
	}
	return float64(right) / float64(of), float64(lucky) / float64(of*all), of
}

// strongest returns the matches with the largest weights; of views only those with a true match.
func (p *pair) strongest(n int) []Match {
	known := slices.ContainsFunc(p.matches, func(m Match) bool { return m.True >= 0 })
	var out []Match
	for _, m := range p.matches {
		if !known || m.True >= 0 {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b Match) int { return cmp.Compare(b.Weight, a.Weight) })
	return out[:min(n, len(out))]
}

const (
	pairHeight = 256 // pixels
	pairGap    = 24
)

// figure draws each pair side by side, two pairs a row, with the lines between them.
func (s *correspondenceStudy) figure(pairs []*pair) Figure {
	f := Figure{}
	f.Below = [][]string{}
	for row := range slices.Chunk(pairs, 2) {
		var cells []image.Image
		var below []string
		for _, p := range row {
			picture := p.draw(s.Lines, s.Radius)
			f.Cell = max(f.Cell, picture.Bounds().Dx(), picture.Bounds().Dy())
			cells = append(cells, picture)
			caption := p.name
			if a, _, of := p.accuracy(s.Radius); of > 0 {
				caption = fmt.Sprintf("%s: %.0f %% of %d patches right", p.name, 100*a, of)
			}
			below = append(below, caption)
		}
		f.Cells, f.Below = append(f.Cells, cells), append(f.Below, below)
	}
	return f
}

// draw is both pictures and the lines between their patches.
func (p *pair) draw(lines, radius int) *image.NRGBA {
	var at [2]image.Rectangle
	x := 0
	for v, im := range p.images {
		width := max(1, im.W*pairHeight/im.H)
		at[v] = image.Rect(x, 0, x+width, pairHeight)
		x += width + pairGap
	}
	img := image.NewNRGBA(image.Rect(0, 0, x-pairGap, pairHeight))
	draw.Draw(img, img.Rect, image.NewUniform(paper), image.Point{}, draw.Src)
	for v, im := range p.images {
		big := shown(im, max(at[v].Dx(), at[v].Dy()))
		draw.Draw(img, at[v], big, image.Point{}, draw.Src)
	}
	place := func(v, patch int) (x, y float64) {
		g := p.patches[v]
		return float64(at[v].Min.X) + (float64(patch%g.Cols)+.5)/float64(g.Cols)*float64(at[v].Dx()),
			(float64(patch/g.Cols) + .5) / float64(g.Rows) * float64(at[v].Dy())
	}
	strongest := p.strongest(lines)
	for i := len(strongest) - 1; i >= 0; i-- { // the strongest on top
		m := strongest[i]
		c := chart.Palette(i)
		if m.True >= 0 {
			if c = chart.Palette(1); m.Right(radius, p.patches[1].Cols) {
				c = chart.Palette(0)
			}
		}
		x0, y0 := place(0, m.From)
		x1, y1 := place(1, m.To)
		for _, stroke := range []struct {
			width, radius float64
			c             color.NRGBA
		}{{5, 6, paper}, {2.5, 4.5, c}} {
			chart.Line(img, x0, y0, x1, y1, stroke.width, stroke.c)
			chart.Disc(img, x0, y0, stroke.radius, stroke.c)
			chart.Disc(img, x1, y1, stroke.radius, stroke.c)
		}
	}
	return img
}

// pairValues are the matches for machines.
func pairValues(pairs []*pair) []map[string]any {
	values := make([]map[string]any, len(pairs))
	for i, p := range pairs {
		to, right := make([]int, len(p.matches)), make([]int, len(p.matches))
		for k, m := range p.matches {
			to[k], right[k] = m.To, m.True
		}
		values[i] = map[string]any{"name": p.name, "rows": p.patches[0].Rows, "cols": p.patches[0].Cols, "match": to, "true": right}
	}
	return values
}
