package data_test

import (
	"slices"
	"strings"
	"testing"

	"ibot/data"
)

func TestSubset(t *testing.T) {
	ds := &numbered{n: 5, labels: []int{0, 1, 0, 1, 0}, names: []string{"a", "b"}}
	s := data.Subset(ds, []int{4, 1})
	if got, want := describe(s), "4.png:0 1.png:1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if im, err := s.Load(0); err != nil || im.W != 5 {
		t.Errorf("image 0 of the subset is not image 4: %v", err)
	}
}

func TestHoldoutTakesFromEachClass(t *testing.T) {
	// 40 images of a, 10 of b, 2 of c, 1 of d, 3 without a label.
	ds := &numbered{names: []string{"a", "b", "c", "d"}}
	for label, count := range map[int]int{0: 40, 1: 10, 2: 2, 3: 1, -1: 3} {
		for range count {
			ds.labels = append(ds.labels, label)
		}
	}
	ds.n = len(ds.labels)
	for share, want := range map[float64][4]int{0.2: {8, 2, 1, 0}, 0.01: {1, 1, 1, 0}, 1: {39, 9, 1, 0}} {
		train, val := data.Holdout(ds, 1, share)
		var held [4]int
		for _, i := range val {
			held[ds.labels[i]]++
		}
		if held != want {
			t.Errorf("share %g held out %v, want %v", share, held, want)
		}
		both := slices.Concat(train, val)
		slices.Sort(both)
		if len(both) != 53 || len(slices.Compact(both)) != 53 || !slices.IsSorted(train) || !slices.IsSorted(val) {
			t.Errorf("share %g gave %d images in two lists, want each of 53 once, sorted", share, len(both))
		}
		if _, again := data.Holdout(ds, 1, share); !slices.Equal(again, val) {
			t.Errorf("share %g held out others the second time", share)
		}
	}
	_, one := data.Holdout(ds, 1, 0.2)
	if _, two := data.Holdout(ds, 2, 0.2); slices.Equal(one, two) {
		t.Error("another seed held out the same images")
	}
}

func TestHoldoutWithoutLabels(t *testing.T) {
	train, val := data.Holdout(&numbered{n: 10}, 0, 0.3)
	if len(train) != 7 || len(val) != 3 {
		t.Errorf("held out %d and left %d of 10 images, want 3 and 7", len(val), len(train))
	}
}

func TestWithClasses(t *testing.T) {
	val := &numbered{n: 3, labels: []int{0, 1, -1}, names: []string{"cat", "fish"}}
	ds, err := data.WithClasses(val, []string{"cat", "dog", "fish"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(ds), "0.png:0 1.png:2 2.png:-1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := strings.Join(ds.Classes(), " "); got != "cat dog fish" {
		t.Errorf("the classes are %s, want cat dog fish", got)
	}
	_, err = data.WithClasses(val, []string{"cat", "dog"})
	if err == nil || !strings.Contains(err.Error(), "the classes fish are not among") {
		t.Errorf("got error %v, want that fish is unknown", err)
	}
	if same, err := data.WithClasses(val, []string{"cat", "fish"}); err != nil || same != data.Dataset(val) {
		t.Errorf("got %v, %v, want the set itself", same, err)
	}
}
