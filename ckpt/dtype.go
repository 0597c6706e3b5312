package ckpt

import "fmt"

// DType is the type of an array's elements. All are stored little endian.
type DType uint8

// The element types. Unicode is NumPy's fixed-width text of four bytes a character; only npz
// and npy files have it. The float8 and complex types can be carried, but not converted.
const (
	Float32 DType = iota + 1
	Float64
	Float16
	BFloat16
	Int64
	Int32
	Int16
	Int8
	Uint8
	Bool
	Uint16
	Uint32
	Uint64
	Complex64
	Complex128
	Float8E4M3
	Float8E5M2
	Unicode
)

// dtypes is the one table of element types: the name in lists and messages (PyTorch's), the
// bytes of an element, the name in safetensors and the type code of NumPy ("" where the format
// has none), and what PyTorch calls the storage class.
var dtypes = [...]struct {
	name        string
	size        int
	safetensors string
	numpy       string
	storage     string
}{
	Float32:    {"float32", 4, "F32", "f4", "FloatStorage"},
	Float64:    {"float64", 8, "F64", "f8", "DoubleStorage"},
	Float16:    {"float16", 2, "F16", "f2", "HalfStorage"},
	BFloat16:   {"bfloat16", 2, "BF16", "", "BFloat16Storage"},
	Int64:      {"int64", 8, "I64", "i8", "LongStorage"},
	Int32:      {"int32", 4, "I32", "i4", "IntStorage"},
	Int16:      {"int16", 2, "I16", "i2", "ShortStorage"},
	Int8:       {"int8", 1, "I8", "i1", "CharStorage"},
	Uint8:      {"uint8", 1, "U8", "u1", "ByteStorage"},
	Bool:       {"bool", 1, "BOOL", "b1", "BoolStorage"},
	Uint16:     {"uint16", 2, "U16", "u2", ""},
	Uint32:     {"uint32", 4, "U32", "u4", ""},
	Uint64:     {"uint64", 8, "U64", "u8", ""},
	Complex64:  {"complex64", 8, "C64", "c8", "ComplexFloatStorage"},
	Complex128: {"complex128", 16, "", "c16", "ComplexDoubleStorage"},
	Float8E4M3: {"float8_e4m3fn", 1, "F8_E4M3", "", ""},
	Float8E5M2: {"float8_e5m2", 1, "F8_E5M2", "", ""},
	Unicode:    {"unicode", 0, "", "", ""},
}

// String returns PyTorch's name of the type, such as "float32".
func (d DType) String() string {
	if !d.valid() {
		return fmt.Sprintf("dtype(%d)", uint8(d))
	}
	return dtypes[d].name
}

// Size returns the bytes of an element. It is 0 for Unicode, whose elements are as long as the
// longest text of their array.
func (d DType) Size() int {
	if !d.valid() {
		return 0
	}
	return dtypes[d].size
}

func (d DType) valid() bool { return d >= Float32 && int(d) < len(dtypes) }

// swapUnit returns the bytes of the numbers an element is made of, which is what a change of
// byte order turns around: half an element of a complex type, one character of a text.
func (d DType) swapUnit() int {
	switch d {
	case Complex64, Complex128:
		return d.Size() / 2
	case Unicode:
		return 4
	}
	return d.Size()
}

// dtypeBy returns the type whose name in one format, as column picks it from the table, is name.
func dtypeBy(name string, column func(DType) string) (DType, bool) {
	for d := Float32; d.valid(); d++ {
		if name != "" && column(d) == name {
			return d, true
		}
	}
	return 0, false
}
