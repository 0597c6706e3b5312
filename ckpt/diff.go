package ckpt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Report says where two checkpoints differ.
type Report struct {
	A, B         string           // what the two are called
	Same         int              // arrays with the same name, type, shape and bits
	OnlyA, OnlyB []Spec           // arrays that the other has not
	Different    []Difference     // arrays of the same name that differ
	Meta         []MetaDifference // texts that differ or are missing; Equal does not count them
	Reordered    bool             // the common arrays stand in another order; Equal does not count it
}

// Difference is an array that two checkpoints have differently.
type Difference struct {
	A, B Spec

	// Err is why the values could not be compared, such as a damaged file; else nil.
	Err error

	// Count is the number of elements whose bits differ; 0 when type or shape do, which makes the
	// values incomparable. NaNs are equal when their bits are; 0 and -0 are not.
	Count int

	// First is the index of the first of them.
	First []int

	// MaxAbs is the largest absolute difference. It is NaN when a NaN stands against something
	// else, and for types that are not numbers here: text, float8 and complex.
	MaxAbs float64
}

// MetaDifference is a text that two checkpoints have differently; InA and InB say who has it.
type MetaDifference struct {
	Name, A, B string
	InA, InB   bool
}

// Diff compares two checkpoints array by array; no more than one array of each is in memory.
func Diff(a, b *Checkpoint) Report {
	r := Report{A: a.label(), B: b.label()}
	if r.A == r.B && a.Path != b.Path { // as in the folders of two runs
		r.A, r.B = a.Path, b.Path
	}
	var orderA, orderB []string
	for _, s := range a.Specs() {
		if !b.Has(s.Name) {
			r.OnlyA = append(r.OnlyA, s)
			continue
		}
		orderA = append(orderA, s.Name)
		if d, differ := diffArray(a, b, s.Name); differ {
			r.Different = append(r.Different, d)
		} else {
			r.Same++
		}
	}
	for _, s := range b.Specs() {
		if !a.Has(s.Name) {
			r.OnlyB = append(r.OnlyB, s)
		} else {
			orderB = append(orderB, s.Name)
		}
	}
	r.Reordered = !slices.Equal(orderA, orderB)
	r.Meta = diffMeta(a.Meta, b.Meta)
	return r
}

// diffArray compares the array of one name, which both have.
func diffArray(a, b *Checkpoint, name string) (Difference, bool) {
	d := Difference{A: a.entries[name].spec, B: b.entries[name].spec}
	if d.A.DType != d.B.DType || !slices.Equal(d.A.Shape, d.B.Shape) {
		return d, true
	}
	x, err := a.Array(name)
	if err != nil {
		d.Err = err
		return d, true
	}
	y, err := b.Array(name)
	if err != nil {
		d.Err = err
		return d, true
	}
	if bytes.Equal(x.Data, y.Data) {
		return d, false
	}
	if len(x.Data) != len(y.Data) { // texts of another width
		x, y = widened(x, len(y.Data)), widened(y, len(x.Data))
		if bytes.Equal(x.Data, y.Data) {
			return d, false
		}
	}
	n := x.Len()
	size := len(x.Data) / n
	for i := range n {
		if bytes.Equal(x.Data[i*size:(i+1)*size], y.Data[i*size:(i+1)*size]) {
			continue
		}
		if d.Count++; d.Count == 1 {
			d.First = unravel(i, x.Shape)
		}
		// math.Max keeps a NaN once there is one.
		d.MaxAbs = math.Max(d.MaxAbs, absDifference(x, y, i))
	}
	return d, true
}

// widened pads the texts of an array with zeros to total bytes in all, if that is more.
func widened(a Array, total int) Array {
	if total <= len(a.Data) {
		return a
	}
	n := a.Len()
	from, to := len(a.Data)/n, total/n
	data := make([]byte, total)
	for i := range n {
		copy(data[i*to:], a.Data[i*from:(i+1)*from])
	}
	return Array{a.DType, a.Shape, data}
}

