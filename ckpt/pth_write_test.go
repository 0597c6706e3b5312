package ckpt_test

import (
	"bytes"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ibot/ckpt"
)

// writtenPth writes c and opens the result.
func writtenPth(t testing.TB, c *ckpt.Checkpoint, object any, about map[string]string) *ckpt.Checkpoint {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.pth")
	if err := ckpt.WritePth(path, c, object, about); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

// TestRoundTripOfTheReferenceCheckpoint goes from .pth to safetensors and back: arrays, names,
// order and all that stands beside the arrays are the same.
func TestRoundTripOfTheReferenceCheckpoint(t *testing.T) {
	first := open(t, goldens+"a_vit_ckpt.pth")
	flat, err := first.Copy()
	if err != nil {
		t.Fatal(err)
	}
	path, _ := written(t, flat)
	middle := open(t, path)
	if r := ckpt.Diff(first, middle); !r.Equal() || r.Reordered {
		t.Error(r)
	}
	last := writtenPth(t, middle, nil, nil)
	if r := ckpt.Diff(first, last); !r.Equal() || r.Reordered || len(r.Meta) > 0 {
		t.Error(r)
	}
	want, err := first.Object()
	if err != nil {
		t.Fatal(err)
	}
	got, err := last.Object()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("the object is another one")
	}
}

// TestSharedStorage: the last layer of a shared head stands in the file once.
func TestSharedStorage(t *testing.T) {
	first := open(t, goldens+"a_vit_ckpt.pth")
	path := filepath.Join(t.TempDir(), "again.pth")
	if err := ckpt.WritePth(path, first, nil, nil); err != nil {
		t.Fatal(err)
	}
	old, err := os.Stat(goldens + "a_vit_ckpt.pth")
	if err != nil {
		t.Fatal(err)
	}
	again, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if ratio := float64(again.Size()) / float64(old.Size()); ratio > 1.01 {
		t.Errorf("%d bytes became %d", old.Size(), again.Size())
	}
}

// TestWritePthOfEveryValue writes every kind of value and reads it back.
func TestWritePthOfEveryValue(t *testing.T) {
	huge, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	c := ckpt.New()
	if err := c.Add("a.w", ckpt.FromFloat32([]int{2, 0, 3}, nil)); err != nil {
		t.Fatal(err)
	}
	if err := c.Add("b", ckpt.FromInt64(nil, []int64{7})); err != nil {
		t.Fatal(err)
	}
	object := ckpt.OrderedDict{
		{"a", ckpt.Dict{{"w", ckpt.Tensor("a.w")}, {int64(3), nil}, {ckpt.Tuple{int64(1), "x"}, true}}},
		{"b", ckpt.Tensor("b")},
		{"args", ckpt.Namespace{{"lr", .1}, {"name", "é\n"}, {"off", false}}},
		{"list", ckpt.ListValue{
			int64(0), int64(255), int64(256), int64(65535), int64(65536), int64(-1), int64(math.MinInt32), int64(math.MaxInt64),
			int64(math.MinInt64), huge, math.Inf(-1), math.MaxFloat64,
			[]byte{0, 127, 128, 255},
			ckpt.Tuple{},
			ckpt.ListValue{},
			ckpt.Dict{},
		}},
	}
	back := writtenPth(t, c, object, map[string]string{"written by": "a test"})
	got, err := back.Object()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, any(object)) {
		t.Errorf("got  %#v\nwant %#v", got, object)
	}
	if back.Meta["written by"] != "a test" {
		t.Errorf("metadata: %v", back.Meta)
	}
	if r := ckpt.Diff(c, back); !r.Equal() || r.Reordered {
		t.Error(r)
	}
	flat, err := back.Copy()
	if err != nil {
		t.Fatal(err)
	}
	path, _ := written(t, flat)
	if got, err = open(t, path).Object(); err != nil || !reflect.DeepEqual(got, any(object)) {
		t.Errorf("through safetensors: %v, %#v", err, got)
	}
}

func TestWritePthOfAllArrays(t *testing.T) {
	c := small(t)
	if r := ckpt.Diff(c, writtenPth(t, c, nil, nil)); !r.Equal() || r.Reordered {
		t.Error(r)
	}
}

func TestWritePthRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		object any
		want   string
	}{
		"an array without a place": {ckpt.Dict{}, `no place for the array "w"`},
		"a name of nothing":        {ckpt.Dict{{"w", ckpt.Tensor("v")}}, `no "v"`},
		"another type":             {ckpt.Dict{{"w", struct{}{}}}, "struct {}"},
	} {
		c := ckpt.New()
		if err := c.Add("w", ckpt.FromFloat32([]int{1}, []float32{1})); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "x.pth")
		if err := ckpt.WritePth(path, c, tc.object, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: a file was written", name)
		}
	}
	c := ckpt.New()
	if err := c.Add("w", ckpt.Array{DType: ckpt.Uint16, Shape: []int{1}, Data: []byte{1, 0}}); err != nil {
		t.Fatal(err)
	}
	if err := ckpt.WritePth(filepath.Join(t.TempDir(), "x.pth"), c, nil, nil); err == nil || !strings.Contains(err.Error(), "uint16") {
		t.Errorf("uint16: got %v", err)
	}
}

// TestWritePthAligns: storages begin at multiples of 64 bytes, for readers that map the file.
func TestWritePthAligns(t *testing.T) {
	c := ckpt.New()
	marks := [][]byte{bytes.Repeat([]byte("first"), 13), bytes.Repeat([]byte("later"), 29)}
	for i, m := range marks {
		if err := c.Add(string(rune('a'+i)), ckpt.FromUint8([]int{len(m)}, m)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "x.pth")
	if err := ckpt.WritePth(path, c, nil, nil); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range marks {
		if at := bytes.Index(file, m); at < 0 || at%64 != 0 {
			t.Errorf("%q... begins at %d", m[:5], at)
		}
	}
}
