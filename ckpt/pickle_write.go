package ckpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
)

// pickler writes an object in pickle protocol 2, with the opcodes and the globals that torch.save
// uses, so that torch.load with weights_only=True takes it. Nothing is memoised: a tensor stands
// wherever it is named, and its storage is told by the key.
type pickler struct {
	bytes.Buffer
	tensor func(name string) (storageRef, error)
	depth  int
}

// storageRef says where the numbers of a tensor are.
type storageRef struct {
	key   string // of the storage
	dtype DType
	shape []int
	count int // elements of the storage
}

// pickle returns the pickle of an object.
func pickle(object any, tensor func(name string) (storageRef, error)) ([]byte, error) {
	p := &pickler{tensor: tensor}
	p.WriteString("\x80\x02")
	if err := p.value(object); err != nil {
		return nil, err
	}
	p.WriteByte('.')
	return p.Bytes(), nil
}

// value writes one value. The codes are those of the unpickler's step.
func (p *pickler) value(value any) error {
	if p.depth++; p.depth > maxNesting {
		return fmt.Errorf("ckpt: the object is nested more than %d deep", maxNesting)
	}
	defer func() { p.depth-- }()
	switch v := value.(type) {
	case nil:
		p.WriteByte('N')
	case bool:
		p.WriteByte(0x89)
		if v {
			p.Bytes()[p.Len()-1] = 0x88
		}
	case int:
		p.integer(big.NewInt(int64(v)))
	case int64:
		p.integer(big.NewInt(v))
	case *big.Int:
		p.integer(v)
	case float64:
		p.Write(binary.BigEndian.AppendUint64([]byte{'G'}, math.Float64bits(v)))
	case string:
		p.text(v)
	case []byte: // as protocol 2 writes bytes: Latin-1 letters to encode
		p.WriteString("c_codecs\nencode\n")
		letters := make([]rune, len(v))
		for i, b := range v {
			letters[i] = rune(b)
		}
		p.text(string(letters))
		p.text("latin1")
		p.WriteString("\x86R")
	case Tensor:
		return p.rebuild(string(v))
	case ListValue:
		p.WriteString("](")
		return p.values(v, "e")
	case Tuple:
		p.WriteByte('(')
		return p.values(v, "t")
	case Dict:
		p.WriteString("}(")
		return p.items(v, "u")
	case OrderedDict:
		p.WriteString("ccollections\nOrderedDict\n)R(")
		return p.items(v, "u")
	case Namespace:
		p.WriteString("cargparse\nNamespace\n)\x81}(")
		return p.items(v, "ub")
	default:
		return fmt.Errorf("ckpt: a %T cannot be pickled", value)
	}
	return nil
}

func (p *pickler) values(values []any, end string) error {
	for _, v := range values {
		if err := p.value(v); err != nil {
			return err
		}
	}
	p.WriteString(end)
	return nil
}

func (p *pickler) items(items []Item, end string) error {
	for _, item := range items {
		if err := p.value(item.Key); err != nil {
			return err
		}
		if err := p.value(item.Value); err != nil {
			return err
		}
	}
	p.WriteString(end)
	return nil
}

// text writes BINUNICODE.
func (p *pickler) text(s string) {
	p.Write(binary.LittleEndian.AppendUint32([]byte{'X'}, uint32(len(s))))
	p.WriteString(s)
}

// integer writes the shortest of BININT1, BININT2, BININT and LONG1.
func (p *pickler) integer(n *big.Int) {
	if n.IsInt64() {
		switch v := n.Int64(); {
		case 0 <= v && v < 1<<8:
			p.Write([]byte{'K', byte(v)})
			return
		case 0 <= v && v < 1<<16:
			p.Write(binary.LittleEndian.AppendUint16([]byte{'M'}, uint16(v)))
			return
		case math.MinInt32 <= v && v <= math.MaxInt32:
			p.Write(binary.LittleEndian.AppendUint32([]byte{'J'}, uint32(v)))
			return
		}
	}
	size := n.BitLen()/8 + 1 // with room for the sign
	twos := new(big.Int).Set(n)
	if n.Sign() < 0 {
		twos.Add(twos, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	b := twos.FillBytes(make([]byte, size))
	slices.Reverse(b)
	p.Write([]byte{0x8a, byte(size)})
	p.Write(b)
}

// rebuild writes the call that makes a tensor of a storage.
func (p *pickler) rebuild(name string) error {
	ref, err := p.tensor(name)
	if err != nil {
		return err
	}
	class := dtypes[ref.dtype].storage
	if class == "" {
		return fmt.Errorf("ckpt: PyTorch's format has no storage of %v, which %q is of", ref.dtype, name)
	}
	p.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
	p.text("storage")
	p.WriteString("ctorch\n" + class + "\n")
	p.text(ref.key)
	p.text("cpu")
	p.integer(big.NewInt(int64(ref.count)))
	p.WriteString("tQK\x00(") // BINPERSID, then the offset
	for _, d := range ref.shape {
		p.integer(big.NewInt(int64(d)))
	}
	p.WriteString("t(")
	for _, s := range rowMajor(ref.shape) {
		p.integer(big.NewInt(int64(s)))
	}
	return errors.Join(p.values(nil, "t"), p.value(false), p.value(OrderedDict{}), p.values(nil, "tR")) // requires_grad, hooks
}
