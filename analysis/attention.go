package analysis

import (
	"cmp"
	"fmt"
	"image"
	"image/draw"
	"math"
	"slices"

	"ibot/backbone"
	"ibot/imaging"
	"ibot/internal/chart"
	"ibot/nn"
	"ibot/torch"
)

// AttentionMap is what the [CLS] token of one image attends to in a block, head by head.
type AttentionMap struct {
	Rows, Cols    int         // the grid of patches
	Width, Height int         // the pixels that the grid covers, from the image's upper left corner on
	Query         string      // what attends: [CLS], or all tokens of a Swin
	Heads         [][]float64 // (heads, Rows*Cols), row by row; a head's weights and that of [CLS] itself, or of padding, sum to 1
}

// Mean returns the mean over the heads, Rows*Cols weights.
func (m AttentionMap) Mean() []float64 {
	mean := make([]float64, m.Rows*m.Cols)
	for _, head := range m.Heads {
		for i, w := range head {
			mean[i] += w / float64(len(m.Heads))
		}
	}
	return mean
}

// Attention runs images through b, whose parameters are on device d, and returns the self-attention
// of [CLS] in its last block for each of them. The values of a channel, in [0, 1], are normalised
// by mean and std. Images may differ in size. As in the reference, pixels on the right and below
// that do not fill a patch are left out.
//
// A Swin has no [CLS] in its blocks, but its result for [CLS] is the mean of its tokens: its maps are
// the mean attention of all of them, on the grid of the last stage.
//
// It errs where an image is smaller than a patch or has other channels than mean, std and b; where
// b has no attention between [CLS] and all patches; and on what the engine reports.
func Attention(b backbone.Backbone, images []*imaging.Image, mean, std []float32, d torch.Device) ([]AttentionMap, error) {
	return attend(b.LastSelfAttention, b, images, mean, std, d)
}

// weights returns the attention weights of a block, (B, heads, 1+N, 1+N).
type weights func(m nn.Mode, x *torch.Tensor) *torch.Tensor

