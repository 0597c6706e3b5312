package analysis

import (
	"context"
	"fmt"
	"image"
	"slices"

	"ibot/data"
	"ibot/imaging"
	"ibot/internal/chart"
)

func init() {
	Register(Study{
		Name:  "patterns",
		Short: "what the clusters of the head gather: patches, or whole images",
		Long: "Sorts all patches of a set (or, with --of cls, the images) into the clusters\n" +
			"of the projection head, each into that of its largest logit, and draws the\n" +
			"ones with the highest logits, at most one an image, within their\n" +
			"surroundings. The set may have any size; memory does not grow with it. With\n" +
			"labels, the purity of a cluster is the share of its most frequent class.",
		New: func() Runner {
			return &patternsStudy{Of: "patches", Order: "populous", Clusters: 12, Top: 12, Context: 5, Least: 10, Temp: 0.1, Darkest: 40}
		},
	})
}

// patternsStudy draws clusters.
type patternsStudy struct {
	Of       string  `name:"of" group:"Patterns" choices:"patches,cls" help:"sort patches, or the [CLS] tokens of images"`
	Order    string  `name:"order" choices:"populous,pure,mixed,confident,unsure" help:"which clusters are drawn first"`
	Clusters int     `name:"clusters" range:"[1,200]" help:"how many clusters are drawn"`
	Top      int     `name:"topk" range:"[1,64]" help:"tokens drawn of each"`
	Context  int     `name:"context" range:"[1,64]" help:"patches a side that are shown around a patch"`
	Least    int     `name:"least" range:"[1,)" help:"tokens that a cluster must have to be drawn, where any has so many"`
	Darkest  float64 `name:"darkest" range:"[0,255]" help:"surroundings whose brightness (the V of HSV, on average) is at most this are not drawn; they tell nothing"`
	Centered bool    `name:"centered" help:"subtract the center of the loss from the logits, as the teacher's targets do; the reference's patterns do not"`
	Temp     float64 `name:"temp" range:"(0,)" help:"temperature of the confidence; the student's is 0.1"`
	Most     int     `name:"images" range:"[0,)" help:"images that are looked through at most; 0: all"`
}

// Run implements [Runner].
func (s *patternsStudy) Run(ctx context.Context, in Input) (*Result, error) {
	cls := s.Of == "cls"
	ds := in.Images
	if s.Most > 0 && s.Most < ds.Len() {
		ds = data.Subset(ds, alternatingOrInOrder(in, s.Most))
	}
	p, bad, err := in.gatherPatterns(ctx, ds, cls, s.Centered, 2*s.Top, s.Temp) // twice as many as are drawn: some are too dark
	if err != nil {
		return nil, err
	}
	clusters := p.Clusters()
	f, drawn, err := s.draw(in, ds, clusters)
	if err != nil {
		return nil, err
	}
	what := "patches"
	if cls {
		what = "images"
	}
	r := &Result{
		Figures: []Figure{*f},
		Lines: []string{fmt.Sprintf("%d %s of %d images lie in %d of %d clusters; as many as %.0f of equal size",
			p.Tokens(), what, ds.Len()-len(bad), len(clusters), p.K, Used(clusters))},
		Values: map[string]any{
			"of": s.Of, "images": ds.Len() - len(bad), "tokens": p.Tokens(), "outputs": p.K, "clusters": len(clusters),
			"used": Used(clusters), "drawn": clusterValues(ds, drawn), "bad_images": len(bad),
		},
	}
	if purity := MeanPurity(clusters); purity == purity {
		r.Values["purity"] = purity
		r.Lines = append(r.Lines, fmt.Sprintf("purity %.1f %%: so many are of the most frequent class of their cluster (%d classes; clusters of one or two %s count as pure)",
			100*purity, len(ds.Classes()), what))
	}
	return r, nil
}

// alternatingOrInOrder numbers n images of the set: evenly from its classes, or evenly from its whole length.
func alternatingOrInOrder(in Input, n int) []int {
	var images []int
	if len(in.Images.Classes()) > 0 {
		images = alternating(in.Images, data.Order(in.Seed, 0, in.Images.Len()))[:n]
		slices.Sort(images)
		return images
	}
	for i := range n {
		images = append(images, i*in.Images.Len()/n)
	}
	return images
}

