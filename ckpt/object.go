package ckpt

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
)

// The object of a .pth file, for [WritePth] to write and [Checkpoint.Object] to return. Beside
// these types it holds nil, bool, int64, *big.Int, float64, string and []byte; int is written too.
type (
	// Dict is Python's dict. Keys are nil, bool, int64, float64, string or Tuple.
	Dict []Item

	// OrderedDict is collections.OrderedDict, which state dicts are.
	OrderedDict []Item

	// Namespace is argparse.Namespace, whose keys are texts: the settings of a run.
	Namespace []Item

	// ListValue is Python's list, and Tuple its tuple.
	ListValue []any
	Tuple     []any

	// Tensor stands for the array of that name in the checkpoint.
	Tensor string

	// Item is one entry of a dict.
	Item struct{ Key, Value any }
)

// objectKey is the metadata that keeps the object of a .pth file where the format of the file
// knows only flat names, so that a way back to .pth gives the same object.
const objectKey = "pth_object"

// Object returns the object of the .pth file that c was read from, or that c was converted from;
// nil where there is none. Paths and sets have become texts and lists, and numbers of NumPy
// Python's own.
func (c *Checkpoint) Object() (any, error) {
	if c.object != nil {
		return public(c.object, "")
	}
	text := c.Meta[objectKey]
	if text == "" {
		return nil, nil
	}
	object, err := decodeObject([]byte(text), 0)
	if err != nil {
		return nil, fmt.Errorf("ckpt: the metadata %q of %s are damaged: %w", objectKey, c.label(), err)
	}
	return object, nil
}

// public turns a value of the unpickler into the types of this file. Tensors get the names that
// flatten gave them; its bounds on nesting and repetition hold here, for it has been there before.
func public(value any, name string) (any, error) {
	switch v := value.(type) {
	case *tensor, *npArray:
		return Tensor(named(name)), nil
	case *pyObject:
		items, err := publicItems(v.attrs, name)
		return Namespace(items), err
	case *pyDict:
		items, err := publicItems(v, name)
		if v.ordered {
			return OrderedDict(items), err
		}
		return Dict(items), err
	case *pyList:
		items, err := publicList(v.items, name)
		return ListValue(items), err
	case *pyTuple:
		items, err := publicList(v.items, name)
		return Tuple(items), err
	case *pyClass:
		return v.name, nil
	case *storage, *npType:
		return nil, fmt.Errorf("ckpt: the object has %s, which is not written", kindOf(v))
	}
	return value, nil
}

