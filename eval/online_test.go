package eval

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"ibot/data"
	"ibot/data/drawn"
	"ibot/imaging"
)

// counted counts how often images are loaded.
type counted struct {
	data.Dataset
	loads *atomic.Int64
}

func (c counted) Load(i int) (*imaging.Image, error) {
	c.loads.Add(1)
	return c.Dataset.Load(i)
}

func drawnSet(t *testing.T, n int) *drawn.Set {
	t.Helper()
	set, err := drawn.New(1, 4, n, 40)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestOnline(t *testing.T) {
	checkLive(t)
	vit := goldenViT(t)
	var loads atomic.Int64
	bank, queries := drawnSet(t, 160).Split(0.25)
	o := OnlineOptions{Max: 60, K: 5, Seed: 3, Extract: ExtractOptions{Transform: DefaultTransform(32), BatchSize: 13}}
	online, err := NewOnline(t.Context(), counted{bank, &loads}, counted{queries, &loads}, o)
	if err != nil {
		t.Fatal(err)
	}
	if b, q := online.Len(); b != 60 || q != 40 || online.Notes != nil {
		t.Errorf("%d and %d images, notes %q", b, q, online.Notes)
	}
	first, err := online.Score(t.Context(), vit)
	if err != nil {
		t.Fatal(err)
	}
	again, err := online.Score(t.Context(), vit)
	if err != nil || !maps.Equal(first, again) {
		t.Errorf("scores %v and %v, %v", first, again, err)
	}
	if loads.Load() != 100 {
		t.Errorf("%d images were loaded, want each of 100 once", loads.Load())
	}
	if pixels, err := online.Pixels(t.Context()); err != nil || pixels["knn_top5"] < pixels["knn"] || pixels["knn"] <= 0 {
		t.Errorf("pixels: %v, %v", pixels, err)
	}

	// The same images in the same order, from the files anew, give the same score.
	chosen := data.Subset(bank, balanced(bank, 60, 3, 0))
	want, err := Extract(t.Context(), vit, chosen, o.Extract)
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	test, err := Extract(t.Context(), vit, queries, o.Extract)
	if err != nil {
		t.Fatal(err)
	}
	defer test.Close()
	r, err := KNN{K: []int{5}, Temperature: .07}.Classify(t.Context(), want, test)
	if err != nil || r.Scores[0].Top1 != first["knn"] || r.Scores[0].Top5 != first["knn_top5"] {
		t.Errorf("online %v, offline %+v, %v", first, r, err)
	}
}

func TestOnlineHoldsOut(t *testing.T) {
	checkLive(t)
	bad := photos{n: 50, w: 32, h: 32, channels: 3, bad: []int{7}}
	o := OnlineOptions{K: 99, Extract: ExtractOptions{Transform: DefaultTransform(32)}}
	online, err := NewOnline(t.Context(), bad, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	b, q := online.Len()
	if b+q != 49 || q < 9 || q > 10 {
		t.Errorf("%d and %d images of 49", b, q)
	}
	for _, i := range upTo(q) {
		if slices.ContainsFunc(upTo(b), func(j int) bool { return online.bank.Name(j) == online.queries.Name(i) }) {
			t.Errorf("%s is in both parts", online.queries.Name(i))
		}
	}
	if len(online.Notes) != 2 || !strings.Contains(online.Notes[0], "1 of the") || !strings.Contains(online.Notes[1], "in place of 99") {
		t.Errorf("notes %q", online.Notes)
	}
	if _, err := online.Score(t.Context(), goldenViT(t)); err != nil {
		t.Error(err)
	}
}

// labels is a set of images that are their labels alone.
type labels []int

func (l labels) Len() int                         { return len(l) }
func (l labels) Name(int) string                  { return "" }
func (l labels) Label(i int) int                  { return l[i] }
func (l labels) Classes() []string                { return classNames(3) }
func (l labels) Load(int) (*imaging.Image, error) { return imaging.New(32, 32, 3), nil }

func TestBalanced(t *testing.T) {
	set := labels{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, -1, -1, 2}
	for most, want := range map[int][]int{0: {0, 0, 0}, 3: {1, 1, 1}, 6: {3, 2, 1}, 8: {4, 3, 1}, 99: {8, 3, 1}} {
		chosen, counts := balanced(set, most, 5, 0), make([]int, 3)
		for _, i := range chosen {
			counts[set[i]]++
		}
		if !slices.Equal(counts, want) || !slices.IsSorted(chosen) || len(slices.Compact(slices.Clone(chosen))) != len(chosen) {
			t.Errorf("at most %d: chose %v, %v of the classes; want %v", most, chosen, counts, want)
		}
		if !slices.Equal(chosen, balanced(set, most, 5, 0)) {
			t.Errorf("at most %d: another choice the second time", most)
		}
	}
}

func TestOnlineErrors(t *testing.T) {
	checkLive(t)
	plain := OnlineOptions{Extract: ExtractOptions{Transform: DefaultTransform(32)}}
	ok := photos{n: 40, w: 32, h: 32, channels: 3}
	for _, test := range []struct {
		name          string
		bank, queries data.Dataset
		o             OnlineOptions
		want          string
	}{
		{"no transform", ok, ok, OnlineOptions{}, "resize 0 and crop 0"},
		{"k", ok, ok, OnlineOptions{K: -1, Extract: plain.Extract}, "by -1 neighbours"},
		{"no classes", data.Subset(unlabelled{ok}, upTo(5)), ok, plain, "two classes or more, found 0"},
		{"other classes", ok, labels{0, 1}, plain, "class 0"},
		{"no labels in the queries", labels{0, 1}, labels{-1, -1}, plain, "no labelled image for the queries"},
		{"one image a class", labels{0, 1}, nil, plain, "no labelled image for the queries"},
		{"bad images", photos{n: 40, w: 32, h: 32, channels: 3, bad: upTo(30)}, ok, plain, "cannot be read"},
		{"channels", photos{n: 40, w: 32, h: 32, channels: 2}, ok, plain, "has 2 channels"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := NewOnline(t.Context(), test.bank, test.queries, test.o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewOnline(ctx, ok, ok, plain); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

type unlabelled struct{ data.Dataset }

func (unlabelled) Classes() []string { return nil }
func (unlabelled) Label(int) int     { return -1 }