// draw draws a row for each chosen cluster, and returns the clusters that it drew.
func (s *patternsStudy) draw(in Input, ds data.Dataset, clusters []Cluster) (*Figure, []Cluster, error) {
	least := min(s.Least, clusters[0].Count) // populous ones are first
	chosen := slices.DeleteFunc(slices.Clone(clusters), func(c Cluster) bool { return c.Count < least })
	if err := order(chosen, s.Order); err != nil {
		return nil, nil, err
	}
	chosen = chosen[:min(len(chosen), s.Clusters)]
	f := &Figure{Name: "patterns_" + s.Of}
	f.Title = "Clusters of patches"
	f.Caption = "A row is a cluster of the head: its number, its share of all patches, how sure the head is of it. " +
		"The framed patches have its highest logits, each from another image."
	f.Cell = 96
	if s.Of == "cls" {
		f.Title = "Clusters of images"
		f.Caption = "A row is a cluster of the head: its number, its share of all images, how sure the head is of it. " +
			"The images have its highest logits."
	}
	if s.Order != "populous" {
		f.Title += ", the most " + s.Order + " first"
		f.Name += "_" + s.Order
	}
	if len(ds.Classes()) > 0 {
		f.Caption += " The last line is the most frequent class of the cluster and its share."
	}
	total := 0
	for _, c := range clusters {
		total += c.Count
	}
	set := in.begin("drawing", len(chosen))
	for i, c := range chosen {
		pictures, err := s.pictures(in, ds, c)
		if err != nil {
			return nil, nil, err
		}
		caption := fmt.Sprintf("no. %d: %.1f %%\nsure %.0f %%", c.Index, 100*float64(c.Count)/float64(total), 100*c.Confidence)
		if share, class := c.Purity(); class >= 0 {
			caption += fmt.Sprintf("\n%.14s %.0f %%", ds.Classes()[class], 100*share)
		}
		f.addRow(caption, pictures...)
		set(i + 1)
	}
	return f, chosen, nil
}

// pictures are the tokens of a cluster, each in its surroundings. Images that cannot be read any more and dark
// surroundings are passed over, unless nothing else is there.
func (s *patternsStudy) pictures(in Input, ds data.Dataset, c Cluster) ([]image.Image, error) {
	var light, dark []image.Image
	for _, t := range c.Top {
		im, err := ds.Load(t.Image)
		if err != nil {
			continue
		}
		picture, bright := s.surroundings(in.Net, in.Net.transform().Pixels(im), t)
		if bright > s.Darkest {
			light = append(light, picture)
		} else {
			dark = append(dark, picture)
		}
		if len(light) == s.Top {
			break
		}
	}
	if light = append(light, dark...); len(light) == 0 {
		return nil, fmt.Errorf("analysis: the images of cluster %d cannot be read any more", c.Index)
	}
	return light[:min(len(light), s.Top)], nil
}

// surroundings are the patches around a token, which is framed, or for [CLS] the whole image; and their mean
// brightness. At the border of the image the window is moved inwards.
func (s *patternsStudy) surroundings(n *Net, im *imaging.Image, t Token) (image.Image, float64) {
	if t.Patch < 0 {
		return enlargedTo(im, 96), brightness(im)
	}
	rows, cols := n.Backbone.Grid(im.H, im.W)
	window := func(at, n int) (from, size int) {
		size = min(s.Context, n)
		return min(max(at-size/2, 0), n-size), size
	}
	top, h := window(t.Patch/cols, rows)
	left, w := window(t.Patch%cols, cols)
	ph, pw := im.H/rows, im.W/cols // of a patch, in pixels
	im = im.Crop(imaging.Box{Left: left * pw, Top: top * ph, Width: w * pw, Height: h * ph})
	picture := enlargedTo(im, 96)
	size := picture.Rect.Size()
	row, col := t.Patch/cols-top, t.Patch%cols-left
	r := image.Rect(col*size.X/w, row*size.Y/h, (col+1)*size.X/w, (row+1)*size.Y/h)
	chart.Frame(picture, r.Inset(-2), 2, ink)
	chart.Frame(picture, r, 2, chart.Palette(4))
	return picture, brightness(im)
}

// brightness is the mean over all pixels of the largest channel, as V of HSV.
func brightness(im *imaging.Image) float64 {
	sum := 0
	for i := 0; i < len(im.Pix); i += im.C {
		sum += int(slices.Max(im.Pix[i : i+im.C]))
	}
	return float64(sum) / float64(im.W*im.H)
}

// clusterValues are clusters for machines.
func clusterValues(ds data.Dataset, clusters []Cluster) []map[string]any {
	values := make([]map[string]any, len(clusters))
	for i, c := range clusters {
		top := make([]map[string]any, len(c.Top))
		for k, t := range c.Top {
			top[k] = map[string]any{"image": ds.Name(t.Image), "patch": t.Patch, "logit": t.Score}
		}
		values[i] = map[string]any{"cluster": c.Index, "tokens": c.Count, "confidence": c.Confidence, "top": top}
		if share, class := c.Purity(); class >= 0 {
			values[i]["purity"], values[i]["class"] = share, ds.Classes()[class]
		}
	}
	return values
}
