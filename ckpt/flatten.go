package ckpt

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

const (
	// maxNesting bounds the depth of containers, and ends those that contain themselves.
	maxNesting = 128

	// rootName is the name of an object that is nothing but one array or one plain value.
	rootName = "value"
)

// flattener names all arrays of an object by the way that leads to them. A few bytes of pickle
// can describe a tree of any size by sharing its parts; work and text are therefore bounded by
// the size of the pickle.
type flattener struct {
	c     *Checkpoint
	nodes int // that may still be visited
	text  int // bytes of names and metadata that may still be made
}

// flatten adds the arrays of value to c, and the rest to its metadata. A dict or an object gives
// one name a key, in its order. A list or tuple gives one name an item when there is an array, a
// dict or an object in it, and is one JSON array otherwise.
func flatten(value any, pickleSize int, c *Checkpoint) error {
	f := &flattener{c: c, nodes: 1<<16 + 16*pickleSize, text: 1<<20 + 64*pickleSize}
	return f.walk("", value, 0)
}

func (f *flattener) visit(depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("it is nested more than %d deep", maxNesting)
	}
	if f.nodes--; f.nodes < 0 {
		return errors.New("it repeats its parts far more often than a checkpoint does")
	}
	return nil
}

func (f *flattener) walk(name string, value any, depth int) error {
	if err := f.visit(depth); err != nil {
		return err
	}
	switch v := value.(type) {
	case *tensor:
		n := int64(v.dtype.Size())
		for _, d := range v.shape {
			n *= int64(d)
		}
		return f.array(entry{Spec{named(name), v.dtype, v.shape, n}, v.data, true})
	case *npArray:
		a := v.array
		if err := a.Check(); err != nil {
			return errors.New("it has a numpy array without content")
		}
		spec := Spec{named(name), a.DType, a.Shape, int64(len(a.Data))}
		return f.array(entry{spec, func() ([]byte, error) { return a.Data, nil }, true})
	case *pyObject:
		return f.walk(name, v.attrs, depth+1)
	case *pyDict:
		for i, key := range v.keys {
			text, err := f.keyText(key, depth)
			if err != nil {
				return err
			}
			if err := f.below(name, text, v.values[i], depth); err != nil {
				return err
			}
		}
		if len(v.keys) > 0 || name == "" {
			return nil
		}
	case *pyList, *pyTuple:
		items, _ := itemsOf(v)
		branches, err := f.branches(items, depth)
		if err != nil {
			return err
		}
		if branches {
			for i, item := range items {
				if err := f.below(name, strconv.Itoa(i), item, depth); err != nil {
					return err
				}
			}
			return nil
		}
	}
	text, err := f.json(value, depth)
	if err != nil {
		return err
	}
	if _, taken := f.c.Meta[named(name)]; taken {
		return fmt.Errorf("it has two values named %q", clip(name))
	}
	f.c.Meta[named(name)] = text
	return nil
}

// below walks into a part of a container.
func (f *flattener) below(name, key string, value any, depth int) error {
	key = joined(name, key)
	if f.text -= len(key); f.text < 0 {
		return errors.New("its names are far longer than those of a checkpoint")
	}
	return f.walk(key, value, depth+1)
}

func (f *flattener) array(e entry) error {
	if f.c.addEntry(e) != nil {
		return fmt.Errorf("it has two tensors named %q", clip(e.spec.Name))
	}
	return nil
}

func named(name string) string {
	if name == "" {
		return rootName
	}
	return name
}

// branches reports whether there is something among the items, at any depth of lists, that
// needs a name of its own.
func (f *flattener) branches(items []any, depth int) (bool, error) {
	for _, item := range items {
		if err := f.visit(depth); err != nil {
			return false, err
		}
		switch item := item.(type) {
		case *tensor, *npArray, *pyDict, *pyObject:
			return true, nil
		case *pyList, *pyTuple:
			inner, _ := itemsOf(item)
			if found, err := f.branches(inner, depth+1); found || err != nil {
				return found, err
			}
		}
	}
	return false, nil
}

// keyText writes a key as a part of a name: texts as they are, the rest as JSON.
func (f *flattener) keyText(key any, depth int) (string, error) {
	if s, ok := key.(string); ok {
		return s, nil
	}
	return f.json(key, depth)
}

// json writes a plain value. Floats always have a point or an exponent, so that 1.0 is not taken
// for 1; what JSON cannot say is a text: "NaN", "Infinity", "-Infinity", bytes in base64.
func (f *flattener) json(value any, depth int) (string, error) {
	if err := f.visit(depth); err != nil {
		return "", err
	}
	text := ""
	switch v := value.(type) {
	case nil:
		text = "null"
	case bool:
		text = strconv.FormatBool(v)
	case int64:
		text = strconv.FormatInt(v, 10)
	case *big.Int:
		text = v.String()
	case float64:
		text = floatText(v)
	case string:
		if len(v) > f.text { // before memory is taken for it
			return "", errors.New("its texts are far longer than those of a checkpoint")
		}
		quoted, err := json.Marshal(v)
		if err != nil {
			return "", err
		}
		text = string(quoted)
	case []byte:
		if len(v) > f.text {
			return "", errors.New("its texts are far longer than those of a checkpoint")
		}
		text = strconv.Quote(base64.StdEncoding.EncodeToString(v))
	case *pyClass:
		text = strconv.Quote(v.name)
	case *pyDict:
		text = "{}" // others are walked
	case *pyList, *pyTuple:
		items, _ := itemsOf(v)
		parts := make([]string, len(items))
		for i, item := range items {
			var err error
			if parts[i], err = f.json(item, depth+1); err != nil {
				return "", err
			}
		}
		text = "[" + strings.Join(parts, ",") + "]"
	default:
		return "", fmt.Errorf("it has %s where a plain value is wanted", kindOf(value))
	}
	if f.text -= len(text); f.text < 0 {
		return "", errors.New("its texts are far longer than those of a checkpoint")
	}
	return text, nil
}

func floatText(v float64) string {
	switch {
	case math.IsNaN(v):
		return `"NaN"`
	case math.IsInf(v, 1):
		return `"Infinity"`
	case math.IsInf(v, -1):
		return `"-Infinity"`
	}
	text := strconv.FormatFloat(v, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}
