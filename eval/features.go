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
	X       *torch.Tensor // (n, D), float32, as the network gives them: not l2-normalised
	Labels  []int         // (n): the position of the class in Classes, -1 for none
	Names   []string      // (n): paths relative to the set's folder
	Classes []string      // nil for a set without labels

	// Bad are the images that could not be read. They have no row.
	Bad []data.BadImage
}

// Close frees X.
func (f *Features) Close() {
	if f.X != nil {
		f.X.Free()
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
	b = o.published(b)
	return collect(ctx, ds, o, func(x *torch.Tensor) (*torch.Tensor, error) {
		if o.Precision != torch.BFloat16 {
			return o.choose(b, x)
		}
		var y *torch.Tensor
		var err error
		torch.Autocast(o.Device, torch.BFloat16, func() { y, err = o.choose(b, x) })
		return y, err
	})
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

// PixelSize is the side to which images are brought for [Pixels] as a rule. At 224 pixels a feature
// would have 150,528 numbers.
const PixelSize = 32

// Pixels makes features of the pixels themselves, without a network: each image brought to size x
// size as by o.Transform without its margin, and normalised as it says. These are the numbers that a
// network of such an input gets, and what its features have to beat. (On CIFAR-10 their k-NN was
// better than that of pixels in [0, 1], and than that of pixels less the mean colour of each image.)
func Pixels(ctx context.Context, ds data.Dataset, size int, o ExtractOptions) (*Features, error) {
	o.Transform.Resize, o.Transform.Crop = size, size
	return collect(ctx, ds, o, func(x *torch.Tensor) (*torch.Tensor, error) { return x.Flatten(1, 3), nil })
}

// collect transforms the images of ds batch by batch, embeds each batch (B, C, S, S) as (B, D), and
// gathers the rows.
func collect(ctx context.Context, ds data.Dataset, o ExtractOptions, embed func(x *torch.Tensor) (*torch.Tensor, error)) (*Features, error) {
	if err := o.resolve(); err != nil {
		return nil, err
	}
	n := ds.Len()
	r := reader{ds: ds, transform: o.Transform, batch: min(o.BatchSize, n)}
	loader := data.Loader[*batch]{Workers: o.Workers, New: r.new, Begin: r.begin, Fill: r.fill}
	f := &Features{Classes: ds.Classes()}
	for b, err := range loader.Run(ctx, 0, (n+r.batch-1)/r.batch, r.images) {
		if err == nil {
			err = f.append(ds, b, o, embed)
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(f.Len() + len(f.Bad))
		}
	}
	if f.Len() < n { // rows of bad images are left at the end
		torch.Scope(func() {
			all := f.X
			f.X = all.Slice(0, 0, f.Len()).Clone().Own()
			all.Free()
		})
	}
	return f, nil
}

// append adds the rows of a batch.
func (f *Features) append(ds data.Dataset, b *batch, o ExtractOptions, embed func(x *torch.Tensor) (*torch.Tensor, error)) error {
	size, good := o.Transform.size(), 0
	for slot, image := range b.images {
		if err := b.errs[slot]; err != nil {
			f.Bad = append(f.Bad, data.BadImage{Path: ds.Name(image), Error: err.Error(), Index: image})
			continue
		}
		copy(b.pixels[good*size:], b.pixels[slot*size:(slot+1)*size])
		f.Labels = append(f.Labels, ds.Label(image))
		f.Names = append(f.Names, ds.Name(image))
		good++
	}
	if err := tooMany(f.Bad, ds.Len()); err != nil || good == 0 {
		return err
	}
	return torch.Run(func() (err error) {
		torch.NoGrad(func() {
			t := o.Transform
			x := torch.New(b.pixels[:good*size], good, len(t.Mean), t.Crop, t.Crop).ToDevice(o.Device)
			var y *torch.Tensor // (good, D)
			if y, err = embed(x); err != nil {
				return
			}
			if f.X == nil {
				f.X = torch.Empty(torch.Float32, o.Device, ds.Len(), y.Size(1)).Own()
			}
			f.X.Slice(0, f.Len()-good, f.Len()).Copy_(y)
		})
		return err
	})
}

// reader fills batches with transformed images, in the order of the set.
type reader struct {
	ds        data.Dataset
	transform Transform
	batch     int
}

// batch holds some images in a row.
type batch struct {
	images []int     // their numbers
	errs   []error   // why one could not be read
	pixels []float32 // (B, C, S, S)
}

func (r *reader) new() *batch {
	return &batch{errs: make([]error, r.batch), pixels: make([]float32, r.batch*r.transform.size())}
}

func (r *reader) begin(b *batch, _ int, images []int) { b.images = images }

func (r *reader) images(step int) []int {
	var images []int
	for i := step * r.batch; i < min((step+1)*r.batch, r.ds.Len()); i++ {
		images = append(images, i)
	}
	return images
}

func (r *reader) fill(_ context.Context, b *batch, slot, image int) error {
	t := r.transform
	im, unreadable, err := t.load(r.ds, image)
	if b.errs[slot] = unreadable; im != nil {
		im.ToCHW(b.pixels[slot*t.size():(slot+1)*t.size()], t.Mean, t.Std)
	}
	return err
}

// load loads image i as the network sees it. unreadable tells what is wrong with the image, err
// what is wrong with the whole.
func (t Transform) load(ds data.Dataset, i int) (im *imaging.Image, unreadable, err error) {
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
	return t.Pixels(im), nil, nil
}

// tooMany is a *[data.TooManyBad] where more of n images are bad than package data allows, or all.
func tooMany(bad []data.BadImage, n int) error {
	if count := len(bad); count > max(1, n/20) || count == n {
		return &data.TooManyBad{Count: count, Of: n, First: bad[:min(count, 5)]}
	}
	return nil
}
