package analysis

import (
	"context"
	"fmt"
	"image"
	"math"

	"ibot/data"
	"ibot/eval"
	"ibot/imaging"
	"ibot/internal/chart"
)

func init() {
	Register(Study{
		Name:  "map",
		Short: "all images of a set in the plane, like beside like",
		Long: "Lays the [CLS] features of a set, scaled to length 1, out in the plane: by\n" +
			"t-SNE (exact, from the principal components, nothing drawn at random), or by\n" +
			"the first two principal components themselves. Thumbnails are drawn where\n" +
			"there is room for them, framed in the colour of their class; the other\n" +
			"images are dots.",
		New: func() Runner { return &mapStudy{Method: "tsne", Images: 1000, Perplexity: 30, Steps: 1000, Thumbs: 64} },
	})
}

// mostMapped bounds the exact t-SNE, whose time and memory grow with the square of the number of images.
const mostMapped = 5000

// mapStudy lays images out.
type mapStudy struct {
	Method     string  `name:"method" group:"Map" choices:"tsne,pca" help:"how the features are brought to the plane"`
	Images     int     `name:"images" range:"[4,5000]" help:"images at most, evenly from all classes"`
	Perplexity float64 `name:"perplexity" range:"[1,1000]" help:"about how many neighbours an image has (t-SNE); lowered for few images"`
	Steps      int     `name:"steps" range:"[250,10000]" help:"steps of t-SNE"`
	Thumbs     int     `name:"thumbs" range:"[0,256]" help:"longer side of a thumbnail in pixels; 0: dots alone"`
}

// Run implements [Runner].
func (s *mapStudy) Run(ctx context.Context, in Input) (*Result, error) {
	m, err := s.layOut(ctx, in)
	if err != nil {
		return nil, err
	}
	picture, err := m.draw(s.Thumbs)
	if err != nil {
		return nil, err
	}
	f := Figure{Name: "map_" + s.Method, Caption: m.caption()}
	f.Title = "Map of the [CLS] features of " + fmt.Sprint(len(m.places)) + " images (" + map[string]string{"tsne": "t-SNE", "pca": "principal components"}[s.Method] + ")"
	f.Cell = max(picture.Bounds().Dx(), picture.Bounds().Dy())
	f.Cells = [][]image.Image{{picture}}
	images := make([]map[string]any, len(m.places))
	for i, p := range m.places {
		images[i] = map[string]any{"name": m.names[i], "x": p[0], "y": p[1], "label": m.labels[i]}
	}
	r := &Result{Figures: []Figure{f}, Values: map[string]any{"method": s.Method, "places": images, "classes": m.classes, "bad_images": m.bad}}
	if s.Method == "tsne" {
		r.Lines = append(r.Lines, fmt.Sprintf("t-SNE of %d images: divergence %.3f", len(m.places), m.divergence))
		r.Values["divergence"] = m.divergence
	} else {
		r.Lines = append(r.Lines, fmt.Sprintf("two components have %.0f %% of the variance", 100*m.variance))
		r.Values["variance"] = m.variance
	}
	if m.classes != nil {
		r.Lines = append(r.Lines, fmt.Sprintf("the nearest neighbour is of the same class for %.1f %% of the images in the plane, for %.1f %% by their features",
			100*m.agreePlane, 100*m.agreeFeatures))
		r.Values["neighbour_plane"], r.Values["neighbour_features"] = m.agreePlane, m.agreeFeatures
	}
	return r, nil
}

// placed are images with places in the plane.
type placed struct {
	set        data.Dataset // the images, one for each place
	places     [][2]float64
	labels     []int // -1 for none
	names      []string
	classes    []string
	bad        int     // images that could not be read
	divergence float64 // of t-SNE
	variance   float64 // share that two principal components have

	agreePlane, agreeFeatures float64 // share of images whose nearest neighbour is of their class
}

