package metrics

import (
	"fmt"
	"math"
)

// A mask is a picture of which pixels belong to an object: W*H bools, row by row.

// Jaccard is the region similarity J of DAVIS (Perazzi et al. 2016): the pixels that both masks have
// over those that either has; 1 where neither has any. It fails where the masks differ in size.
func Jaccard(truth, mask []bool) (float64, error) {
	if len(truth) != len(mask) {
		return 0, fmt.Errorf("metrics: masks of %d and %d pixels cannot be compared", len(truth), len(mask))
	}
	var both, either int
	for i, t := range truth {
		if t && mask[i] {
			both++
		}
		if t || mask[i] {
			either++
		}
	}
	if either == 0 {
		return 1, nil
	}
	return float64(both) / float64(either), nil
}

// BoundaryTolerance is how far apart two boundaries may be and still match, as a share of the
// picture's diagonal, in the published scores of DAVIS.
const BoundaryTolerance = 0.008

// Boundary is the boundary measure F of DAVIS for masks of w x h pixels: the harmonic mean of the
// share of the mask's boundary that lies near the true one, and of the share of the true boundary
// that lies near the mask's. Near is within tolerance times the diagonal, rounded up to whole
// pixels. It is 1 where neither mask has a boundary, 0 where one has none.
//
// It equals db_eval_boundary of the public scorer (davis2017-evaluation).
func Boundary(truth, mask []bool, w, h int, tolerance float64) (float64, error) {
	switch {
	case w < 1 || h < 1 || len(truth) != w*h || len(mask) != w*h:
		return 0, fmt.Errorf("metrics: masks of %d and %d pixels; want %d x %d of both", len(truth), len(mask), w, h)
	case !(tolerance >= 0 && tolerance < 1):
		return 0, fmt.Errorf("metrics: a boundary tolerance of %v; want a share of the diagonal from 0 to 1", tolerance)
	}
	radius := int(math.Ceil(tolerance * math.Hypot(float64(w), float64(h))))
	a, b := boundary(truth, w, h), boundary(mask, w, h)
	foundA, ofA := within(a, b, w, h, radius)
	foundB, ofB := within(b, a, w, h, radius)
	switch {
	case ofA == 0 && ofB == 0:
		return 1, nil
	case foundA == 0 || foundB == 0: // also where one has no boundary
		return 0, nil
	}
	recall, precision := float64(foundA)/float64(ofA), float64(foundB)/float64(ofB)
	return 2 * precision * recall / (precision + recall), nil
}

// boundary marks the pixels that differ from the one to the right, below, or both (Martin 2003). At
// the right and lower border only the neighbour along it counts.
func boundary(mask []bool, w, h int) []bool {
	edge := make([]bool, len(mask))
	for y := range h {
		for x := range w {
			i := y*w + x
			right, below := x+1 < w, y+1 < h
			edge[i] = right && mask[i] != mask[i+1] ||
				below && mask[i] != mask[i+w] ||
				right && below && mask[i] != mask[i+w+1]
		}
	}
	return edge
}

// within counts the pixels of a, and those of them with a pixel of b in the disk of the radius.
func within(a, b []bool, w, h, radius int) (near, all int) {
	distance := alongRows(b, w)
	reach := make([]int32, radius+1) // of the disk's row so far from its centre
	for d := range reach {
		reach[d] = int32(math.Sqrt(float64(radius*radius - d*d)))
	}
	for i, is := range a {
		if !is {
			continue
		}
		all++
		x, y := i%w, i/w
		for row := max(0, y-radius); row <= min(h-1, y+radius); row++ {
			if distance[row*w+x] <= reach[max(row-y, y-row)] {
				near++
				break
			}
		}
	}
	return near, all
}

// alongRows is how far the next true pixel of the same row is from each pixel.
func alongRows(b []bool, w int) []int32 {
	const far = math.MaxInt32 / 2
	distance := make([]int32, len(b))
	for from := 0; from < len(b); from += w {
		row, d := distance[from:from+w], int32(far)
		for x := range row {
			if d++; b[from+x] {
				d = 0
			}
			row[x] = d
		}
		d = far
		for x := w - 1; x >= 0; x-- {
			if d++; b[from+x] {
				d = 0
			}
			row[x] = min(row[x], d)
		}
	}
	return distance
}

// OverTime sums up the scores of one object in the frames of a video, as DAVIS reports them.
type OverTime struct {
	Mean   float64
	Recall float64 // share of frames that score more than 0.5
	Decay  float64 // mean of the first quarter less that of the last
}

// NewOverTime sums up the scores of frames in their order. Without any, all is NaN.
func NewOverTime(frames []float64) OverTime {
	n := len(frames)
	if n == 0 {
		return OverTime{math.NaN(), math.NaN(), math.NaN()}
	}
	mean := func(frames []float64) float64 {
		var sum float64
		for _, v := range frames {
			sum += v
		}
		return sum / float64(len(frames))
	}
	s := OverTime{Mean: mean(frames)}
	for _, v := range frames {
		if v > 0.5 {
			s.Recall += 1 / float64(n)
		}
	}
	// Quarters share the frames at their ends. The rounding is that of the public scorer.
	bound := func(quarter int) int {
		return int(math.RoundToEven(1+float64(quarter)*float64(n-1)/4+1e-10)) - 1
	}
	s.Decay = mean(frames[:bound(1)+1]) - mean(frames[bound(3):])
	return s
}
