package metrics

import (
	"errors"
	"fmt"
	"slices"
)

// Ranking scores one query's search of a database by the protocol of the Revisited Oxford and Paris
// benchmarks (Radenovic et al. 2018), which is also that of Holidays and Copydays.
type Ranking struct {
	AP          float64   // average precision: the area under the precision-recall curve, by trapezoids
	PrecisionAt []float64 // for each K; see [Rank]
}

// Rank scores a ranking: numbers of database images, the best match first. positives are the images
// that should be found, in any order; junk ones count neither for nor against and are passed over, as
// the query itself is where it lies in the database. An image that is both is a positive.
//
// A positive that the ranking lacks, because it was cut off, is a miss. Precision at k is the share
// of positives among the first min(k, r) images, r being the place of the last positive: a query with
// few positives can still reach 1.
//
// It fails where there is no positive (such a query has no score; leave it out of the mean), a k is
// below 1, or the ranking has a positive twice.
func Rank(ranking, positives, junk []int, ks ...int) (Ranking, error) {
	const isJunk, isPositive, seen = 1, 2, 3
	kind := make(map[int]uint8, len(positives)+len(junk))
	for _, image := range junk {
		kind[image] = isJunk
	}
	wanted := 0
	for _, image := range positives {
		if kind[image] != isPositive {
			wanted++
		}
		kind[image] = isPositive
	}
	switch {
	case wanted == 0:
		return Ranking{}, errors.New("metrics: a query without a positive image has no average precision; leave it out")
	case slices.ContainsFunc(ks, func(k int) bool { return k < 1 }):
		return Ranking{}, fmt.Errorf("metrics: precision at %d; want 1 or more", slices.Min(ks))
	}
	r := Ranking{PrecisionAt: make([]float64, len(ks))}
	var places []int // of positives, from 0, junk not counted
	passed := 0
	for i, image := range ranking {
		switch kind[image] {
		case isJunk:
			passed++
		case isPositive:
			found, place := float64(len(places)), i-passed
			before := 1.
			if place > 0 {
				before = found / float64(place)
			}
			after := (found + 1) / float64(place+1)
			r.AP += (before + after) / 2 / float64(wanted)
			places = append(places, place)
			kind[image] = seen
		case seen:
			return Ranking{}, fmt.Errorf("metrics: image %d is twice in the ranking", image)
		}
	}
	if len(places) == 0 {
		return r, nil
	}
	for i, k := range ks {
		first := min(k, places[len(places)-1]+1)
		found, _ := slices.BinarySearch(places, first)
		r.PrecisionAt[i] = float64(found) / float64(first)
	}
	return r, nil
}

// Rankings is the mean over queries. The zero value is empty and ready for use.
type Rankings struct {
	n   int
	sum Ranking
}

// Add takes the score of a query.
func (m *Rankings) Add(r Ranking) {
	m.n++
	m.sum.AP += r.AP
	if m.sum.PrecisionAt == nil {
		m.sum.PrecisionAt = make([]float64, len(r.PrecisionAt))
	}
	for i, p := range r.PrecisionAt {
		m.sum.PrecisionAt[i] += p
	}
}

// Len is the number of queries.
func (m *Rankings) Len() int { return m.n }

// Mean is the mean average precision (mAP) and the mean precision at each k (mP@k), 0 of no query.
func (m *Rankings) Mean() Ranking {
	mean := Ranking{PrecisionAt: slices.Clone(m.sum.PrecisionAt)}
	if m.n == 0 {
		return mean
	}
	mean.AP = m.sum.AP / float64(m.n)
	for i := range mean.PrecisionAt {
		mean.PrecisionAt[i] /= float64(m.n)
	}
	return mean
}
