package train

import (
	"context"
	"fmt"

	"ibot/data"
	"ibot/method"
	"ibot/rng"
	"ibot/torch"
)

// hostBatch is the views and masks of B images in host memory; the loader fills and reuses it.
type hostBatch struct {
	step, epoch int
	global      []float32 // (G*B, C, S, S), crop by crop
	local       []float32 // (L*B, C, s, s)
	masks       [][]bool  // (G*B), h*w each; nil without masked image modelling
	labels      []int     // (B); -1: none
}

// input makes batches: it decodes an image once, draws and renders its views and draws its masks.
// Every draw has a stream of its own, named after epoch and image, so that a batch depends neither
// on the number of workers nor on what came before.
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
}

func (in *input) new() *hostBatch {
	v, B := in.views, in.batch
	b := &hostBatch{
		global: make([]float32, v.GlobalNumber*B*in.chans*v.GlobalSize*v.GlobalSize),
		local:  make([]float32, v.LocalNumber*B*in.chans*v.LocalSize*v.LocalSize),
		labels: make([]int, B),
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
	v := in.views
	for i, view := range v.Draw(in.seed, b.epoch, image, src.W, src.H) {
		dst, crop := b.global, i
		if i >= v.GlobalNumber {
			dst, crop = b.local, i-v.GlobalNumber
		}
		n := in.chans * view.Size * view.Size
		at := (crop*in.batch + slot) * n
		view.RenderCHW(dst[at:at+n], src, v.Mean, v.Std)
		if i < v.GlobalNumber && in.masked {
			b.masks[crop*in.batch+slot] = in.masks.DrawAt(b.epoch, in.seed.Stream("mask", b.epoch, image, i), in.grid, in.grid)
		}
	}
	return nil
}

// tensors copies the batch to device d.
func (in *input) tensors(b *hostBatch, d torch.Device) method.Batch {
	v, B := in.views, in.batch
	out := method.Batch{
		Global: torch.New(b.global, v.GlobalNumber*B, in.chans, v.GlobalSize, v.GlobalSize).ToDevice(d),
	}
	if v.LocalNumber > 0 {
		out.Local = torch.New(b.local, v.LocalNumber*B, in.chans, v.LocalSize, v.LocalSize).ToDevice(d)
	}
	if b.masks != nil {
		out.Mask, out.Masked, out.Weight = method.NewMask(b.masks, in.grid, in.grid, d)
	}
	return out
}
