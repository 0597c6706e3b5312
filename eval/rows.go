package eval

import (
	"context"

	"ibot/ckpt"
	"ibot/torch"
)

// mappedRows are features in a file that is mapped into memory, so that they cost none that the
// system could not take back.
type mappedRows struct {
	*ckpt.Checkpoint
	bytes  []byte // float32, row after row
	dim    int
	device torch.Device // that Rows come on
}

// Dim is D, the numbers of a feature.
func (f *Features) Dim() int {
	if f.X == nil {
		return f.file.dim
	}
	return f.X.Size(1)
}

// Device is where the features are.
func (f *Features) Device() torch.Device {
	if f.X == nil {
		return f.file.device
	}
	return f.X.Device()
}

// Rows are the features of the images from, from+1, ... end-1: (end-from, D).
func (f *Features) Rows(from, end int) *torch.Tensor {
	if f.X == nil {
		size := 4 * f.file.dim
		return torch.FromBytes(f.file.bytes[from*size:end*size], torch.Float32, end-from, f.file.dim).ToDevice(f.file.device)
	}
	return f.X.Slice(0, from, end)
}

// Pick are the features (B, D) and the labels (B), int64, of the images of the given numbers.
func (f *Features) Pick(images []int) (x, labels *torch.Tensor) {
	rows, classes := make([]int64, len(images)), make([]int64, len(images))
	for i, image := range images {
		rows[i], classes[i] = int64(image), int64(f.Labels[image])
	}
	d := f.Device()
	if f.X == nil {
		size := 4 * f.file.dim
		picked := make([]byte, 0, len(images)*size)
		for _, image := range images {
			picked = append(picked, f.file.bytes[image*size:(image+1)*size]...)
		}
		x = torch.FromBytes(picked, torch.Float32, len(images), f.file.dim).ToDevice(d)
	} else {
		x = f.X.IndexSelect(0, torch.New(rows, len(rows)).ToDevice(d))
	}
	return x, torch.New(classes, len(classes)).ToDevice(d)
}

// blocks visits the features a block of rows at a time: those from image from on, x (B, D), with
// their labels (B), int64. What visit makes is freed when it returns.
func (f *Features) blocks(ctx context.Context, rows int, visit func(from int, x, labels *torch.Tensor)) error {
	for from := 0; from < f.Len(); from += rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(from+rows, f.Len())
		classes := make([]int64, end-from)
		for i, label := range f.Labels[from:end] {
			classes[i] = int64(label)
		}
		err := torch.Run(func() error {
			torch.NoGrad(func() { visit(from, f.Rows(from, end), torch.New(classes, len(classes)).ToDevice(f.Device())) })
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
