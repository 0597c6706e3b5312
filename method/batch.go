package method

import "ibot/torch"

// Images are the views of a batch of images, any part of which can be brought to the device.
type Images interface {
	Len() int
	Part(from, to int) Batch // the views of the images from (included) to to (excluded)
}

// Batch is the views of B images, on the device. Crops of one size lie in one tensor, crop by crop.
type Batch struct {
	B      int
	Global *torch.Tensor // (G*B, C, S, S)
	Local  *torch.Tensor // (L*B, C, s, s); nil without
	Mask   *torch.Tensor // (G*B, h, w) bool on the grid of patches; nil masks nothing
	Masked *torch.Tensor // (M) int64: where Mask is true, counted through (G*B, h*w); on a GPU some more, of weight 0
	Weight *torch.Tensor // (M): one over the number of masked patches of the crop
}

// Len is B.
func (b Batch) Len() int { return b.B }

// Part returns the images from (included) to to (excluded), for which it copies their views.
func (b Batch) Part(from, to int) Batch {
	if from == 0 && to == b.B {
		return b
	}
	part := Batch{B: to - from, Global: PartOfCrops(b.Global, b.B, from, to)}
	if b.Local != nil {
		part.Local = PartOfCrops(b.Local, b.B, from, to)
	}
	if b.Mask != nil {
		mask := PartOfCrops(b.Mask, b.B, from, to)
		crops, h, w := mask.Size(0), mask.Size(1), mask.Size(2)
		flat, masks := torch.Read[bool](mask), make([][]bool, crops)
		for i := range masks {
			masks[i] = flat[i*h*w : (i+1)*h*w]
		}
		part.Mask, part.Masked, part.Weight = NewMask(masks, h, w, b.Mask.Device())
	}
	return part
}

// PartOfCrops returns of what lies crop by crop, x (crops*B, ...), that of the images from
// (included) to to (excluded).
func PartOfCrops(x *torch.Tensor, B, from, to int) *torch.Tensor {
	if from == 0 && to == B {
		return x
	}
	shape := x.Shape()
	crops := append([]int{shape[0] / B, B}, shape[1:]...)
	shape[0] = crops[0] * (to - from)
	return x.Reshape(crops...).Slice(1, from, to).Reshape(shape...)
}

// NewMask makes the mask tensors of a batch from masks of crops (G*B) of h*w cells each, and puts
// them on device d. Nothing masked gives three nils.
//
// On a GPU masked and weight have a length of which there are a dozen at most, so that shapes repeat from step to step: they
// are filled up with a patch that counts nothing.
func NewMask(masks [][]bool, h, w int, d torch.Device) (mask, masked, weight *torch.Tensor) {
	multiple := 1
	if d.Type != torch.CPUType {
		multiple = MaskedMultiple(len(masks) * h * w)
	}
	return newMask(masks, h, w, d, multiple)
}

// MaskedMultiple is what the number of masked patches is rounded up to a multiple of, on a GPU, for a batch of so many patches.
func MaskedMultiple(patches int) int { return max(1, patches/16) }

func newMask(masks [][]bool, h, w int, d torch.Device, multiple int) (mask, masked, weight *torch.Tensor) {
	flat := make([]bool, 0, len(masks)*h*w)
	var at []int64
	var weights []float32
	for _, m := range masks {
		first := len(at)
		for i, on := range m {
			if on {
				at = append(at, int64(len(flat)+i))
			}
		}
		flat = append(flat, m...)
		for range at[first:] {
			weights = append(weights, 1/float32(len(at)-first))
		}
	}
	if len(at) == 0 {
		return nil, nil, nil
	}
	for len(at)%multiple != 0 {
		at, weights = append(at, 0), append(weights, 0)
	}
	return torch.NewOn(d, flat, len(masks), h, w), torch.NewOn(d, at, len(at)), torch.NewOn(d, weights, len(weights))
}
