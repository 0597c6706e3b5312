package ckpt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ibot/ckpt"
)

// small returns a checkpoint with the shapes that go wrong first.
func small(t testing.TB) *ckpt.Checkpoint {
	t.Helper()
	c := ckpt.New()
	c.Meta["step"] = "12"
	c.Meta["note"] = "\"quoted\" <é>\n"
	for _, e := range []struct {
		name string
		a    ckpt.Array
	}{
		{"z.weight", ckpt.FromFloat32([]int{2, 2}, []float32{1, 2, 3, 4})},
		{"empty", ckpt.FromFloat32([]int{0, 7}, nil)},
		{"step", ckpt.FromInt64(nil, []int64{-5})},
		{"mask", ckpt.Array{DType: ckpt.Bool, Shape: []int{3}, Data: []byte{1, 0, 1}}},
		{"a.bias", ckpt.Array{DType: ckpt.BFloat16, Shape: []int{1}, Data: []byte{0x80, 0x3f}}},
		{"name with \"quotes\" and <é>", ckpt.FromUint8([]int{1}, []byte{9})},
		{"empty at the end", ckpt.FromFloat64([]int{0}, nil)},
	} {
		if err := c.Add(e.name, e.a); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// written writes c and returns the path and the bytes.
func written(t testing.TB, c *ckpt.Checkpoint) (string, []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.safetensors")
	if err := ckpt.Write(path, c); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, b
}

func TestWriteKeepsAll(t *testing.T) {
	want := small(t)
	path, first := written(t, want)
	got := open(t, path)
	if got.Format != "safetensors" || !reflect.DeepEqual(got.Names(), want.Names()) || !reflect.DeepEqual(got.Meta, want.Meta) {
		t.Errorf("got %s %v %v, want %v %v", got.Format, got.Names(), got.Meta, want.Names(), want.Meta)
	}
	if !reflect.DeepEqual(got.Specs(), want.Specs()) {
		t.Errorf("got %v, want %v", got.Specs(), want.Specs())
	}
	if r := ckpt.Diff(want, got); !r.Equal() || r.Reordered || len(r.Meta) > 0 {
		t.Error(r)
	}
	if _, second := written(t, got); !bytes.Equal(first, second) {
		t.Error("written again, the file is another")
	}
}

// TestWriteBytes holds the writer to the format, letter by letter.
func TestWriteBytes(t *testing.T) {
	c := ckpt.New()
	c.Meta["k"] = "v"
	if err := c.Add("w", ckpt.FromFloat32([]int{1, 2}, []float32{1, -2})); err != nil {
		t.Fatal(err)
	}
	if err := c.Add("n", ckpt.FromInt64(nil, []int64{3})); err != nil {
		t.Fatal(err)
	}
	_, got := written(t, c)
	header := `{"__metadata__":{"k":"v"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"n":{"dtype":"I64","shape":[],"data_offsets":[8,16]}}`
	for len(header)%8 != 0 {
		header += " "
	}
	want := string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header +
		"\x00\x00\x80\x3f\x00\x00\x00\xc0" + "\x03\x00\x00\x00\x00\x00\x00\x00"
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestWriteOfNothing(t *testing.T) {
	path, _ := written(t, ckpt.New())
	if c := open(t, path); c.Len() != 0 || len(c.Meta) != 0 {
		t.Errorf("got %v %v out of nothing", c.Names(), c.Meta)
	}
}

func TestWriteThatFailsLeavesTheOldFile(t *testing.T) {
	path, old := written(t, small(t))
	broken := errors.New("the device is gone")
	c := small(t)
	if err := c.AddFunc("late", ckpt.Float32, []int{1 << 20}, func() ([]byte, error) { return nil, broken }); err != nil {
		t.Fatal(err)
	}
	if err := ckpt.Write(path, c); !errors.Is(err, broken) {
		t.Errorf("got %v, want the cause", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, old) {
		t.Errorf("the old file is not what it was: %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %d entries, want the file alone: %v", len(entries), err)
	}
	if err := ckpt.Write(filepath.Join(t.TempDir(), "no", "such", "folder"), c); err == nil {
		t.Error("wrote into a folder that is not there")
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, a := range map[string]ckpt.Array{
		"texts":        {DType: ckpt.Unicode, Shape: []int{1}, Data: []byte("a\x00\x00\x00")},
		"complex128":   {DType: ckpt.Complex128, Data: make([]byte, 16)},
		"__metadata__": {DType: ckpt.Uint8, Data: []byte{1}},
		"bad\xffname":  {DType: ckpt.Uint8, Data: []byte{1}},
	} {
		c := ckpt.New()
		if err := c.Add(name, a); err != nil {
			t.Fatal(err)
		}
		if err := ckpt.Write(filepath.Join(t.TempDir(), "x"), c); err == nil {
			t.Errorf("%q was written", name)
		}
	}
}

// st assembles a safetensors file.
func st(header string, body int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, body)...)
}

func TestSafetensorsRefuses(t *testing.T) {
	const f = `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	for _, tc := range []struct {
		name, header string
		body         int
		want         string
	}{
		{"cut off in the numbers", f + `}`, 7, "cut off in array"},
		{"more than there should be", f + `}`, 9, "behind its last array"},
		{"overlap", f + `,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12, "overlaps the one before it by 4 bytes"},
		{"the same bytes twice", f + `,"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8, "overlaps"},
		{"a gap", f + `,"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}}`, 20, "belong to nothing"},
		{"a gap in front", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12, "belong to nothing"},
		{"one name twice", f + `,"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`, 16, "two arrays"},
		{"offsets of another size", `{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8, "need 12"},
		{"backwards", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8, "data_offsets"},
		{"negative offset", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}`, 8, `array "a"`},
		{"huge offset", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551614,18446744073709551615]}}`, 8, `array "a"`},
		{"one offset", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}`, 8, "data_offsets"},
		{"no offsets", `{"a":{"dtype":"F32","shape":[2]}}`, 8, "data_offsets"},
		{"negative size", `{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8, "negative"},
		{"two negative sizes", `{"a":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}}`, 8, "negative"},
		{"overflow", `{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0, "more elements"},
		{"a size of 1e3", `{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}}`, 1, `array "a"`},
		{"no shape", `{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4, "no shape"},
		{"a strange type", `{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}`, 1, `"F4"`},
		{"no type", `{"a":{"shape":[2],"data_offsets":[0,1]}}`, 1, "type"},
		{"no object", `{"a":7}`, 0, `array "a"`},
		{"null", `{"a":null}`, 0, "data_offsets"},
		{"numbers in the metadata", `{"__metadata__":{"k":1}}`, 0, "__metadata__"},
		{"metadata twice", `{"__metadata__":{},"__metadata__":{}}`, 0, "two __metadata__"},
		{"something behind", `{}{}`, 0, "follows"},
		{"not closed", `{"a":`, 0, "header"},
		{"not UTF-8", "{\"\xff\":7}", 0, "UTF-8"},
		{"deep", `{"a":` + strings.Repeat("[", 100_000), 0, "header"},
	} {
		_, err := openBytes(t, st(tc.header, tc.body))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
	if _, err := openBytes(t, []byte("\xff\xff\xff\xff\xff\xff\xff\xff{}")); err == nil {
		t.Error("a header of 2^64-1 bytes was taken")
	}
}

// TestSafetensorsInAnyHeaderOrder reads the arrays in the order of their bytes.
func TestSafetensorsInAnyHeaderOrder(t *testing.T) {
	c, err := openBytes(t, st(`{"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}  `, 3))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Names()); got != "[a b]" {
		t.Errorf("got %s, want [a b]", got)
	}
}

// TestTruncations cuts valid files of every format at every byte: each is an error, or what
// could be read is refused or right when it is asked for.
func TestTruncations(t *testing.T) {
	_, tensors := written(t, small(t))
	member := npy(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (2,)}", make([]byte, 16))
	for name, whole := range map[string][]byte{
		"safetensors": tensors,
		"npy":         member,
		"npz":         zipOf(t, 8, "a.npy", member, "b.npy", member),
		"pth":         pthOf(t, assemble("}", "X\x01\x00\x00\x00a", floatTensor("0", 2, 0, []int{2}, []int{1}), "s."), "0", make([]byte, 8)),
	} {
		if _, err := openBytes(t, whole); err != nil {
			t.Errorf("%s: the whole file: %v", name, err)
		}
		path := filepath.Join(t.TempDir(), "cut")
		for n := range whole {
			if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
				t.Fatal(err)
			}
			if c, err := ckpt.Open(path); err == nil {
				t.Errorf("%s: %d of %d bytes were taken for a whole file of %v", name, n, len(whole), c.Names())
				c.Close()
			} else if !strings.HasPrefix(err.Error(), "ckpt: ") || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: the error does not name the file: %v", name, err)
			}
		}
	}
}
