package eval

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"ibot/backbone"
	"ibot/data"
	"ibot/imaging"
	"ibot/nn"
	"ibot/torch"
)

// Features are n images as vectors of D numbers.
type Features struct {
	// X are the features (n, D), float32, as the network gives them: not l2-normalised. It is nil
	// where they stay in the file that they were kept in; see [Features.Rows].
	X       *torch.Tensor
	Labels  []int    // (n): the position of the class in Classes, -1 for none
	Names   []string // (n): paths relative to the set's folder
	Classes []string // nil for a set without labels

	// Bad are the images that could not be read. They have no row.
	Bad []data.BadImage

	file *mappedRows // in place of X
}

// Close frees X, or the file.
func (f *Features) Close() {
	if f.X != nil {
		f.X.Free()
	}
	if f.file != nil {
		f.file.Close()
	}
}

// Len is n.
func (f *Features) Len() int { return len(f.Labels) }

// ExtractOptions say how images become features.
type ExtractOptions struct {
	Transform Transform

	// AvgPool is what of the tokens is taken, by the numbers of the reference's
	// avgpool_patchtokens: 0 the normed [CLS] tokens of the last LastBlocks blocks; 1 the mean
	// patch token of the last block, not normed in a vision transformer; 2 both, with normed patch
	// tokens.
	AvgPool    int
	LastBlocks int // 0: one

	BatchSize int          // images a forward pass; 0: 64. Features do not depend on it
	Workers   int          // goroutines that decode; 0: one for each CPU
	Device    torch.Device // that has the network, and will have the features
	Precision torch.DType  // of the matrix products: torch.BFloat16, or torch.Float32 in any other case

	Progress func(done int) // called after each batch with the number of images behind it; may be nil

	anyBad bool // however many images cannot be read
}

// Feature choices; see [ExtractOptions].
const (
	clsTokens = iota
	meanPatches
	clsAndMeanPatches
)

func (o *ExtractOptions) resolve() error {
	if o.BatchSize == 0 {
		o.BatchSize = 64
	}
	if o.LastBlocks == 0 {
		o.LastBlocks = 1
	}
	switch {
	case o.BatchSize < 0:
		return fmt.Errorf("eval: a batch of %d images; want 1 or more", o.BatchSize)
	case o.LastBlocks < 0:
		return fmt.Errorf("eval: the last %d blocks; want 1 or more", o.LastBlocks)
	case o.AvgPool < clsTokens || o.AvgPool > clsAndMeanPatches:
		return fmt.Errorf("eval: avgpool is %d; want 0 for [CLS], 1 for the mean patch or 2 for both", o.AvgPool)
	}
	return o.Transform.Validate()
}

// Extract runs all images of ds through the network, in evaluation mode and without gradients, and
// returns their features. The caller closes them.
//
// An image that cannot be read is left out and listed in Bad; more than 5 % of them are a
// *[data.TooManyBad]. When ctx is done, Extract returns its error.
func Extract(ctx context.Context, b backbone.Backbone, ds data.Dataset, o ExtractOptions) (*Features, error) {
	return collect(ctx, ds, o, o.embedder(b))
}

// embedder maps images (B, C, S, S) to features (B, D) by the network b.
func (o ExtractOptions) embedder(b backbone.Backbone) embedder {
	b = o.published(b)
	return o.precisely(func(x *torch.Tensor) (*torch.Tensor, error) { return o.choose(b, x) })
}

// precisely is embed with matrix products in the precision that is asked for.
func (o ExtractOptions) precisely(embed embedder) embedder {
	if o.Precision != torch.BFloat16 {
		return embed
	}
	return func(x *torch.Tensor) (y *torch.Tensor, err error) {
		torch.Autocast(o.Device, torch.BFloat16, func() { y, err = embed(x) })
		return y, err
	}
}

// published is the network as the reference evaluates it: for the mean patch alone, its vision
// transformers are built without the final norm. It shares b's parameters.
func (o ExtractOptions) published(b backbone.Backbone) backbone.Backbone {
	vit, ok := b.(*backbone.ViT)
	if !ok || o.AvgPool != meanPatches {
		return b
	}
	unnormed := *vit
	unnormed.Norm = nil
	return &unnormed
}

// choose maps images (B, C, S, S) to features (B, D) of the tokens that b gives, as the reference's
// extract_features.
func (o ExtractOptions) choose(b backbone.Backbone, x *torch.Tensor) (*torch.Tensor, error) {
	blocks := max(1, o.LastBlocks)
	if o.AvgPool == clsTokens && blocks == 1 {
		if cls := lastCls(b, x); cls != nil {
			return cls, nil
		}
	}
	layers := b.IntermediateLayers(nn.Eval, x, blocks) // each (B, 1+N, D)
	if len(layers) < blocks {
		return nil, fmt.Errorf("eval: features of the last %d blocks were asked for, but the network has %d; ask for at most so many",
			blocks, len(layers))
	}
	var parts []*torch.Tensor
	if o.AvgPool != meanPatches {
		for _, tokens := range layers {
			parts = append(parts, tokens.Select(1, 0))
		}
	}
	if o.AvgPool != clsTokens {
		parts = append(parts, layers[len(layers)-1].From(1, 1).Mean(1))
	}
	return torch.Cat(parts, 1).To(torch.Float32), nil
}

