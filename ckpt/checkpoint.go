package ckpt

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"ibot/internal/nearest"
)

// Checkpoint is an ordered set of named arrays with some text beside them. It is either what
// Open found in a file or what a program put together to write.
//
// Reading is safe for several goroutines at once; Add, AddFunc and Close are not. An opened file
// may be replaced meanwhile, as Write does it, but must not be cut short in place: touching a
// mapped page that the file has no more ends the program.
type Checkpoint struct {
	// Path is the file it was read from, empty for one put together in memory.
	Path string

	// Format is "safetensors", "pth", "npz", "npy" or "onnx", empty for one put together in memory.
	Format string

	// Meta is all that is not an array. What Open took from a .pth file is JSON text; what a
	// safetensors file says about itself is whatever its writer put there.
	Meta map[string]string

	names   []string
	entries map[string]entry
	object  any // of a .pth file, as the unpickler made it
	closers []io.Closer
}

// Spec describes an array without its numbers.
type Spec struct {
	Name  string
	DType DType
	Shape []int
	Bytes int64
}

// entry is an array that may not have been read yet. load returns its Data; inPlace says that it
// does so without a copy, so that arrays that share their memory can be told.
type entry struct {
	spec    Spec
	load    func() ([]byte, error)
	inPlace bool
}

// New returns an empty checkpoint.
func New() *Checkpoint {
	return &Checkpoint{Meta: map[string]string{}, entries: map[string]entry{}}
}

// Add appends an array, whose Data is not copied. A name that is there already or an array
// whose parts do not belong together is an error.
func (c *Checkpoint) Add(name string, a Array) error {
	if err := a.Check(); err != nil {
		return fmt.Errorf("%w (array %q)", err, name)
	}
	spec := Spec{name, a.DType, append([]int{}, a.Shape...), int64(len(a.Data))}
	return c.addEntry(entry{spec, func() ([]byte, error) { return a.Data, nil }, true})
}

// AddFunc appends an array whose Data load returns each time it is asked for, such as while the
// checkpoint is written: a model on a device then passes through memory one array at a time.
func (c *Checkpoint) AddFunc(name string, dtype DType, shape []int, load func() ([]byte, error)) error {
	if !dtype.valid() || dtype == Unicode {
		return fmt.Errorf("ckpt: array %q has type %v, whose size is not known beforehand", name, dtype)
	}
	n, err := elements(shape)
	if err != nil {
		return fmt.Errorf("%w (array %q)", err, name)
	}
	return c.add(Spec{name, dtype, append([]int{}, shape...), int64(n) * int64(dtype.Size())}, load)
}

func (c *Checkpoint) add(spec Spec, load func() ([]byte, error)) error {
	return c.addEntry(entry{spec, load, false})
}

func (c *Checkpoint) addEntry(e entry) error {
	if _, taken := c.entries[e.spec.Name]; taken {
		return fmt.Errorf("ckpt: two arrays are named %q", e.spec.Name)
	}
	c.names = append(c.names, e.spec.Name)
	c.entries[e.spec.Name] = e
	return nil
}

// Len returns the number of arrays.
func (c *Checkpoint) Len() int { return len(c.names) }

// Names returns the names of the arrays in the order of the file.
func (c *Checkpoint) Names() []string { return slices.Clone(c.names) }

// Has reports whether there is an array of that name.
func (c *Checkpoint) Has(name string) bool {
	_, ok := c.entries[name]
	return ok
}

// Spec describes an array without reading it. The error is that of Array.
func (c *Checkpoint) Spec(name string) (Spec, error) {
	e, ok := c.entries[name]
	if !ok {
		return Spec{}, c.missing(name)
	}
	return e.spec, nil
}

// Specs describes all arrays in the order of the file.
func (c *Checkpoint) Specs() []Spec {
	specs := make([]Spec, len(c.names))
	for i, name := range c.names {
		specs[i] = c.entries[name].spec
	}
	return specs
}

// Array reads an array. Where the file holds its bytes as they are, the Data lies in the file's
// memory map: read-only and valid until Close. A name that is not there is an error that names
// the nearest one.
func (c *Checkpoint) Array(name string) (Array, error) {
	e, ok := c.entries[name]
	if !ok {
		return Array{}, c.missing(name)
	}
	data, err := e.load()
	if err != nil {
		return Array{}, fmt.Errorf("ckpt: cannot read %q of %s: %w", name, c.label(), err)
	}
	a := Array{e.spec.DType, slices.Clone(e.spec.Shape), data}
	if int64(len(data)) != e.spec.Bytes {
		return Array{}, fmt.Errorf("ckpt: %q of %s has %d bytes of data, its type and shape (%v %v) need %d",
			name, c.label(), len(data), a.DType, a.Shape, e.spec.Bytes)
	}
	return a, nil
}

// missing explains that there is no array of that name. The usual reason is a prefix that one
// side has and the other has not: a net wrapped for several devices, a backbone inside a model.
func (c *Checkpoint) missing(name string) error {
	msg := fmt.Sprintf("ckpt: %s has no %q", c.label(), name)
	for _, have := range c.names {
		if prefix, ok := strings.CutSuffix(have, "."+name); ok {
			return fmt.Errorf("%s; nearest is %q (try --prefix %s.)", msg, have, prefix)
		}
	}
	for _, have := range c.names {
		if prefix, ok := strings.CutSuffix(name, "."+have); ok {
			return fmt.Errorf("%s; nearest is %q, without the prefix %q", msg, have, prefix+".")
		}
	}
	if have, ok := nearest.Word(name, c.names); ok {
		return fmt.Errorf("%s; nearest is %q", msg, have)
	}
	return fmt.Errorf("%s among its %d arrays; `ibot ckpt ls` shows them", msg, len(c.names))
}

// label names the checkpoint in messages.
func (c *Checkpoint) label() string {
	if c.Path == "" {
		return "the checkpoint"
	}
	return filepath.Base(c.Path)
}

// Close gives the file back. Arrays that were read from it must not be used any more. A
// checkpoint that is never closed keeps its memory map, which costs addresses, not memory.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, closer := range c.closers {
		errs = append(errs, closer.Close())
	}
	c.closers = nil
	c.names, c.entries, c.object = nil, map[string]entry{}, nil // no array of an unmapped file can be asked for
	return errors.Join(errs...)
}
