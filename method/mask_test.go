package method_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"ibot/method"
	"ibot/rng"
)

func ExampleMasks_Draw() {
	masks := method.Masks{Ratio: []float64{0.3}, RatioVar: []float64{0}, Shape: "block", MinAspect: 0.3}
	mask := masks.Draw(rng.Seed(0).Stream("mask", 0, 0, 0), 14, 14)
	masked := 0
	for _, m := range mask {
		if m {
			masked++
		}
	}
	fmt.Println(len(mask), masked >= 48 && masked <= 58)
	// Output: 196 true
}

// maskGolden is one entry of h_masks.json: statistics of n masks of the reference's generator.
type maskGolden struct {
	N            int
	Mean, Std    float64
	ZeroFraction float64            `json:"zero_fraction"`
	Quantiles    map[string]float64 `json:"quantiles"`
	Max          float64
	Neighbour    float64         `json:"right_neighbour_masked_given_masked"`
	Ratio        json.RawMessage `json:"pred_ratio"`
	RatioVar     json.RawMessage `json:"pred_ratio_var"`
}

func numbers(t *testing.T, raw json.RawMessage) []float64 {
	t.Helper()
	var list []float64
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	var one float64
	if err := json.Unmarshal(raw, &one); err != nil {
		t.Fatal(err)
	}
	return []float64{one}
}

// The statistics of as many masks as the reference drew agree with its own within 4.5 standard
// errors of the difference, each computed from the spread of the sample at hand.
func TestMaskStatisticsEqualTheReference(t *testing.T) {
	b, err := os.ReadFile("../testdata/goldens/h_masks.json")
	if err != nil {
		t.Fatal(err)
	}
	var goldens map[string]maskGolden
	if err := json.Unmarshal(b, &goldens); err != nil {
		t.Fatal(err)
	}
	positions := positionGoldens(t)
	for key, want := range goldens {
		t.Run(key, func(t *testing.T) {
			shape, size, _ := strings.Cut(key, "_")
			var h, w int
			if _, err := fmt.Sscanf(size, "%dx%d", &h, &w); err != nil {
				t.Fatal(err)
			}
			masks := method.Masks{Ratio: numbers(t, want.Ratio), RatioVar: numbers(t, want.RatioVar), Shape: shape, MinAspect: 0.3}
			if err := masks.Validate(); err != nil {
				t.Fatal(err)
			}
			compareMasks(t, masks, h, w, want, positions[key])
		})
	}
	if len(goldens) < 20 {
		t.Errorf("only %d goldens", len(goldens))
	}
}

func compareMasks(t *testing.T, masks method.Masks, h, w int, want maskGolden, position []float64) {
	const bound = 4.5
	n := float64(want.N)
	cells := float64(h * w)
	var sum, sum2, sum3, sum4, empty, largest, masked, pairs, neighbours float64
	hits := make([]float64, h*w)
	below := map[string]float64{}
	var perMask []float64
	for i := range want.N {
		mask := masks.Draw(rng.Seed(1).Stream("mask", i), h, w)
		count := 0.0
		for j, m := range mask {
			if !m {
				continue
			}
			count++
			hits[j]++
			if j%w < w-1 {
				pairs++
				if mask[j+1] {
					neighbours++
				}
			}
		}
		ratio := count / cells
		perMask = append(perMask, ratio)
		sum += ratio
		sum2 += ratio * ratio
		largest = max(largest, ratio)
		masked += count
		if count == 0 {
			empty++
		}
		for q, v := range want.Quantiles {
			if ratio <= v+1e-9 {
				below[q]++
			}
		}
	}
	mean := sum / n
	for _, r := range perMask {
		d := r - mean
		sum3 += d * d
		sum4 += d * d * d * d
	}
	variance := sum3 / n
	std := math.Sqrt(variance)
	// Two samples of n: the error of a difference is that of one, times sqrt(2).
	check := func(name string, got, want, standardError float64) {
		t.Helper()
		if d := math.Abs(got - want); d > bound*math.Sqrt2*standardError+1e-9 {
			t.Errorf("%s: got %.5f, want %.5f, %.1f standard errors apart", name, got, want, d/(math.Sqrt2*standardError))
		}
	}
	proportion := func(p float64) float64 { return math.Sqrt(p * (1 - p) / n) }

	check("mean", mean, want.Mean, std/math.Sqrt(n))
	if std > 0 {
		check("std", std, want.Std, math.Sqrt(max(sum4/n-variance*variance, 0)/n)/(2*std))
	}
	check("share of empty masks", empty/n, want.ZeroFraction, proportion(want.ZeroFraction))
	if math.Abs(largest-want.Max) > 2/cells {
		t.Errorf("largest ratio: got %.4f, want %.4f", largest, want.Max)
	}
	for q, v := range want.Quantiles {
		var p float64
		fmt.Sscan(q, &p)
		// At least p of the masks lie at or below the quantile (ratios are discrete, so it may be
		// more).
		if got := below[q] / n; got < p-bound*math.Sqrt2*proportion(p) {
			t.Errorf("quantile %s: %.4f of the masks are at most %.4f", q, got, v)
		}
	}
	// Cells of one mask go together, so masks, not cells, are counted as independent.
	if pairs > 0 {
		got := neighbours / pairs
		check("neighbour masked too", got, want.Neighbour, math.Sqrt(got*(1-got)/(n*(1-empty/n))))
	}
	for j, p := range position {
		check(fmt.Sprintf("share masked at row %d column %d", j/w, j%w), hits[j]/n, p, proportion(max(p, 1/n)))
	}
	if len(position) != h*w {
		t.Errorf("golden has %d positions, want %d", len(position), h*w)
	}
}

