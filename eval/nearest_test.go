package eval

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"ibot/rng"
	"ibot/torch"
)

// What is kept of the neighbours that were offered, in whatever order, is what a sort of all has in front.
func TestNearestKept(t *testing.T) {
	negativeZero := float32(math.Copysign(0, -1))
	values := []float32{0, negativeZero, 1, -1, .5, -.5, 1e-30, -1e-30}
	for _, k := range []int{1, 2, 7, 50, 300} {
		r := rng.Seed(1).Stream("nearest", k)
		var all []Neighbour
		n := newNearest(k)
		n.not = 17
		for _, index := range r.Perm(400) {
			similarity := values[r.IntN(len(values))] * float32(1+r.IntN(3))
			n.offer(index, similarity)
			if index != n.not {
				all = append(all, Neighbour{index, similarity})
			}
		}
		slices.SortFunc(all, func(a, b Neighbour) int {
			return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(a.Index, b.Index))
		})
		n.sort()
		if got := n.list(make([]Neighbour, k)); !slices.Equal(got, all[:k]) {
			t.Errorf("k %d: got %v, want %v", k, got, all[:k])
		}
	}
}

// A search gives the same neighbours whatever the tiles of similarities are.
func TestNearestTiles(t *testing.T) {
	checkLive(t)
	const n, m, D, k = 9000, 1030, 3, 5 // more than a tile of either
	r := rng.Seed(1).Stream("tiles")
	draw := func(n int) *Features {
		x := make([]float32, n*D)
		for i := range x {
			x[i] = float32(r.IntN(5) - 2) // many are equally similar
		}
		return newFeatures(t, x, make([]int, n), 2)
	}
	bank, queries := draw(n), draw(m)
	found := func(b blocks) (all []Neighbour) {
		err := search{bank: bank, queries: queries, k: k, blocks: b}.run(t.Context(), func(_ int, near []Neighbour) { all = append(all, near...) })
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	var want []Neighbour // of whole rows of similarities
	torch.Scope(func() {
		similarities := normalise(queries.X).MM(normalise(bank.X).Transpose(0, 1)).Floats()
		for q := range m {
			row := newNearest(k)
			row.scan(similarities[q*n:(q+1)*n], 0)
			row.sort()
			want = append(want, row.list(make([]Neighbour, k))...)
		}
	})
	for _, b := range []blocks{{}, {queryRows: 300, bankRows: 1000}} {
		got := found(b)
		for i := range want {
			if got[i].Index != want[i].Index {
				t.Fatalf("%+v: query %d, neighbour %d: got %v, want %v", b, i/k, i%k, got[i], want[i])
			}
		}
	}
}
