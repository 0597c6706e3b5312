package ckpt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// widths are the bytes of the number, or of the length, behind those opcodes that have one.
var widths = [256]int{
	'X': 4, 0x8c: 1, 0x8d: 8, 'T': 4, 'U': 1, // texts
	'B': 4, 'C': 1, 0x8e: 8, 0x96: 8, // bytes
	'K': 1, 'M': 2, 0x8a: 1, 0x8b: 4, // integers
}

// byte takes the next byte.
func (p *unpickler) byte() (byte, error) {
	b, err := p.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// take takes the next n bytes, in place.
func (p *unpickler) take(n uint64) ([]byte, error) {
	if left := uint64(len(p.data) - p.pos); n > left {
		return nil, fmt.Errorf("it needs %d more bytes, the pickle has %d", n, left)
	}
	b := p.data[p.pos : p.pos+int(n) : p.pos+int(n)]
	p.pos += int(n)
	return b, nil
}

// number takes a little-endian number of the given width in bytes.
func (p *unpickler) number(width int) (uint64, error) {
	b, err := p.take(uint64(width))
	var full [8]byte
	copy(full[:], b)
	return binary.LittleEndian.Uint64(full[:]), err
}

// counted takes a length of the given width and that many bytes.
func (p *unpickler) counted(width int) ([]byte, error) {
	n, err := p.number(width)
	if err != nil {
		return nil, err
	}
	return p.take(n)
}

// line takes a line of text without its newline.
func (p *unpickler) line() (string, error) {
	rest := p.data[p.pos:]
	n := bytes.IndexByte(rest[:min(len(rest), maxLine)], '\n')
	if n < 0 {
		return "", fmt.Errorf("it has a line that does not end within %d bytes", maxLine)
	}
	p.pos += n + 1
	return string(rest[:n]), nil
}

// integer reads an integer, which is an int64 where it fits.
func (p *unpickler) integer(code byte) (any, error) {
	switch code {
	case 'J': // BININT, the only signed one of fixed width
		n, err := p.number(4)
		return int64(int32(uint32(n))), err
	case 'K', 'M': // BININT1, BININT2
		n, err := p.number(widths[code])
		return int64(n), err
	case 0x8a, 0x8b: // LONG1, LONG4
		n, err := p.number(widths[code])
		if err != nil {
			return nil, err
		}
		if n > maxLong {
			return nil, fmt.Errorf("it has an integer of %d bytes", n)
		}
		b, err := p.take(n)
		return twosComplement(b), err
	}
	text, err := p.line() // INT, LONG
	if err != nil {
		return nil, err
	}
	if code == 'I' && (text == "00" || text == "01") { // how protocol 1 writes bool
		return text == "01", nil
	}
	n, ok := new(big.Int).SetString(strings.TrimSuffix(text, "L"), 10)
	if !ok {
		return nil, fmt.Errorf("%q is no integer", clip(text))
	}
	return smallest(n), nil
}

// twosComplement reads a little-endian signed integer of any length.
func twosComplement(b []byte) any {
	bigEndian := slices.Clone(b)
	slices.Reverse(bigEndian)
	n := new(big.Int).SetBytes(bigEndian)
	if len(b) > 0 && b[len(b)-1]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return smallest(n)
}

func smallest(n *big.Int) any {
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}

func (p *unpickler) floating(code byte) (any, error) {
	if code == 'G' { // BINFLOAT, the one big-endian number
		b, err := p.take(8)
		if err != nil {
			return nil, err
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	}
	text, err := p.line() // FLOAT
	if err != nil {
		return nil, err
	}
	return strconv.ParseFloat(text, 64)
}

// container makes a list, dict, tuple or set.
func (p *unpickler) container(code byte) (any, error) {
	var items []any
	var err error
	switch code {
	case 'l', 'd', 't', 0x91: // LIST, DICT, TUPLE, FROZENSET: all since the mark
		items, err = p.popMark()
	case 0x85, 0x86, 0x87: // TUPLE1, TUPLE2, TUPLE3
		items, err = p.popN(int(code - 0x84))
	}
	if err != nil {
		return nil, err
	}
	switch code {
	case ']', 'l', 0x8f, 0x91: // EMPTY_LIST, EMPTY_SET
		return &pyList{items}, nil
	case '}', 'd': // EMPTY_DICT
		d := &pyDict{}
		return d, d.setPairs(items)
	}
	return &pyTuple{items}, nil // and EMPTY_TUPLE
}

// extend adds values to the container below them: APPEND, APPENDS, ADDITEMS, SETITEM, SETITEMS.
func (p *unpickler) extend(code byte) error {
	var items []any
	var err error
	switch code {
	case 'a':
		items, err = p.popN(1)
	case 's':
		items, err = p.popN(2)
	default:
		items, err = p.popMark()
	}
	if err != nil {
		return err
	}
	target, err := p.top()
	if err != nil {
		return err
	}
	switch target := target.(type) {
	case *pyList:
		if code == 'a' || code == 'e' || code == 0x90 {
			target.items = append(target.items, items...)
			return nil
		}
	case *pyDict:
		if code == 's' || code == 'u' {
			return target.setPairs(items)
		}
	}
	return fmt.Errorf("it adds items to %s", kindOf(target))
}
