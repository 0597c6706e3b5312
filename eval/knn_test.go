package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"ibot/internal/golden"
	"ibot/rng"
	"ibot/torch"
)

// classNames are n names of classes.
func classNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("class %d", i))
	}
	return names
}

// newFeatures makes features of rows (n, D), freed when the test ends.
func newFeatures(t testing.TB, x []float32, labels []int, classes int) *Features {
	t.Helper()
	f := &Features{Labels: labels, Classes: classNames(classes)}
	torch.Scope(func() { f.X = torch.New(x, len(labels), len(x)/len(labels)).Own() })
	t.Cleanup(f.Close)
	return f
}

// devices are those that this machine has: the CPU, and a CUDA device where there is one.
func devices() []torch.Device {
	if n, _ := torch.CUDADevices(); n > 0 {
		return []torch.Device{torch.CPU, {Type: torch.CUDAType}}
	}
	return []torch.Device{torch.CPU}
}

// to moves the features to device d.
func (f *Features) to(d torch.Device) {
	torch.Scope(func() {
		old := f.X
		f.X = old.ToDevice(d).Clone().Own()
		old.Free()
	})
}

// checkLive fails the test if tensors made in it are left when it ends.
func checkLive(t *testing.T) {
	t.Helper()
	before := torch.Live()
	t.Cleanup(func() {
		if after := torch.Live(); after != before {
			t.Errorf("%d tensors are left alive", after-before)
		}
	})
}

// goldenFeatures reads the features of the reference's k-NN classifier.
func goldenFeatures(t *testing.T, f *golden.File, part string) *Features {
	t.Helper()
	var labels []int
	for _, l := range f.Ints(part + "_labels") {
		labels = append(labels, int(l))
	}
	var x []float32
	torch.Scope(func() { x = f.Tensor(part).Floats() })
	return newFeatures(t, x, labels, 20)
}

func TestKNNGolden(t *testing.T) {
	for _, d := range devices() {
		t.Run(d.String(), func(t *testing.T) {
			checkLive(t)
			f := golden.Open(t, "e_knn.npz")
			bank, queries := goldenFeatures(t, f, "train"), goldenFeatures(t, f, "test")
			bank.to(d)
			queries.to(d)
			checkKNNGolden(t, f, bank, queries)
		})
	}
}

