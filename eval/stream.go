package eval

import (
	"context"
	"slices"

	"ibot/data"
	"ibot/imaging"
	"ibot/torch"
)

// embedder maps images (B, C, H, W) of one size to features (B, ...).
type embedder func(x *torch.Tensor) (*torch.Tensor, error)

// stream embeds the images of ds from number first on, batch by batch and in order. visit gets each
// batch and, for each of its images that could be read, its feature, which is freed when visit
// returns. Images of a batch that have one size go through the network together.
//
// More than 5 % of images that cannot be read are a *[data.TooManyBad], unless any are allowed. When ctx is done, stream
// returns its error.
func (o ExtractOptions) stream(ctx context.Context, ds data.Dataset, first int, embed embedder, visit func(b *batch, features []*torch.Tensor) error) error {
	return o.batches(ctx, ds, first, func(b *batch) error {
		features, err := b.embed(o.Transform, o.Device, embed)
		if err != nil {
			return err
		}
		return visit(b, features)
	})
}

// batches calls use with each batch of stream, without gradients and in a scope.
func (o ExtractOptions) batches(ctx context.Context, ds data.Dataset, first int, use func(b *batch) error) error {
	if err := o.resolve(); err != nil {
		return err
	}
	n := ds.Len() - first
	r := reader{ds: ds, transform: o.Transform, first: first, batch: min(o.BatchSize, max(n, 1))}
	loader := data.Loader[*batch]{Workers: o.Workers, New: r.new, Begin: r.begin, Fill: r.fill}
	var bad []data.BadImage
	for b, err := range loader.Run(ctx, 0, (n+r.batch-1)/r.batch, r.images) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		bad = append(bad, b.bad(ds)...)
		if err := tooMany(bad, ds.Len()); err != nil && !o.anyBad {
			return err
		}
		err := torch.Run(func() (err error) {
			torch.NoGrad(func() { err = use(b) })
			return err
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// batch holds some images.
type batch struct {
	images []int // their numbers
	slots  []slot
}

// slot holds an image as the network sees it.
type slot struct {
	pixels        []float32 // (C, h, w)
	h, w          int
	width, height int   // of the whole image
	err           error // why it could not be read
}

// bad lists the images that could not be read.
func (b *batch) bad(ds data.Dataset) []data.BadImage {
	var bad []data.BadImage
	for i, s := range b.slots {
		if s.err != nil {
			bad = append(bad, data.BadImage{Path: ds.Name(b.images[i]), Error: s.err.Error(), Index: b.images[i]})
		}
	}
	return bad
}

// embed returns the feature of each image, nil for one that could not be read.
func (b *batch) embed(t Transform, d torch.Device, embed embedder) ([]*torch.Tensor, error) {
	features := make([]*torch.Tensor, len(b.slots))
	for i, s := range b.slots {
		if s.err != nil || features[i] != nil {
			continue
		}
		x, same := b.together(i, len(t.Mean), d)
		y, err := embed(x)
		if err != nil {
			return nil, err
		}
		for j, feature := range y.To(torch.Float32).Unbind(0) {
			features[same[j]] = feature
		}
	}
	return features, nil
}

// together are the images of the size of image i, (B, C, h, w) on d, with their slots: i and those
// behind it.
func (b *batch) together(i, C int, d torch.Device) (x *torch.Tensor, same []int) {
	h, w := b.slots[i].h, b.slots[i].w
	for j := i; j < len(b.slots); j++ {
		if s := b.slots[j]; s.err == nil && s.h == h && s.w == w {
			same = append(same, j)
		}
	}
	x = torch.Empty(torch.Float32, torch.CPU, len(same), C, h, w)
	x.View(func(values []float32) {
		for k, j := range same {
			copy(values[k*C*h*w:], b.slots[j].pixels)
		}
	})
	return x.ToDevice(d), same
}

// readable is the first slot whose image could be read; -1: there is none.
func (b *batch) readable() int {
	return slices.IndexFunc(b.slots, func(s slot) bool { return s.err == nil })
}

// reader fills batches with transformed images, in the order of the set.
type reader struct {
	ds           data.Dataset
	transform    Transform
	first, batch int
}

func (r *reader) new() *batch { return &batch{slots: make([]slot, r.batch)} }

func (r *reader) begin(b *batch, _ int, images []int) {
	b.images, b.slots = images, b.slots[:len(images)]
}

func (r *reader) images(step int) []int {
	var images []int
	for i := r.first + step*r.batch; i < min(r.first+(step+1)*r.batch, r.ds.Len()); i++ {
		images = append(images, i)
	}
	return images
}

func (r *reader) fill(_ context.Context, b *batch, slot, image int) error {
	im, unreadable, err := r.transform.decode(r.ds, image)
	b.slots[slot].err = unreadable
	if im != nil {
		b.slots[slot].width, b.slots[slot].height = im.W, im.H
		b.slots[slot].set(r.transform.Pixels(im), r.transform)
	}
	return err
}

// set takes over an image as the network sees it.
func (s *slot) set(im *imaging.Image, t Transform) {
	s.h, s.w = im.H, im.W
	if n := len(t.Mean) * s.h * s.w; cap(s.pixels) < n {
		s.pixels = make([]float32, n)
	} else {
		s.pixels = s.pixels[:n]
	}
	im.ToCHW(s.pixels, t.Mean, t.Std)
}
