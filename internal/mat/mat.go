// Package mat reads MAT-files of level 5, which MATLAB saves by default (-v6, -v7) and SciPy's savemat
// too: numbers, texts, cell arrays and structs, as far as ground truth of data sets uses them. Objects,
// sparse arrays and functions are refused, and so are files of version 7.3, which are HDF5.
//
// Files come from strangers: memory is taken only for what their bytes hold, and every malformed
// file is an error.
package mat

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf16"
)

// Value is a variable, a cell or a field.
type Value struct {
	Dims    []int
	Numbers []float64          // of a numeric or logical array, column by column
	Text    string             // of an array of characters with one row
	Cells   []Value            // of a cell array, column by column
	Fields  map[string][]Value // of a struct array: each field's value in every element
}

const (
	// MaxBytes bounds what compressed variables may unpack to.
	MaxBytes = 16 << 20

	maxDepth = 32 // of cells and structs in one another
)

// The types of data elements, and the classes of arrays (MAT-File Format, MathWorks, tables 1-1 and
// 1-3).
const (
	miInt8, miUint8, miInt16, miUint16, miInt32, miUint32, miSingle, miDouble = 1, 2, 3, 4, 5, 6, 7, 9
	miInt64, miUint64, miMatrix, miCompressed, miUTF8, miUTF16, miUTF32       = 12, 13, 14, 15, 16, 17, 18

	classCell, classStruct, classChar, classDouble, classUint64 = 1, 2, 4, 6, 15
)

// Parse reads the variables of a file.
func Parse(file []byte) (map[string]Value, error) {
	if bytes.HasPrefix(file, []byte("\x89HDF")) || len(file) > 512 && bytes.HasPrefix(file[512:], []byte("\x89HDF")) {
		return nil, errors.New("mat: a file of version 7.3 (HDF5); save it in MATLAB with -v7")
	}
	if len(file) < 128 {
		return nil, fmt.Errorf("mat: a file of %d bytes, want a header of 128", len(file))
	}
	r := &reader{budget: MaxBytes}
	switch string(file[126:128]) {
	case "IM":
		r.order = binary.LittleEndian
	case "MI":
		r.order = binary.BigEndian
	default:
		return nil, errors.New("mat: not a MAT-file of level 5; save it in MATLAB with -v7")
	}
	variables := map[string]Value{}
	for rest := file[128:]; len(rest) > 0; {
		kind, body, after, err := r.element(rest)
		if err == nil && kind == miCompressed {
			kind, body, err = r.inflate(body)
		}
		if err != nil {
			return nil, fmt.Errorf("mat: at byte %d: %w", len(file)-len(rest), err)
		}
		if kind == miMatrix {
			name, v, err := r.matrix(body, 0)
			if err != nil {
				return nil, fmt.Errorf("mat: variable %d, %q: %w", len(variables)+1, clip(name), err)
			}
			variables[name] = v
		}
		rest = after
	}
	return variables, nil
}

func clip(s string) string { return s[:min(len(s), 60)] }

type reader struct {
	order  binary.ByteOrder
	budget int // bytes that may still be unpacked
}

var errShort = errors.New("it ends within an element")

// element takes the next data element. Its bytes are followed by zeros up to a multiple of 8, except
// those of a compressed one.
func (r *reader) element(b []byte) (kind int, body, rest []byte, err error) {
	if len(b) < 8 {
		return 0, nil, nil, errShort
	}
	word := r.order.Uint32(b)
	if n := int(word >> 16); n != 0 { // the small format: up to 4 bytes in the tag itself
		if n > 4 {
			return 0, nil, nil, fmt.Errorf("a small element of %d bytes", n)
		}
		return int(word & 0xffff), b[4 : 4+n], b[8:], nil
	}
	kind, n := int(word), uint64(r.order.Uint32(b[4:]))
	if n > uint64(len(b)-8) {
		return 0, nil, nil, errShort
	}
	body, rest = b[8:8+n], b[8+n:]
	if kind != miCompressed {
		rest = rest[min(uint64(len(rest)), -n%8):]
	}
	return kind, body, rest, nil
}

// inflate unpacks the one element in a compressed one.
func (r *reader) inflate(b []byte) (kind int, body []byte, err error) {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return 0, nil, err
	}
	unpacked, err := io.ReadAll(io.LimitReader(z, int64(r.budget)+1))
	if err != nil {
		return 0, nil, err
	}
	if r.budget -= len(unpacked); r.budget < 0 {
		return 0, nil, fmt.Errorf("it unpacks to more than %d bytes", MaxBytes)
	}
	kind, body, _, err = r.element(unpacked)
	return kind, body, err
}

