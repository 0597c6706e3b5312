package analysis

import (
	"context"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"ibot/backbone"
	"ibot/data"
	"ibot/eval"
	"ibot/imaging"
	"ibot/method"
	"ibot/nn"
	"ibot/torch"
	"ibot/train"
)

// Net is a network under study, with what is needed to show it an image.
type Net struct {
	Backbone  backbone.Backbone
	Head      *method.Head // nil where there is none
	Centers   [2][]float32 // of the loss, for [CLS] and for patches; nil where nobody knows
	Device    torch.Device // that holds the parameters
	ImgSize   int          // pixels a side of the images that it was trained on
	Mean, Std []float32    // of each channel, for values in [0, 1]

	Source      string // where it comes from, for people
	Arch        string
	Epoch, Step int // how far it was trained; 0 where nobody knows
	Params      int // trainable values of the backbone; 0 where nobody counted
	Config      train.Config
}

// NewNet returns the network of a checkpoint that was opened on device d, with its head if it has
// been loaded. It shares the parameters of n.
func NewNet(n *train.Net, d torch.Device) *Net {
	mean, std := n.Config.Normalisation()
	return &Net{
		Backbone: n.Backbone, Head: n.Head, Device: d, ImgSize: n.Config.ImgSize, Mean: mean, Std: std,
		Source: n.Source, Arch: n.Config.Arch, Epoch: n.Epoch, Step: n.Step,
		Params: n.Params(), Config: n.Config,
	}
}

// A network of small images is shown them at twice the size, for its grid of patches would tell too
// little; larger ones at the 480 pixels of the published pictures.
const (
	smallImage    = 96
	publishedSide = 480
)

// side is the length of the shorter side that images are shown with where no other is asked for.
func (n *Net) side(asked int) int {
	switch {
	case asked > 0:
		return asked
	case n.ImgSize < smallImage:
		return 2 * n.ImgSize
	}
	return publishedSide
}

// frame brings an image to a shorter side of the given number of pixels (bicubic) and cuts off, to the
// right and below, what does not fill a patch.
func (n *Net) frame(im *imaging.Image, side int) (*imaging.Image, error) {
	if im.C != len(n.Mean) {
		return nil, fmt.Errorf("analysis: the image has %d channels, but the network takes %d; give images of %d channels, or another network",
			im.C, len(n.Mean), len(n.Mean))
	}
	const mostAspect = 8 // longer ones lose their ends: a line of 1 x 100,000 pixels would take all memory
	if w, h := min(im.W, mostAspect*im.H), min(im.H, mostAspect*im.W); w < im.W || h < im.H {
		im = im.Crop(imaging.Box{Left: (im.W - w) / 2, Top: (im.H - h) / 2, Width: w, Height: h})
	}
	im = im.ResizeShorter(side, imaging.Bicubic)
	cell := n.Backbone.Cell()
	width, height := im.W-im.W%cell, im.H-im.H%cell
	if width == 0 || height == 0 {
		return nil, fmt.Errorf("analysis: %d pixels are less than a patch of the network; use a larger --img_size", side)
	}
	return im.Crop(imaging.Box{Width: width, Height: height}), nil
}

// Patches are the tokens of one image: [CLS] and a row by row grid of patches, normed as the last layer
// gives them.
type Patches struct {
	Rows, Cols, Dim int
	Cls             []float32 // (Dim)
	X               []float32 // (Rows*Cols, Dim)
}

// Len is the number of patches.
func (p *Patches) Len() int { return p.Rows * p.Cols }

// Row returns the token of patch i.
func (p *Patches) Row(i int) []float32 { return p.X[i*p.Dim : (i+1)*p.Dim] }

