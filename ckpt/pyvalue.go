package ckpt

import (
	"errors"
	"fmt"
	"math/big"
)

// set stores a value under a key; a key that is there keeps its place, as in Python.
func (d *pyDict) set(key, value any) error {
	switch key.(type) {
	case nil, bool, int64, float64, string, *pyTuple:
	default:
		return fmt.Errorf("it has %s for a key of a dict", kindOf(key))
	}
	if at, ok := d.index[key]; ok {
		d.values[at] = value
		return nil
	}
	if d.index == nil {
		d.index = map[any]int{}
	}
	d.index[key] = len(d.keys)
	d.keys, d.values = append(d.keys, key), append(d.values, value)
	return nil
}

// setPairs stores alternating keys and values.
func (d *pyDict) setPairs(items []any) error {
	if len(items)%2 != 0 {
		return errors.New("it has a key without a value")
	}
	for i := 0; i < len(items); i += 2 {
		if err := d.set(items[i], items[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// setState takes attributes of an OrderedDict. PyTorch hangs the versions of modules on a state
// dict (_metadata); they say nothing about the numbers and are left out.
func (d *pyDict) setState(_ *unpickler, state any) error {
	if _, ok := state.(*pyDict); !ok {
		return fmt.Errorf("the state of a dict is %s", kindOf(state))
	}
	return nil
}

// setState takes the attributes of an object.
func (o *pyObject) setState(p *unpickler, state any) error {
	attrs, ok := state.(*pyDict)
	if !ok {
		return fmt.Errorf("the state of an object is %s", kindOf(state))
	}
	if err := p.spend(len(attrs.keys)); err != nil {
		return err
	}
	for i, key := range attrs.keys {
		if err := o.attrs.set(key, attrs.values[i]); err != nil {
			return err
		}
	}
	return nil
}

// itemsOf returns the items of a list or tuple.
func itemsOf(v any) ([]any, bool) {
	switch v := v.(type) {
	case *pyTuple:
		return v.items, true
	case *pyList:
		return v.items, true
	}
	return nil, false
}

// intsOf returns the items of a list or tuple of integers.
func intsOf(v any) ([]int, bool) {
	items, ok := itemsOf(v)
	if !ok || len(items) > maxAxes {
		return nil, false
	}
	ints := make([]int, len(items))
	for i, item := range items {
		n, ok := item.(int64)
		if !ok || int64(int(n)) != n {
			return nil, false
		}
		ints[i] = int(n)
	}
	return ints, true
}

// maxAxes is the limit of PyTorch and NumPy.
const maxAxes = 64

// kindOf names the kind of a value in messages, with its article.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64, *big.Int:
		return "an integer"
	case float64:
		return "a float"
	case string:
		return "a text"
	case []byte:
		return "bytes"
	case *pyTuple:
		return "a tuple"
	case *pyList:
		return "a list"
	case *pyDict:
		return "a dict"
	case *pyObject:
		return "an object"
	case *pyClass:
		return "the class " + v.name
	case *tensor:
		return "a tensor"
	case *storage:
		return "a storage"
	case *npArray:
		return "a numpy array"
	case *npType:
		return "a numpy type"
	}
	return fmt.Sprintf("%T", v)
}
