package metrics_test

import (
	"math"
	"testing"

	"ibot/metrics"
)

// runs expands lengths of runs, the first of which is of pixels outside of the mask.
func runs(lengths []int) []bool {
	var mask []bool
	for i, n := range lengths {
		for range n {
			mask = append(mask, i%2 == 1)
		}
	}
	return mask
}

func TestVideoGolden(t *testing.T) {
	var golden struct {
		Masks []struct {
			Name        string
			W, H        int
			Truth, Mask []int
			Tolerance   float64
			J, F        float64
		}
		Series []struct {
			Frames              []float64
			Mean, Recall, Decay float64
		}
	}
	readGolden(t, "video.json", &golden)
	if len(golden.Masks) != 24 || len(golden.Series) != 10 {
		t.Fatalf("got %d masks and %d series", len(golden.Masks), len(golden.Series))
	}
	for _, c := range golden.Masks {
		t.Run(c.Name, func(t *testing.T) {
			truth, mask := runs(c.Truth), runs(c.Mask)
			j, err := metrics.Jaccard(truth, mask)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "J", j, c.J, 1e-15)
			f, err := metrics.Boundary(truth, mask, c.W, c.H, c.Tolerance)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "F", f, c.F, 1e-15)
		})
	}
	for _, c := range golden.Series {
		got := metrics.NewOverTime(c.Frames)
		near(t, "mean", got.Mean, c.Mean, 1e-14)
		near(t, "recall", got.Recall, c.Recall, 1e-14)
		near(t, "decay", got.Decay, c.Decay, 1e-14)
	}
}

func TestVideoBadInput(t *testing.T) {
	six := make([]bool, 6)
	if j, err := metrics.Jaccard(six, six[:5]); err == nil {
		t.Errorf("J of masks of different sizes: %v", j)
	}
	for _, c := range []struct {
		w, h      int
		tolerance float64
	}{{2, 2, 0.1}, {-2, -3, 0.1}, {6, 1, math.NaN()}, {6, 1, 1}, {6, 1, -0.1}} {
		if f, err := metrics.Boundary(six, six, c.w, c.h, c.tolerance); err == nil {
			t.Errorf("F of %+v: %v, want an error", c, f)
		}
	}
	if s := metrics.NewOverTime(nil); !math.IsNaN(s.Mean) || !math.IsNaN(s.Decay) {
		t.Errorf("no frames: %+v", s)
	}
}
