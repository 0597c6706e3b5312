package metrics

import (
	"fmt"
	"math"
)

// TopK returns, for each k, the share of rows whose label is among the k classes of the highest
// score. scores is the table (len(labels), classes), row by row.
//
// Among equal scores the class of the lower number goes first, as in an argmax, so the result is the
// same everywhere; a framework's unstable sort may differ where scores tie. A class of score -Inf is
// ruled out and never a hit: give a k-NN's classes without any vote this score, or some of them fill
// up the top 5. A label whose score is NaN is a miss, and another class's NaN ranks above all numbers,
// so a network that gives NaN is never right by luck.
//
// It fails where the table does not fit the labels, a label is not a class, a k is below 1, or there
// is no row. A k above the number of classes counts every label that is not ruled out as a hit.
func TopK[F ~float32 | ~float64](scores []F, classes int, labels []int, ks ...int) ([]float64, error) {
	switch {
	case len(labels) == 0:
		return nil, fmt.Errorf("metrics: want at least one label to measure top-k accuracy, found none")
	case classes < 1 || len(scores)/classes != len(labels) || len(scores)%classes != 0:
		return nil, fmt.Errorf("metrics: want scores for %d rows of %d classes, found %d scores",
			len(labels), classes, len(scores))
	}
	for _, k := range ks {
		if k < 1 {
			return nil, fmt.Errorf("metrics: want k of 1 or more for top-k accuracy, found %d", k)
		}
	}
	hits := make([]int, len(ks))
	for i, label := range labels {
		if label < 0 || label >= classes {
			return nil, fmt.Errorf("metrics: want labels from 0 to %d, found %d in row %d", classes-1, label, i)
		}
		row := scores[i*classes : (i+1)*classes]
		if own := float64(row[label]); math.IsNaN(own) || math.IsInf(own, -1) {
			continue
		}
		rank := rank(row, label)
		for j, k := range ks {
			if rank < k {
				hits[j]++
			}
		}
	}
	shares := make([]float64, len(ks))
	for j := range ks {
		shares[j] = float64(hits[j]) / float64(len(labels))
	}
	return shares, nil
}

// rank is the number of classes that go before the given one.
func rank[F ~float32 | ~float64](row []F, class int) int {
	own, before := row[class], 0
	for j, s := range row {
		switch {
		case j == class:
		case s < own, s == own && j > class: // goes behind
		default: // higher, equal and of a lower number, or NaN
			before++
		}
	}
	return before
}
