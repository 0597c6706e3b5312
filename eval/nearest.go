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

// Nearest finds the k images of the bank that are most similar to each query, and calls visit for
// the queries in order, with their neighbours in order: the most similar first, and of equally
// similar ones that of the lower index. The slice is visit's until it returns. (On a CUDA device,
// which of several equally similar images take the last places is left to the engine.)
//
// Features need not be normalised. Similarities are computed a block at a time, so beside the
// features there is never more than some 100 MB in use, but for the neighbours of a query where k is larger. It errs where a feature is NaN or infinite,
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

// blockSize is how many float32 work is done on at a time, where a table would not fit into memory.
const blockSize = 1 << 23

// The similarities that are made at a time: few enough to stay in a processor's cache until they have been looked
// through, and so many that their product is not slower than a larger one.
const tileQueries, tileBank = 1024, 4096

func (s search) run(ctx context.Context, visit func(query int, near []Neighbour)) error {
	if s.bankRows == 0 {
		s.bankRows = tileBank
	}
	if s.queryRows == 0 {
		s.queryRows = max(1, blockSize/max(s.k, s.bank.Dim()))
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
		err := torch.Run(func() error {
			queries := normalise(s.queries.Rows(first, first+len(near))).ToDevice(s.bank.Device())
			for from := 0; from < n; from += s.bankRows {
				if err := ctx.Err(); err != nil {
					return err
				}
				torch.Scope(func() { s.block(near, queries, from) })
			}
			return nil
		})
		if err != nil {
			return err
		}
		inParallel(len(near), func(i int) { near[i].sort() })
		kept := make([]Neighbour, s.k)
		for i := range near {
			visit(first+i, near[i].list(kept))
		}
	}
	return nil
}

// block offers the rows of the bank from index from on to the queries (len(near), D).
func (s search) block(near []nearest, queries *torch.Tensor, from int) {
	bank := normalise(s.bank.Rows(from, min(from+s.bankRows, s.bank.Len()))).Transpose(0, 1) // (D, rows)
	for first := 0; first < len(near); first += tileQueries {
		torch.Scope(func() {
			some := near[first:min(first+tileQueries, len(near))]
			similarities := queries.Slice(0, first, first+len(some)).MM(bank) // (queries, rows)
			var columns []int64                                               // nil: all, in order
			if s.narrow {
				// One more than k, for the query itself may be among them.
				values, indices := similarities.TopK(min(s.k+1, bank.Size(1)), 1)
				similarities, columns = values.ToDevice(torch.CPU), torch.Read[int64](indices)
			}
			width := similarities.Size(1)
			similarities.View(func(values []float32) {
				inParallel(len(some), func(i int) {
					row := values[i*width : (i+1)*width]
					if columns == nil {
						some[i].scan(row, from)
						return
					}
					for j, similarity := range row {
						some[i].offer(from+int(columns[i*width+j]), similarity)
					}
				})
			})
		})
	}
}

// inParallel calls f with 0, 1, ... n-1, on all processors.
func inParallel(n int, f func(i int)) {
	const some = 16 // at a time
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (n+some-1)/some) {
		wait.Go(func() {
			for from := int(next.Add(some)) - some; from < n; from = int(next.Add(some)) - some {
				for i := from; i < min(from+some, n); i++ {
					f(i)
				}
			}
		})
	}
	wait.Wait()
}

// normalise scales rows to length 1, as torch.nn.functional.normalize: a row of zeros stays one.
func normalise(x *torch.Tensor) *torch.Tensor { return x.Div(x.Norm(1).ClampMin(1e-12)) }

// nearest keeps the k best of the neighbours that it is offered. It gathers up to twice as many that may be among
// them, and then drops the worse half: that is less work for each than an order that is kept at all times.
type nearest struct {
	kept  []uint64 // see key
	k     int
	not   int     // the index that is no neighbour; -1: none
	bound float32 // a similarity below it is not among the k best
}

func newNearest(k int) nearest { return nearest{k: k, not: -1, bound: float32(math.Inf(-1))} }

// key orders neighbours: the most similar has the greatest, and of equally similar ones that of the lower index. The
// bits of a float32 are in the order of their values but for the sign, and a lower index has a greater complement.
func key(index int, similarity float32) uint64 {
	bits := math.Float32bits(similarity + 0) // so that -0 is 0
	if bits>>31 == 0 {
		bits |= 1 << 31
	} else {
		bits = ^bits
	}
	return uint64(bits)<<32 | uint64(^uint32(index))
}

// unkey is the neighbour of a key.
func unkey(key uint64) Neighbour {
	bits := uint32(key >> 32)
	if bits>>31 == 1 {
		bits &^= 1 << 31
	} else {
		bits = ^bits
	}
	return Neighbour{int(^uint32(key)), math.Float32frombits(bits)}
}

// scan offers a row of similarities, to the bank's images from index from on.
func (n *nearest) scan(row []float32, from int) {
	bound := n.bound
	for j, similarity := range row { // Most are below the bound: this line is where the time goes.
		if similarity < bound {
			continue
		}
		n.offer(from+j, similarity)
		bound = n.bound
	}
}

// offer keeps a neighbour if it may be among the k best so far.
func (n *nearest) offer(index int, similarity float32) {
	if similarity < n.bound || index == n.not {
		return
	}
	if n.kept == nil {
		n.kept = make([]uint64, 0, 2*n.k)
	}
	n.kept = append(n.kept, key(index, similarity))
	if len(n.kept) == 2*n.k {
		n.bound = unkey(n.cut()).Similarity
	}
}

// cut drops all but the k best, and returns the worst of them.
func (n *nearest) cut() uint64 {
	low, high := 0, len(n.kept)-1
	for low < high { // quickselect (Hoare 1961): the k greatest come to the front
		pivot := n.kept[low+(high-low)/2]
		i, j := low, high
		for i <= j {
			for n.kept[i] > pivot {
				i++
			}
			for n.kept[j] < pivot {
				j--
			}
			if i <= j {
				n.kept[i], n.kept[j] = n.kept[j], n.kept[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case n.k-1 <= j:
			high = j
		case n.k-1 >= i:
			low = i
		default:
			low, high = n.k-1, n.k-1
		}
	}
	n.kept = n.kept[:n.k]
	return n.kept[n.k-1]
}

// sort brings the best to the front, and drops all but k.
func (n *nearest) sort() {
	if len(n.kept) > n.k {
		n.cut()
	}
	slices.Sort(n.kept)
	slices.Reverse(n.kept)
}

// list writes the neighbours into room for k.
func (n *nearest) list(room []Neighbour) []Neighbour {
	for i, key := range n.kept {
		room[i] = unkey(key)
	}
	return room[:len(n.kept)]
}
