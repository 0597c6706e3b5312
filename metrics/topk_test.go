package metrics_test

import (
	"math"
	"slices"
	"testing"

	"ibot/metrics"
)

func TestTopK(t *testing.T) {
	nan, off := float32(math.NaN()), float32(math.Inf(-1))
	tests := []struct {
		name   string
		scores []float32 // rows of 4 classes
		labels []int
		want   []float64 // top 1, 2 and 5
	}{
		{"first", []float32{1, 4, 2, 3}, []int{1}, []float64{1, 1, 1}},
		{"second", []float32{1, 4, 2, 3}, []int{3}, []float64{0, 1, 1}},
		{"last", []float32{1, 4, 2, 3}, []int{0}, []float64{0, 0, 1}},
		{"ties favour the lower number", []float32{7, 7, 7, 7, 7, 7, 7, 7}, []int{0, 1}, []float64{0.5, 1, 1}},
		{"NaN of the label", []float32{1, nan, 2, 3}, []int{1}, []float64{0, 0, 0}},
		{"NaN of another", []float32{1, nan, 2, 3}, []int{3}, []float64{0, 1, 1}},
		{"ruled out", []float32{off, off, 2, off}, []int{0}, []float64{0, 0, 0}},
		{"infinite", []float32{0, float32(math.Inf(1)), 2, off}, []int{1}, []float64{1, 1, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := metrics.TopK(test.scores, 4, test.labels, 1, 2, 5)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestTopKBadInput(t *testing.T) {
	tests := []struct {
		name    string
		scores  []float64
		classes int
		labels  []int
		k       int
	}{
		{"no rows", nil, 3, nil, 1},
		{"no classes", nil, 0, []int{0}, 1},
		{"half a row", []float64{1, 2, 3}, 2, []int{0}, 1},
		{"too many rows", []float64{1, 2, 3, 4}, 2, []int{0}, 1},
		{"label too high", []float64{1, 2}, 2, []int{2}, 1},
		{"label below zero", []float64{1, 2}, 2, []int{-1}, 1},
		{"k of zero", []float64{1, 2}, 2, []int{1}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, err := metrics.TopK(test.scores, test.classes, test.labels, test.k); err == nil {
				t.Errorf("got %v, want an error", got)
			}
		})
	}
}