// attend is [Attention] of whichever block.
func attend(of weights, b backbone.Backbone, images []*imaging.Image, mean, std []float32, d torch.Device) ([]AttentionMap, error) {
	maps := make([]AttentionMap, len(images))
	for i, im := range images {
		if im.C != len(mean) || im.C != len(std) {
			return nil, fmt.Errorf("analysis: image %d has %d channels; want one for each of %d means and %d standard deviations",
				i, im.C, len(mean), len(std))
		}
		width, height := im.W/b.Cell()*b.Cell(), im.H/b.Cell()*b.Cell()
		if width == 0 || height == 0 {
			return nil, fmt.Errorf("analysis: image %d has %d x %d pixels, less than a patch; use larger images", i, im.W, im.H)
		}
		im = im.Crop(imaging.Box{Width: width, Height: height})
		pixels := make([]float32, im.C*height*width)
		im.ToCHW(pixels, mean, std)
		err := torch.Run(func() (err error) {
			x := torch.New(pixels, 1, im.C, height, width).ToDevice(d)
			torch.NoGrad(func() { maps[i], err = clsAttention(of, b, x) })
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("analysis: attention of image %d: %w", i, err)
		}
	}
	return maps, nil
}

// clsAttention is the attention map of one image, x (1, C, H, W). One at a time, because the
// weights between all tokens take room: 311 MB for an image of 480 pixels with patches of 8 and six
// heads.
func clsAttention(of weights, b backbone.Backbone, x *torch.Tensor) (AttentionMap, error) {
	m := AttentionMap{Query: query(b), Width: x.Size(3), Height: x.Size(2)}
	m.Rows, m.Cols = b.Grid(m.Height, m.Width)
	N := m.Rows * m.Cols
	if swin, ok := b.(*backbone.Swin); ok {
		mean := torch.Read[float64](swin.MeanAttention(nn.Eval, x)) // (1, heads, N)
		m.Heads = slices.Collect(slices.Chunk(mean, N))
		return m, nil
	}
	all := of(nn.Eval, x)
	if s := all.Shape(); len(s) != 4 || s[0] != 1 || s[2] != 1+N || s[3] != 1+N {
		return m, fmt.Errorf("want weights between [CLS] and %d patches, (1, heads, %d, %d), found %v; the architecture has no such map, use a ViT",
			N, 1+N, 1+N, s)
	}
	cls := torch.Read[float64](all.Select(0, 0).Select(1, 0).From(1, 1)) // (heads, N): row [CLS], columns of patches
	m.Heads = slices.Collect(slices.Chunk(cls, N))
	return m, nil
}

// TopMass tells which cells of a map are needed to hold the given share of its mass, with as few
// cells as possible, as the masks of the reference's visualize_attention do (share 0.6). Of cells
// with equal weight the first ones are taken. A cell without weight is never needed, nor is one
// whose weight is negative, NaN or infinite.
func TopMass(attn []float64, share float64) []bool {
	var order []int
	var total float64
	for i, w := range attn {
		if w > 0 && !math.IsInf(w, 1) {
			order = append(order, i)
			total += w
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(attn[j], attn[i]) })
	top := make([]bool, len(attn))
	var held float64
	for _, i := range order {
		if held >= share*total {
			break
		}
		top[i] = true
		held += attn[i]
	}
	return top
}

// AttentionShare is the share of the mass that is left in the second column of AttentionSheet.
const AttentionShare = 0.6

const (
	attentionCell    = 160 // pixels of the longer side of a picture
	attentionOpacity = 0.6 // of the colours over the image
)

// AttentionSheet draws attention maps into a PNG at path, a row per image: the image; the fewest
// patches that hold AttentionShare of the mean map, with the others greyed out; then, over the
// image in gray, the mean of the heads and each head. The colours of a map go from 0, dark, to its
// own maximum, bright, as the bar at the right says: they show where a head looks, not how
// strongly. Names caption the rows; nil for none.
//
// It errs where the numbers of images, maps and names or their sizes do not agree, where there are
// none, the sheet would have more than 2^26 pixels, or the file cannot be written.
func AttentionSheet(path string, images []*imaging.Image, maps []AttentionMap, names []string) error {
	if len(images) == 0 || len(images) != len(maps) || names != nil && len(names) != len(images) {
		return fmt.Errorf("analysis: %d images, %d attention maps and %d names for %s; want as many of each, and one or more",
			len(images), len(maps), len(names), path)
	}
	figure, err := attentionFigure(images, maps, names, AttentionShare)
	if err != nil {
		return fmt.Errorf("%w (for %s)", err, path)
	}
	if err := figure.WriteFile(path); err != nil {
		return fmt.Errorf("analysis: %w", err)
	}
	return nil
}

// The two that attend.
const clsQuery, allQuery = "[CLS]", "all tokens"

// query says whose attention the maps of a backbone are.
func query(b backbone.Backbone) string {
	if _, ok := b.(*backbone.Swin); ok {
		return allQuery
	}
	return clsQuery
}

// attentionFigure is the sheet of [AttentionSheet], whose second column keeps the given share.
func attentionFigure(images []*imaging.Image, maps []AttentionMap, names []string, share float64) (Figure, error) {
	who := clsQuery + ", the token that stands for the whole image,"
	if maps[0].Query == allQuery {
		who = "the mean of all tokens, which stands for the whole image,"
	}
	f := Figure{
		Name: "attention",
		Caption: fmt.Sprintf("What %s attends to. Bright is much. "+
			"The second picture keeps the fewest patches that hold %.0f %% of the mean map.", who, 100*share),
		Sheet: chart.Sheet{
			Title:   "Self-attention of " + cmp.Or(maps[0].Query, clsQuery) + " in the last block",
			Columns: []string{"image", fmt.Sprintf("%.0f %% of mass", 100*share), "mean"},
			Cell:    attentionCell,
			Scale:   &chart.Scale{Low: "0", High: "max", Opacity: attentionOpacity},
		},
	}
	heads := 0
	for i, m := range maps {
		row, err := attentionRow(images[i], m, share)
		if err != nil {
			return f, fmt.Errorf("analysis: attention map %d: %w", i, err)
		}
		f.Cells = append(f.Cells, row)
		heads = max(heads, len(m.Heads))
	}
	for h := range heads {
		f.Columns = append(f.Columns, fmt.Sprint("head ", h+1))
	}
	f.Rows = names
	return f, nil
}

// attentionRow draws the pictures of one image.
func attentionRow(im *imaging.Image, m AttentionMap, share float64) ([]image.Image, error) {
	if m.Width < 1 || m.Height < 1 || m.Width > im.W || m.Height > im.H {
		return nil, fmt.Errorf("the map covers %d x %d pixels of an image of %d x %d; give it the image that it was made from",
			m.Width, m.Height, im.W, im.H)
	}
	if m.Rows < 1 || m.Cols < 1 || len(m.Heads) == 0 {
		return nil, fmt.Errorf("the map has %d heads over %d x %d patches; want one or more of each", len(m.Heads), m.Rows, m.Cols)
	}
	for i, head := range m.Heads {
		if len(head) != m.Rows*m.Cols {
			return nil, fmt.Errorf("head %d has %d weights; want %d x %d, one for each patch", i, len(head), m.Rows, m.Cols)
		}
	}
	colour := im.Crop(imaging.Box{Width: m.Width, Height: m.Height}).ToImage()
	under := pale(colour)
	mean := m.Mean()
	rest := TopMass(mean, share)
	for i := range rest {
		rest[i] = !rest[i]
	}
	top, err := chart.MaskOverlay(colour, rest, m.Rows, m.Cols)
	if err != nil {
		return nil, err
	}
	row := []image.Image{colour, top}
	longer := float64(max(m.Width, m.Height)) / attentionCell
	for _, weights := range append([][]float64{mean}, m.Heads...) {
		heat, err := chart.Heat(weights, m.Cols, m.Rows, chart.HeatOptions{
			Width:   max(1, int(float64(m.Width)/longer+0.5)),
			Height:  max(1, int(float64(m.Height)/longer+0.5)),
			High:    slices.Max(weights),
			Under:   under,
			Opacity: attentionOpacity,
		})
		if err != nil {
			return nil, err
		}
		row = append(row, heat)
	}
	return row, nil
}

// pale is an image in gray with little contrast, so that light and dark of the colours over it are
// theirs.
func pale(img image.Image) *image.Gray {
	gray := image.NewGray(img.Bounds())
	draw.Draw(gray, gray.Bounds(), img, image.Point{}, draw.Src)
	for i, v := range gray.Pix {
		gray.Pix[i] = 80 + uint8(int(v)*3/8)
	}
	return gray
}
