package metrics_test

import (
	"math"
	"testing"

	"ibot/metrics"
)

func TestSmoothed(t *testing.T) {
	s := metrics.NewSmoothed(4)
	for _, v := range []float64{9, 1, 5, 3} {
		s.Add(v)
	}
	near(t, "lower median of four", s.Median(), 3, 0)
	near(t, "average of four", s.Average(), 4.5, 0)
	s.AddN(2, 3) // pushes the 9 out
	near(t, "median", s.Median(), 2, 0)
	near(t, "window mean", s.WindowMean(), 2.75, 0)
	near(t, "average", s.Average(), 24.0/7, 1e-15)
	near(t, "max", s.Max(), 5, 0)
	near(t, "last", s.Last(), 2, 0)
	if got, want := s.String(), "2.000000 (3.428571)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if s.AddN(100, 0); s.Count() != 7 || s.Last() != 2 {
		t.Errorf("adding no sample: got count %d and last %g, want 7 and 2", s.Count(), s.Last())
	}
}

func TestSmoothedZeroValue(t *testing.T) {
	var s metrics.Smoothed
	for name, got := range map[string]float64{
		"median": s.Median(), "average": s.Average(), "window mean": s.WindowMean(), "max": s.Max(), "last": s.Last(),
	} {
		if !math.IsNaN(got) {
			t.Errorf("%s of nothing: got %g, want NaN", name, got)
		}
	}
	for i := range 100 {
		s.Add(float64(i))
	}
	near(t, "median of 80..99", s.Median(), 89, 0)
	near(t, "average", s.Average(), 49.5, 0)
	near(t, "last", s.Last(), 99, 0)
	s.Add(math.NaN())
	if !math.IsNaN(s.Median()) || !math.IsNaN(s.Average()) || !math.IsNaN(s.Max()) {
		t.Errorf("after a NaN: got %v and max %g, want NaN", &s, s.Max())
	}
}

// Values of numpy.percentile.
func TestPercentile(t *testing.T) {
	values := []float64{3, 1, 4, 1, 5, 9, 2, 6}
	for _, test := range []struct{ p, want float64 }{
		{0, 1}, {10, 1}, {33.3, 2.331}, {50, 3.5}, {75, 5.25}, {99, 8.79}, {100, 9},
	} {
		near(t, "percentile", metrics.Percentile(values, test.p), test.want, 1e-14)
	}
	if values[0] != 3 || values[7] != 6 {
		t.Errorf("the input was reordered: %v", values)
	}
	near(t, "of one", metrics.Percentile([]float64{7}, 83), 7, 0)
	for name, got := range map[string]float64{
		"nothing": metrics.Percentile(nil, 50), "p too high": metrics.Percentile(values, 101),
		"p is NaN": metrics.Percentile(values, math.NaN()), "a NaN": metrics.Percentile([]float64{1, math.NaN()}, 0),
	} {
		if !math.IsNaN(got) {
			t.Errorf("%s: got %g, want NaN", name, got)
		}
	}
}

func TestEntropy(t *testing.T) {
	tests := []struct {
		name string
		p    []float64
		want float64
	}{
		{"even", []float64{0.25, 0.25, 0.25, 0.25}, math.Log(4)},
		{"counts", []float64{3, 3, 0, 3}, math.Log(3)},
		{"certain", []float64{0, 1, 0}, 0},
		{"skewed", []float64{0.9, 0.1}, 0.3250829733914482},
		{"nothing", nil, 0},
		{"no weight", []float64{0, 0}, 0},
		{"tiny weights", []float64{5e-324, 5e-324}, math.Log(2)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			near(t, "entropy", metrics.Entropy(test.p), test.want, 1e-15)
		})
	}
	for _, bad := range [][]float64{{-1, 2}, {math.NaN()}, {math.Inf(1)}, {math.MaxFloat64, math.MaxFloat64}} {
		if h := metrics.Entropy(bad); !math.IsNaN(h) {
			t.Errorf("%v: got %g, want NaN", bad, h)
		}
	}
}
