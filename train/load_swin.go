package train

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ibot/backbone"
	"ibot/ckpt"
	"ibot/internal/settings"
)

// swinMarker is an array that every Swin has, and no other network.
const swinMarker = "layers.0.blocks.0.attn.relative_position_bias_table"

// maxStages is how many stages a Swin has at most; published ones have four.
const maxStages = 8

// IsSwin reports whether the backbone of the given role, "teacher" or "student", in an open checkpoint is a Swin.
func IsSwin(f *ckpt.Checkpoint, which string) bool {
	prefix, err := BackbonePrefix(f, which)
	return err == nil && f.Has(prefix+swinMarker)
}

// inferSwin reads the architecture off the shapes of a Swin's parameters.
//
// The window of a stage is known from its table of biases. What size the network was built for
// shows only where the last stage's window is smaller than the first's, which is then the whole of
// its map. Otherwise it is 224 pixels, as in every published Swin, or the least that gives all
// stages that window.
func inferSwin(f *ckpt.Checkpoint, prefix string) (Config, error) {
	c := Default()
	c.Arch, c.UseMaskedIM, c.InitValues = "swin_tiny", f.Has(prefix+"masked_embed"), 0
	patch, err := f.Spec(prefix + "patch_embed.proj.weight")
	if err != nil {
		return c, err
	}
	if len(patch.Shape) != 4 || slices.Contains(patch.Shape, 0) {
		return c, fmt.Errorf("train: %s: patch embedding %v is not that of a Swin", f.Path, patch.Shape)
	}
	c.EmbedDim, c.InChans, c.PatchSize = patch.Shape[0], patch.Shape[1], patch.Shape[2]
	var sides []int // of the windows
	for {
		stage := fmt.Sprintf("%slayers.%d.", prefix, len(sides))
		depth := blocks(f.Names(), stage)
		if depth == 0 || len(sides) == maxStages {
			break
		}
		table, err := f.Spec(stage + strings.TrimPrefix(swinMarker, "layers.0."))
		if err != nil {
			return c, err
		}
		if len(table.Shape) != 2 {
			return c, fmt.Errorf("train: %s: %s has the shape %v; want (positions, heads)", f.Path, table.Name, table.Shape)
		}
		positions := int(math.Sqrt(float64(table.Shape[0]))) // 2 side - 1
		if positions*positions != table.Shape[0] || positions%2 == 0 {
			return c, fmt.Errorf("train: %s: %s has %d positions; want the square of an odd number", f.Path, table.Name, table.Shape[0])
		}
		if len(sides) == 0 {
			c.NumHeads = table.Shape[1]
		}
		// What is built below must not be larger than what the file holds.
		D := c.EmbedDim << len(sides)
		qkv, err := f.Spec(stage + "blocks.0.attn.qkv.weight")
		if err != nil {
			return c, err
		}
		if len(qkv.Shape) != 2 || qkv.Shape[0] != 3*D || qkv.Shape[1] != D {
			return c, fmt.Errorf("train: %s: %s has the shape %v; want [%d %d]", f.Path, qkv.Name, qkv.Shape, 3*D, D)
		}
		c.Depths, sides = append(c.Depths, float64(depth)), append(sides, (positions+1)/2)
	}
	switch {
	case c.EmbedDim == 192:
		c.Arch = "swin_large"
	case c.EmbedDim == 128:
		c.Arch = "swin_base"
	case len(c.Depths) > 2 && c.Depths[2] == 18:
		c.Arch = "swin_small"
	}
	last := len(sides) - 1
	c.WindowSize = sides[0]
	switch cell := c.PatchSize << last; {
	case sides[last] < sides[0], 224%cell != 0, 224/cell < sides[last]:
		c.ImgSize = sides[last] * cell
	default:
		c.ImgSize = 224
	}
	if errs := settings.Check(&c); len(errs) > 0 {
		return c, fmt.Errorf("train: %s: %w", f.Path, errors.Join(errs...))
	}
	return c, nil
}

// checkSwin checks the tables that a Swin has read; of other networks there is nothing to check.
func checkSwin(b backbone.Backbone) error {
	if swin, ok := b.(*backbone.Swin); ok {
		return swin.Check()
	}
	return nil
}

// blocks counts the blocks among names.
func blocks(names []string, prefix string) int {
	n := 0
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, prefix+"blocks.")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, ".")
		if i, err := strconv.Atoi(number); err == nil {
			n = max(n, i+1)
		}
	}
	return n
}
