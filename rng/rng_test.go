package rng_test

import (
	"fmt"
	"math"
	"testing"

	"ibot/rng"
)

func ExampleSeed_Stream() {
	seed := rng.Seed(0)
	crop := seed.Stream("crop", 3, 17, 0)  // epoch 3, image 17, view 0
	again := seed.Stream("crop", 3, 17, 0) // the same numbers, wherever it is made
	fmt.Println(crop.Uint64() == again.Uint64())
	// Output: true
}

func TestStreamsDependOnEveryPartOfTheKey(t *testing.T) {
	streams := map[string]*rng.Stream{
		"base":           rng.Seed(1).Stream("mask", 2, 3),
		"another seed":   rng.Seed(2).Stream("mask", 2, 3),
		"another name":   rng.Seed(1).Stream("mas", 2, 3),
		"another key":    rng.Seed(1).Stream("mask", 3, 3),
		"keys swapped":   rng.Seed(1).Stream("mask", 3, 2),
		"fewer keys":     rng.Seed(1).Stream("mask", 2),
		"a further zero": rng.Seed(1).Stream("mask", 2, 3, 0),
	}
	seen := map[uint64]string{}
	for name, s := range streams {
		v := s.Uint64()
		if other, dup := seen[v]; dup {
			t.Errorf("%s and %s start with the same number", name, other)
		}
		seen[v] = name
	}
}

// Neighbouring keys must give streams that look unrelated: their first numbers, taken as one
// sample, are uniform and uncorrelated with the key.
func TestNeighbouringStreamsAreUnrelated(t *testing.T) {
	const n = 20000
	var sum, lag float64
	prev := 0.5
	for i := range n {
		v := rng.Seed(7).Stream("image", i).Float64()
		sum += v - 0.5
		lag += (v - 0.5) * (prev - 0.5)
		prev = v
	}
	sd := math.Sqrt(1.0 / 12)
	if z := sum / sd / math.Sqrt(n); math.Abs(z) > 4 {
		t.Errorf("mean of first numbers is %.1f standard errors from 1/2", z)
	}
	if z := lag * 12 / math.Sqrt(n); math.Abs(z) > 4 {
		t.Errorf("neighbouring first numbers are correlated (%.1f standard errors)", z)
	}
}

func TestIntRangeIncludesBothEnds(t *testing.T) {
	r := rng.Seed(0).Stream("range")
	seen := map[int]int{}
	for range 6000 {
		seen[r.IntRange(-1, 1)]++
	}
	for v := -1; v <= 1; v++ {
		if seen[v] < 1800 {
			t.Errorf("IntRange(-1, 1) gave %d %d times of 6000", v, seen[v])
		}
	}
	if len(seen) != 3 {
		t.Errorf("IntRange(-1, 1) left its range: %v", seen)
	}
}
