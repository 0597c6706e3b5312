package metrics_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"ibot/metrics"
	"ibot/rng"
)

// near fails the test unless got is want to within tol, relative to numbers above 1.
func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol*max(1, math.Abs(want))) {
		t.Errorf("%s: got %.17g, want %.17g", what, got, want)
	}
}

func contingency(t *testing.T, labels, clusters []int) *metrics.Contingency {
	t.Helper()
	c, err := metrics.NewContingency(labels, clusters)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The values of scikit-learn 1.2.1 and of the reference's Hungarian accuracy.
func TestContingencyGolden(t *testing.T) {
	data, err := os.ReadFile("../testdata/goldens/f_clustering.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name        string
		Label, Pred []int
		NMI, ARI    float64
		FMI         float64 `json:"fowlkes_mallows"`
		Acc         float64
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 6 {
		t.Fatalf("got %d cases, want 6", len(cases))
	}
	for _, want := range cases {
		t.Run(want.Name, func(t *testing.T) {
			c := contingency(t, want.Label, want.Pred)
			near(t, "NMI", c.NMI(), want.NMI, 1e-13)
			near(t, "ARI", c.ARI(), want.ARI, 1e-15)
			near(t, "FMI", c.FMI(), want.FMI, 1e-15)
			acc, err := c.Accuracy()
			if err != nil {
				t.Fatal(err)
			}
			if want.Acc >= 0 {
				near(t, "accuracy", acc, want.Acc, 1e-15)
			} else if c.Labels() == c.Clusters() { // -1: the reference matches equal numbers only
				t.Errorf("the golden has no accuracy for %d labels and as many clusters", c.Labels())
			}
		})
	}
}

func TestContingencyLimits(t *testing.T) {
	h := 2*math.Log(2) - 0.75*math.Log(3)       // entropy of the clusters of the last case
	mutual := math.Log(2) + h - 1.5*math.Log(2) // the last term is the joint entropy
	tests := []struct {
		name                string
		labels, clusters    []int
		nmi, ari, fmi, hits float64
	}{
		{"empty", nil, nil, 1, 1, 0, 1},
		{"one image", []int{3}, []int{8}, 1, 1, 0, 1},
		{"one label, one cluster", []int{3, 3, 3}, []int{-1, -1, -1}, 1, 1, 1, 1},
		{"all alone", []int{0, 1, 2}, []int{9, 4, 6}, 1, 1, 0, 1},
		{"split", []int{0, 0, 0, 0}, []int{0, 1, 2, 3}, 0, 0, 0, 0.25},
		{"merged", []int{0, 1, 2, 3}, []int{0, 0, 0, 0}, 0, 0, 0, 0.25},
		{"crossed", []int{0, 0, 1, 1}, []int{0, 1, 0, 1}, 0, -0.5, 0, 0.5},
		{"table [[2 0] [1 1]]", []int{0, 0, 1, 1}, []int{5, 5, 5, 7}, mutual / ((math.Log(2) + h) / 2), 0, math.Sqrt(1. / 6), 0.75},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := contingency(t, test.labels, test.clusters)
			near(t, "NMI", c.NMI(), test.nmi, 1e-14)
			near(t, "ARI", c.ARI(), test.ari, 1e-15)
			near(t, "FMI", c.FMI(), test.fmi, 1e-15)
			acc, err := c.Accuracy()
			if err != nil {
				t.Fatal(err)
			}
			near(t, "accuracy", acc, test.hits, 0)
		})
	}
}

// Neither the order of the images, nor the names of labels and clusters, nor which of the two lists
// comes first changes a measure; the first two not even in the last bit.
func TestContingencyInvariance(t *testing.T) {
	r := rng.Seed(1).Stream("contingency")
	labels, clusters := make([]int, 500), make([]int, 500)
	for i := range labels {
		labels[i] = r.IntN(9)
		clusters[i] = (labels[i] + r.IntN(3)) * r.IntN(4)
	}
	want := contingency(t, labels, clusters)
	shuffledL, shuffledC := slices.Clone(labels), slices.Clone(clusters)
	r.Shuffle(len(labels), func(i, j int) {
		shuffledL[i], shuffledL[j] = shuffledL[j], shuffledL[i]
		shuffledC[i], shuffledC[j] = shuffledC[j], shuffledC[i]
	})
	renamed := slices.Clone(clusters)
	for i := range renamed {
		renamed[i] = 1000 - 7*renamed[i]
	}
	for _, test := range []struct {
		name string
		c    *metrics.Contingency
		tol  float64
	}{
		{"shuffled", contingency(t, shuffledL, shuffledC), 0},
		{"renamed", contingency(t, labels, renamed), 1e-14},
		{"swapped", contingency(t, clusters, labels), 1e-14},
	} {
		near(t, test.name+" NMI", test.c.NMI(), want.NMI(), test.tol)
		near(t, test.name+" ARI", test.c.ARI(), want.ARI(), test.tol)
		near(t, test.name+" FMI", test.c.FMI(), want.FMI(), test.tol)
		got, err := test.c.Accuracy()
		if err != nil {
			t.Fatal(err)
		}
		acc, err := want.Accuracy()
		if err != nil {
			t.Fatal(err)
		}
		near(t, test.name+" accuracy", got, acc, 0)
	}
}

func TestContingencyBadInput(t *testing.T) {
	_, err := metrics.NewContingency([]int{1, 2}, []int{1})
	want := "metrics: want one cluster for each label, found 2 labels and 1 clusters"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	all := make([]int, 10000)
	for i := range all {
		all[i] = i
	}
	if acc, err := contingency(t, all, all).Accuracy(); err == nil {
		t.Errorf("a table of 10^8 cells: got accuracy %g, want an error", acc)
	}
}
