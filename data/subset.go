package data

import (
	"fmt"
	"math"
	"slices"

	"ibot/imaging"
	"ibot/rng"
)

// Subset is the set of the given images of ds, in the given order. The classes stay those of
// ds, whether they have an image or not.
func Subset(ds Dataset, images []int) Dataset { return &subset{ds, images} }

type subset struct {
	ds     Dataset
	images []int
}

func (s *subset) Len() int                           { return len(s.images) }
func (s *subset) Name(i int) string                  { return s.ds.Name(s.images[i]) }
func (s *subset) Label(i int) int                    { return s.ds.Label(s.images[i]) }
func (s *subset) Classes() []string                  { return s.ds.Classes() }
func (s *subset) Load(i int) (*imaging.Image, error) { return s.ds.Load(s.images[i]) }

// Holdout divides a set into two, class by class: about the given share of each class, but at
// least one image and not all of them, is held out as val, the rest is train. Which images
// these are depends on the seed and on the number of images in the class. Both lists are
// sorted.
//
// Images without a label are in neither list, unless none has one: then the set is divided as
// one class.
func Holdout(ds Dataset, seed rng.Seed, share float64) (train, val []int) {
	members := make([][]int, max(1, len(ds.Classes())))
	for i := range ds.Len() {
		switch label := ds.Label(i); {
		case label >= 0:
			members[label] = append(members[label], i)
		case len(ds.Classes()) == 0:
			members[0] = append(members[0], i)
		}
	}
	for class, images := range members {
		n := len(images)
		held := int(math.Round(share * float64(n)))
		held = max(min(held, n-1), min(1, n-1), 0)
		seed.Stream("holdout", class).Shuffle(n, func(i, j int) { images[i], images[j] = images[j], images[i] })
		val = append(val, images[:held]...)
		train = append(train, images[held:]...)
	}
	slices.Sort(train)
	slices.Sort(val)
	return train, val
}

// WithClasses is ds with its labels numbered as in classes, which are those of another set. So
// the labels of a val folder agree with those of its train folder also where one of them lacks
// a class. It errs when ds has a class that is not among classes.
func WithClasses(ds Dataset, classes []string) (Dataset, error) {
	if slices.Equal(ds.Classes(), classes) {
		return ds, nil
	}
	number := make(map[string]int, len(classes))
	for i, class := range classes {
		number[class] = i
	}
	r := &relabelled{Dataset: ds, classes: classes}
	var unknown []string
	for _, class := range ds.Classes() {
		i, ok := number[class]
		if !ok {
			unknown = append(unknown, class)
		}
		r.labels = append(r.labels, i)
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("data: the classes %s are not among those of the other set (%s); give both sets the same class names",
			few(unknown, 5), few(classes, 5))
	}
	return r, nil
}

type relabelled struct {
	Dataset
	labels  []int // by the label in Dataset
	classes []string
}

func (r *relabelled) Classes() []string { return r.classes }

func (r *relabelled) Label(i int) int {
	if label := r.Dataset.Label(i); label >= 0 {
		return r.labels[label]
	}
	return -1
}
