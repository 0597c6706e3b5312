package data

import (
	"fmt"
	"os"
)

// OpenPaths opens what a command line names: one set of any kind, or one or more image files, which
// become a set without labels in the given order and under the given names.
//
// It errs where there is no path, a file does not exist, or several paths are not all image files.
func (o Options) OpenPaths(paths ...string) (Dataset, error) {
	if len(paths) == 1 && !isImageFile(paths[0]) {
		return o.Open(paths[0])
	}
	x := &index{}
	for _, path := range paths {
		if _, err := stat(path); err != nil {
			return nil, err
		}
		if !isImageFile(path) {
			return nil, fmt.Errorf("data: %s is no image file (by its ending); give image files alone, or a single set of images", path)
		}
		if err := x.add(path); err != nil {
			return nil, err
		}
	}
	if x.Len() == 0 {
		return nil, fmt.Errorf("data: no path given; name image files, or a folder of images")
	}
	return &files{index: x, o: o}, nil
}

// isImageFile reports whether a file that is there has the ending of an image.
func isImageFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && IsImageName(path)
}
