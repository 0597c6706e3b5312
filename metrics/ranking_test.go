package metrics_test

import (
	"encoding/json"
	"os"
	"testing"

	"ibot/metrics"
)

// readGolden reads a file of testdata; its README says where the numbers come from.
func readGolden(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestRankGolden(t *testing.T) {
	var cases []struct {
		Ranking, Positives, Junk []int
		AP                       float64
		Precision                []float64
	}
	readGolden(t, "rankings.json", &cases)
	if len(cases) != 14 {
		t.Fatalf("got %d cases, want 14", len(cases))
	}
	var mean metrics.Rankings
	var sum float64
	for _, c := range cases {
		got, err := metrics.Rank(c.Ranking, c.Positives, c.Junk, 1, 5, 10)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "AP", got.AP, c.AP, 1e-15)
		for i, want := range c.Precision {
			near(t, "precision", got.PrecisionAt[i], want, 0)
		}
		mean.Add(got)
		sum += c.AP
	}
	near(t, "mAP", mean.Mean().AP, sum/14, 1e-15)
}

// Worked out by hand from the definition: each positive adds a trapezoid of width 1/positives, from
// the precision just before it to that at it.
func TestRankByHand(t *testing.T) {
	for _, c := range []struct {
		name                     string
		ranking, positives, junk []int
		ap, at2                  float64
	}{
		{"perfect", []int{4, 7, 1, 2}, []int{7, 4}, nil, 1, 1},
		{"second and fourth", []int{1, 4, 2, 7}, []int{7, 4}, nil, ((0+1./2)/2 + (1./3+2./4)/2) / 2, 1. / 2},
		{"junk is passed over", []int{1, 9, 4, 8, 2, 7}, []int{7, 4}, []int{8, 9}, ((0+1./2)/2 + (1./3+2./4)/2) / 2, 1. / 2},
		{"the query itself first", []int{5, 4, 1}, []int{4}, []int{5}, 1, 1},
		{"one was cut off", []int{4, 1}, []int{7, 4}, nil, 1. / 2, 1},
		{"none was found", []int{1, 2}, []int{7, 4}, nil, 0, 0},
		{"few positives reach precision 1", []int{4, 1, 2}, []int{4}, nil, 1, 1},
		{"named twice in the truth", []int{4, 1, 2}, []int{4, 4}, nil, 1, 1},
		{"positive and junk", []int{4, 1, 2}, []int{4}, []int{4}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := metrics.Rank(c.ranking, c.positives, c.junk, 2)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "AP", got.AP, c.ap, 1e-15)
			near(t, "precision at 2", got.PrecisionAt[0], c.at2, 1e-15)
		})
	}
}

func TestRankBadInput(t *testing.T) {
	for _, c := range []struct {
		name               string
		ranking, positives []int
		k                  int
	}{
		{"no positive", []int{1, 2}, nil, 1},
		{"k", []int{1, 2}, []int{1}, 0},
		{"twice", []int{1, 1}, []int{1}, 1},
	} {
		if got, err := metrics.Rank(c.ranking, c.positives, nil, c.k); err == nil {
			t.Errorf("%s: got %+v, want an error", c.name, got)
		}
	}
	var none metrics.Rankings
	if got := none.Mean(); got.AP != 0 || none.Len() != 0 {
		t.Errorf("of no query: got %+v", got)
	}
}
