package method

import (
	"fmt"
	"math"

	"ibot/rng"
)

// Masks says which patch tokens of a global view the student does not see (the reference's
// ImageFolderMask).
type Masks struct {
	// For each crop one of the ratios r is chosen, all equally likely, and the share of masked
	// patches is drawn evenly from [r-v, r+v], v being the entry of RatioVar at the same place.
	Ratio, RatioVar []float64
	Shape           string  // "block" (BEiT's blockwise masking) or "rand" (single patches)
	StartEpoch      int     // before it nothing is masked
	MinAspect       float64 // of a block, height over width; the largest is its inverse
}

// DefaultMasks returns the reference's defaults: blocks over 30 % of the patches, from the first
// epoch on.
func DefaultMasks() Masks {
	return Masks{Ratio: []float64{0.3}, RatioVar: []float64{0}, Shape: "block", MinAspect: 0.3}
}

// Validate reports the first setting that no mask could be drawn with.
func (m Masks) Validate() error {
	if len(m.Ratio) == 0 || len(m.Ratio) != len(m.RatioVar) {
		return fmt.Errorf("method: pred_ratio has %d entries and pred_ratio_var %d, want one of each for every choice",
			len(m.Ratio), len(m.RatioVar))
	}
	for i, r := range m.Ratio {
		if v := m.RatioVar[i]; !(v >= 0 && r-v >= 0 && r+v <= 1) {
			return fmt.Errorf("method: pred_ratio %v with pred_ratio_var %v leaves [0, 1]; want ratio-var >= 0 and ratio+var <= 1",
				r, v)
		}
	}
	if m.Shape != "block" && m.Shape != "rand" {
		return fmt.Errorf("method: pred_shape is %q, want \"block\" or \"rand\"", m.Shape)
	}
	if m.Shape == "block" && !(m.MinAspect > 0 && m.MinAspect <= 1) {
		return fmt.Errorf("method: the smallest aspect ratio of a masked block is %v, want more than 0 and at most 1",
			m.MinAspect)
	}
	return nil
}

// DrawAt is Draw from StartEpoch on; before, it returns a mask without masked patches.
func (m Masks) DrawAt(epoch int, r *rng.Stream, h, w int) []bool {
	if epoch < m.StartEpoch {
		return make([]bool, h*w)
	}
	return m.Draw(r, h, w)
}

// Draw draws a mask over h x w patches, row by row; true is masked.
func (m Masks) Draw(r *rng.Stream, h, w int) []bool {
	i := r.IntN(len(m.Ratio))
	target := r.Uniform(m.Ratio[i]-m.RatioVar[i], m.Ratio[i]+m.RatioVar[i]) * float64(h*w)
	mask := make([]bool, h*w)
	if m.Shape == "rand" {
		for j := range int(target) {
			mask[j] = true
		}
		r.Shuffle(len(mask), func(a, b int) { mask[a], mask[b] = mask[b], mask[a] })
		return mask
	}
	for count := 0; float64(count) < target; {
		added := m.addBlock(r, mask, h, w, target-float64(count))
		if added == 0 {
			break // no block fitted: the mask stays a little short, as the reference's
		}
		count += added
	}
	return mask
}

// addBlock masks one more rectangle that adds at least one patch and at most room, and returns how
// many it added; 0 where ten rectangles did not fit. (BEiT, algorithm 1, with its area bounds as in
// the reference.)
func (m Masks) addBlock(r *rng.Stream, mask []bool, h, w int, room float64) int {
	least := float64((min(h, w) / 3) * (min(h, w) / 3)) // may exceed room: the draw then runs backwards
	for range 10 {
		area := r.Uniform(least, room)
		aspect := math.Exp(r.Uniform(math.Log(m.MinAspect), -math.Log(m.MinAspect)))
		bh := int(math.RoundToEven(math.Sqrt(area * aspect))) // Python's round
		bw := int(math.RoundToEven(math.Sqrt(area / aspect)))
		if bw >= w || bh >= h {
			continue
		}
		top, left := r.IntRange(0, h-bh), r.IntRange(0, w-bw)
		already := 0
		for y := top; y < top+bh; y++ {
			for x := left; x < left+bw; x++ {
				if mask[y*w+x] {
					already++
				}
			}
		}
		added := bh*bw - already
		if added == 0 || float64(added) > room {
			continue
		}
		for y := top; y < top+bh; y++ {
			for x := left; x < left+bw; x++ {
				mask[y*w+x] = true
			}
		}
		return added
	}
	return 0
}
