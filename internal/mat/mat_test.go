package mat_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ibot/internal/mat"
)

// read reads a file of testdata; its README says how they were made.
func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	for _, name := range []string{"plain.mat", "compressed.mat"} {
		t.Run(name, func(t *testing.T) {
			v, err := mat.Parse(read(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if got := v["matrix"]; !slices.Equal(got.Dims, []int{2, 3}) || !slices.Equal(got.Numbers, []float64{1, 4, 2, 5, 3, 6.5}) {
				t.Errorf("matrix: %+v", got)
			}
			for _, kind := range []string{"int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32"} {
				want := []float64{3, 100}
				if !strings.HasPrefix(kind, "u") {
					want = []float64{-3, 100}
				}
				if got := v[kind].Numbers; !slices.Equal(got, want) {
					t.Errorf("%s: %v, want %v", kind, got, want)
				}
			}
			if got := v["flags"].Numbers; !slices.Equal(got, []float64{1, 0}) {
				t.Errorf("flags: %v", got)
			}
			if got := v["text"].Text; got != "all souls é" {
				t.Errorf("text: %q", got)
			}
			if got := v["nothing"]; len(got.Numbers) != 0 || !slices.Equal(got.Dims, []int{0, 0}) {
				t.Errorf("nothing: %+v", got)
			}
			cells := v["cells"].Cells
			if len(cells) != 3 || cells[0].Text != "a" || cells[1].Numbers[0] != 7 || cells[2].Cells[0].Text != "inner" {
				t.Errorf("cells: %+v", cells)
			}
			fields := v["list"].Fields
			if len(fields) != 2 || len(fields["name"]) != 2 || fields["name"][1].Text != "second" || !slices.Equal(fields["size"][0].Numbers, []float64{1, 2}) {
				t.Errorf("list: %+v", fields)
			}
		})
	}
}

// The same in the order of bytes of other machines.
func TestBigEndian(t *testing.T) {
	be := binary.BigEndian
	var matrix []byte
	for _, element := range []struct {
		kind int
		body []byte
	}{
		{6, []byte{0, 0, 0, 6, 0, 0, 0, 0}}, // class double
		{5, []byte{0, 0, 0, 1, 0, 0, 0, 2}}, // 1 x 2
		{1, []byte("pair")},
		{3, []byte{0, 5, 255, 254}}, // int16
	} {
		matrix = be.AppendUint32(matrix, uint32(element.kind))
		matrix = be.AppendUint32(matrix, uint32(len(element.body)))
		matrix = append(matrix, element.body...)
		matrix = append(matrix, make([]byte, -len(element.body)&7)...)
	}
	file := append(bytes.Repeat([]byte(" "), 124), 1, 0, 'M', 'I')
	file = be.AppendUint32(be.AppendUint32(file, 14), uint32(len(matrix)))
	v, err := mat.Parse(append(file, matrix...))
	if want := (mat.Value{Dims: []int{1, 2}, Numbers: []float64{5, -2}}); err != nil || !reflect.DeepEqual(v["pair"], want) {
		t.Errorf("got %+v, %v, want %+v", v, err, want)
	}
}

func TestRefused(t *testing.T) {
	plain := read(t, "plain.mat")
	changed := func(at int, b ...byte) []byte {
		c := slices.Clone(plain)
		copy(c[at:], b)
		return c
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":     {nil, "want a header of 128"},
		"HDF5":        {append(make([]byte, 512), "\x89HDF\r\n"...), "save it in MATLAB with -v7"},
		"level 4":     {make([]byte, 200), "not a MAT-file of level 5"},
		"sparse":      {changed(144, 5), "an array of class 5"},
		"too long":    {changed(132, 255, 255, 255, 127), "ends within an element"},
		"no zlib":     {append(slices.Clone(plain[:128]), 15, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4), "zlib"},
		"small and 9": {append(slices.Clone(plain[:128]), 1, 0, 9, 0, 4, 0, 0, 0), "a small element of 9 bytes"},
	} {
		if _, err := mat.Parse(c.file); err == nil || !strings.HasPrefix(err.Error(), "mat: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(read(f, "plain.mat"))
	f.Add(read(f, "compressed.mat"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := mat.Parse(file); err != nil && !strings.HasPrefix(err.Error(), "mat: ") {
			t.Errorf("error %q does not name the package", err)
		}
	})
}
