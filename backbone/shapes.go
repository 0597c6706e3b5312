package backbone

// BlockShape is the size of one block's work on one image.
type BlockShape struct {
	Tokens int
	Dim    int
	Hidden int // width inside of the MLP
}

// Shapes lists the blocks of a forward pass of an image of H by W pixels, in order.
func (v *ViT) Shapes(H, W int) []BlockShape {
	h, w := v.Grid(H, W)
	all := make([]BlockShape, len(v.Blocks))
	for i := range all {
		all[i] = BlockShape{Tokens: 1 + v.Config.Registers + h*w, Dim: v.Config.EmbedDim, Hidden: v.MLPHidden}
	}
	return all
}

// Shapes lists the blocks of a forward pass of an image of H by W pixels, in order.
func (s *Swin) Shapes(H, W int) []BlockShape {
	var all []BlockShape
	h, w := H/s.PatchSize, W/s.PatchSize
	for i, stage := range s.Stages {
		for range stage.Blocks {
			all = append(all, BlockShape{Tokens: h * w, Dim: s.width(i), Hidden: 4 * s.width(i)})
		}
		h, w = (h+1)/2, (w+1)/2
	}
	return all
}
