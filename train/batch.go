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

// hostImages are the images of a batch on their way to device.
type hostImages struct {
	*input
	*hostBatch
	device torch.Device
}

// Len is the number of images.
func (h hostImages) Len() int { return h.batch }

// Part brings the views of the images from (included) to to (excluded) to the device.
func (h hostImages) Part(from, to int) method.Batch {
	v, out := h.views, method.Batch{B: to - from}
	if h.input.drafts {
		out.Global, out.Local = v.RenderOn(h.device, h.hostBatch.drafts[from:to])
	} else {
		out.Global = h.upload(h.global, v.GlobalNumber, v.GlobalSize, from, to)
		if v.LocalNumber > 0 {
			out.Local = h.upload(h.local, v.LocalNumber, v.LocalSize, from, to)
		}
	}
	if h.hostBatch.masks != nil {
		var masks [][]bool
		for crop := range v.GlobalNumber {
			masks = append(masks, h.hostBatch.masks[crop*h.batch+from:crop*h.batch+to]...)
		}
		out.Mask, out.Masked, out.Weight = method.NewMask(masks, h.grid, h.grid, h.device)
	}
	return out
}

// upload brings crops of size pixels, which lie crop by crop, to the device.
func (h hostImages) upload(pixels []float32, crops, size, from, to int) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor {
		n := h.chans * size * size
		var parts []*torch.Tensor
		for crop := range crops {
			at := crop * h.batch
			parts = append(parts, torch.NewOn(h.device, pixels[(at+from)*n:(at+to)*n], to-from, h.chans, size, size))
		}
		return torch.Cat(parts, 0)
	})
}
