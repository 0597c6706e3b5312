// Package golden is for tests: it reads the golden values that were made by running the published
// implementation, and compares tensors with them.
package golden

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"ibot/ckpt"
	"ibot/nn"
	"ibot/torch"
)

// File is an open file of golden arrays.
type File struct {
	t testing.TB
	c *ckpt.Checkpoint
}

// Path returns the path of a file in testdata/goldens at the root of the module.
func Path(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "testdata", "goldens", name)
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("golden: no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// Open opens testdata/goldens/name until the test ends.
func Open(t testing.TB, name string) *File {
	t.Helper()
	c, err := ckpt.Open(Path(t, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &File{t, c}
}

// Names lists the arrays.
func (f *File) Names() []string { return f.c.Names() }

// Has reports whether there is an array of that name.
func (f *File) Has(name string) bool { return f.c.Has(name) }

func (f *File) array(name string) ckpt.Array {
	f.t.Helper()
	a, err := f.c.Array(name)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

// Tensor returns an array as a tensor of its own type.
func (f *File) Tensor(name string) *torch.Tensor {
	f.t.Helper()
	a := f.array(name)
	dtypes := map[ckpt.DType]torch.DType{
		ckpt.Float32: torch.Float32, ckpt.Float64: torch.Float64, ckpt.Int64: torch.Int64,
		ckpt.Int32: torch.Int32, ckpt.Uint8: torch.Uint8, ckpt.Bool: torch.Bool,
	}
	dtype, ok := dtypes[a.DType]
	if !ok {
		f.t.Fatalf("golden: %s has type %s", name, a.DType)
	}
	return torch.FromBytes(a.Data, dtype, a.Shape...)
}

// Floats returns an array of numbers.
func (f *File) Floats(name string) []float64 {
	f.t.Helper()
	v, err := f.array(name).Float64()
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

// Scalar returns an array of one number.
func (f *File) Scalar(name string) float64 {
	f.t.Helper()
	v := f.Floats(name)
	if len(v) != 1 {
		f.t.Fatalf("golden: %s has %d values, not one", name, len(v))
	}
	return v[0]
}

// Ints returns an array of integers.
func (f *File) Ints(name string) []int64 {
	f.t.Helper()
	v, err := f.array(name).Int64()
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

// Strings returns an array of strings.
func (f *File) Strings(name string) []string {
	f.t.Helper()
	v, err := f.array(name).Strings()
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

// Tolerance bounds a difference: |got - want| <= Abs + Rel*scale, where scale is the greatest |want|.
type Tolerance struct{ Abs, Rel float64 }

// Equal fails the test if got and want differ by more than tol, and names the worst element.
func Equal(t testing.TB, name string, got, want *torch.Tensor, tol Tolerance) {
	t.Helper()
	if g, w := fmt.Sprint(got.Shape()), fmt.Sprint(want.Shape()); g != w {
		t.Errorf("%s: shape %s, want %s", name, g, w)
		return
	}
	EqualFloats(t, name, torch.Read[float64](got), torch.Read[float64](want), tol)
}

// EqualFloats is [Equal] for slices.
func EqualFloats(t testing.TB, name string, got, want []float64, tol Tolerance) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	worst, at, scale := -1.0, 0, 0.0
	for i := range want {
		d := math.Abs(got[i] - want[i])
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		if d > worst {
			worst, at = d, i
		}
		scale = math.Max(scale, math.Abs(want[i]))
	}
	if bound := tol.Abs + tol.Rel*scale; worst > bound {
		t.Errorf("%s: element %d is %v, want %v: off by %.3g, more than %.3g", name, at, got[at], want[at], worst, bound)
	}
}

// Load overwrites the parameters and buffers of a network with the arrays prefix+name. Every one must be there.
func (f *File) Load(prefix string, state []nn.Named) {
	f.t.Helper()
	torch.NoGrad(func() {
		for _, s := range state {
			torch.Scope(func() { s.Tensor.Copy_(f.Tensor(prefix + s.Name)) })
		}
	})
}
