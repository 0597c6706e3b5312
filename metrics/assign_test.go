package metrics_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"ibot/metrics"
	"ibot/rng"
)

// cheapest tries every matching of the rows from `row` on and returns the least cost.
func cheapest(rows, cols int, cost []float64, row int, used []bool) float64 {
	if row == rows {
		return 0
	}
	least := math.Inf(1)
	for j := range cols {
		if !used[j] {
			used[j] = true
			least = min(least, cost[row*cols+j]+cheapest(rows, cols, cost, row+1, used))
			used[j] = false
		}
	}
	return least
}

// total checks that match gives min(rows, cols) rows a column of their own, and sums their costs.
func total(t *testing.T, rows, cols int, cost []float64, match []int) float64 {
	t.Helper()
	if len(match) != rows {
		t.Fatalf("got %d rows, want %d", len(match), rows)
	}
	used, matched, sum := make([]bool, cols), 0, 0.0
	for i, j := range match {
		if j == -1 {
			continue
		}
		if j < 0 || j >= cols || used[j] {
			t.Fatalf("row %d: column %d is out of range or taken twice in %v", i, j, match)
		}
		used[j] = true
		matched++
		sum += cost[i*cols+j]
	}
	if matched != min(rows, cols) {
		t.Fatalf("got %d rows matched, want %d", matched, min(rows, cols))
	}
	return sum
}

func TestAssignAgainstBruteForce(t *testing.T) {
	seed := rng.Seed(7)
	for rows := range 7 {
		for cols := range 7 {
			for try := range 20 {
				t.Run(fmt.Sprintf("%dx%d/%d", rows, cols, try), func(t *testing.T) {
					r := seed.Stream("assign", rows, cols, try)
					cost := make([]float64, rows*cols)
					for i := range cost {
						// Few different values in half of the tables: many ties.
						cost[i] = float64(r.IntN(1+try*try)) - 5
					}
					match, err := metrics.Assign(rows, cols, cost)
					if err != nil {
						t.Fatal(err)
					}
					want := 0.0
					if rows <= cols {
						want = cheapest(rows, cols, cost, 0, make([]bool, cols))
					} else {
						turned := make([]float64, len(cost))
						for i := range cost {
							turned[i%cols*rows+i/cols] = cost[i]
						}
						want = cheapest(cols, rows, turned, 0, make([]bool, rows))
					}
					near(t, "cost", total(t, rows, cols, cost, match), want, 0)
				})
			}
		}
	}
}

// A permutation hidden in a large table of noise is found again.
func TestAssignLarge(t *testing.T) {
	const n = 200
	r := rng.Seed(7).Stream("assign large")
	want, cost := r.Perm(n), make([]float64, n*n)
	for i := range cost {
		cost[i] = r.Uniform(1, 2)
	}
	for i, j := range want {
		cost[i*n+j] = -1
	}
	match, err := metrics.Assign(n, n, cost)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(match, want) {
		t.Errorf("got %v, want %v", match, want)
	}
}

func TestAssignBadInput(t *testing.T) {
	tests := []struct {
		name       string
		rows, cols int
		cost       []float64
	}{
		{"too few costs", 2, 2, []float64{1, 2, 3}},
		{"negative", -1, -1, []float64{1}},
		{"overflow", math.MaxInt, 4, nil},
		{"NaN", 1, 2, []float64{0, math.NaN()}},
		{"infinite", 1, 2, []float64{0, math.Inf(1)}},
		{"sums overflow", 1, 1, []float64{math.MaxFloat64}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if match, err := metrics.Assign(test.rows, test.cols, test.cost); err == nil {
				t.Errorf("got %v, want an error", match)
			}
		})
	}
}

func BenchmarkAssign(b *testing.B) {
	const n = 500
	r := rng.Seed(7).Stream("assign benchmark")
	cost := make([]float64, n*n)
	for i := range cost {
		cost[i] = r.Float64()
	}
	for b.Loop() {
		if _, err := metrics.Assign(n, n, cost); err != nil {
			b.Fatal(err)
		}
	}
}
