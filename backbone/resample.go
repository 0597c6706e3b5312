package backbone

import (
	"fmt"

	"ibot/ckpt"
	"ibot/torch"
)

// Resample brings the position embedding to images of size by size pixels, bicubically as
// [ViT.Positions] does. The size must be a multiple of the patch size.
func (w *Weights) Resample(size int) error {
	c := w.Config
	if size < c.PatchSize || size%c.PatchSize != 0 {
		return fmt.Errorf("backbone: %d pixels are no multiple of the patch size of %s, %d", size, w.label, c.PatchSize)
	}
	if size == c.ImgSize {
		return nil
	}
	a, err := w.Arrays.Array("pos_embed")
	if err != nil {
		return err
	}
	dtype, ok := torchTypes[a.DType]
	if !ok {
		return fmt.Errorf("backbone: the positions of %s have type %v", w.label, a.DType)
	}
	var resampled ckpt.Array
	err = torch.Run(func() error {
		torch.NoGrad(func() {
			v := &ViT{Config: c, PosEmbed: torch.FromBytes(a.Data, dtype, a.Shape...).To(torch.Float32)}
			positions := v.Positions(size, size).To(dtype)
			resampled = ckpt.Array{DType: a.DType, Shape: positions.Shape(), Data: positions.Bytes()}
		})
		return nil
	})
	if err != nil {
		return err
	}
	read, out := w.Arrays, ckpt.New()
	for _, s := range read.Specs() {
		if s.Name == "pos_embed" {
			err = out.Add(s.Name, resampled)
		} else {
			err = out.AddFunc(s.Name, s.DType, s.Shape, func() ([]byte, error) {
				a, err := read.Array(s.Name)
				return a.Data, err
			})
		}
		if err != nil {
			return err
		}
	}
	side, old := size/c.PatchSize, c.ImgSize/c.PatchSize
	w.Arrays, w.Config.ImgSize = out, size
	w.Notes = append(w.Notes, fmt.Sprintf("positions resampled from %dx%d to %dx%d patches", old, old, side, side))
	return nil
}
