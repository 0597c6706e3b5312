package eval

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"ibot/torch"
)

// Neighbour is an image of a bank and its cosine similarity to a query.
type Neighbour struct {
	Index      int
	Similarity float32
}

// compare orders neighbours: the most similar first, and of equally similar ones that of the lower
// index.
func compare(a, b Neighbour) int {
	switch {
	case a.Similarity > b.Similarity || a.Similarity == b.Similarity && a.Index < b.Index:
		return -1
	case a == b:
		return 0
	}
	return 1
}

// Nearest finds the k images of the bank that are most similar to each query, and calls visit for
// the queries in order, with their neighbours in order: the most similar first, and of equally
// similar ones that of the lower index. The slice is visit's until it returns. (On a CUDA device,
// which of several equally similar images take the last places is left to the engine.)
//
// Features need not be normalised. Similarities are computed a block at a time, so beside the
// features there is never more than some 100 MB in use. It errs where a feature is NaN or infinite,
// where the dimensions differ, and where the bank has fewer than k images.
func Nearest(ctx context.Context, bank, queries *Features, k int, visit func(query int, near []Neighbour)) error {
	if err := checkPair(bank, queries); err != nil {
		return err
	}
	if k < 1 || k > bank.Len() {
		return fmt.Errorf("eval: %d neighbours were asked for in a bank of %d images; want from 1 to %d", k, bank.Len(), bank.Len())
	}
	return search{bank: bank, queries: queries, k: k}.run(ctx, visit)
}

// checkPair says why the features of two sets cannot be compared.
func checkPair(bank, queries *Features) error {
	for _, f := range []*Features{bank, queries} {
		if f.Len() == 0 || f.file == nil && (f.X == nil || f.X.Dims() != 2 || f.X.Size(0) != f.Len()) {
			return fmt.Errorf("eval: want a feature for each of %d images, found none or another number of them", f.Len())
		}
	}
	if d, e := bank.Dim(), queries.Dim(); d != e {
		return fmt.Errorf("eval: features of %d numbers cannot be compared with features of %d; extract both with one network and one choice", e, d)
	}
	if err := bank.finite(); err != nil {
		return err
	}
	if queries == bank {
		return nil
	}
	return queries.finite()
}

// finite names the first image whose feature is not.
func (f *Features) finite() error {
	return torch.Run(func() error {
		const rows = 1 << 16
		for from := 0; from < f.Len(); from += rows {
			var norms []float32
			torch.Scope(func() { norms = f.Rows(from, min(from+rows, f.Len())).Norm(1).Floats() })
			for i, n := range norms {
				if x := float64(n); math.IsNaN(x) || math.IsInf(x, 0) {
					return fmt.Errorf("eval: the feature of image %d%s is not finite; the network's weights are broken, or bf16 is too coarse for it",
						from+i, f.named(from+i))
				}
			}
		}
		return nil
	})
}

// named is the name of image i for a message.
func (f *Features) named(i int) string {
	if i >= len(f.Names) {
		return ""
	}
	return " (" + f.Names[i] + ")"
}

// search finds the k nearest rows of a bank (n, D) to each of the queries (m, D).
type search struct {
	bank, queries *Features
	k             int
	leaveOneOut   bool // queries are the bank, and none is its own neighbour
	blocks
}

// blocks say how the table of similarities is cut into blocks, which changes no result.
type blocks struct {
	queryRows, bankRows int  // of a block; 0: sizes that fit into memory
	narrow              bool // only the k best of each row of a block come over to the host
}

// Similarities are made in blocks of so many float32. A block exists twice, on the device and in Go.
const blockSize = 1 << 23

