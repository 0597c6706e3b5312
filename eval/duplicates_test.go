package eval

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"ibot/rng"
)

// TestDuplicates: groups equal those that a walk over all pairs finds.
func TestDuplicates(t *testing.T) {
	checkLive(t)
	const n, D = 2100, 3 // more than a block
	r := rng.Seed(1).Stream("duplicates")
	x := make([]float32, n*D)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	f := newFeatures(t, x, make([]int, n), 1)
	const threshold = .9995
	cosine := func(i, j int) float64 {
		var dot, a, b float64
		for d := range D {
			u, v := float64(x[i*D+d]), float64(x[j*D+d])
			dot, a, b = dot+u*v, a+u*u, b+v*v
		}
		return dot / math.Sqrt(a*b)
	}
	group := make([]int, n) // by walking
	for i := range group {
		group[i] = -1
	}
	for i := range n {
		if group[i] >= 0 {
			continue
		}
		group[i] = i
		for todo := []int{i}; len(todo) > 0; todo = todo[1:] {
			for j := range n {
				if group[j] < 0 && cosine(todo[0], j) >= threshold {
					group[j] = i
					todo = append(todo, j)
				}
			}
		}
	}
	want := map[int][]int{}
	for i, first := range group {
		want[first] = append(want[first], i)
	}
	got, err := Duplicates(t.Context(), f, threshold, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range got {
		if !slices.Equal(g.Images, want[g.Images[0]]) || float64(g.Least) < threshold {
			t.Errorf("got %+v, want %v", g, want[g.Images[0]])
		}
		if i > 0 && len(g.Images) > len(got[i-1].Images) {
			t.Error("not by falling size")
		}
		delete(want, g.Images[0])
	}
	for _, left := range want {
		if len(left) > 1 {
			t.Errorf("not found: %v", left)
		}
	}
	if len(got) < 20 {
		t.Errorf("only %d groups, so this tests little", len(got))
	}
	for _, threshold := range []float64{-1, 1.5, math.NaN()} {
		if _, err := Duplicates(t.Context(), f, threshold, nil); err == nil || !strings.Contains(err.Error(), "want a cosine similarity") {
			t.Errorf("threshold %v: %v", threshold, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Duplicates(ctx, f, .9, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
