package eval

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"ibot/data"
	"ibot/imaging"
	"ibot/rng"
	"ibot/torch"
)

// augmented gives the features of randomly cropped and flipped images, fresh ones each epoch: the
// reference's transform for the training of linear heads, torchvision's RandomResizedCrop (bilinear)
// and RandomHorizontalFlip.
type augmented struct {
	ds        data.Dataset
	transform Transform // its Crop, Mean and Std
	embed     embedder
	batch     int
	workers   int
	device    torch.Device
	seed      rng.Seed

	bad map[int]data.BadImage // images that could not be read, by number
}

// The area and the aspect ratio of crops.
var (
	cropScale = [2]float64{0.08, 1}
	cropRatio = [2]float64{3. / 4, 4. / 3}
)

// epoch calls step with the batches of an epoch; see [batches]. Images that cannot be read are left out.
func (a *augmented) epoch(ctx context.Context, epoch, from int, step func(number int, x, labels *torch.Tensor)) error {
	order := a.seed.Stream("linear order", epoch).Perm(a.ds.Len())
	r := reader{batch: min(a.batch, a.ds.Len())}
	loader := data.Loader[*batch]{
		Workers: a.workers, New: r.new, Begin: r.begin,
		Fill: func(_ context.Context, b *batch, slot, image int) error { return a.fill(b, slot, image, epoch) },
	}
	images := func(number int) []int { return order[number*a.batch : min((number+1)*a.batch, len(order))] }
	number := from
	for b, err := range loader.Run(ctx, from, (len(order)+a.batch-1)/a.batch, images) {
		if err == nil {
			err = a.use(b, func(x, labels *torch.Tensor) { step(number, x, labels) })
		}
		number++
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fill crops one image of an epoch.
func (a *augmented) fill(b *batch, slot, image, epoch int) error {
	im, unreadable, err := a.transform.decode(a.ds, image)
	if b.slots[slot].err = unreadable; im == nil {
		return err
	}
	r := a.seed.Stream("linear view", epoch, image)
	size := a.transform.Crop
	im = im.CropResize(imaging.DrawResizedCrop(r, im.W, im.H, cropScale, cropRatio), size, size, imaging.Bilinear)
	if r.Bernoulli(.5) {
		im.FlipH()
	}
	b.slots[slot].set(im, a.transform)
	return nil
}

// use embeds a batch and gives it to step.
func (a *augmented) use(b *batch, step func(x, labels *torch.Tensor)) error {
	for _, image := range b.bad(a.ds) {
		a.bad[image.Index] = image
	}
	if err := tooMany(slices.Collect(maps.Values(a.bad)), a.ds.Len()); err != nil {
		return err
	}
	first := b.readable()
	if first < 0 {
		return nil
	}
	return torch.Run(func() (err error) {
		torch.NoGrad(func() {
			x, slots := b.together(first, len(a.transform.Mean), a.device)
			labels := make([]int64, len(slots))
			for i, slot := range slots {
				image := b.images[slot]
				if labels[i] = int64(a.ds.Label(image)); labels[i] < 0 {
					err = fmt.Errorf("eval: %s has no label; give every image a label, or leave it out", a.ds.Name(image))
					return
				}
			}
			if x, err = a.embed(x); err == nil {
				step(x.To(torch.Float32), torch.New(labels, len(labels)).ToDevice(a.device))
			}
		})
		return err
	})
}

// badNames are the names of the images that could not be read, in the order of the set.
func (a *augmented) badNames() []string {
	var names []string
	for i := range a.ds.Len() {
		if image, bad := a.bad[i]; bad {
			names = append(names, image.Path)
		}
	}
	return names
}