// absDifference returns |x - y| of element i, NaN for types that are not numbers here.
func absDifference(x, y Array, i int) float64 {
	switch le := binary.LittleEndian; x.DType {
	case Int64: // float64 would round the two to the same number
		p, q := int64(le.Uint64(x.Data[8*i:])), int64(le.Uint64(y.Data[8*i:]))
		return float64(uint64(max(p, q)) - uint64(min(p, q)))
	case Uint64:
		p, q := le.Uint64(x.Data[8*i:]), le.Uint64(y.Data[8*i:])
		return float64(max(p, q) - min(p, q))
	}
	return math.Abs(x.float(i) - y.float(i))
}

// unravel turns a row-major position into an index.
func unravel(i int, shape []int) []int {
	index := make([]int, len(shape))
	for axis := len(shape) - 1; axis >= 0; axis-- {
		index[axis] = i % shape[axis]
		i /= shape[axis]
	}
	return index
}

func diffMeta(a, b map[string]string) []MetaDifference {
	var names []string
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []MetaDifference
	for _, name := range names {
		x, inA := a[name]
		y, inB := b[name]
		if x != y || inA != inB {
			out = append(out, MetaDifference{name, x, y, inA, inB})
		}
	}
	return out
}

// Equal reports whether both have the same arrays, bit for bit. Order and metadata do not count.
func (r Report) Equal() bool {
	return len(r.OnlyA)+len(r.OnlyB)+len(r.Different) == 0
}

// String returns what Write writes.
func (r Report) String() string {
	var b strings.Builder
	_ = r.Write(&b) // a Builder takes everything
	return b.String()
}

// Write explains the report: a sentence, then a paragraph for each kind of difference.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	if r.Equal() {
		fmt.Fprintf(&b, "%s and %s have equal arrays: %d, bit for bit\n", r.A, r.B, r.Same)
	} else {
		fmt.Fprintf(&b, "%s and %s differ: %d arrays are equal, %d are not, %d are only in one\n",
			r.A, r.B, r.Same, len(r.Different), len(r.OnlyA)+len(r.OnlyB))
	}
	if r.Reordered {
		b.WriteString("the arrays stand in another order\n")
	}
	for _, side := range []struct {
		label string
		specs []Spec
	}{{r.A, r.OnlyA}, {r.B, r.OnlyB}} {
		if len(side.specs) > 0 {
			fmt.Fprintf(&b, "\nonly in %s:\n", side.label)
			for _, s := range side.specs {
				fmt.Fprintf(&b, "  %s  %v %v\n", printable(s.Name), s.DType, s.Shape)
			}
		}
	}
	if len(r.Different) > 0 {
		b.WriteString("\ndifferent arrays:\n")
		for _, d := range r.Different {
			fmt.Fprintf(&b, "  %s  %s\n", printable(d.A.Name), d.explain())
		}
	}
	if len(r.Meta) > 0 {
		b.WriteString("\ndifferent metadata:\n")
		for _, m := range r.Meta {
			fmt.Fprintf(&b, "  %s  %s | %s\n", printable(m.Name), side(m.A, m.InA), side(m.B, m.InB))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// explain says in words how an array differs.
func (d Difference) explain() string {
	switch {
	case d.Err != nil:
		return d.Err.Error()
	case d.Count == 0:
		return fmt.Sprintf("%v %v | %v %v", d.A.DType, d.A.Shape, d.B.DType, d.B.Shape)
	case len(d.First) == 0:
		return fmt.Sprintf("the value, by %.3g", d.MaxAbs)
	}
	n := Array{Shape: d.A.Shape}.Len()
	return fmt.Sprintf("%d of %d elements, by at most %.3g, first at %v", d.Count, n, d.MaxAbs, d.First)
}

// side shows one side's text of a difference in metadata.
func side(text string, present bool) string {
	if !present {
		return "(absent)"
	}
	return printable(clip(text))
}
