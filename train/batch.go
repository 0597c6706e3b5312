package train

import (
	"context"
	"fmt"

	"ibot/data"
	"ibot/imaging"
	"ibot/method"
	"ibot/rng"
	"ibot/torch"
)

// hostBatch is the views and masks of B images in host memory; the loader fills and reuses it. Views are either
// rendered, or drafts that the device renders.
type hostBatch struct {
	step, epoch int
	global      []float32      // (G*B, C, S, S), crop by crop
	local       []float32      // (L*B, C, s, s)
	drafts      []method.Draft // (B)
	masks       [][]bool       // (G*B), h*w each; nil without masked image modelling
	labels      []int          // (B); -1: none
}

// input makes batches: it decodes an image once, draws and renders its views and draws its masks.
// Every draw has a stream of its own, named after epoch and image, so that a batch depends neither
// on the number of workers nor on what came before, nor on where it is rendered.
type input struct {
	seed   rng.Seed
	views  method.Views
	masks  method.Masks
	masked bool
	grid   int // patches a side of a global crop
	chans  int
	batch  int // B
	images data.Dataset
	bad    *data.BadImages
	epoch  func(step int) int
	drafts bool // leave the pixels of views to the device
}

func (in *input) new() *hostBatch {
	v, B := in.views, in.batch
	b := &hostBatch{labels: make([]int, B)}
	if in.drafts {
		b.drafts = make([]method.Draft, B)
	} else {
		b.global = make([]float32, v.GlobalNumber*B*in.chans*v.GlobalSize*v.GlobalSize)
		b.local = make([]float32, v.LocalNumber*B*in.chans*v.LocalSize*v.LocalSize)
	}
	if in.masked {
		b.masks = make([][]bool, v.GlobalNumber*B)
	}
	return b
}

func (in *input) begin(b *hostBatch, step int, _ []int) { b.step, b.epoch = step, in.epoch(step) }

// fill puts the views of an image into slot.
func (in *input) fill(_ context.Context, b *hostBatch, slot, image int) error {
	src, index, err := in.bad.Load(image)
	if err != nil {
		return err
	}
	if src.C != in.chans {
		return fmt.Errorf("train: %s has %d channels, but in_chans is %d; use --in_chans %d", in.images.Name(index), src.C, in.chans, src.C)
	}
	b.labels[slot] = in.images.Label(index)
	views := in.views.Draw(in.seed, b.epoch, image, src.W, src.H)
	if in.drafts {
		b.drafts[slot] = method.NewDraft(src, views)
	} else {
		in.render(b, slot, src, views)
	}
	if in.masked {
		for i := range in.views.GlobalNumber {
			b.masks[i*in.batch+slot] = in.masks.DrawAt(b.epoch, in.seed.Stream("mask", b.epoch, image, i), in.grid, in.grid)
		}
	}
	return nil
}

// render writes the views of src to their places in the batch.
func (in *input) render(b *hostBatch, slot int, src *imaging.Image, views []method.View) {
	for i, view := range views {
		dst, crop := b.global, i
		if i >= in.views.GlobalNumber {
			dst, crop = b.local, i-in.views.GlobalNumber
		}
		n := in.chans * view.Size * view.Size
		at := (crop*in.batch + slot) * n
		view.RenderCHW(dst[at:at+n], src, in.views.Mean, in.views.Std)
	}
}

// tensors brings the batch to device d.
func (in *input) tensors(b *hostBatch, d torch.Device) (out method.Batch) {
	v, B := in.views, in.batch
	if in.drafts {
		out.Global, out.Local = v.RenderOn(d, b.drafts)
	} else {
		out.Global = torch.New(b.global, v.GlobalNumber*B, in.chans, v.GlobalSize, v.GlobalSize).ToDevice(d)
		if v.LocalNumber > 0 {
			out.Local = torch.New(b.local, v.LocalNumber*B, in.chans, v.LocalSize, v.LocalSize).ToDevice(d)
		}
	}
	if b.masks != nil {
		out.Mask, out.Masked, out.Weight = method.NewMask(b.masks, in.grid, in.grid, d)
	}
	return out
}
