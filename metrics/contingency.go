package metrics

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Contingency counts how often each label met each cluster. It is the one table from which NMI, ARI,
// FMI and Accuracy are read. Labels and clusters may be any integers: only which are equal counts. It
// keeps only the pairs that occur, so 8192 clusters of a million images cost no more than the images.
type Contingency struct {
	n     int   // pairs counted
	rows  []int // images of each distinct label, in the order of the labels
	cols  []int // images of each distinct cluster
	cells []cell
}

// cell is a pair that occurs: label and cluster as indices into rows and cols, and how often.
type cell struct{ row, col, count int }

// NewContingency counts the pairs (labels[i], clusters[i]). It fails when the lists differ in length.
// Two empty lists are allowed and agree in full, as in scikit-learn.
func NewContingency(labels, clusters []int) (*Contingency, error) {
	if len(labels) != len(clusters) {
		return nil, fmt.Errorf("metrics: want one cluster for each label, found %d labels and %d clusters",
			len(labels), len(clusters))
	}
	row, rows := compact(labels)
	col, cols := compact(clusters)
	pairs := make([]cell, len(labels))
	for i := range pairs {
		pairs[i] = cell{row[i], col[i], 1}
	}
	// Sorted, so that sums over the cells do not depend on the order of the images.
	slices.SortFunc(pairs, func(a, b cell) int {
		return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.col, b.col))
	})
	cells := pairs[:0]
	for _, p := range pairs {
		if last := len(cells) - 1; last >= 0 && cells[last].row == p.row && cells[last].col == p.col {
			cells[last].count++
		} else {
			cells = append(cells, p)
		}
	}
	return &Contingency{n: len(labels), rows: rows, cols: cols, cells: slices.Clip(cells)}, nil
}

// compact numbers the distinct values from 0 in rising order. It returns the number of each value
// and how often each number occurs.
func compact(values []int) (index, counts []int) {
	distinct := slices.Clone(values)
	slices.Sort(distinct)
	distinct = slices.Compact(distinct)
	number := make(map[int]int, len(distinct))
	for i, v := range distinct {
		number[v] = i
	}
	index = make([]int, len(values))
	counts = make([]int, len(distinct))
	for i, v := range values {
		index[i] = number[v]
		counts[number[v]]++
	}
	return index, counts
}

// Len is the number of pairs counted.
func (c *Contingency) Len() int { return c.n }

// Labels is the number of distinct labels.
func (c *Contingency) Labels() int { return len(c.rows) }

// Clusters is the number of distinct clusters.
func (c *Contingency) Clusters() int { return len(c.cols) }

// NMI is the mutual information of labels and clusters over the arithmetic mean of their entropies:
// 1 where each determines the other, near 0 where they are unrelated. It equals scikit-learn 1.2's
// normalized_mutual_info_score, also where there is nothing to measure: one label and one cluster,
// or no image, give 1; no mutual information gives 0.
func (c *Contingency) NMI() float64 {
	if len(c.rows) <= 1 && len(c.cols) <= 1 {
		return 1
	}
	n := float64(c.n)
	var mutual float64
	for _, e := range c.cells {
		k := float64(e.count)
		// In logarithms: the product of two counts may exceed what a float holds exactly.
		term := k / n * (math.Log(k) + math.Log(n) - math.Log(float64(c.rows[e.row])) - math.Log(float64(c.cols[e.col])))
		if math.Abs(term) >= epsilon {
			mutual += term
		}
	}
	if mutual < epsilon {
		return 0
	}
	return mutual / ((Entropy(c.rows) + Entropy(c.cols)) / 2)
}

// epsilon is the distance from 1 to the next float64. As scikit-learn does, NMI takes less for zero.
const epsilon = 0x1p-52

// ARI is the Rand index (the share of image pairs on whose togetherness labels and clusters agree)
// adjusted for chance: 1 for equal partitions, 0 on average for random ones, down to -0.5 (Hubert and
// Arabie 1985). It equals scikit-learn's adjusted_rand_score; where labels and clusters are the
// same partition, as two empty lists are, it is 1.
func (c *Contingency) ARI() float64 {
	together, sameLabel, sameCluster := c.pairs()
	// The four cells of the pair confusion matrix.
	tp := together
	fp := sameCluster - together
	fn := sameLabel - together
	tn := float64(c.n)*float64(c.n-1) - tp - fp - fn
	if fp == 0 && fn == 0 {
		return 1
	}
	return 2 * (tp*tn - fn*fp) / ((tp+fn)*(fn+tn) + (tp+fp)*(fp+tn))
}

// FMI is the Fowlkes-Mallows index: the geometric mean of precision and recall over the pairs of images
// that share a cluster. It is in [0, 1] and, as in scikit-learn's fowlkes_mallows_score, 0 where no
// pair shares both label and cluster.
func (c *Contingency) FMI() float64 {
	together, sameLabel, sameCluster := c.pairs()
	if together == 0 {
		return 0
	}
	return math.Sqrt(together/sameCluster) * math.Sqrt(together/sameLabel)
}

// pairs counts the ordered pairs of two different images that share both label and cluster, label, and
// cluster. The counts are whole numbers below n², exact in a float64 up to n = 94 million.
func (c *Contingency) pairs() (together, sameLabel, sameCluster float64) {
	for _, e := range c.cells {
		together += float64(e.count) * float64(e.count-1)
	}
	for _, k := range c.rows {
		sameLabel += float64(k) * float64(k-1)
	}
	for _, k := range c.cols {
		sameCluster += float64(k) * float64(k-1)
	}
	return together, sameLabel, sameCluster
}
