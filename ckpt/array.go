package ckpt

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Array is a dense array in host memory: contiguous, row-major, little endian. An empty Shape
// is a scalar.
//
// The Data of an array from an opened file may lie in the file's memory map: it is read-only
// and valid until the checkpoint is closed. Clone makes an array of its own.
type Array struct {
	DType DType
	Shape []int
	Data  []byte
}

// FromFloat32 returns a float32 array that holds a copy of v. The product of shape must be
// len(v); Checkpoint.Add reports it when it is not.
func FromFloat32(shape []int, v []float32) Array {
	data := make([]byte, 0, 4*len(v))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return Array{Float32, slices.Clone(shape), data}
}

// FromFloat64 returns a float64 array that holds a copy of v.
func FromFloat64(shape []int, v []float64) Array {
	data := make([]byte, 0, 8*len(v))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(x))
	}
	return Array{Float64, slices.Clone(shape), data}
}

// FromInt64 returns an int64 array that holds a copy of v.
func FromInt64(shape []int, v []int64) Array {
	data := make([]byte, 0, 8*len(v))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint64(data, uint64(x))
	}
	return Array{Int64, slices.Clone(shape), data}
}

// FromUint8 returns a uint8 array over v itself.
func FromUint8(shape []int, v []byte) Array {
	return Array{Uint8, slices.Clone(shape), v}
}

// Len returns the number of elements: 1 for a scalar.
func (a Array) Len() int {
	n := 1
	for _, d := range a.Shape {
		n *= d
	}
	return n
}

// Clone returns a copy with memory of its own.
func (a Array) Clone() Array {
	return Array{a.DType, slices.Clone(a.Shape), slices.Clone(a.Data)}
}

// Check reports whether dtype, shape and data belong together.
func (a Array) Check() error {
	if !a.DType.valid() {
		return fmt.Errorf("ckpt: array of unknown %v", a.DType)
	}
	n, err := elements(a.Shape)
	if err != nil {
		return err
	}
	if a.DType == Unicode {
		if n == 0 && len(a.Data) != 0 || n > 0 && (len(a.Data)%n != 0 || len(a.Data)/n%4 != 0) {
			return fmt.Errorf("ckpt: %d bytes do not divide into %d texts of whole characters", len(a.Data), n)
		}
		return nil
	}
	if len(a.Data)%a.DType.Size() != 0 || len(a.Data)/a.DType.Size() != n {
		return fmt.Errorf("ckpt: %v array of shape %v needs %d elements of %d bytes, its data has %d bytes",
			a.DType, a.Shape, n, a.DType.Size(), len(a.Data))
	}
	return nil
}

// elements returns the product of shape, or an error for a negative size or a product that no
// memory could hold.
func elements(shape []int) (int, error) {
	n, empty := 1, false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, fmt.Errorf("ckpt: shape %s has a negative size", shapeText(shape))
		case d == 0:
			empty = true
		case n > math.MaxInt/64/d: // 64: room for the bytes of any element
			return 0, fmt.Errorf("ckpt: shape %s has more elements than any memory", shapeText(shape))
		default:
			n *= d
		}
	}
	if empty {
		return 0, nil
	}
	return n, nil
}

// shapeText writes a shape for a message, which a hostile file could make very long.
func shapeText(shape []int) string {
	if len(shape) > 8 {
		return fmt.Sprintf("%v... (%d axes)", shape[:8], len(shape))
	}
	return fmt.Sprint(shape)
}

// Float32 returns the elements as float32. Types whose every value float32 can hold are
// converted (float16, bfloat16, bool and integers up to 16 bits); others, which would be rounded,
// are an error.
func (a Array) Float32() ([]float32, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	out := make([]float32, a.Len())
	switch le := binary.LittleEndian; a.DType {
	case Float32:
		for i := range out {
			out[i] = math.Float32frombits(le.Uint32(a.Data[4*i:]))
		}
	case Float16, BFloat16, Int16, Int8, Uint8, Uint16, Bool:
		for i := range out {
			out[i] = float32(a.float(i))
		}
	default:
		return nil, fmt.Errorf("ckpt: %v does not fit into float32 without rounding; read it as %s", a.DType, a.accessor())
	}
	return out, nil
}

// Float64 returns the elements as float64. Floats and integers up to 32 bits are converted
// exactly; 64-bit integers are when they are below 2^53 in size, and an error otherwise.
func (a Array) Float64() ([]float64, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	out := make([]float64, a.Len())
	switch a.DType {
	case Float64, Float32, Float16, BFloat16, Int32, Int16, Int8, Uint32, Uint16, Uint8, Bool:
		for i := range out {
			out[i] = a.float(i)
		}
	case Int64:
		for i := range out {
			v := int64(binary.LittleEndian.Uint64(a.Data[8*i:]))
			if out[i] = float64(v); v < -1<<53 || v > 1<<53 {
				return nil, fmt.Errorf("ckpt: element %d is %d, which does not fit into float64 without rounding", i, v)
			}
		}
	default:
		return nil, fmt.Errorf("ckpt: cannot read %v as float64; read it as %s", a.DType, a.accessor())
	}
	return out, nil
}

