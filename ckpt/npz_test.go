package ckpt_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ibot/ckpt"
)

const goldens = "../testdata/goldens/"

// open opens a file that must open, and closes it with the test.
func open(t testing.TB, path string) *ckpt.Checkpoint {
	t.Helper()
	c, err := ckpt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// openBytes writes a file and opens it.
func openBytes(t testing.TB, b []byte) (*ckpt.Checkpoint, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := ckpt.Open(path)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// array reads an array that must be there.
func array(t testing.TB, c *ckpt.Checkpoint, name string) ckpt.Array {
	t.Helper()
	a, err := c.Array(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// floats reads an array of floats that must be there.
func floats(t testing.TB, c *ckpt.Checkpoint, name string) []float64 {
	t.Helper()
	v, err := array(t, c, name).Float64()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestNpzOfNumpy reads what NumPy wrote, and finds numbers in it that are known otherwise.
func TestNpzOfNumpy(t *testing.T) {
	c := open(t, goldens+"a_vit_expected.npz")
	if c.Format != "npz" || c.Len() != 92 || c.Names()[0] != "teacher_tokens" {
		t.Errorf("got %s of %d arrays, the first is %q", c.Format, c.Len(), c.Names()[0])
	}
	if a := array(t, c, "0/teacher_patch"); a.DType != ckpt.Float32 || !reflect.DeepEqual(a.Shape, []int{8, 16, 128}) {
		t.Errorf("0/teacher_patch is %v %v", a.DType, a.Shape)
	}
	names, err := array(t, c, "student_param_names").Strings()
	if err != nil || len(names) != 51 || names[0] != "backbone.cls_token" {
		t.Errorf("student_param_names: %d, %v", len(names), err)
	}
	// loss = cls + patch, with both weights one.
	for i := range 3 {
		loss, cls, patch := floats(t, c, fmt.Sprint(i, "/loss")), floats(t, c, fmt.Sprint(i, "/cls")), floats(t, c, fmt.Sprint(i, "/patch"))
		if math.Abs(loss[0]-cls[0]-patch[0]) > 1e-5 {
			t.Errorf("step %d: loss %v is not %v + %v", i, loss, cls, patch)
		}
	}
	// The gradient norms were taken from the gradients.
	grads, err := array(t, c, "0/grad_names").Strings()
	if err != nil {
		t.Fatal(err)
	}
	norms := floats(t, c, "0/grad_norm")
	for i, name := range grads {
		sum := 0.0
		for _, g := range floats(t, c, "0/grad/"+name) {
			sum += g * g
		}
		if got := math.Sqrt(sum); math.Abs(got-norms[i]) > 1e-5*norms[i] {
			t.Errorf("gradient of %s has norm %v, want %v", name, got, norms[i])
		}
	}
}

// TestAllGoldensLoad reads every array of every npz file there is.
func TestAllGoldensLoad(t *testing.T) {
	files, err := filepath.Glob(goldens + "*.npz")
	if err != nil || len(files) == 0 {
		t.Fatal("no goldens", err)
	}
	for _, f := range files {
		c := open(t, f)
		for _, name := range c.Names() {
			if err := array(t, c, name).Check(); err != nil {
				t.Errorf("%s: %q: %v", f, name, err)
			}
		}
	}
}

// npy assembles an npy file.
func npy(version byte, header string, data []byte) []byte {
	b := []byte("\x93NUMPY" + string([]byte{version, 0}))
	if version == 1 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
	}
	return append(append(b, header...), data...)
}

func TestNpy(t *testing.T) {
	f4 := func(v ...float32) []byte { return ckpt.FromFloat32(nil, v).Data }
	for _, tc := range []struct {
		name  string
		file  []byte
		read  func(ckpt.Array) (any, error)
		shape []int
		want  any
	}{
		{"C order", npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n", f4(1, 2, 3, 4)), f32, []int{2, 2}, []float32{1, 2, 3, 4}},
		{"Fortran order", npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", f4(1, 4, 2, 5, 3, 6)), f32, []int{2, 3}, []float32{1, 2, 3, 4, 5, 6}},
		{"version 2", npy(2, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n", f4(7)), f32, []int{1}, []float32{7}},
		{"version 3", npy(3, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n", f4(7)), f32, []int{1}, []float32{7}},
		{"scalar", npy(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }", make([]byte, 8)), f64, []int{}, []float64{0}},
		{"other order of keys", npy(1, `{"shape": (2L,), "fortran_order": False, "descr": "|u1"}`, []byte{1, 2}), i64, []int{2}, []int64{1, 2}},
		{"big endian", npy(1, "{'descr': '>i4', 'fortran_order': False, 'shape': (2,)}", []byte{0, 0, 1, 0, 0xff, 0xff, 0xff, 0xfe}), i64, []int{2}, []int64{256, -2}},
		{"big endian text", npy(1, "{'descr': '>U2', 'fortran_order': False, 'shape': (1,)}", []byte{0, 0, 0, 'h', 0, 0, 0, 'i'}), texts, []int{1}, []string{"hi"}},
		{"bool", npy(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}", []byte{1, 0}), bools, []int{2}, []bool{true, false}},
		{"empty", npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (0, 3)}", nil), f32, []int{0, 3}, []float32{}},
	} {
		c, err := openBytes(t, tc.file)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		a := array(t, c, "value")
		got, err := tc.read(a)
		if err != nil || !reflect.DeepEqual(got, tc.want) || !reflect.DeepEqual(a.Shape, tc.shape) || c.Format != "npy" {
			t.Errorf("%s: got %v %v, %v, want %v %v", tc.name, a.Shape, got, err, tc.shape, tc.want)
		}
	}
}

func TestNpyRefuses(t *testing.T) {
	for _, tc := range []struct{ name, header, want string }{
		{"objects", "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "pickled Python objects"},
		{"records", "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,)}", "several fields"},
		{"dates", "{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1,)}", `"<M8[ns]"`},
		{"long double", "{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}", `"<f16"`},
		{"negative", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "negative"},
		{"overflow", "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", "more elements"},
		{"huge", "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000,)}", "needs 4000000000"},
		{"too wide text", "{'descr': '<U999999999999', 'fortran_order': False, 'shape': (1,)}", "not read"},
		{"no dict", "print('hello')", "not understood"},
		{"no shape", "{'descr': '<f4', 'fortran_order': False}", "not understood"},
		{"a key twice", "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", "not understood"},
		{"a strange key", "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}", "not understood"},
		{"a strange size", "{'descr': '<f4', 'fortran_order': False, 'shape': (1+1,)}", "not understood"},
		{"a strange order", "{'descr': '<f4', 'fortran_order': Maybe, 'shape': ()}", "not understood"},
		{"open quote", "{'descr': '<f4", "not understood"},
		{"nothing", "", "not understood"},
		{"one brace", "{", "not understood"},
	} {
		_, err := openBytes(t, npy(1, tc.header, []byte{1, 2, 3, 4}))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s", tc.name, err, tc.want)
		}
	}
	for name, file := range map[string][]byte{
		"version 4":          npy(4, "{'descr': '|u1', 'fortran_order': False, 'shape': ()}", []byte{1}),
		"header of 4 GB":     []byte("\x93NUMPY\x02\x00\xff\xff\xff\xff{}"),
		"more than it needs": npy(1, "{'descr': '|u1', 'fortran_order': False, 'shape': ()}", []byte{1, 2}),
	} {
		if _, err := openBytes(t, file); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// zipOf makes an archive of the given members; method is zip.Store or zip.Deflate.
func zipOf(t testing.TB, method uint16, members ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		f, err := w.CreateHeader(&zip.FileHeader{Name: members[i].(string), Method: method})
		if err != nil {
			t.Fatal(err)
		}
		content, ok := members[i+1].([]byte)
		if !ok {
			content = []byte(members[i+1].(string))
		}
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNpzStoredAndDeflated(t *testing.T) {
	member := npy(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (2,)}", ckpt.FromInt64(nil, []int64{5, -6}).Data)
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		c, err := openBytes(t, zipOf(t, method, "b.npy", member, "a/x.npy", member))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Names(); !reflect.DeepEqual(got, []string{"b", "a/x"}) {
			t.Errorf("names are %v, want the order of the file", got)
		}
		if v, err := array(t, c, "a/x").Int64(); err != nil || !reflect.DeepEqual(v, []int64{5, -6}) {
			t.Errorf("got %v, %v", v, err)
		}
	}
}

func TestNpzRefuses(t *testing.T) {
	one := npy(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (4,)}", []byte("abcd"))
	damaged := zipOf(t, zip.Store, "a.npy", one)
	damaged[bytes.Index(damaged, []byte("abcd"))]++
	c, err := openBytes(t, damaged)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Array("a"); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a flipped bit: %v", err)
	}
	for _, tc := range []struct {
		name, want string
		file       []byte
	}{
		{"one name twice", "two arrays", zipOf(t, zip.Deflate, "a.npy", one, "a.npy", one)},
		{"a text beside", "no .npy", zipOf(t, zip.Deflate, "a.npy", one, "readme.txt", "hi")},
		{"not npy inside", "does not begin", zipOf(t, zip.Deflate, "a.npy", "hello, this is not npy")},
		{"too short inside", "its header needs", zipOf(t, zip.Deflate, "a.npy", one[:len(one)-1])},
		{"a bomb", "would grow", bomb(t)},
	} {
		if _, err := openBytes(t, tc.file); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s", tc.name, err, tc.want)
		}
	}
}

// bomb is a small archive whose members claim to be 16 GiB of zeros together, by naming the same
// compressed bytes again and again.
func bomb(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range 16 {
		f, err := w.CreateRaw(&zip.FileHeader{
			Name: fmt.Sprintf("%d.npy", i), Method: zip.Deflate,
			CompressedSize64: 8, UncompressedSize64: 1 << 30,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