// layOut finds the places of the images.
func (s *mapStudy) layOut(ctx context.Context, in Input) (*placed, error) {
	ds := in.Images
	if n := min(s.Images, mostMapped); n < ds.Len() {
		ds = data.Subset(ds, alternatingOrInOrder(in, n))
	}
	features, err := eval.Extract(ctx, in.Net.Backbone, ds, eval.ExtractOptions{
		Transform: in.Net.transform(), BatchSize: in.BatchSize, Workers: in.Workers, Device: in.Net.Device,
		Progress: in.begin("features", ds.Len()),
	})
	if err != nil {
		return nil, err
	}
	defer features.Close()
	n := features.Len()
	if n < 4 {
		return nil, fmt.Errorf("analysis: a map of %d images; want 4 or more", n)
	}
	m := &placed{places: make([][2]float64, n), labels: features.Labels, names: features.Names, classes: features.Classes, bad: len(features.Bad)}
	m.set = withoutBad(ds, features.Bad)
	D := features.X.Size(1)
	rows := unitRows(features.X.Floats(), D)
	pca, err := NewPCA(rows, D, 2)
	if err != nil {
		return nil, err
	}
	for i := range m.places {
		copy(m.places[i][:], pca.Project(rows[i*D:(i+1)*D]))
	}
	for _, v := range pca.Variance {
		m.variance += v / pca.Total
	}
	squared := squaredDistances(rows, n, D)
	m.agreeFeatures = m.agree(func(i, j int) float64 { return squared[i*n+j] })
	if s.Method == "tsne" {
		// As scikit-learn's init="pca": the first component spread by 1e-4.
		spread := math.Sqrt(pca.Variance[0])
		for i := range m.places {
			for a := range 2 {
				m.places[i][a] *= 1e-4 / max(spread, 1e-12)
			}
		}
		t := TSNE{Perplexity: min(s.Perplexity, float64(n-1)/3), Steps: s.Steps, Progress: in.beginIn("t-SNE", "steps", s.Steps)}
		if m.divergence, err = t.Run(ctx, squared, m.places); err != nil {
			return nil, err
		}
	}
	m.agreePlane = m.agree(func(i, j int) float64 {
		dx, dy := m.places[i][0]-m.places[j][0], m.places[i][1]-m.places[j][1]
		return dx*dx + dy*dy
	})
	return m, nil
}

// withoutBad is ds without the images that could not be read.
func withoutBad(ds data.Dataset, bad []data.BadImage) data.Dataset {
	unreadable := map[int]bool{}
	for _, b := range bad {
		unreadable[b.Index] = true
	}
	var good []int
	for i := range ds.Len() {
		if !unreadable[i] {
			good = append(good, i)
		}
	}
	return data.Subset(ds, good)
}

// unitRows scales rows of D values to length 1; a row of zeros stays one.
func unitRows(rows []float32, D int) []float32 {
	for i := 0; i < len(rows); i += D {
		row := rows[i : i+D]
		if length := math.Sqrt(dot(row, row)); length > 0 {
			for j := range row {
				row[j] = float32(float64(row[j]) / length)
			}
		}
	}
	return rows
}

// squaredDistances are those between n rows of D values.
func squaredDistances(rows []float32, n, D int) []float64 {
	out := make([]float64, n*n)
	each(n, func(i int) {
		a := rows[i*D : (i+1)*D]
		for j := range n {
			b := rows[j*D : (j+1)*D]
			sum := 0.0
			for k, v := range a {
				d := float64(v) - float64(b[k])
				sum += d * d
			}
			out[i*n+j] = sum
		}
	})
	return out
}

// agree is the share of labelled images whose nearest labelled neighbour is of their class.
func (m *placed) agree(distance func(i, j int) float64) float64 {
	same, all := 0, 0
	for i, label := range m.labels {
		if label < 0 {
			continue
		}
		nearest, least := -1, math.Inf(1)
		for j, other := range m.labels {
			if j != i && other >= 0 {
				if d := distance(i, j); d < least {
					nearest, least = j, d
				}
			}
		}
		if nearest >= 0 {
			if all++; m.labels[nearest] == label {
				same++
			}
		}
	}
	return float64(same) / float64(max(all, 1))
}

func (m *placed) caption() string {
	text := "Each image stands where its [CLS] feature puts it; images with like features are near each other. Axes have no unit."
	if m.classes != nil {
		text += fmt.Sprintf(" For %.0f %% of the images the nearest neighbour in the picture is of their class (%.0f %% by the features themselves).",
			100*m.agreePlane, 100*m.agreeFeatures)
	}
	return text
}

