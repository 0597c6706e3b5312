package eval

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"ibot/torch"
)

// Duplicates groups the images whose features are alike: two are in one group where a chain of images
// leads from one to the other, each with a cosine similarity of at least threshold to the next. All
// pairs are compared. Groups have two images or more, the largest first; each begins with the image
// of the lowest number.
//
// progress, which may be nil, is called with the number of images that were compared with all.
func Duplicates(ctx context.Context, f *Features, threshold float64, progress func(done int)) ([]Group, error) {
	if !(threshold > -1 && threshold <= 1) {
		return nil, fmt.Errorf("eval: a threshold of %v; want a cosine similarity above -1 and at most 1", threshold)
	}
	if err := checkPair(f, f); err != nil {
		return nil, err
	}
	const rows = 2048
	d := disjoint{parent: make([]int, f.Len()), least: make([]float32, f.Len())}
	for i := range d.parent {
		d.parent[i], d.least[i] = i, 1
	}
	for from := 0; from < f.Len(); from += rows {
		end := min(from+rows, f.Len())
		for other := from; other < f.Len(); other += rows {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			stop := min(other+rows, f.Len())
			err := torch.Run(func() error {
				a, b := normalise(f.Rows(from, end)), normalise(f.Rows(other, stop))
				similarities, width := a.MM(b.Transpose(0, 1)).Floats(), stop-other
				for i := range end - from {
					for j, s := range similarities[i*width : (i+1)*width] {
						if float64(s) >= threshold && other+j > from+i {
							d.join(from+i, other+j, s)
						}
					}
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		if progress != nil {
			progress(end)
		}
	}
	return d.groups(), nil
}

// Group is some images that are alike.
type Group struct {
	Images []int   // sorted
	Least  float32 // the least similarity of the pairs that hold it together
}

// disjoint are disjoint sets of images (union-find): each image leads to the first of its set.
type disjoint struct {
	parent []int
	least  []float32 // by first image: the least similarity within the set
}

func (d disjoint) find(i int) int {
	for d.parent[i] != i {
		d.parent[i] = d.parent[d.parent[i]]
		i = d.parent[i]
	}
	return i
}

func (d disjoint) join(i, j int, similarity float32) {
	a, b := d.find(i), d.find(j)
	first, second := min(a, b), max(a, b)
	if first != second { // within a set, chains hold it together already
		d.least[first] = min(d.least[first], d.least[second], similarity)
	}
	d.parent[second] = first
}

func (d disjoint) groups() []Group {
	members := map[int][]int{}
	for i := range d.parent {
		if first := d.find(i); first != i {
			members[first] = append(members[first], i)
		}
	}
	var groups []Group
	for first, rest := range members {
		groups = append(groups, Group{append([]int{first}, rest...), d.least[first]})
	}
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(len(b.Images), len(a.Images)), cmp.Compare(a.Images[0], b.Images[0]))
	})
	return groups
}