func TestRandMasksHaveExactlyTheTarget(t *testing.T) {
	masks := method.Masks{Ratio: []float64{0.37}, RatioVar: []float64{0}, Shape: "rand"}
	for i := range 50 {
		masked := 0
		for _, m := range masks.Draw(rng.Seed(3).Stream("mask", i), 14, 9) {
			if m {
				masked++
			}
		}
		if masked != 46 { // int(0.37 * 126)
			t.Fatalf("%d patches masked, want 46", masked)
		}
	}
}

func TestMasksStartAtTheirEpoch(t *testing.T) {
	masks := method.DefaultMasks()
	masks.StartEpoch = 2
	for epoch := range 4 {
		any := false
		for _, m := range masks.DrawAt(epoch, rng.Seed(0).Stream("mask", epoch), 14, 14) {
			any = any || m
		}
		if any != (epoch >= 2) {
			t.Errorf("epoch %d: masked is %v", epoch, any)
		}
	}
}

// Grids too small for any block, and ratios at the ends, end without a panic or a loop.
func TestMasksOfOddGrids(t *testing.T) {
	for _, shape := range []string{"block", "rand"} {
		for _, ratio := range []float64{0, 0.5, 1} {
			masks := method.Masks{Ratio: []float64{ratio}, RatioVar: []float64{0}, Shape: shape, MinAspect: 0.3}
			for _, g := range [][2]int{{1, 1}, {1, 7}, {2, 2}, {3, 20}, {64, 64}} {
				mask := masks.Draw(rng.Seed(0).Stream("mask", g[0], g[1]), g[0], g[1])
				if len(mask) != g[0]*g[1] {
					t.Errorf("%s %v %v: %d cells", shape, ratio, g, len(mask))
				}
			}
		}
	}
}

func TestMasksValidate(t *testing.T) {
	base := method.DefaultMasks()
	for name, edit := range map[string]func(*method.Masks){
		"no ratio":            func(m *method.Masks) { m.Ratio, m.RatioVar = nil, nil },
		"lengths differ":      func(m *method.Masks) { m.Ratio = []float64{0, 0.3} },
		"variance over ratio": func(m *method.Masks) { m.RatioVar = []float64{0.4} },
		"over one":            func(m *method.Masks) { m.Ratio, m.RatioVar = []float64{0.9}, []float64{0.2} },
		"negative variance":   func(m *method.Masks) { m.RatioVar = []float64{-0.1} },
		"not a number":        func(m *method.Masks) { m.Ratio = []float64{math.NaN()} },
		"shape":               func(m *method.Masks) { m.Shape = "blok" },
		"aspect":              func(m *method.Masks) { m.MinAspect = 0 },
	} {
		m := base
		edit(&m)
		if err := m.Validate(); err == nil || !strings.HasPrefix(err.Error(), "method: ") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	if err := base.Validate(); err != nil {
		t.Error(err)
	}
}
