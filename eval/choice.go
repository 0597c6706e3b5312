package eval

import (
	"fmt"
	"math"
	"slices"

	"ibot/backbone"
	"ibot/nn"
	"ibot/torch"
)

// Choice says what of an image's tokens is its feature. Tokens are normed.
type Choice struct {
	// Feature is "cls", the [CLS] tokens of the last LastBlocks blocks, one after the other; "mean", the mean
	// of the patches of the last block; "cls_mean", both; "gem", the generalised mean of the patches
	// with exponent Power (Radenovic et al. 2019); "cls_gem", [CLS] and that; or "patches", all patches
	// (N, D).
	Feature    string
	LastBlocks int
	Power      float64 // of gem and cls_gem; the reference's copy detection has 4

	// Scales, where there are any, are factors by which an image is resized (bilinear); its feature
	// is the mean over them, scaled to length 1.
	Scales []float64
}

// ChoiceNames are the features that there are.
func ChoiceNames() []string { return []string{"cls", "mean", "cls_mean", "gem", "cls_gem", "patches"} }

// Validate says what makes no sense.
func (c Choice) Validate() error {
	switch {
	case !slices.Contains(ChoiceNames(), c.Feature):
		return fmt.Errorf("eval: there is no feature %q; want one of %v", c.Feature, ChoiceNames())
	case c.LastBlocks < 1:
		return fmt.Errorf("eval: the last %d blocks; want 1 or more", c.LastBlocks)
	case c.LastBlocks > 1 && c.Feature != "cls" && c.Feature != "cls_mean":
		return fmt.Errorf("eval: %s is of the last block alone; %d blocks go with cls and cls_mean", c.Feature, c.LastBlocks)
	case c.pools() && !(c.Power > 0 && c.Power <= 100):
		return fmt.Errorf("eval: a generalised mean with exponent %v; want one above 0 and at most 100", c.Power)
	case c.Feature == "patches" && len(c.Scales) > 0:
		return fmt.Errorf("eval: patches have no mean over several scales; choose another feature, or one scale")
	}
	for _, s := range c.Scales {
		if !(s > 0 && s <= 4) {
			return fmt.Errorf("eval: a scale of %v; want one above 0 and at most 4", s)
		}
	}
	return nil
}

// pools reports whether the choice has a generalised mean in it.
func (c Choice) pools() bool { return c.Feature == "gem" || c.Feature == "cls_gem" }

// embedder maps images to their features by the network b.
func (c Choice) embedder(b backbone.Backbone, o ExtractOptions) embedder {
	return o.precisely(func(x *torch.Tensor) (*torch.Tensor, error) { return c.of(b, x) })
}

// of maps images (B, C, H, W) to features (B, D), or (B, N, D) for patches.
func (c Choice) of(b backbone.Backbone, x *torch.Tensor) (*torch.Tensor, error) {
	if len(c.Scales) == 0 {
		return c.single(b, x)
	}
	var sum *torch.Tensor
	H, W := x.Size(2), x.Size(3)
	for _, s := range c.Scales {
		h, w := int(math.Floor(float64(H)*s)), int(math.Floor(float64(W)*s))
		if rows, cols := b.Grid(h, w); rows < 1 || cols < 1 {
			return nil, fmt.Errorf("eval: at scale %g an image of %d x %d pixels is smaller than a patch; leave that scale out, or take larger images", s, W, H)
		}
		scaled := x
		if h != H || w != W {
			scaled = x.Bilinear(h, w, s, s)
		}
		y, err := c.single(b, scaled)
		if err != nil {
			return nil, err
		}
		if sum == nil {
			sum = y
		} else {
			sum = sum.Add(y)
		}
	}
	return normalise(sum.DivScalar(float64(len(c.Scales)))), nil
}

func (c Choice) single(b backbone.Backbone, x *torch.Tensor) (*torch.Tensor, error) {
	if c.Feature == "cls" && c.LastBlocks == 1 {
		if cls := lastCls(b, x); cls != nil {
			return cls, nil
		}
	}
	layers := b.IntermediateLayers(nn.Eval, x, c.LastBlocks) // each (B, 1+N, D)
	if len(layers) < c.LastBlocks {
		return nil, fmt.Errorf("eval: features of the last %d blocks were asked for, but the network has %d; ask for at most so many", c.LastBlocks, len(layers))
	}
	patches := layers[len(layers)-1].From(1, 1).To(torch.Float32) // (B, N, D)
	switch c.Feature {
	case "patches":
		return patches, nil
	case "mean":
		return patches.Mean(1), nil
	case "gem":
		return gem(patches, c.Power), nil
	}
	var parts []*torch.Tensor
	for _, tokens := range layers {
		parts = append(parts, tokens.Select(1, 0).To(torch.Float32))
	}
	switch c.Feature {
	case "cls_mean":
		parts = append(parts, patches.Mean(1))
	case "cls_gem":
		parts = append(parts, gem(patches, c.Power))
	}
	return torch.Cat(parts, 1), nil
}

// gem is the generalised mean of patches (B, N, D), (B, D). As in the reference, they are clamped at
// 1e-6.
func gem(patches *torch.Tensor, power float64) *torch.Tensor {
	mean := patches.ClampMin(1e-6).Log().MulScalar(power).Exp().Mean(1)
	return mean.Log().DivScalar(power).Exp()
}
