package analysis

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"io"
	"slices"

	"ibot/backbone"
	"ibot/imaging"
	"ibot/internal/chart"
	"ibot/nn"
	"ibot/torch"
)

func init() {
	Register(Study{
		Name:  "attention",
		Short: "where the heads of a block look",
		Long: "Draws the self-attention of [CLS]: the fewest patches that hold a share of\n" +
			"it, the heads in colours (each pixel has the colour of the head that looks\n" +
			"there most), their mean, and each head. With --animate the images are\n" +
			"frames: the mean of the heads becomes an animation, attention.gif. A video\n" +
			"needs the program ffmpeg.",
		New: func() Runner { return &attentionStudy{Images: 6, Mass: AttentionShare, FPS: 10, Frames: 200} },
	})
}

// attentionStudy draws attention maps.
type attentionStudy struct {
	Images  int     `name:"images" group:"Attention" range:"[1,64]" help:"how many images are drawn, one a class in turn"`
	ImgSize int     `name:"img_size" range:"[0,8192]" help:"shorter side of the images in pixels; 0: 480, or twice what the network was trained on where that is below 96"`
	Block   int     `name:"block" range:"[0,1024]" help:"the block, counted from 1; 0: the last"`
	Mass    float64 `name:"mass" range:"(0,1]" help:"share of the attention that the masks keep"`
	Animate bool    `name:"animate" help:"make attention.gif of the images, which are frames in the order of their names"`
	FPS     float64 `name:"fps" range:"(0,50]" help:"frames a second of the animation, and taken from a video"`
	Frames  int     `name:"frames" range:"[1,2000]" help:"frames of the animation at most"`
}

// Run implements [Runner].
func (s *attentionStudy) Run(ctx context.Context, in Input) (*Result, error) {
	of, title, err := blockWeights(in.Net.Backbone, s.Block)
	if err != nil {
		return nil, err
	}
	if s.Animate {
		return s.animate(ctx, in, of, title)
	}
	shown, err := in.choose(ctx, s.Images)
	if err != nil {
		return nil, err
	}
	images, names := make([]*imaging.Image, len(shown)), make([]string, len(shown))
	maps := make([]AttentionMap, len(shown))
	set := in.begin("attention", len(shown))
	for i, one := range shown {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if images[i], err = in.Net.frame(one.Image, in.Net.side(s.ImgSize)); err != nil {
			return nil, fmt.Errorf("%s: %w", one.Name, err)
		}
		m, err := attend(of, in.Net.Backbone, images[i:i+1], in.Net.Mean, in.Net.Std, in.Net.Device)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.Name, err)
		}
		maps[i], names[i] = m[0], one.Name
		set(i + 1)
	}
	f, err := attentionFigure(images, maps, names, s.Mass)
	if err != nil {
		return nil, err
	}
	f.Title = title
	if err := addHeadColours(&f, images, maps, s.Mass); err != nil {
		return nil, err
	}
	return &Result{Figures: []Figure{f}, Values: map[string]any{"heads": len(maps[0].Heads), "attention": attentionValues(shown, maps)}}, nil
}

// blockWeights finds the attention weights of a block, counted from 1, or of the last where it is 0.
func blockWeights(b backbone.Backbone, block int) (of weights, title string, err error) {
	if block == 0 {
		return b.LastSelfAttention, "Self-attention of " + query(b) + " in the last block", nil
	}
	blocks, ok := b.(interface {
		SelfAttention(m nn.Mode, x *torch.Tensor, block int) *torch.Tensor
		NumBlocks() int
	})
	switch {
	case !ok:
		return nil, "", fmt.Errorf("analysis: this architecture shows the attention of its last block alone; leave out --block")
	case block > blocks.NumBlocks():
		return nil, "", fmt.Errorf("analysis: block %d was asked for, but the network has %d", block, blocks.NumBlocks())
	}
	of = func(m nn.Mode, x *torch.Tensor) *torch.Tensor { return blocks.SelfAttention(m, x, block-1) }
	return of, fmt.Sprintf("Self-attention of [CLS] in block %d of %d", block, blocks.NumBlocks()), nil
}

