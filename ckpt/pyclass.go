package ckpt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// torchClass is the closed list of globals.
func torchClass(module, name string) (*pyClass, bool) {
	full := module + "." + name
	if c, ok := classes[full]; ok {
		return c, true
	}
	if module == "torch" || module == "torch.storage" {
		c := &pyClass{name: full}
		if _, ok := storageType(c); ok {
			return c, true
		}
	}
	if module == "torch" {
		if d, ok := dtypeBy(name, DType.String); ok && d != Unicode {
			return &pyClass{name: full}, true // a torch.dtype, such as torch.float32
		}
	}
	return nil, false
}

// classes are the globals that a pickle may call.
var classes = map[string]*pyClass{}

func init() {
	for name, construct := range map[string]func(*unpickler, []any) (any, error){
		"collections.OrderedDict":      newOrderedDict,
		"argparse.Namespace":           newNamespace,
		"builtins.set":                 newSet,
		"__builtin__.set":              newSet,
		"builtins.frozenset":           newSet,
		"__builtin__.frozenset":        newSet,
		"_codecs.encode":               newBytes,
		"builtins.bytes":               newEmptyBytes,
		"__builtin__.bytes":            newEmptyBytes,
		"pathlib.PosixPath":            newPath,
		"pathlib.PurePosixPath":        newPath,
		"pathlib._local.PosixPath":     newPath,
		"torch.Size":                   newSize,
		"torch.device":                 newDevice,
		"torch._utils._rebuild_tensor": rebuildTensor,

		"torch._utils._rebuild_tensor_v2":            rebuildTensor,
		"torch._utils._rebuild_tensor_v3":            rebuildTensor,
		"torch._utils._rebuild_parameter":            rebuildParameter,
		"torch._utils._rebuild_parameter_with_state": rebuildParameter,

		"numpy.dtype":                         newNumpyType,
		"numpy.ndarray":                       nil, // an argument of _reconstruct
		"numpy.core.multiarray.scalar":        newNumpyScalar,
		"numpy._core.multiarray.scalar":       newNumpyScalar,
		"numpy.core.multiarray._reconstruct":  newNumpyArray,
		"numpy._core.multiarray._reconstruct": newNumpyArray,
	} {
		classes[name] = &pyClass{name, construct}
	}
}

// rebuildTensor makes a tensor of (storage, offset, size, stride, ...). Of what follows,
// requires_grad and hooks say nothing about the numbers; version 3 has the type in place 6,
// because its storage is untyped.
func rebuildTensor(_ *unpickler, args []any) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("%d arguments, want at least 4", len(args))
	}
	s, ok := args[0].(*storage)
	if !ok {
		return nil, fmt.Errorf("the first argument is %s, want a storage", kindOf(args[0]))
	}
	dtype := s.dtype
	if len(args) > 6 {
		if class, ok := args[6].(*pyClass); ok {
			dtype, _ = dtypeBy(strings.TrimPrefix(class.name, "torch."), DType.String)
		}
	}
	return newTensor(s, dtype, args[1], args[2], args[3])
}

// rebuildParameter unwraps a torch.nn.Parameter, (tensor, requires_grad, hooks, ...).
func rebuildParameter(_ *unpickler, args []any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("no arguments")
	}
	if _, ok := args[0].(*tensor); !ok {
		return nil, fmt.Errorf("the first argument is %s, want a tensor", kindOf(args[0]))
	}
	return args[0], nil
}

// newOrderedDict takes nothing or, as Python 2 wrote it, a list of pairs.
func newOrderedDict(p *unpickler, args []any) (any, error) {
	d := &pyDict{ordered: true}
	if len(args) == 0 {
		return d, nil
	}
	pairs, ok := itemsOf(args[0])
	if !ok {
		return nil, fmt.Errorf("the argument is %s, want a list of pairs", kindOf(args[0]))
	}
	if err := p.spend(len(pairs)); err != nil {
		return nil, err
	}
	for _, pair := range pairs {
		kv, _ := itemsOf(pair)
		if len(kv) != 2 {
			return nil, fmt.Errorf("it has %s where a pair is wanted", kindOf(pair))
		}
		if err := d.set(kv[0], kv[1]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func newNamespace(_ *unpickler, args []any) (any, error) {
	if len(args) > 0 {
		return nil, fmt.Errorf("%d arguments, want none", len(args))
	}
	return &pyObject{&pyDict{}}, nil
}

// newSet makes a list of a set's items, which have an order in the file.
func newSet(p *unpickler, args []any) (any, error) {
	if len(args) == 0 {
		return &pyList{}, nil
	}
	items, ok := itemsOf(args[0])
	if !ok {
		return nil, fmt.Errorf("the argument is %s, want a list", kindOf(args[0]))
	}
	return &pyList{slices.Clone(items)}, p.spend(len(items))
}

// newBytes undoes how protocols below 3 write bytes: as a text of Latin-1 letters to encode.
func newBytes(p *unpickler, args []any) (any, error) {
	if len(args) != 2 || args[1] != "latin1" && args[1] != "latin-1" {
		return nil, errors.New("want a text and latin1")
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("the first argument is %s, want a text", kindOf(args[0]))
	}
	if err := p.spend(len(text) / 64); err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			return nil, fmt.Errorf("%q is not in latin1", r)
		}
		b = append(b, byte(r))
	}
	return b, nil
}

// newEmptyBytes is how protocols below 3 write b"".
func newEmptyBytes(_ *unpickler, args []any) (any, error) {
	if len(args) > 0 {
		return nil, fmt.Errorf("%d arguments, want none", len(args))
	}
	return []byte{}, nil
}

// newPath joins the parts of a path, which settings often hold.
func newPath(p *unpickler, args []any) (any, error) {
	var parts []string
	for _, a := range args {
		part, ok := a.(string)
		if !ok {
			return nil, fmt.Errorf("it has %s for a part of a path", kindOf(a))
		}
		if err := p.spend(len(part) / 64); err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	if len(parts) > 0 && parts[0] == "/" {
		parts[0] = ""
	}
	return strings.Join(parts, "/"), nil
}

func newSize(_ *unpickler, args []any) (any, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%d arguments, want 1", len(args))
	}
	if _, ok := args[0].(*pyTuple); !ok {
		return nil, fmt.Errorf("the argument is %s, want a tuple", kindOf(args[0]))
	}
	return args[0], nil
}

// newDevice makes the text of a device, such as "cuda:0".
func newDevice(p *unpickler, args []any) (any, error) {
	if len(args) > 0 {
		if kind, ok := args[0].(string); ok && len(args) == 1 {
			return kind, nil
		} else if index, isInt := args[len(args)-1].(int64); ok && isInt && len(args) == 2 {
			return fmt.Sprintf("%s:%d", kind, index), p.spend(len(kind) / 64)
		}
	}
	return nil, errors.New("want a kind and perhaps a number")
}
