package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// KNN is the weighted k-nearest-neighbour classifier of Wu et al. (2018), as DINO and iBOT evaluate
// with it: the k images of a labelled bank that are most similar to a query vote for their classes,
// each with the weight exp(cosine similarity / Temperature).
type KNN struct {
	K           []int // numbers of neighbours that vote, each with its own score
	Temperature float64

	Progress func(done int) // called after each query with the number of them; may be nil

	blocks // for tests; the zero value decides by itself
}

// DefaultKNN returns the published protocol: 10, 20, 100 and 200 neighbours, temperature 0.07.
func DefaultKNN() KNN { return KNN{K: []int{10, 20, 100, 200}, Temperature: 0.07} }

// KNNResult is what a k-NN evaluation found.
type KNNResult struct {
	Scores  []KNNScore // by rising K
	Notes   []string   // which K were left out, and why
	Bank    int        // images that could vote for one query
	Queries int
	Classes int
}

// KNNScore is the accuracy for one number of neighbours.
type KNNScore struct {
	K           int     `json:"k"`
	Top1        float64 `json:"top1"` // percent of queries whose class had the most votes
	Top5        float64 `json:"top5"` // percent whose class was among the five with the most votes
	Predictions []int   `json:"-"`    // the class with the most votes, for each query
}

// Classify classifies the queries by the bank.
//
// Classes are ranked by their votes, and of equal ones the lower number is first. A class without a
// vote is in no top-5, though fewer than five have one: the reference fills such a top-5 with
// whatever classes an unstable sort of zeros brings up.
//
// Numbers of neighbours that the bank does not have are left out, with a note; it errs where none
// is left. It errs too where an image has no label, where the two sets number their classes
// differently (see [ibot/data.WithClasses]), and as [Nearest] does.
func (c KNN) Classify(ctx context.Context, bank, queries *Features) (*KNNResult, error) {
	return c.classify(ctx, bank, queries, false)
}

// LeaveOneOut classifies each image by all others of the same set, for sets that are not split. See
// [KNN.Classify].
func (c KNN) LeaveOneOut(ctx context.Context, f *Features) (*KNNResult, error) {
	return c.classify(ctx, f, f, true)
}

func (c KNN) classify(ctx context.Context, bank, queries *Features, leaveOneOut bool) (*KNNResult, error) {
	if err := c.check(bank, queries); err != nil {
		return nil, err
	}
	r := &KNNResult{Bank: bank.Len(), Queries: queries.Len(), Classes: len(bank.Classes)}
	if leaveOneOut {
		r.Bank--
	}
	for _, k := range slices.Compact(slices.Sorted(slices.Values(c.K))) {
		if k > r.Bank {
			r.Notes = append(r.Notes, fmt.Sprintf("k = %d is left out: there are %d images to choose neighbours from", k, r.Bank))
			continue
		}
		r.Scores = append(r.Scores, KNNScore{K: k, Predictions: make([]int, 0, r.Queries)})
	}
	if r.Scores == nil {
		return nil, tooFewNeighbours(slices.Min(c.K), r.Bank)
	}
	s := search{bank: bank, queries: queries, k: r.Scores[len(r.Scores)-1].K, leaveOneOut: leaveOneOut, blocks: c.blocks}
	votes := make([]float64, r.Classes)
	err := s.run(ctx, func(query int, near []Neighbour) {
		c.vote(r.Scores, near, bank.Labels, queries.Labels[query], votes)
		if c.Progress != nil {
			c.Progress(query + 1)
		}
	})
	if err != nil {
		return nil, err
	}
	for i := range r.Scores { // from counts to percent
		r.Scores[i].Top1 = r.Scores[i].Top1 * 100 / float64(r.Queries)
		r.Scores[i].Top5 = r.Scores[i].Top5 * 100 / float64(r.Queries)
	}
	return r, nil
}

// tooFewNeighbours says that not even the least number of neighbours can vote.
func tooFewNeighbours(least, bank int) error {
	return fmt.Errorf("eval: %d neighbours were asked for, but there are only %d images to choose from; ask for fewer", least, bank)
}

// vote lets the neighbours of one query vote, and counts in each score whether label came first,
// and among the first five. votes is room for a number a class.
func (c KNN) vote(scores []KNNScore, near []Neighbour, labels []int, label int, votes []float64) {
	clear(votes)
	cast := 0
	for i := range scores {
		s := &scores[i]
		for _, n := range near[cast:s.K] {
			// Divided by the nearest one's weight, which changes no ranking: so no temperature
			// overflows.
			votes[labels[n.Index]] += math.Exp(float64(n.Similarity-near[0].Similarity) / c.Temperature)
		}
		cast = s.K
		best, before := 0, 0 // before: classes that rank before label
		for class, v := range votes {
			if v > votes[best] {
				best = class
			}
			if v > votes[label] || v == votes[label] && class < label {
				before++
			}
		}
		s.Predictions = append(s.Predictions, best)
		if before == 0 {
			s.Top1++
		}
		if before < 5 && votes[label] > 0 {
			s.Top5++
		}
	}
}

// check says what makes the two sets unfit for a k-NN.
func (c KNN) check(bank, queries *Features) error {
	switch {
	case len(c.K) == 0:
		return errors.New("eval: no number of neighbours is given; want one or more, such as 10 and 20")
	case slices.Min(c.K) < 1:
		return fmt.Errorf("eval: %d neighbours; want 1 or more", slices.Min(c.K))
	case !(c.Temperature > 0) || math.IsInf(c.Temperature, 0):
		return fmt.Errorf("eval: temperature %v; want a number above 0, such as 0.07", c.Temperature)
	}
	if err := bank.labelled(); err != nil {
		return err
	}
	if err := queries.labelled(); err != nil {
		return err
	}
	if !slices.Equal(bank.Classes, queries.Classes) {
		return fmt.Errorf("eval: the bank has %d classes and the queries %d, or they are numbered differently; open the queries with the bank's classes",
			len(bank.Classes), len(queries.Classes))
	}
	return checkPair(bank, queries)
}

// labelled says which image has no label.
func (f *Features) labelled() error {
	if len(f.Classes) < 2 {
		return fmt.Errorf("eval: a k-NN needs images of two classes or more, found %d; give a folder with a subfolder for each class", len(f.Classes))
	}
	for i, label := range f.Labels {
		if label < 0 || label >= len(f.Classes) {
			return fmt.Errorf("eval: image %d%s has label %d; want one of %d classes: give every image a label, or leave it out",
				i, f.named(i), label, len(f.Classes))
		}
	}
	return nil
}