// Int64 returns the elements of an integer or bool array.
func (a Array) Int64() ([]int64, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	out := make([]int64, a.Len())
	for i := range out {
		switch le := binary.LittleEndian; a.DType {
		case Int64:
			out[i] = int64(le.Uint64(a.Data[8*i:]))
		case Int32:
			out[i] = int64(int32(le.Uint32(a.Data[4*i:])))
		case Int16:
			out[i] = int64(int16(le.Uint16(a.Data[2*i:])))
		case Int8:
			out[i] = int64(int8(a.Data[i]))
		case Uint8:
			out[i] = int64(a.Data[i])
		case Bool:
			out[i] = int64(min(a.Data[i], 1))
		case Uint16:
			out[i] = int64(le.Uint16(a.Data[2*i:]))
		case Uint32:
			out[i] = int64(le.Uint32(a.Data[4*i:]))
		case Uint64:
			v := le.Uint64(a.Data[8*i:])
			if v > math.MaxInt64 {
				return nil, fmt.Errorf("ckpt: element %d is %d, which does not fit into int64", i, v)
			}
			out[i] = int64(v)
		default:
			return nil, fmt.Errorf("ckpt: %v is no integer type; read it as %s", a.DType, a.accessor())
		}
	}
	return out, nil
}

// Bools returns the elements of a bool array.
func (a Array) Bools() ([]bool, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	if a.DType != Bool {
		return nil, fmt.Errorf("ckpt: %v is not bool; read it as %s", a.DType, a.accessor())
	}
	out := make([]bool, a.Len())
	for i := range out {
		out[i] = a.Data[i] != 0
	}
	return out, nil
}

// Strings returns the texts of a unicode array without the zeros that pad them.
func (a Array) Strings() ([]string, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	if a.DType != Unicode {
		return nil, fmt.Errorf("ckpt: %v is not text; read it as %s", a.DType, a.accessor())
	}
	out := make([]string, a.Len())
	var text strings.Builder
	for i := range out {
		width := len(a.Data) / len(out)
		cell := a.Data[i*width : (i+1)*width]
		for len(cell) > 0 && binary.LittleEndian.Uint32(cell[len(cell)-4:]) == 0 {
			cell = cell[:len(cell)-4]
		}
		text.Reset()
		for ; len(cell) > 0; cell = cell[4:] {
			// A value beyond Unicode becomes the replacement character, as does a negative rune.
			text.WriteRune(rune(binary.LittleEndian.Uint32(cell)))
		}
		out[i] = text.String()
	}
	return out, nil
}

// accessor names the method that reads the array's type, for messages.
func (a Array) accessor() string {
	switch a.DType {
	case Unicode:
		return "Strings"
	case Bool:
		return "Bools"
	case Complex64, Complex128, Float8E4M3, Float8E5M2:
		return "raw Data"
	case Float64, Float32, Float16, BFloat16:
		return "Float64"
	}
	return "Int64"
}

// float returns element i of a type that float64 holds exactly.
func (a Array) float(i int) float64 {
	switch le := binary.LittleEndian; a.DType {
	case Float64:
		return math.Float64frombits(le.Uint64(a.Data[8*i:]))
	case Float32:
		return float64(math.Float32frombits(le.Uint32(a.Data[4*i:])))
	case BFloat16:
		return float64(math.Float32frombits(uint32(le.Uint16(a.Data[2*i:])) << 16))
	case Float16:
		return halfToFloat(le.Uint16(a.Data[2*i:]))
	case Int32:
		return float64(int32(le.Uint32(a.Data[4*i:])))
	case Int16:
		return float64(int16(le.Uint16(a.Data[2*i:])))
	case Int8:
		return float64(int8(a.Data[i]))
	case Uint32:
		return float64(le.Uint32(a.Data[4*i:]))
	case Uint16:
		return float64(le.Uint16(a.Data[2*i:]))
	case Uint8:
		return float64(a.Data[i])
	case Bool:
		return float64(min(a.Data[i], 1))
	}
	return math.NaN()
}

// halfToFloat converts IEEE 754 binary16: 1 sign, 5 exponent and 10 fraction bits.
func halfToFloat(h uint16) float64 {
	exponent, fraction := int(h>>10&0x1f), float64(h&0x3ff)
	var v float64
	switch {
	case exponent == 0: // zero and subnormal
		v = math.Ldexp(fraction, -24)
	case exponent < 0x1f:
		v = math.Ldexp(1024+fraction, exponent-25)
	case fraction == 0:
		v = math.Inf(1)
	default:
		return math.NaN()
	}
	if h>>15 == 1 {
		return -v
	}
	return v
}
