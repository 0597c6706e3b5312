package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// Values are the rows of a page.
type Values struct {
	Bytes [][]byte // of a byte string column; they share one buffer
	Ints  []int64  // of a column of whole numbers
	Null  []bool   // which rows have no value; nil: all have one
	Size  int64    // about the bytes of memory that the values hold
}

// The encodings that are read.
const (
	plain            = 0
	plainDictionary  = 2
	deltaBinary      = 5
	deltaLengthBytes = 6
	deltaBytes       = 7
	rleDictionary    = 8
)

var errCut = errors.New("has a page that is cut off or damaged")

// Read reads a page of a file. Rows may be 0 for whatever number it has.
func (p Page) Read(r io.ReaderAt) (*Values, error) {
	h, data, err := p.data(r, p.Offset, p.Size)
	if err != nil {
		return nil, err
	}
	if h.kind != dataPage && h.kind != dataPageV2 || p.Rows != 0 && int(h.values) != p.Rows {
		return nil, errors.New("was changed since its pages were listed")
	}
	if p.Rows == 0 && h.values > max(1<<20, p.Offset+p.Size) { // as File.check bounds them
		return nil, errCut
	}
	p.Rows = int(h.values)
	null, present, data, err := p.levels(h, data)
	if err != nil {
		return nil, err
	}
	v := &Values{Size: int64(len(data))}
	if h.encoding == plainDictionary || h.encoding == rleDictionary {
		err = p.lookUp(r, v, data, present)
	} else {
		err = v.decode(p.Type, h.encoding, data, present)
	}
	if err != nil {
		return nil, err
	}
	v.spread(null)
	return v, nil
}

// data reads and unpacks the page at offset. The levels of version 2 are left before the data.
func (p Page) data(r io.ReaderAt, offset, size int64) (header, []byte, error) {
	h, err := readHeader(r, offset, offset+size)
	if err != nil {
		return h, nil, err
	}
	stored := make([]byte, h.stored)
	if _, err := r.ReadAt(stored, offset+h.length); err != nil {
		return h, nil, fmt.Errorf("cannot be read: %w", err)
	}
	levels := int(h.defBytes + h.repBytes)
	if h.notCompressed || p.Codec == Uncompressed {
		return h, stored, nil
	}
	raw, err := p.Codec.unpack(stored[levels:], int(h.raw)-levels)
	if err != nil {
		return h, nil, err
	}
	if levels > 0 {
		raw = append(stored[:levels:levels], raw...)
	}
	return h, raw, nil
}

// levels tells which rows have a value, and returns the data behind the levels.
func (p Page) levels(h header, data []byte) (null []bool, present int, rest []byte, err error) {
	var levels []byte
	switch {
	case h.kind == dataPageV2:
		levels, rest = data[h.repBytes:h.repBytes+h.defBytes], data[h.repBytes+h.defBytes:]
	case p.MaxDef > 0:
		if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
			return nil, 0, nil, errCut
		}
		n := binary.LittleEndian.Uint32(data)
		levels, rest = data[4:4+n], data[4+n:]
	default:
		rest = data
	}
	if p.MaxDef == 0 {
		return nil, p.Rows, rest, nil
	}
	runs := hybrid{b: levels, width: bits.Len(uint(p.MaxDef))}
	null = make([]bool, 0, min(p.Rows, 1<<16))
	for range p.Rows {
		level, ok := runs.next()
		if !ok {
			return nil, 0, nil, errCut
		}
		null = append(null, level < uint32(p.MaxDef))
		if level >= uint32(p.MaxDef) {
			present++
		}
	}
	if present == p.Rows {
		null = nil
	}
	return null, present, rest, nil
}

