package eval

import (
	"context"
	"fmt"

	"ibot/data"
	"ibot/rng"
)

// openLabelled opens the images that a protocol with labels learns from and those that it is scored
// on: the train and val parts of dir, or the images of dir and those of val where that is given. For
// class folders alone, queries is nil. what names the protocol in errors.
//
// The labels of queries are numbered as those of bank. It errs where either has no labels, and where
// queries has a class that bank lacks.
func openLabelled(what, dir, val string, o data.Options) (bank, queries data.Dataset, err error) {
	if bank, err = o.Open(dir); err != nil {
		return nil, nil, err
	}
	if n := len(bank.Classes()); n < 2 {
		return nil, nil, fmt.Errorf("eval: %s needs images of two classes or more, but %s has %d; give a folder with a subfolder for each class, or with train and val of such folders", what, dir, n)
	}
	splits, err := o.Splits(dir)
	switch {
	case err != nil:
		return nil, nil, err
	case val != "":
		queries, err = o.Open(val)
	case len(splits) > 0:
		queries, err = o.OpenSplit(dir, "val")
	default:
		return bank, nil, nil
	}
	if err == nil && queries.Classes() == nil {
		err = fmt.Errorf("eval: the images to classify have no labels, so nothing can be scored; give them a subfolder for each class, as %s has", dir)
	}
	if err == nil {
		queries, err = data.WithClasses(queries, bank.Classes())
	}
	return bank, queries, err
}

// LabelledSettings are the settings of protocols that learn from labelled images.
type LabelledSettings struct {
	Val string `name:"val" group:"What" arg:"DIR" help:"images to classify, in place of the val of data"`
}

// labelledSets are images to learn from and images to be scored on.
type labelledSets struct {
	train, val data.Dataset
	valDir     string
	notes      []string
}

const heldOutShare = .2 // of a set that is not split

// open opens the images; see openLabelled. Of class folders alone a part is held out for val.
func (s LabelledSettings) open(what, dir string, o data.Options, seed rng.Seed) (labelledSets, error) {
	train, val, err := openLabelled(what, dir, s.Val, o)
	if err != nil {
		return labelledSets{}, err
	}
	sets := labelledSets{train: train, val: val, valDir: s.Val, notes: []string{}}
	if val == nil {
		learn, held := data.Holdout(train, seed, heldOutShare)
		if len(held) == 0 {
			return sets, fmt.Errorf("eval: %s has no class of two images or more, so none can be held out to be classified; add images, or name others with --val", dir)
		}
		sets.train, sets.val = data.Subset(train, learn), data.Subset(train, held)
		sets.notes = append(sets.notes, fmt.Sprintf("%s has no val: %d of its %d images were held out to be classified", dir, len(held), train.Len()))
	}
	return sets, nil
}

// rows are the features of both sets from a source, fit for heads that learn from the one and are scored on
// the other. The caller closes them.
func (s labelledSets) rows(ctx context.Context, r *Run, source string, settings FeatureSettings) (train, val *Features, err error) {
	if train, err = r.rows(ctx, source, "train", s.train, settings); err != nil {
		return nil, nil, err
	}
	if val, err = r.rows(ctx, source, "val", s.val, settings); err != nil {
		train.Close()
		return nil, nil, err
	}
	if err = checkClassifiable(train, val); err != nil {
		train.Close()
		val.Close()
		return nil, nil, err
	}
	return train, val, nil
}

// LabelledCounts say on which images classifiers were trained and scored.
type LabelledCounts struct {
	Val     string `json:"val"` // "" for val of data, or a part of it that was held out
	Train   int    `json:"train"`
	Queries int    `json:"queries"`
	Classes int    `json:"classes"`

	set string // see [SetName]
}

func (s labelledSets) counts() LabelledCounts {
	return LabelledCounts{s.valDir, s.train.Len(), s.val.Len(), len(s.train.Classes()), SetName(s.val)}
}

func (c LabelledCounts) String() string {
	return fmt.Sprintf("trained on %d images, scored on %d, %d classes", c.Train, c.Queries, c.Classes)
}

// unreadable are the names of the images of sets that could not be read.
func unreadable(sets ...*Features) []string {
	names := []string{}
	for _, f := range sets {
		for _, image := range f.Bad {
			names = append(names, image.Path)
		}
	}
	return names
}