func publicItems(d *pyDict, name string) ([]Item, error) {
	f := flattener{nodes: math.MaxInt, text: math.MaxInt}
	items := make([]Item, len(d.keys))
	for i, key := range d.keys {
		text, err := f.keyText(key, 0)
		if err != nil {
			return nil, err
		}
		if items[i].Key, err = public(key, ""); err != nil {
			return nil, err
		}
		if items[i].Value, err = public(d.values[i], joined(name, text)); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func publicList(values []any, name string) ([]any, error) {
	items := make([]any, len(values))
	for i, v := range values {
		var err error
		if items[i], err = public(v, joined(name, strconv.Itoa(i))); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// joined is the name of a part below name.
func joined(name, part string) string {
	if name == "" {
		return part
	}
	return name + "." + part
}

// encodeObject writes an object as JSON. Plain values are themselves; what JSON has no type for is
// an array that begins with the name of the type: ["tensor", "a.b"], ["dict", [key, value], ...].
func encodeObject(value any) (any, error) {
	switch v := value.(type) {
	case nil, bool, string:
		return v, nil
	case int:
		return []any{"int", strconv.Itoa(v)}, nil
	case int64:
		return []any{"int", strconv.FormatInt(v, 10)}, nil
	case *big.Int:
		return []any{"int", v.String()}, nil
	case float64: // in hexadecimal: exact, and NaN and infinities too
		return []any{"float", strconv.FormatFloat(v, 'x', -1, 64)}, nil
	case []byte:
		return []any{"bytes", v}, nil // which encoding/json writes in base64
	case Tensor:
		return []any{"tensor", string(v)}, nil
	case Dict:
		return encodeItems("dict", v)
	case OrderedDict:
		return encodeItems("ordered", v)
	case Namespace:
		return encodeItems("namespace", v)
	case ListValue:
		return encodeList("list", v)
	case Tuple:
		return encodeList("tuple", v)
	}
	return nil, fmt.Errorf("ckpt: a %T cannot be part of an object", value)
}

func encodeList(kind string, values []any) (any, error) {
	out := []any{kind}
	for _, v := range values {
		e, err := encodeObject(v)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func encodeItems(kind string, items []Item) (any, error) {
	out := []any{kind}
	for _, item := range items {
		k, err := encodeObject(item.Key)
		if err != nil {
			return nil, err
		}
		v, err := encodeObject(item.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, []any{k, v})
	}
	return out, nil
}

// decodeObject reads what encodeObject wrote.
func decodeObject(text json.RawMessage, depth int) (any, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("it is nested more than %d deep", maxNesting)
	}
	var plain any
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil || parts == nil {
		if err := json.Unmarshal(text, &plain); err != nil {
			return nil, err
		}
		switch plain.(type) {
		case nil, bool, string:
			return plain, nil
		}
		return nil, errors.New("it has a value without a type")
	}
	var kind, word string
	if len(parts) == 0 || json.Unmarshal(parts[0], &kind) != nil {
		return nil, errors.New("it has an array without a type")
	}
	parts = parts[1:]
	switch kind {
	case "list", "tuple":
		values := make([]any, len(parts))
		for i, p := range parts {
			var err error
			if values[i], err = decodeObject(p, depth+1); err != nil {
				return nil, err
			}
		}
		if kind == "list" {
			return ListValue(values), nil
		}
		return Tuple(values), nil
	case "dict", "ordered", "namespace":
		return decodeItems(kind, parts, depth)
	}
	if len(parts) != 1 || json.Unmarshal(parts[0], &word) != nil {
		return nil, fmt.Errorf("its %q is not understood", clip(kind))
	}
	switch kind {
	case "tensor":
		return Tensor(word), nil
	case "float":
		return strconv.ParseFloat(word, 64)
	case "bytes":
		var b []byte
		return b, json.Unmarshal(parts[0], &b)
	case "int":
		if n, ok := new(big.Int).SetString(word, 10); ok && len(word) < 3*maxLong {
			return smallest(n), nil
		}
	}
	return nil, fmt.Errorf("its %q is not understood", clip(kind))
}

func decodeItems(kind string, parts []json.RawMessage, depth int) (any, error) {
	items := make([]Item, len(parts))
	for i, p := range parts {
		var pair []json.RawMessage
		if json.Unmarshal(p, &pair) != nil || len(pair) != 2 {
			return nil, errors.New("it has an entry of a dict that is no pair")
		}
		var err error
		if items[i].Key, err = decodeObject(pair[0], depth+1); err != nil {
			return nil, err
		}
		if items[i].Value, err = decodeObject(pair[1], depth+1); err != nil {
			return nil, err
		}
	}
	switch kind {
	case "ordered":
		return OrderedDict(items), nil
	case "namespace":
		return Namespace(items), nil
	}
	return Dict(items), nil
}

// Copy returns a checkpoint of the arrays of c under their names, and its metadata, for a file of
// another format. Where c has the object of a .pth file, the metadata keep it. The arrays are read
// from c when they are asked for.
func (c *Checkpoint) Copy() (*Checkpoint, error) {
	out := New()
	for name, text := range c.Meta {
		out.Meta[name] = text
	}
	for _, name := range c.names {
		if err := out.addEntry(c.entries[name]); err != nil {
			return nil, err
		}
	}
	if object, err := c.Object(); err != nil || object == nil {
		return out, err
	} else if tree, err := encodeObject(object); err != nil {
		return nil, err
	} else if text, err := json.Marshal(tree); err != nil {
		return nil, fmt.Errorf("ckpt: cannot write the object: %w", err)
	} else {
		out.Meta[objectKey] = string(text)
	}
	return out, nil
}