// lookUp replaces the indices in data by what the dictionary has for them.
func (p Page) lookUp(r io.ReaderAt, v *Values, data []byte, n int) error {
	if p.Dict <= 0 || p.Dict >= p.Offset {
		return errors.New("has a page that refers to a dictionary which is not there")
	}
	h, content, err := p.data(r, p.Dict, p.Offset-p.Dict)
	if err != nil {
		return err
	}
	if h.kind != dictionaryPage {
		return errors.New("has a page that refers to a dictionary which is not there")
	}
	dict := Values{}
	if err := dict.decode(p.Type, plain, content, int(h.values)); err != nil {
		return err
	}
	v.Size += int64(len(content))
	if n == 0 {
		return nil
	}
	if len(data) == 0 || data[0] > 32 {
		return errCut
	}
	runs := hybrid{b: data[1:], width: int(data[0])}
	for range n {
		i, ok := runs.next()
		if !ok || int(i) >= max(len(dict.Bytes), len(dict.Ints)) {
			return errCut
		}
		if p.Type == ByteArray {
			v.Bytes = append(v.Bytes, dict.Bytes[i])
		} else {
			v.Ints = append(v.Ints, dict.Ints[i])
		}
	}
	return nil
}

// spread puts the values at the rows that have one. The rest are nil or 0.
func (v *Values) spread(null []bool) {
	v.Size += int64(len(null)) + 24*int64(len(v.Bytes)) + 8*int64(len(v.Ints))
	if null == nil {
		return
	}
	v.Null = null
	v.Bytes = spread(v.Bytes, null)
	v.Ints = spread(v.Ints, null)
}

// spread returns nil for no values: those of a column's other type.
func spread[T any](values []T, null []bool) []T {
	if values == nil {
		return nil
	}
	rows := make([]T, len(null))
	at := 0
	for i, none := range null {
		if !none {
			rows[i] = values[at]
			at++
		}
	}
	return rows
}

// decode reads n values in an encoding without a dictionary.
func (v *Values) decode(kind Type, encoding int64, data []byte, n int) error {
	switch {
	case kind == ByteArray && encoding == plain:
		return v.plainBytes(data, n)
	case kind == ByteArray && encoding == deltaLengthBytes:
		return v.deltaLengths(data, n)
	case kind == Int32 && encoding == plain:
		if n > len(data)/4 {
			return errCut
		}
		for i := range n {
			v.Ints = append(v.Ints, int64(int32(binary.LittleEndian.Uint32(data[4*i:]))))
		}
	case kind == Int64 && encoding == plain:
		if n > len(data)/8 {
			return errCut
		}
		for i := range n {
			v.Ints = append(v.Ints, int64(binary.LittleEndian.Uint64(data[8*i:])))
		}
	case (kind == Int32 || kind == Int64) && encoding == deltaBinary:
		var err error
		v.Ints, _, err = deltaInts(data, n)
		return err
	case kind != ByteArray && kind != Int32 && kind != Int64:
		return fmt.Errorf("has a column of physical type %d; whole numbers and byte strings are read", kind)
	case encoding == deltaBytes:
		return errors.New("is in encoding DELTA_BYTE_ARRAY, which is not read; write it with plain or dictionary encoding")
	default:
		return fmt.Errorf("has a page in encoding %d for physical type %d, which is not read; write it with plain or dictionary encoding", encoding, kind)
	}
	return nil
}

// plainBytes reads byte strings, each behind its length.
func (v *Values) plainBytes(data []byte, n int) error {
	if n > len(data)/4 {
		return errCut
	}
	v.Bytes = make([][]byte, n)
	for i := range v.Bytes {
		if len(data) < 4 {
			return errCut
		}
		length := binary.LittleEndian.Uint32(data)
		if data = data[4:]; uint64(length) > uint64(len(data)) {
			return errCut
		}
		v.Bytes[i], data = data[:length:length], data[length:]
	}
	return nil
}

// deltaLengths reads byte strings behind the lengths of all of them.
func (v *Values) deltaLengths(data []byte, n int) error {
	lengths, data, err := deltaInts(data, n)
	if err != nil {
		return err
	}
	v.Bytes = make([][]byte, n)
	for i, length := range lengths {
		if length < 0 || length > int64(len(data)) {
			return errCut
		}
		v.Bytes[i], data = data[:length:length], data[length:]
	}
	return nil
}
