package metrics

import (
	"fmt"
	"math"
	"slices"
)

// maxCells bounds the dense table of Accuracy at half a gigabyte.
const maxCells = 1 << 26

// maxCost bounds what Assign sums up.
const maxCost = 1e200

// Accuracy is the share of images whose cluster stands for their label under the best one-to-one
// matching of clusters and labels, found by Assign. With more clusters than labels the clusters left
// over count as wrong, and the other way round. The reference computes it only where both numbers are
// equal. With no images it is 1, as the other measures are.
//
// It needs a dense table and fails where that would have more than 2^26 cells.
func (c *Contingency) Accuracy() (float64, error) {
	if c.n == 0 {
		return 1, nil
	}
	rows, cols := len(c.rows), len(c.cols)
	if rows > maxCells/cols {
		return 0, fmt.Errorf("metrics: matching %d labels with %d clusters needs a table of more than %d cells; "+
			"use NMI, which needs none", rows, cols, maxCells)
	}
	cost := make([]float64, rows*cols)
	for _, e := range c.cells {
		cost[e.row*cols+e.col] = -float64(e.count)
	}
	match, err := Assign(rows, cols, cost)
	if err != nil {
		return 0, err
	}
	var hits float64
	for row, col := range match {
		if col >= 0 {
			hits -= cost[row*cols+col]
		}
	}
	return hits / float64(c.n), nil
}

// Assign solves the assignment problem: it gives each row a column of its own so that the sum of the
// chosen costs is least. cost is the table (rows, cols), row by row, of numbers within ±1e200, so
// that their sums stay finite. The result has the column of each row; where rows are more than
// columns, those left without one have -1.
//
// It is the Hungarian method with shortest augmenting paths and dual potentials (Kuhn 1955; Jonker and
// Volgenant 1987) and takes min(rows, cols)² × max(rows, cols) steps.
func Assign(rows, cols int, cost []float64) ([]int, error) {
	switch {
	case rows < 0 || cols < 0 || (rows > 0 && cols > math.MaxInt/rows) || rows*cols != len(cost):
		return nil, fmt.Errorf("metrics: want a cost for each of %d x %d cells, found %d", rows, cols, len(cost))
	case slices.ContainsFunc(cost, func(v float64) bool { return !(math.Abs(v) <= maxCost) }):
		return nil, fmt.Errorf("metrics: want costs within ±%g, found NaN or more among the %d x %d", maxCost, rows, cols)
	}
	if rows <= cols {
		return assign(rows, cols, cost), nil
	}
	// The method fills the shorter side: give each column a row and turn the answer round.
	transposed := make([]float64, len(cost))
	for r := range rows {
		for c := range cols {
			transposed[c*rows+r] = cost[r*cols+c]
		}
	}
	match := slices.Repeat([]int{-1}, rows)
	for col, row := range assign(cols, rows, transposed) {
		match[row] = col
	}
	return match, nil
}

// assign is Assign for rows <= cols. It adds one row at a time: a shortest path, in reduced costs, of
// alternately unmatched and matched cells leads from the new row to a free column; the matching is
// flipped along it. The potentials keep all reduced costs at zero or above, so the search is
// Dijkstra's, on a dense graph.
func assign(rows, cols int, cost []float64) []int {
	var (
		u     = make([]float64, rows)             // potentials of rows
		v     = make([]float64, cols)             // potentials of columns
		owner = slices.Repeat([]int{-1}, cols)    // row of each column, -1 if free
		match = slices.Repeat([]int{-1}, rows)    // column of each row
		dist  = make([]float64, cols)             // length of the path to each column
		from  = make([]int, cols)                 // row before each column on that path
		done  = make([]bool, cols)                // columns whose path is known to be shortest
		order = make([]int, 0, min(rows, cols)+1) // those columns, as they were reached
	)
	for start := range rows {
		for j := range cols {
			dist[j], done[j] = math.Inf(1), false
		}
		order = order[:0]
		row, reached, sink := start, 0.0, -1
		for sink < 0 {
			next, least := -1, math.Inf(1)
			for j := range cols {
				if done[j] {
					continue
				}
				if d := reached + cost[row*cols+j] - u[row] - v[j]; d < dist[j] {
					dist[j], from[j] = d, row
				}
				// Of equally near columns a free one ends the search at once.
				if dist[j] < least || (dist[j] == least && owner[j] < 0) {
					next, least = j, dist[j]
				}
			}
			done[next], reached = true, least
			if row = owner[next]; row < 0 {
				sink = next
			} else {
				order = append(order, next)
			}
		}
		u[start] += reached
		for _, j := range order {
			u[owner[j]] += reached - dist[j]
			v[j] -= reached - dist[j]
		}
		for j := sink; j >= 0; {
			row := from[j]
			owner[j] = row
			j, match[row] = match[row], j // the new row had no column before: -1 ends the walk
		}
	}
	return match
}
