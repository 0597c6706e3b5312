package data

import (
	"fmt"
	"io/fs"
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

// Splits are the names of the parts into which the folder at path is split: those of train,
// val, validation, valid and test that are folders in it. A folder is split when it has train
// and at least one other; any further folders in it do not count. Splits is empty for a folder
// that is not split and for a file.
func Splits(path string) ([]string, error) {
	info, err := stat(path)
	if err != nil || !info.IsDir() {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("data: cannot list %s: %w", path, err)
	}
	var splits []string
	for _, name := range append([]string{"train"}, splitNames["val"]...) {
		i := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name })
		if i < 0 {
			continue
		}
		if info, err := os.Stat(filepath.Join(path, name)); err == nil && info.IsDir() {
			splits = append(splits, name)
		}
	}
	if len(splits) < 2 || splits[0] != "train" {
		return nil, nil
	}
	return splits, nil
}

// OpenSplit opens one part, train, val or test, of a folder that is split (see [Splits]). The
// part val also goes by the names validation, valid and test, tried in this order.
func OpenSplit(path, split string) (Dataset, error) {
	splits, err := Splits(path)
	if err != nil {
		return nil, err
	}
	names, known := splitNames[split]
	if !known {
		names = []string{split}
	}
	for _, name := range names {
		if slices.Contains(splits, name) {
			return openWhole(filepath.Join(path, name))
		}
	}
	if len(splits) == 0 {
		return nil, fmt.Errorf("data: %s is not split; to have a part %s it needs the folders train and val", path, split)
	}
	return nil, fmt.Errorf("data: %s has no part %s; it has %s", path, split, strings.Join(splits, ", "))
}
