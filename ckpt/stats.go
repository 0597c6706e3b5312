package ckpt

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// Stats says what numbers an array holds. Min, Mean and Max are of the finite ones; they are NaN
// where there are none, and for types that are not numbers here: text, float8 and complex.
type Stats struct {
	Spec
	Min, Mean, Max float64
	Zeros          int // elements that are 0
	NaN, Inf       int // elements that are no numbers, and infinite ones of either sign
}

// NewStats goes over the numbers of an array.
func NewStats(name string, a Array) Stats {
	s := Stats{Spec: Spec{name, a.DType, a.Shape, int64(len(a.Data))}, Min: math.NaN(), Mean: math.NaN(), Max: math.NaN()}
	switch a.DType {
	case Unicode, Complex64, Complex128, Float8E4M3, Float8E5M2:
		return s
	}
	lo, hi, sum, finite := math.Inf(1), math.Inf(-1), 0.0, 0
	for i := range a.Len() {
		x := a.number(i)
		switch {
		case math.IsNaN(x):
			s.NaN++
			continue
		case math.IsInf(x, 0):
			s.Inf++
			continue
		case x == 0:
			s.Zeros++
		}
		lo, hi, sum, finite = math.Min(lo, x), math.Max(hi, x), sum+x, finite+1
	}
	if finite > 0 {
		s.Min, s.Mean, s.Max = lo, sum/float64(finite), hi
	}
	return s
}

// Survey reads the arrays of the given names, all of them where there are none, one after the other.
// A name that is there not is an error, and so is an array that cannot be read.
func Survey(c *Checkpoint, names ...string) ([]Stats, error) {
	if len(names) == 0 {
		names = c.Names()
	}
	var all []Stats
	for _, name := range names {
		a, err := c.Array(name)
		if err != nil {
			return nil, err
		}
		all = append(all, NewStats(name, a))
	}
	return all, nil
}

// Show writes what the file is, what it says about itself, and a table of the arrays' numbers.
func Show(w io.Writer, c *Checkpoint, all []Stats) error {
	fmt.Fprintf(w, "%s: %s, %d arrays\n", c.label(), kindOfFile(c), c.Len())
	fmt.Fprintf(w, "written by: %s\n\n", c.Writer())
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "name\ttype\tshape\tmin\tmean\tmax\tNaN\tinf\tzeros\n")
	bad := 0
	for _, s := range all {
		fmt.Fprintf(table, "%s\t%v\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", printable(s.Name), s.DType, shapeCell(s.Shape),
			numberCell(s.Min), numberCell(s.Mean), numberCell(s.Max), s.NaN, s.Inf, s.Zeros)
		if s.NaN+s.Inf > 0 {
			bad++
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		fmt.Fprintf(w, "\n%d arrays have numbers that are not finite\n", bad)
	}
	if len(c.Meta) > 0 {
		fmt.Fprint(w, "\nmetadata\n")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Meta)) {
		fmt.Fprintln(w, fit("  "+printable(name)+"  "+printable(c.Meta[name])))
	}
	return nil
}

// ShowJSON writes the same as one JSON object: path, format, writer, arrays, meta. Numbers that JSON
// does not have are null.
func ShowJSON(w io.Writer, c *Checkpoint, all []Stats) error {
	type array struct {
		Name  string   `json:"name"`
		DType string   `json:"dtype"`
		Shape []int    `json:"shape"`
		Bytes int64    `json:"bytes"`
		Min   *float64 `json:"min"`
		Mean  *float64 `json:"mean"`
		Max   *float64 `json:"max"`
		NaN   int      `json:"nan"`
		Inf   int      `json:"inf"`
		Zeros int      `json:"zeros"`
	}
	arrays := []array{}
	number := func(x float64) *float64 {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
		return &x
	}
	for _, s := range all {
		arrays = append(arrays, array{
			s.Name, s.DType.String(), append([]int{}, s.Shape...), s.Bytes,
			number(s.Min), number(s.Mean), number(s.Max), s.NaN, s.Inf, s.Zeros,
		})
	}
	return json.NewEncoder(w).Encode(struct {
		Path   string            `json:"path"`
		Format string            `json:"format"`
		Writer string            `json:"writer"`
		Arrays []array           `json:"arrays"`
		Meta   map[string]string `json:"meta"`
	}{c.Path, c.Format, c.Writer(), arrays, c.Meta})
}

// Writer names the program that wrote the file, as far as the file tells.
func (c *Checkpoint) Writer() string {
	switch m := c.Meta; {
	case m["written_by"] != "":
		return m["written_by"]
	case m["ibot_format"] != "":
		return "ibot pretrain"
	case m["onnx.producer"] != "":
		return m["onnx.producer"]
	case c.Has("ibot_loss.center") && c.Format == "pth":
		return "the reference's main_ibot.py"
	case m["format"] == "pt":
		return "Python's safetensors, from PyTorch"
	case m["format"] != "":
		return "Python's safetensors, from " + printable(clip(m["format"]))
	case c.Format == "pth":
		return "torch.save"
	case c.Format == "npz", c.Format == "npy":
		return "NumPy"
	}
	return "the file does not say"
}

// numberCell writes a number with the digits that a table has room for.
func numberCell(x float64) string {
	if math.IsNaN(x) {
		return "-"
	}
	return strings.TrimSuffix(fmt.Sprintf("%.5g", x), ".0")
}

// number returns element i, rounded where float64 does not hold it.
func (a Array) number(i int) float64 {
	switch a.DType {
	case Int64:
		return float64(int64(binary.LittleEndian.Uint64(a.Data[8*i:])))
	case Uint64:
		return float64(binary.LittleEndian.Uint64(a.Data[8*i:]))
	}
	return a.float(i)
}