// Patches runs one image, of whole patches, through the network.
func (n *Net) Patches(im *imaging.Image) (*Patches, error) {
	pixels := make([]float32, len(im.Pix))
	im.ToCHW(pixels, n.Mean, n.Std)
	p := &Patches{Dim: n.Backbone.EmbedDim()}
	p.Rows, p.Cols = n.Backbone.Grid(im.H, im.W)
	err := torch.Run(func() error {
		torch.NoGrad(func() {
			x := torch.New(pixels, 1, im.C, im.H, im.W).ToDevice(n.Device)
			all := n.Backbone.Forward(nn.Eval, x, nil).Floats() // (1+N, D)
			p.Cls, p.X = all[:p.Dim], all[p.Dim:]
		})
		if len(p.X) != p.Len()*p.Dim {
			return fmt.Errorf("the network gives %d values for %d x %d patches of %d", len(p.X), p.Rows, p.Cols, p.Dim)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("analysis: an image of %d x %d pixels: %w", im.W, im.H, err)
	}
	return p, nil
}

// transform is that of evaluation.
func (n *Net) transform() eval.Transform {
	t := eval.DefaultTransform(n.ImgSize)
	t.Mean, t.Std = n.Mean, n.Std
	return t
}

// stream shows all images of ds to the network as evaluation does.
func (in Input) stream(ctx context.Context, label string, ds data.Dataset, visit func(images []int, x *torch.Tensor) error) ([]data.BadImage, error) {
	return eval.Stream(ctx, ds, eval.ExtractOptions{
		Transform: in.Net.transform(), BatchSize: in.BatchSize, Workers: in.Workers, Device: in.Net.Device,
		Progress: in.begin(label, ds.Len()),
	}, visit)
}

// Shown is an image that was chosen for a picture.
type Shown struct {
	Index int    // in the set
	Name  string // its class, or else that of its file
	Label int    // -1 for none
	Image *imaging.Image
}

// choose loads the first n images of a set, or one a class in turn where it has classes. Which ones
// depends on the seed and the set alone. Images that cannot be read or have other channels are passed
// over; it errs where none is left.
func (in Input) choose(ctx context.Context, n int) ([]Shown, error) {
	ds := in.Images
	order := make([]int, ds.Len())
	for i := range order {
		order[i] = i
	}
	if classes := len(ds.Classes()); classes > 0 {
		order = alternating(ds, data.Order(in.Seed, 0, ds.Len()))
	}
	var shown []Shown
	var first error
	bad := 0
	for _, i := range order {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		im, err := ds.Load(i)
		if err == nil && im.C != len(in.Net.Mean) {
			err = fmt.Errorf("%s has %d channels, but the network takes %d", ds.Name(i), im.C, len(in.Net.Mean))
		}
		if err != nil {
			if first == nil {
				first = err
			}
			if bad++; bad > 100+10*n { // a set that is broken throughout is not read to its end
				break
			}
			continue
		}
		s := Shown{Index: i, Name: baseName(ds.Name(i)), Label: ds.Label(i), Image: im}
		if s.Label >= 0 {
			s.Name = ds.Classes()[s.Label]
		}
		if shown = append(shown, s); len(shown) == n {
			break
		}
	}
	if shown == nil {
		return nil, fmt.Errorf("analysis: none of the %d images can be shown: %w", ds.Len(), first)
	}
	return shown, nil
}

// baseName is the name of a file without folder and ending. Of a long one the middle is left out, for the end
// tells files apart as the beginning does.
func baseName(name string) string {
	name = path.Base(name)
	runes := []rune(strings.TrimSuffix(name, path.Ext(name)))
	if len(runes) > 22 {
		runes = slices.Concat(runes[:5], []rune("…"), runes[len(runes)-16:])
	}
	return string(runes)
}

// alternating orders images so that each class has its turn before one of them comes again.
func alternating(ds data.Dataset, order []int) []int {
	members := make([][]int, len(ds.Classes())+1) // the last are those without a label
	for _, i := range order {
		at := ds.Label(i)
		if at < 0 {
			at = len(members) - 1
		}
		members[at] = append(members[at], i)
	}
	out := make([]int, 0, len(order))
	for round := 0; len(out) < len(order); round++ {
		for _, m := range members {
			if round < len(m) {
				out = append(out, m[round])
			}
		}
	}
	return out
}

// dot is the scalar product, summed in float64.
func dot(a, b []float32) float64 {
	var sum float64
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

// cosine is the cosine of the angle between a and b, 0 where one of them has no length.
func cosine(a, b []float32) float64 {
	lengths := math.Sqrt(dot(a, a) * dot(b, b))
	if lengths == 0 {
		return 0
	}
	return dot(a, b) / lengths
}
