package parquet

import (
	"encoding/binary"
	"errors"
)

// The types of Thrift's compact protocol that Parquet's structs are made of.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

// deepest bounds the nesting of structs; Parquet's own nest six deep.
const deepest = 32

var errThrift = errors.New("has metadata that is cut off or damaged")

// thrift reads structs of the compact protocol. The first fault is kept in err, after which all
// reads give zeros and all loops end.
type thrift struct {
	b     []byte
	at    int
	depth int
	err   error
}

func (t *thrift) fail() {
	if t.err == nil {
		t.err = errThrift
	}
	t.at = len(t.b)
}

func (t *thrift) byte() byte {
	if t.at >= len(t.b) {
		t.fail()
		return 0
	}
	t.at++
	return t.b[t.at-1]
}

func (t *thrift) uvarint() uint64 {
	v, n := binary.Uvarint(t.b[t.at:])
	if n <= 0 {
		t.fail()
		return 0
	}
	t.at += n
	return v
}

// int reads a zigzag number, which all whole numbers but bytes are.
func (t *thrift) int() int64 {
	v := t.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// binary reads a byte string; it shares the memory of the input.
func (t *thrift) binary() []byte {
	n := t.uvarint()
	if n > uint64(len(t.b)-t.at) {
		t.fail()
		return nil
	}
	t.at += int(n)
	return t.b[t.at-int(n) : t.at : t.at]
}

// fields calls read for each field of a struct with its number and type. read takes the value
// off, or leaves it, returning false.
func (t *thrift) fields(read func(id int16, kind byte) bool) {
	if t.depth++; t.depth > deepest {
		t.fail()
	}
	defer func() { t.depth-- }()
	id := int16(0)
	for t.err == nil {
		head := t.byte()
		if head == 0 {
			return
		}
		if delta := head >> 4; delta != 0 {
			id += int16(delta)
		} else {
			id = int16(t.int())
		}
		if kind := head & 15; !read(id, kind) {
			t.skip(kind)
		}
	}
}

// list calls read for each element. An element takes at least a byte, so the length that is
// claimed is bounded by what is there.
func (t *thrift) list(read func(kind byte)) {
	head := t.byte()
	n := uint64(head >> 4)
	if n == 15 {
		n = t.uvarint()
	}
	if n > uint64(len(t.b)-t.at) {
		t.fail()
	}
	for ; n > 0 && t.err == nil; n-- {
		read(head & 15)
	}
}

// skip passes over a value.
func (t *thrift) skip(kind byte) {
	switch kind {
	case thriftTrue, thriftFalse: // the value is the type
	case thriftByte:
		t.byte()
	case thriftI16, thriftI32, thriftI64:
		t.uvarint()
	case thriftDouble:
		for range 8 {
			t.byte()
		}
	case thriftBinary:
		t.binary()
	case thriftList, thriftSet:
		t.list(t.skipElement)
	case thriftMap:
		n := t.uvarint()
		if n == 0 {
			return
		}
		kinds := t.byte()
		if n > uint64(len(t.b)-t.at) {
			t.fail()
		}
		for ; n > 0 && t.err == nil; n-- {
			t.skipElement(kinds >> 4)
			t.skipElement(kinds & 15)
		}
	case thriftStruct:
		t.fields(func(int16, byte) bool { return false })
	default:
		t.fail()
	}
}

// skipElement is skip for what lies in a list, where a truth value takes a byte.
func (t *thrift) skipElement(kind byte) {
	if kind == thriftTrue || kind == thriftFalse {
		t.byte()
		return
	}
	if t.depth++; t.depth > deepest { // lists of lists
		t.fail()
	}
	t.skip(kind)
	t.depth--
}