// lastCls returns the normed [CLS] tokens (B, D) of the last block where the block can be computed for them alone, else nil.
func lastCls(b backbone.Backbone, x *torch.Tensor) *torch.Tensor {
	v, ok := b.(*backbone.ViT)
	if !ok || v.Norm == nil || v.FCNorm != nil {
		return nil
	}
	cls, _ := backbone.ForwardChosen(v, nn.Eval, x, nil, nil)
	return cls.To(torch.Float32)
}

// PixelSize is the side to which images are brought for [Pixels] as a rule. At 224 pixels a feature
// would have 150,528 numbers.
const PixelSize = 32

// Pixels makes features of the pixels themselves, without a network: each image brought to size x
// size as by o.Transform without its margin, and normalised as it says. These are the numbers that a
// network of such an input gets, and what its features have to beat. (On CIFAR-10 their k-NN was
// better than that of pixels in [0, 1], and than that of pixels less the mean colour of each image.)
func Pixels(ctx context.Context, ds data.Dataset, size int, o ExtractOptions) (*Features, error) {
	o.Transform.Resize, o.Transform.Crop = size, size
	return collect(ctx, ds, o, flatten)
}

// flatten maps images (B, C, S, S) to their numbers (B, C*S*S).
func flatten(x *torch.Tensor) (*torch.Tensor, error) { return x.Flatten(1, 3), nil }

// collect transforms the images of ds batch by batch, embeds each batch (B, C, S, S) as (B, D), and
// gathers the rows.
func collect(ctx context.Context, ds data.Dataset, o ExtractOptions, embed embedder) (*Features, error) {
	f := &Features{Classes: ds.Classes()}
	err := o.stream(ctx, ds, 0, embed, func(b *batch, rows []*torch.Tensor) error {
		for i, s := range b.slots {
			if s.err != nil {
				f.Bad = append(f.Bad, data.BadImage{Path: ds.Name(b.images[i]), Error: s.err.Error(), Index: b.images[i]})
				continue
			}
			if f.X == nil {
				f.X = torch.Empty(torch.Float32, o.Device, ds.Len(), rows[i].Numel()).Own()
			}
			f.X.Slice(0, f.Len(), f.Len()+1).Copy_(rows[i])
			f.Labels = append(f.Labels, ds.Label(b.images[i]))
			f.Names = append(f.Names, ds.Name(b.images[i]))
		}
		if o.Progress != nil {
			o.Progress(f.Len() + len(f.Bad))
		}
		return nil
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	if f.Len() < ds.Len() { // rows of bad images are left at the end
		torch.Scope(func() {
			all := f.X
			f.X = all.Slice(0, 0, f.Len()).Clone().Own()
			all.Free()
		})
	}
	return f, nil
}

// Stream brings all images of ds to the form that o.Transform says and hands them to visit, batch by
// batch in the order of the set: the numbers of the images and their pixels (B, C, S, S) on
// o.Device, without gradients. What visit makes and does not own is freed behind it, so memory does
// not grow with the set.
//
// An image that cannot be read is left out of its batch and returned; more than 5 % of them are a
// *[data.TooManyBad]. When ctx is done, Stream returns its error.
func Stream(ctx context.Context, ds data.Dataset, o ExtractOptions, visit func(images []int, x *torch.Tensor) error) ([]data.BadImage, error) {
	var bad []data.BadImage
	done := 0
	err := o.batches(ctx, ds, 0, func(b *batch) error {
		bad = append(bad, b.bad(ds)...)
		if done += len(b.slots); o.Progress != nil {
			o.Progress(done)
		}
		first := b.readable()
		if first < 0 {
			return nil
		}
		x, slots := b.together(first, len(o.Transform.Mean), o.Device)
		images := make([]int, len(slots))
		for i, slot := range slots {
			images[i] = b.images[slot]
		}
		return visit(images, x)
	})
	return bad, err
}

// load loads image i as the network sees it; see decode.
func (t Transform) load(ds data.Dataset, i int) (im *imaging.Image, unreadable, err error) {
	if im, unreadable, err = t.decode(ds, i); im != nil {
		im = t.Pixels(im)
	}
	return im, unreadable, err
}

// decode loads the whole of image i. unreadable tells what is wrong with the image, err what is wrong
// with the set.
func (t Transform) decode(ds data.Dataset, i int) (im *imaging.Image, unreadable, err error) {
	im, unreadable = ds.Load(i)
	if unreadable != nil {
		for _, exhausted := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
			if errors.Is(unreadable, exhausted) { // tells of the machine, not of the image
				return nil, nil, fmt.Errorf("eval: cannot load %s: %w", ds.Name(i), unreadable)
			}
		}
		return nil, unreadable, nil
	}
	if im.C != len(t.Mean) {
		return nil, nil, fmt.Errorf("eval: %s has %d channels, but the network takes %d; give images of %d channels, or another network",
			ds.Name(i), im.C, len(t.Mean), len(t.Mean))
	}
	return im, nil, nil
}

// tooMany is a *[data.TooManyBad] where more of n images are bad than package data allows, or all.
func tooMany(bad []data.BadImage, n int) error {
	if count := len(bad); count > max(1, n/20) || count == n {
		return &data.TooManyBad{Count: count, Of: n, First: bad[:min(count, 5)]}
	}
	return nil
}