// matrix reads an array of any class.
func (r *reader) matrix(b []byte, depth int) (name string, v Value, err error) {
	if len(b) == 0 { // an empty cell or field
		return "", Value{Dims: []int{0, 0}}, nil
	}
	if depth > maxDepth {
		return "", v, fmt.Errorf("cells and structs are nested more than %d deep", maxDepth)
	}
	_, flags, b, err := r.element(b)
	if err != nil {
		return "", v, err
	}
	if len(flags) != 8 {
		return "", v, fmt.Errorf("array flags of %d bytes, want 8", len(flags))
	}
	kind, dims, b, err := r.element(b)
	if err != nil {
		return "", v, err
	}
	if kind != miInt32 {
		return "", v, fmt.Errorf("dimensions of type %d", kind)
	}
	count := 1
	for ; len(dims) >= 4; dims = dims[4:] {
		n := int(int32(r.order.Uint32(dims)))
		if n < 0 || n > 0 && count > math.MaxInt32/n {
			return "", v, errors.New("dimensions that no array has")
		}
		v.Dims = append(v.Dims, n)
		count *= n
	}
	_, label, b, err := r.element(b)
	if err != nil {
		return "", v, err
	}
	name = string(label)
	switch class := int(r.order.Uint32(flags) & 0xff); {
	case class == classCell:
		v.Cells, _, err = r.values(b, count, depth)
	case class == classStruct:
		v.Fields, err = r.fields(b, count, depth)
	case class == classChar:
		v.Text, err = r.text(b, count)
	case class >= classDouble && class <= classUint64:
		v.Numbers, err = r.numbers(b, count)
	default:
		err = fmt.Errorf("an array of class %d, want numbers, text, cells or a struct", class)
	}
	return name, v, err
}

// values reads count arrays in a row.
func (r *reader) values(b []byte, count, depth int) (values []Value, rest []byte, err error) {
	if count > len(b)/8 { // before memory is taken
		return nil, nil, errShort
	}
	values = make([]Value, count)
	for i := range values {
		kind, body, after, err := r.element(b)
		if err != nil {
			return nil, nil, err
		}
		if kind != miMatrix {
			return nil, nil, fmt.Errorf("an element of type %d where an array is wanted", kind)
		}
		if _, values[i], err = r.matrix(body, depth+1); err != nil {
			return nil, nil, err
		}
		b = after
	}
	return values, b, nil
}

// fields reads a struct array: the names of the fields, then each element's values of them.
func (r *reader) fields(b []byte, count, depth int) (map[string][]Value, error) {
	_, width, b, err := r.element(b)
	if err != nil {
		return nil, err
	}
	_, names, b, err := r.element(b)
	if err != nil {
		return nil, err
	}
	if len(width) != 4 {
		return nil, errors.New("a struct without the length of its names")
	}
	n := int(int32(r.order.Uint32(width)))
	if n < 1 || len(names)%n != 0 {
		return nil, fmt.Errorf("names of %d bytes in fields of %d", len(names), n)
	}
	fields := map[string][]Value{}
	var order []string
	for ; len(names) > 0; names = names[n:] {
		name, _, _ := strings.Cut(string(names[:n]), "\x00")
		if slices.Contains(order, name) {
			return nil, fmt.Errorf("two fields are named %q", clip(name))
		}
		order = append(order, name)
		fields[name] = nil
	}
	for range count {
		if len(order) == 0 {
			break
		}
		var values []Value
		if values, b, err = r.values(b, len(order), depth); err != nil {
			return nil, err
		}
		for i, v := range values {
			fields[order[i]] = append(fields[order[i]], v)
		}
	}
	return fields, nil
}

// widths are the bytes of a number of each type.
var widths = map[int]int{
	miInt8: 1, miUint8: 1, miInt16: 2, miUint16: 2, miInt32: 4, miUint32: 4, miInt64: 8, miUint64: 8, miSingle: 4, miDouble: 8,
	miUTF8: 1, miUTF16: 2, miUTF32: 4,
}

// numbers reads an array's real part, which may be stored in a smaller type than the array's. An
// imaginary part is passed over.
func (r *reader) numbers(b []byte, count int) ([]float64, error) {
	kind, body, _, err := r.element(b)
	if err != nil {
		return nil, err
	}
	width := widths[kind]
	if width == 0 || len(body) != count*width {
		return nil, fmt.Errorf("%d bytes of type %d for %d numbers", len(body), kind, count)
	}
	numbers := make([]float64, count)
	for i := range numbers {
		numbers[i] = r.number(kind, body[i*width:])
	}
	return numbers, nil
}

func (r *reader) number(kind int, b []byte) float64 {
	switch kind {
	case miInt8:
		return float64(int8(b[0]))
	case miUint8, miUTF8:
		return float64(b[0])
	case miInt16:
		return float64(int16(r.order.Uint16(b)))
	case miUint16, miUTF16:
		return float64(r.order.Uint16(b))
	case miInt32:
		return float64(int32(r.order.Uint32(b)))
	case miUint32, miUTF32:
		return float64(r.order.Uint32(b))
	case miInt64:
		return float64(int64(r.order.Uint64(b)))
	case miUint64:
		return float64(r.order.Uint64(b))
	case miSingle:
		return float64(math.Float32frombits(r.order.Uint32(b)))
	}
	return math.Float64frombits(r.order.Uint64(b))
}

// text reads the characters of a row.
func (r *reader) text(b []byte, count int) (string, error) {
	if count == 0 {
		return "", nil
	}
	kind, body, _, err := r.element(b)
	if err != nil {
		return "", err
	}
	switch kind {
	case miInt8, miUint8, miUTF8:
		return string(body), nil
	case miUint16, miUTF16:
		units := make([]uint16, len(body)/2)
		for i := range units {
			units[i] = r.order.Uint16(body[2*i:])
		}
		return string(utf16.Decode(units)), nil
	}
	return "", fmt.Errorf("text of type %d", kind)
}
