package data

import "errors"

// Files is the set of the images with the given names, relative to root and with slashes, in that
// order. They have no labels. Whether they are there is seen when they are loaded.
func (o Options) Files(root string, names []string) (Dataset, error) {
	if len(names) == 0 {
		return nil, errors.New("data: no images are named; want one or more")
	}
	x := &index{}
	for _, name := range names {
		if err := x.add(name); err != nil {
			return nil, err
		}
	}
	return &files{index: x, root: root, o: o}, nil
}