func checkKNNGolden(t *testing.T, f *golden.File, bank, queries *Features) {
	t.Helper()
	r, err := KNN{K: []int{100, 10, 20, 601}, Temperature: 0.07}.Classify(t.Context(), bank, queries)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Notes) != 1 || r.Notes[0] != "k = 601 is left out: there are 600 images to choose neighbours from" {
		t.Errorf("notes: %q", r.Notes)
	}
	for i, k := range []int{10, 20, 100} {
		s, name := r.Scores[i], fmt.Sprintf("k%d_", k)
		if s.K != k || s.Top1 != f.Scalar(name+"top1") || s.Top5 != f.Scalar(name+"top5") {
			t.Errorf("k %d: got %+v, want top-1 %v and top-5 %v", k, s, f.Scalar(name+"top1"), f.Scalar(name+"top5"))
		}
		for q, want := range f.Ints(name + "pred") {
			if s.Predictions[q] != int(want) {
				t.Errorf("k %d, query %d: predicted %d, want %d", k, q, s.Predictions[q], want)
			}
		}
		want := f.Ints(name + "neighbours")
		var votes []float64 // as the reference counts them
		err := Nearest(t.Context(), bank, queries, k, func(query int, near []Neighbour) {
			row := make([]float64, 20)
			c := KNN{Temperature: 0.07}
			c.vote([]KNNScore{{K: k}}, near, bank.Labels, 0, row)
			for _, v := range row {
				votes = append(votes, v*math.Exp(float64(near[0].Similarity)/0.07))
			}
			for j, n := range near {
				if n.Index != int(want[query*k+j]) {
					t.Errorf("k %d, query %d: neighbour %d is %d, want %d", k, query, j, n.Index, want[query*k+j])
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		golden.EqualFloats(t, name+"votes", votes, f.Floats(name+"votes"), golden.Tolerance{Rel: 1e-5})
	}
}

// plainKNN is the protocol, written down as it is explained.
func plainKNN(bank, queries []float32, D int, labels []int, classes, k int, temperature float64, leaveOneOut bool) (predictions []int, votes [][]float64) {
	unit := func(x []float32) []float64 {
		sum := 0.0
		for _, v := range x {
			sum += float64(v) * float64(v)
		}
		u := make([]float64, len(x))
		for i, v := range x {
			u[i] = float64(v) / max(math.Sqrt(sum), 1e-12)
		}
		return u
	}
	for q := range len(queries) / D {
		query := unit(queries[q*D : (q+1)*D])
		var all []Neighbour
		for b := range len(bank) / D {
			similarity := 0.0
			for i, v := range unit(bank[b*D : (b+1)*D]) {
				similarity += v * query[i]
			}
			if !leaveOneOut || b != q {
				all = append(all, Neighbour{b, float32(similarity)})
			}
		}
		slices.SortStableFunc(all, func(a, b Neighbour) int {
			if a.Similarity > b.Similarity {
				return -1
			} else if a.Similarity < b.Similarity {
				return 1
			}
			return 0
		})
		row := make([]float64, classes)
		for _, n := range all[:k] {
			row[labels[n.Index]] += math.Exp(float64(n.Similarity) / temperature)
		}
		best := 0
		for class := range row {
			if row[class] > row[best] {
				best = class
			}
		}
		predictions, votes = append(predictions, best), append(votes, row)
	}
	return predictions, votes
}

func TestKNNAgainstPlainLoop(t *testing.T) {
	checkLive(t)
	for _, test := range []struct {
		name                string
		n, m, D, classes    int
		k                   []int
		tied                bool // rows of a few corners of a cube: many similarities are equal, and all are exact
		leaveOneOut         bool
		narrow              bool
		queryRows, bankRows int
		temperature         float64
	}{
		{name: "one query", n: 30, m: 1, D: 5, classes: 4, k: []int{3}, temperature: .07},
		{name: "bank in blocks", n: 200, m: 37, D: 8, classes: 7, k: []int{1, 5, 200}, queryRows: 10, bankRows: 13, temperature: .07},
		{name: "k in the last block only", n: 50, m: 9, D: 6, classes: 3, k: []int{40}, queryRows: 4, bankRows: 7, temperature: .5},
		{name: "ties", n: 300, m: 40, D: 4, classes: 5, k: []int{1, 7, 30}, tied: true, temperature: .07},
		{name: "ties in blocks", n: 300, m: 40, D: 4, classes: 5, k: []int{1, 7, 30}, tied: true, queryRows: 3, bankRows: 11, temperature: .07},
		{name: "narrow", n: 200, m: 37, D: 8, classes: 7, k: []int{1, 5, 200}, narrow: true, temperature: .07},
		{name: "narrow, blocks", n: 200, m: 37, D: 8, classes: 7, k: []int{1, 30}, narrow: true, queryRows: 10, bankRows: 41, temperature: .07},
		{name: "narrow, leave one out", n: 90, m: 90, D: 6, classes: 6, k: []int{1, 4, 89}, narrow: true, leaveOneOut: true, bankRows: 33, temperature: .07},
		{name: "two classes", n: 60, m: 20, D: 3, classes: 2, k: []int{9}, temperature: .07},
		{name: "leave one out", n: 90, m: 90, D: 6, classes: 6, k: []int{4, 89}, leaveOneOut: true, temperature: .07},
		{name: "leave one out, ties, blocks", n: 90, m: 90, D: 4, classes: 6, k: []int{4, 89}, tied: true, leaveOneOut: true, queryRows: 8, bankRows: 9, temperature: .07},
		{name: "sharp", n: 90, m: 30, D: 6, classes: 6, k: []int{10}, temperature: .002},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rng.Seed(1).Stream(test.name)
			draw := func(n int) []float32 {
				x := make([]float32, n*test.D)
				for i := range x {
					x[i] = float32(r.NormFloat64())
					if test.tied {
						x[i] = float32(2*r.IntN(2) - 1)
					}
				}
				return x
			}
			labels := func(n int) (l []int) {
				for range n {
					l = append(l, r.IntN(test.classes))
				}
				return l
			}
			x := draw(test.n)
			bank := newFeatures(t, x, labels(test.n), test.classes)
			y, queries := x, bank
			if !test.leaveOneOut {
				y = draw(test.m)
				queries = newFeatures(t, y, labels(test.m), test.classes)
			}
			c := KNN{K: test.k, Temperature: test.temperature}
			c.queryRows, c.bankRows, c.narrow = test.queryRows, test.bankRows, test.narrow
			got, err := c.classify(t.Context(), bank, queries, test.leaveOneOut)
			if err != nil {
				t.Fatal(err)
			}
			for i, k := range test.k {
				want, votes := plainKNN(x, y, test.D, bank.Labels, test.classes, k, test.temperature, test.leaveOneOut)
				top1, top5 := 0, 0
				for q, label := range queries.Labels {
					if want[q] == label {
						top1++
					}
					rank := 0
					for class, v := range votes[q] {
						if v > votes[q][label] || v == votes[q][label] && class < label {
							rank++
						}
					}
					if rank < 5 && votes[q][label] > 0 {
						top5++
					}
				}
				s := got.Scores[i]
				if !slices.Equal(s.Predictions, want) {
					t.Errorf("k %d: predicted\n%v, want\n%v", k, s.Predictions, want)
				}
				if s.Top1 != float64(top1)*100/float64(test.m) || s.Top5 != float64(top5)*100/float64(test.m) {
					t.Errorf("k %d: top-1 %v, top-5 %v; want %d and %d of %d", k, s.Top1, s.Top5, top1, top5, test.m)
				}
			}
		})
	}
}

func TestKNNErrors(t *testing.T) {
	checkLive(t)
	x := []float32{1, 0, 0, 1, 1, 1, 2, 1}
	good := newFeatures(t, x, []int{0, 1, 0, 1}, 2)
	nan := newFeatures(t, []float32{1, 0, float32(math.NaN()), 1}, []int{0, 1}, 2)
	nan.Names = []string{"a.png", "b.png"}
	c := KNN{K: []int{1}, Temperature: .07}
	for _, test := range []struct {
		name          string
		c             KNN
		bank, queries *Features
		want          string
	}{
		{"no k", KNN{Temperature: 1}, good, good, "no number of neighbours"},
		{"k of 0", KNN{K: []int{5, 0}, Temperature: 1}, good, good, "eval: 0 neighbours; want 1 or more"},
		{"temperature 0", KNN{K: []int{1}}, good, good, "eval: temperature 0; want"},
		{"k above the bank", KNN{K: []int{9, 5}, Temperature: 1}, good, good, "eval: 5 neighbours were asked for, but there are only 4 images"},
		{"one class", c, newFeatures(t, x, []int{0, 0, 0, 0}, 1), good, "two classes or more, found 1"},
		{"no labels", c, newFeatures(t, x, []int{-1, -1, -1, -1}, 0), good, "two classes or more, found 0"},
		{"an image without a label", c, good, newFeatures(t, x, []int{0, -1, 0, 1}, 2), "image 1 has label -1"},
		{"a label that is no class", c, good, newFeatures(t, x, []int{0, 1, 7, 1}, 2), "image 2 has label 7; want one of 2"},
		{"other classes", c, good, newFeatures(t, x, []int{0, 1, 2, 1}, 3), "2 classes and the queries 3"},
		{"other dimension", c, good, newFeatures(t, []float32{1, 2, 3, 4}, []int{0, 1, 0, 1}, 2), "features of 1 numbers cannot be compared with features of 2"},
		{"NaN in the bank", c, nan, good, "the feature of image 1 (b.png) is not finite"},
		{"NaN in a query", c, good, nan, "the feature of image 1 (b.png) is not finite"},
		{"no features", c, good, &Features{Labels: []int{0}, Classes: good.Classes}, "want a feature for each of 1 images"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := test.c.Classify(t.Context(), test.bank, test.queries); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if err := Nearest(t.Context(), good, good, 5, func(int, []Neighbour) {}); err == nil || !strings.Contains(err.Error(), "want from 1 to 4") {
		t.Errorf("Nearest: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.LeaveOneOut(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

// TestZeroFeature: a black image is as far from everything as can be, and no error.
func TestZeroFeature(t *testing.T) {
	checkLive(t)
	bank := newFeatures(t, []float32{1, 0, 0, 0, 0, 1}, []int{1, 0, 1}, 2)
	queries := newFeatures(t, []float32{0, 0}, []int{0}, 2)
	r, err := KNN{K: []int{2}, Temperature: .07}.Classify(t.Context(), bank, queries)
	if err != nil || r.Scores[0].Predictions[0] != 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestVotesDoNotOverflow: near 0 the temperature leaves the nearest one's vote alone.
func TestVotesDoNotOverflow(t *testing.T) {
	checkLive(t)
	bank := newFeatures(t, []float32{1, 0, .9, .1, .9, .2, 0, 1}, []int{2, 1, 1, 0}, 3)
	queries := newFeatures(t, []float32{5, 0}, []int{2}, 3)
	r, err := KNN{K: []int{4}, Temperature: 1e-30}.Classify(t.Context(), bank, queries)
	if err != nil || r.Scores[0].Predictions[0] != 2 || r.Scores[0].Top1 != 100 {
		t.Errorf("got %+v, %v", r, err)
	}
}

// BenchmarkKNN looks queries up in a bank of 50,000 features of 384 numbers, for the published k
// together.
func BenchmarkKNN(b *testing.B) {
	const n, D, classes = 50_000, 384, 1000
	r := rng.Seed(1).Stream("bench")
	draw := func(n int) *Features {
		x, labels := make([]float32, n*D), make([]int, n)
		for i := range x {
			x[i] = r.Float32() - .5
		}
		for i := range labels {
			labels[i] = r.IntN(classes)
		}
		return newFeatures(b, x, labels, classes)
	}
	bank := draw(n)
	for _, m := range []int{500, 10_000} {
		b.Run(fmt.Sprintf("queries=%d", m), func(b *testing.B) {
			queries := draw(m)
			for b.Loop() {
				if _, err := DefaultKNN().Classify(b.Context(), bank, queries); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(m)*float64(b.N)/b.Elapsed().Seconds(), "queries/s")
		})
	}
}