// unit brings the places into the square from 0 to 1, with one scale for both axes.
func (m *placed) unit() [][2]float64 {
	low, high := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	for _, p := range m.places {
		for a := range 2 {
			low[a], high[a] = min(low[a], p[a]), max(high[a], p[a])
		}
	}
	side := max(high[0]-low[0], high[1]-low[1], 1e-12)
	out := make([][2]float64, len(m.places))
	for i, p := range m.places {
		for a := range 2 {
			out[i][a] = (p[a]-(low[a]+high[a])/2)/side + 0.5
		}
	}
	return out
}

const (
	mapSide   = 1400 // pixels
	mapMargin = 40
	mapLegend = 240 // pixels to the right, where there are classes
	mapNamed  = 14  // classes that a legend names: seven colours, each as a disc and as a ring
)

// draw draws the map: dots first, then thumbnails where none is yet.
func (m *placed) draw(thumb int) (*image.NRGBA, error) {
	named := len(m.classes) > 0 && len(m.classes) <= mapNamed
	width := mapSide
	if named {
		width += mapLegend
	}
	img := image.NewNRGBA(image.Rect(0, 0, width, mapSide))
	for i := range img.Pix {
		img.Pix[i] = 0xff
	}
	margin := mapMargin + float64(thumb)/2
	at := m.unit()
	for i := range at {
		at[i][0] = margin + at[i][0]*(mapSide-2*margin)
		at[i][1] = margin + (1-at[i][1])*(mapSide-2*margin)
		m.mark(img, at[i][0], at[i][1], m.labels[i])
	}
	if thumb > 0 {
		taken := map[image.Point]bool{} // squares of a thumbnail's size, none of which has two
		for i, p := range at {
			corner := image.Pt(int(p[0])-thumb/2, int(p[1])-thumb/2)
			if occupied(taken, corner, thumb) {
				continue
			}
			im, err := m.set.Load(i)
			if err != nil {
				continue // it was readable before; a dot stands for it
			}
			m.place(img, im, corner, thumb, m.labels[i])
		}
	}
	if named {
		for k, name := range m.classes {
			y := mapMargin + 36*k
			m.mark(img, mapSide+20, float64(y)+14, k)
			chart.Text(img, mapSide+40, y, fmt.Sprintf("%.16s", name), ink)
		}
	}
	return img, nil
}

// occupied reports whether a thumbnail at a corner would overlap one that is drawn, and notes it if not.
func occupied(taken map[image.Point]bool, corner image.Point, side int) bool {
	step := side + 6
	for other := range taken {
		if d := other.Sub(corner); d.X > -step && d.X < step && d.Y > -step && d.Y < step {
			return true
		}
	}
	taken[corner] = true
	return false
}

// mark draws a dot for an image of a class: discs for the first seven, rings for the next.
func (m *placed) mark(img *image.NRGBA, x, y float64, label int) {
	c := chart.Palette(max(label, 0))
	if label < 0 || len(m.classes) > mapNamed {
		c = chart.Palette(0)
	}
	chart.Disc(img, x, y, 8, paper)
	chart.Disc(img, x, y, 6.5, c)
	if label >= 7 && len(m.classes) <= mapNamed {
		chart.Disc(img, x, y, 3, paper)
	}
}

// place draws a thumbnail in a frame of its class's colour.
func (m *placed) place(img *image.NRGBA, im *imaging.Image, corner image.Point, side, label int) {
	const frame = 4
	small := enlargedTo(im, side-2*frame)
	size := small.Rect.Size()
	at := image.Rectangle{Max: size.Add(image.Pt(2*frame, 2*frame))}.Add(corner).Add(image.Pt((side-2*frame-size.X)/2, (side-2*frame-size.Y)/2))
	c := ink
	if label >= 0 && len(m.classes) <= mapNamed {
		c = chart.Palette(label)
	}
	chart.Frame(img, at.Inset(-1), frame+1, paper)
	chart.Frame(img, at, frame, c)
	for y := range size.Y {
		copy(img.Pix[img.PixOffset(at.Min.X+frame, at.Min.Y+frame+y):][:4*size.X], small.Pix[y*small.Stride:])
	}
	if label >= 7 && len(m.classes) <= mapNamed { // as the ring of its dot
		chart.Frame(img, at.Inset(1), 1, paper)
	}
}
