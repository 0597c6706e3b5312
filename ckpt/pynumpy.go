package ckpt

import (
	"errors"
	"fmt"
	"slices"
)

// npType is a numpy.dtype in a pickle. It begins as ('f8', False, True) and gets its byte order
// by BUILD, (3, '<', None, ...).
type npType struct {
	dtype     DType
	bigEndian bool
}

// npArray is a numpy.ndarray in a pickle. It begins empty and gets all by BUILD.
type npArray struct{ array Array }

func newNumpyType(_ *unpickler, args []any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("no arguments")
	}
	code, _ := args[0].(string)
	d, ok := dtypeBy(code, func(d DType) string { return dtypes[d].numpy })
	if !ok {
		return nil, fmt.Errorf("elements of NumPy type %q are not read", clip(code))
	}
	return &npType{dtype: d}, nil
}

func (t *npType) setState(_ *unpickler, state any) error {
	items, _ := itemsOf(state)
	if len(items) < 2 {
		return fmt.Errorf("the state of a numpy type is %s", kindOf(state))
	}
	switch items[1] {
	case "<", "|", "=":
	case ">":
		t.bigEndian = true
	default:
		return errors.New("the byte order of a numpy type is not understood")
	}
	return nil
}

// newNumpyScalar makes a plain number of (dtype, bytes).
func newNumpyScalar(_ *unpickler, args []any) (any, error) {
	if len(args) != 2 {
		return nil, fmt.Errorf("%d arguments, want 2", len(args))
	}
	t, isType := args[0].(*npType)
	raw, isBytes := args[1].([]byte)
	if !isType || !isBytes {
		return nil, errors.New("want a type and bytes")
	}
	a, err := t.array(nil, raw)
	if err != nil {
		return nil, err
	}
	switch a.DType {
	case Float64, Float32, Float16:
		return a.float(0), nil
	case Bool:
		return a.Data[0] != 0, nil
	}
	v, err := a.Int64()
	if err != nil {
		return nil, err
	}
	return v[0], nil
}

// array puts type, shape and bytes together.
func (t *npType) array(shape []int, raw []byte) (Array, error) {
	a := Array{t.dtype, shape, raw}
	if t.bigEndian {
		a.Data = slices.Clone(raw)
		swapBytes(a.Data, t.dtype.swapUnit())
	}
	return a, a.Check()
}

// newNumpyArray takes (ndarray, (0,), b'b'), placeholders that BUILD replaces.
func newNumpyArray(*unpickler, []any) (any, error) { return &npArray{}, nil }

// setState takes (version, shape, dtype, is Fortran's order, bytes).
func (a *npArray) setState(p *unpickler, state any) error {
	items, _ := itemsOf(state)
	if len(items) != 5 {
		return fmt.Errorf("the state of a numpy array is %s", kindOf(state))
	}
	shape, isShape := intsOf(items[1])
	t, isType := items[2].(*npType)
	fortran, isBool := items[3].(bool)
	raw, isBytes := items[4].([]byte)
	if !isShape || !isType || !isBool || !isBytes {
		return errors.New("the state of a numpy array is not understood")
	}
	if err := p.spend(len(raw) / 64); err != nil { // it may be copied
		return err
	}
	whole, err := t.array(shape, raw)
	if err != nil {
		return err
	}
	if fortran {
		whole.Data = gather(whole.Data, t.dtype.Size(), shape, columnMajor(shape))
	}
	a.array = whole
	return nil
}
