package ckpt

import (
	"errors"
	"fmt"
)

// OpenPickle reads a file that Python's pickle.dump wrote, such as the ground truth of a data set: its
// NumPy arrays become arrays and all else metadata, named and written as those of a .pth file. The
// same closed list of types is read, and nothing is executed.
func OpenPickle(path string) (*Checkpoint, error) {
	m, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	c := New()
	c.Path, c.Format = path, "pickle"
	c.closers = append(c.closers, m)
	if err := parsePickle(m.data, c); err != nil {
		m.Close()
		return nil, fmt.Errorf("ckpt: %s is no pickle of plain data: %w", path, err)
	}
	return c, nil
}

func parsePickle(data []byte, c *Checkpoint) error {
	u := &unpickler{data: data, class: torchClass, persistent: func(any) (any, error) {
		return nil, errors.New("it refers to data outside of it")
	}}
	value, err := u.run()
	if err != nil {
		return err
	}
	return flatten(value, len(data), c)
}