func (s search) run(ctx context.Context, visit func(query int, near []Neighbour)) error {
	if s.bankRows == 0 {
		s.bankRows = 8192
	}
	if s.queryRows == 0 {
		s.queryRows = max(1, min(blockSize/s.bankRows, 2*blockSize/s.k/16)) // a Neighbour has 16 bytes
	}
	s.narrow = s.narrow || s.bank.Device() != torch.CPU // where the way to the host is long
	n, m := s.bank.Len(), s.queries.Len()
	for first := 0; first < m; first += s.queryRows {
		near := make([]nearest, min(s.queryRows, m-first))
		for i := range near {
			near[i] = newNearest(s.k)
			if s.leaveOneOut {
				near[i].not = first + i
			}
		}
		for from := 0; from < n; from += s.bankRows {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := torch.Run(func() error { s.block(near, first, from); return nil }); err != nil {
				return err
			}
		}
		for i := range near {
			slices.SortFunc(near[i].kept, compare)
			visit(first+i, near[i].kept)
		}
	}
	return nil
}

// block offers the rows of the bank from index from on to the queries from index first on.
func (s search) block(near []nearest, first, from int) {
	end := min(from+s.bankRows, s.bank.Len())
	queries := normalise(s.queries.Rows(first, first+len(near))).ToDevice(s.bank.Device())
	similarities := queries.MM(normalise(s.bank.Rows(from, end)).Transpose(0, 1)) // (queries, rows)
	var columns []int64                                                           // nil: all, in order
	if s.narrow {
		// One more than k, for the query itself may be among them.
		values, indices := similarities.TopK(min(s.k+1, end-from), 1)
		similarities, columns = values, torch.Read[int64](indices)
	}
	values, width := similarities.Floats(), similarities.Size(1)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(near) {
					return
				}
				row := values[i*width : (i+1)*width]
				if columns == nil {
					near[i].scan(row, from)
					continue
				}
				for j, similarity := range row {
					near[i].offer(Neighbour{from + int(columns[i*width+j]), similarity})
				}
			}
		})
	}
	wait.Wait()
}

// normalise scales rows to length 1, as torch.nn.functional.normalize: a row of zeros stays one.
func normalise(x *torch.Tensor) *torch.Tensor { return x.Div(x.Norm(1).ClampMin(1e-12)) }

// nearest keeps the k best of the neighbours that it is offered: a heap with the worst at the root.
type nearest struct {
	kept []Neighbour
	k    int
	not  int // the index that is no neighbour; -1: none
}

func newNearest(k int) nearest { return nearest{kept: make([]Neighbour, 0, k), k: k, not: -1} }

// scan offers a row of similarities, to the bank's images from index from on.
func (n *nearest) scan(row []float32, from int) {
	bound := float32(math.Inf(-1))
	if len(n.kept) == n.k {
		bound = n.kept[0].Similarity
	}
	for j, similarity := range row { // Most are below the bound: this line is where the time goes.
		if similarity < bound {
			continue
		}
		n.offer(Neighbour{from + j, similarity})
		if len(n.kept) == n.k {
			bound = n.kept[0].Similarity
		}
	}
}

// offer keeps c if it is among the k best so far.
func (n *nearest) offer(c Neighbour) {
	if c.Index == n.not {
		return
	}
	if len(n.kept) < n.k {
		n.kept = append(n.kept, c)
		for i := len(n.kept) - 1; i > 0; { // up, past those that are better
			parent := (i - 1) / 2
			if compare(n.kept[i], n.kept[parent]) < 0 {
				return
			}
			n.kept[i], n.kept[parent] = n.kept[parent], n.kept[i]
			i = parent
		}
		return
	}
	if compare(c, n.kept[0]) > 0 {
		return
	}
	i := 0
	for child := 1; child < n.k; child = 2*i + 1 { // down, past those that are worse
		if child+1 < n.k && compare(n.kept[child+1], n.kept[child]) > 0 {
			child++
		}
		if compare(c, n.kept[child]) > 0 {
			break
		}
		n.kept[i] = n.kept[child]
		i = child
	}
	n.kept[i] = c
}