// attentionValues are the maps for machines.
func attentionValues(shown []Shown, maps []AttentionMap) []map[string]any {
	values := make([]map[string]any, len(maps))
	for i, m := range maps {
		values[i] = map[string]any{"image": shown[i].Index, "name": shown[i].Name, "rows": m.Rows, "cols": m.Cols, "heads": m.Heads}
	}
	return values
}

// addHeadColours puts a column behind the masks in which each patch has the colour of its strongest head,
// where it is in that head's own mask, and marks the pictures of the heads with their colours.
func addHeadColours(f *Figure, images []*imaging.Image, maps []AttentionMap, share float64) error {
	f.Columns = slices.Insert(f.Columns, 2, "strongest head")
	f.Caption += " In the third, each patch has the colour of the head that looks there most; the dots tell which."
	const before = 3 // columns before the heads', the new one not counted
	for i, m := range maps {
		for h, picture := range f.Cells[i][before:] {
			chart.Disc(picture.(*image.NRGBA), 11, 11, 8, paper)
			chart.Disc(picture.(*image.NRGBA), 11, 11, 6, chart.Palette(h))
		}
		coloured, err := headColours(images[i], m, share)
		if err != nil {
			return err
		}
		f.Cells[i] = slices.Insert(f.Cells[i], 2, image.Image(coloured))
	}
	return nil
}

var (
	paper = color.NRGBA{0xff, 0xff, 0xff, 0xff}
	ink   = color.NRGBA{0x22, 0x22, 0x22, 0xff}
)

// headColours is the image in gray with the patches of each head in its colour.
func headColours(im *imaging.Image, m AttentionMap, share float64) (*image.NRGBA, error) {
	masks := make([][]bool, len(m.Heads))
	for h, head := range m.Heads {
		masks[h] = TopMass(head, share)
	}
	out := image.NewNRGBA(image.Rect(0, 0, m.Width, m.Height))
	under := pale(im.Crop(imaging.Box{Width: m.Width, Height: m.Height}).ToImage())
	for y := range m.Height {
		for x := range m.Width {
			at := y*m.Rows/m.Height*m.Cols + x*m.Cols/m.Width
			strongest := 0
			for h := range m.Heads {
				if m.Heads[h][at] > m.Heads[strongest][at] {
					strongest = h
				}
			}
			v := under.GrayAt(x, y).Y
			c := color.NRGBA{v, v, v, 0xff}
			if masks[strongest][at] {
				c = chart.Mix(c, chart.Palette(strongest), attentionOpacity)
			}
			out.SetNRGBA(x, y, c)
		}
	}
	return out, nil
}

// animate makes attention.gif of the frames.
func (s *attentionStudy) animate(ctx context.Context, in Input, of weights, title string) (*Result, error) {
	n := min(in.Images.Len(), s.Frames)
	set := in.begin("frames", n)
	a := newAnimation(s.FPS)
	for i := range n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		im, err := in.Images.Load(i)
		if err != nil {
			return nil, fmt.Errorf("analysis: frame %d: %w", i, err)
		}
		if im, err = in.Net.frame(im, in.Net.side(s.ImgSize)); err != nil {
			return nil, fmt.Errorf("frame %d, %s: %w", i, in.Images.Name(i), err)
		}
		m, err := attend(of, in.Net.Backbone, []*imaging.Image{im}, in.Net.Mean, in.Net.Std, in.Net.Device)
		if err != nil {
			return nil, fmt.Errorf("frame %d, %s: %w", i, in.Images.Name(i), err)
		}
		if err := a.add(im, m[0]); err != nil {
			return nil, fmt.Errorf("frame %d, %s: %w", i, in.Images.Name(i), err)
		}
		set(i + 1)
	}
	r := &Result{
		Files:  []File{{"attention.gif", func(w io.Writer) error { return a.encode(w) }}},
		Lines:  []string{fmt.Sprintf("%s: %d frames at %.3g a second", title, n, a.fps())},
		Values: map[string]any{"frames": n, "fps": a.fps()},
	}
	if n < in.Images.Len() {
		r.Lines = append(r.Lines, fmt.Sprintf("%d of %d frames; --frames N takes more", n, in.Images.Len()))
	}
	return r, nil
}
