package data

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// splitNames are the folders that hold a part of a set, and which other names each goes by, in
// the order in which they are tried. CIFAR and STL call test what ImageNet calls val.
var splitNames = map[string][]string{
	"train": {"train"},
	"val":   {"val", "validation", "valid", "test"},
	"test":  {"test"},
}

// Splits are the names of the parts into which the set at path is split: those of train, val,
// validation, valid and test that are folders in it. A set is split when it has train and at
// least one other; any further folders in it do not count. So are zip and tar archives with such
// folders, Parquet files and npz arrays with such names. Splits is empty for a set that is not
// split.
func Splits(path string) ([]string, error) { return Options{}.Splits(path) }

// Splits is the function Splits with these options.
func (o Options) Splits(path string) ([]string, error) {
	splits, err := folderSplits(path)
	if err != nil || len(splits) > 0 {
		return splits, err
	}
	k, err := kindOf(path)
	if err != nil || k.Splits == nil {
		return nil, ignoreForeign(path, err)
	}
	return k.Splits(path, o)
}

// ignoreForeign lets a file of no known kind be one that is not split.
func ignoreForeign(path string, err error) error {
	if _, missing := os.Stat(path); missing == nil {
		return nil
	}
	return err
}

// folderSplits are the parts of a folder that are folders.
func folderSplits(path string) ([]string, error) {
	info, err := stat(path)
	if err != nil || info == nil || !info.IsDir() {
		return nil, err
	}
	return partsAmong(func(name string) bool {
		info, err := os.Stat(filepath.Join(path, name))
		return err == nil && info.IsDir()
	}), nil
}

// partsAmong are the names of parts that there are, train first; nil unless train and another is.
func partsAmong(is func(name string) bool) []string {
	var parts []string
	for _, name := range append([]string{"train"}, splitNames["val"]...) {
		if is(name) {
			parts = append(parts, name)
		}
	}
	if len(parts) < 2 || parts[0] != "train" {
		return nil
	}
	return parts
}

// OpenSplit opens one part, train, val or test, of a set that is split (see [Splits]). The part
// val also goes by the names validation, valid and test, tried in this order.
func OpenSplit(path, split string) (Dataset, error) { return Options{}.OpenSplit(path, split) }

// OpenSplit is the function OpenSplit with these options.
func (o Options) OpenSplit(path, split string) (Dataset, error) {
	splits, err := o.Splits(path)
	if err != nil {
		return nil, err
	}
	name, err := choosePart(path, splits, split)
	if err != nil {
		return nil, err
	}
	if folders, err := folderSplits(path); err != nil || len(folders) > 0 {
		if err != nil {
			return nil, err
		}
		return o.openWhole(filepath.Join(path, name))
	}
	o.part = name
	return o.openWhole(path)
}

// choosePart is the part of splits that goes by the name split.
func choosePart(path string, splits []string, split string) (string, error) {
	names, known := splitNames[split]
	if !known {
		names = []string{split}
	}
	for _, name := range names {
		if slices.Contains(splits, name) {
			return name, nil
		}
	}
	if len(splits) == 0 {
		return "", fmt.Errorf("data: %s is not split; to have a part %s it needs the folders train and val", path, split)
	}
	return "", fmt.Errorf("data: %s has no part %s; it has %s", path, split, strings.Join(splits, ", "))
}
