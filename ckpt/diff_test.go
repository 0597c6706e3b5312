package ckpt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"ibot/ckpt"
)

// of puts a checkpoint together from names and arrays in turn.
func of(t testing.TB, parts ...any) *ckpt.Checkpoint {
	t.Helper()
	c := ckpt.New()
	for i := 0; i < len(parts); i += 2 {
		if err := c.Add(parts[i].(string), parts[i+1].(ckpt.Array)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestDiffOfEqual(t *testing.T) {
	nan := math.Float32frombits(0x7fc00001)
	a := of(t, "x", ckpt.FromFloat32([]int{2}, []float32{1, nan}), "y", ckpt.FromInt64(nil, []int64{3}))
	b := of(t, "y", ckpt.FromInt64(nil, []int64{3}), "x", ckpt.FromFloat32([]int{2}, []float32{1, nan}))
	r := ckpt.Diff(a, b)
	if !r.Equal() || r.Same != 2 || !r.Reordered {
		t.Errorf("got %+v, want equal in another order", r)
	}
	if r := ckpt.Diff(a, a); r.Reordered || r.String() != "the checkpoint and the checkpoint have equal arrays: 2, bit for bit\n" {
		t.Errorf("got %q", r)
	}
}

func TestDiff(t *testing.T) {
	nan := float32(math.NaN())
	wide := ckpt.Array{DType: ckpt.Unicode, Shape: []int{1}, Data: []byte("a\x00\x00\x00b\x00\x00\x00")}
	narrow := ckpt.Array{DType: ckpt.Unicode, Shape: []int{1}, Data: []byte("a\x00\x00\x00")}
	padded := ckpt.Array{DType: ckpt.Unicode, Shape: []int{1}, Data: []byte("a\x00\x00\x00\x00\x00\x00\x00")}
	for _, tc := range []struct {
		name   string
		a, b   ckpt.Array
		count  int // -1 where type or shape differ
		first  []int
		maxAbs float64
	}{
		{"one value", ckpt.FromFloat32([]int{2, 3}, []float32{0, 1, 2, 3, 4, 5}), ckpt.FromFloat32([]int{2, 3}, []float32{0, 1, 2, 3, 6, 4}), 2, []int{1, 1}, 2},
		{"type", ckpt.FromFloat32([]int{1}, []float32{1}), ckpt.FromFloat64([]int{1}, []float64{1}), -1, nil, 0},
		{"shape", ckpt.FromFloat32([]int{1, 2}, []float32{1, 2}), ckpt.FromFloat32([]int{2}, []float32{1, 2}), -1, nil, 0},
		{"zeros of two signs", ckpt.FromFloat64([]int{1}, []float64{0}), ckpt.FromFloat64([]int{1}, []float64{math.Copysign(0, -1)}), 1, []int{0}, 0},
		{"NaN against a number", ckpt.FromFloat32([]int{3}, []float32{9, nan, 1}), ckpt.FromFloat32([]int{3}, []float32{1, 2, 5}), 3, []int{0}, math.NaN()},
		{"infinity", ckpt.FromFloat64([]int{1}, []float64{math.Inf(1)}), ckpt.FromFloat64([]int{1}, []float64{0}), 1, []int{0}, math.Inf(1)},
		{"large integers", ckpt.FromInt64([]int{1}, []int64{math.MaxInt64}), ckpt.FromInt64([]int{1}, []int64{math.MaxInt64 - 1}), 1, []int{0}, 1},
		{"integers far apart", ckpt.FromInt64([]int{1}, []int64{math.MinInt64}), ckpt.FromInt64([]int{1}, []int64{math.MaxInt64}), 1, []int{0}, math.MaxUint64},
		{"bytes", ckpt.FromUint8([]int{2}, []byte{1, 2}), ckpt.FromUint8([]int{2}, []byte{1, 255}), 1, []int{1}, 253},
		{"text", wide, narrow, 1, []int{0}, math.NaN()},
		{"text of another width", padded, narrow, 0, nil, 0},
	} {
		for _, swap := range []bool{false, true} {
			a, b := of(t, "x", tc.a), of(t, "x", tc.b)
			if swap {
				a, b = b, a
			}
			r := ckpt.Diff(a, b)
			if tc.count == 0 {
				if !r.Equal() {
					t.Errorf("%s: got %v, want equal", tc.name, r)
				}
				continue
			}
			if r.Equal() || len(r.Different) != 1 {
				t.Errorf("%s: got %+v", tc.name, r)
				continue
			}
			d := r.Different[0]
			same := d.MaxAbs == tc.maxAbs || math.IsNaN(d.MaxAbs) && math.IsNaN(tc.maxAbs)
			if d.Count != max(tc.count, 0) || !reflect.DeepEqual(d.First, tc.first) || !same {
				t.Errorf("%s: got %+v, want %d from %v, at most %v", tc.name, d, tc.count, tc.first, tc.maxAbs)
			}
		}
	}
}

func TestDiffReport(t *testing.T) {
	a := of(t, "same", ckpt.FromFloat32(nil, []float32{1}), "gone", ckpt.FromFloat32([]int{0}, nil),
		"w", ckpt.FromFloat32([]int{4}, []float32{1, 2, 3, 4}), "s", ckpt.FromFloat32([]int{1}, []float32{1}), "step", ckpt.FromInt64(nil, []int64{3}))
	b := of(t, "same", ckpt.FromFloat32(nil, []float32{1}),
		"w", ckpt.FromFloat32([]int{4}, []float32{1, 2.5, 3, 5}), "s", ckpt.FromFloat64([]int{2}, []float64{1, 1}), "step", ckpt.FromInt64(nil, []int64{5}),
		"new\x1b[2J", ckpt.FromFloat32(nil, []float32{1}))
	a.Meta["epoch"], a.Meta["only a"] = "1", "x"
	b.Meta["epoch"] = "2"
	a.Path, b.Path = "runs/one/c.pth", "runs/two/c.pth"
	if err := a.AddFunc("broken", ckpt.Uint8, []int{1}, func() ([]byte, error) { return nil, errors.New("unplugged") }); err != nil {
		t.Fatal(err)
	}
	if err := b.Add("broken", ckpt.FromUint8([]int{1}, []byte{1})); err != nil {
		t.Fatal(err)
	}
	want := `runs/one/c.pth and runs/two/c.pth differ: 1 arrays are equal, 4 are not, 2 are only in one

only in runs/one/c.pth:
  gone  float32 [0]

only in runs/two/c.pth:
  "new\x1b[2J"  float32 []

different arrays:
  w  2 of 4 elements, by at most 1, first at [1]
  s  float32 [1] | float64 [2]
  step  the value, by 2
  broken  ckpt: cannot read "broken" of c.pth: unplugged

different metadata:
  epoch  1 | 2
  only a  x | (absent)
`
	if got := ckpt.Diff(a, b).String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestList(t *testing.T) {
	long := "optimizer.state.module.backbone.blocks.11.mlp.fc2.weight.exp_avg_sq"
	c := of(t, "backbone.cls_token", ckpt.FromFloat32([]int{1, 1, 2}, []float32{1, 2}), long, ckpt.FromFloat32([]int{10, 100}, make([]float32, 1000)),
		"step", ckpt.FromInt64(nil, []int64{1}), "evil\x1b[2J", ckpt.FromUint8([]int{1}, []byte{1}))
	c.Format = "safetensors"
	c.Meta["epoch"] = "3"
	c.Meta["args"] = strings.Repeat("é", 100)
	want := `name                                                   type     shape      bytes
backbone.cls_token                                     float32  [1, 1, 2]      8
optimizer.state.module.backbone.blocks.11.mlp.fc2.weight.exp_avg_sq
                                                       float32  [10, 100]   4000
step                                                   int64    []             8
"evil\x1b[2J"                                          uint8    [1]            1

safetensors, 4 arrays, 1004 elements, 4017 bytes

metadata
  args  ` + strings.Repeat("é", 69) + `...
  epoch  3
`
	var got bytes.Buffer
	if err := ckpt.List(&got, c); err != nil || got.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got.String(), want)
	}
	for line := range strings.Lines(got.String()) {
		if len([]rune(line)) > 81 {
			t.Errorf("wider than a terminal: %q", line)
		}
	}
}

func TestListJSON(t *testing.T) {
	var b bytes.Buffer
	if err := ckpt.ListJSON(&b, of(t, "step", ckpt.FromInt64(nil, []int64{1}))); err != nil {
		t.Fatal(err)
	}
	if want := `{"path":"","format":"","arrays":[{"name":"step","dtype":"int64","shape":[],"bytes":8}],"meta":{}}` + "\n"; b.String() != want {
		t.Errorf("got %s want %s", b.String(), want)
	}
	if !json.Valid(b.Bytes()) {
		t.Error("it is not JSON")
	}
}

// full is a writer that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestWritersReport(t *testing.T) {
	c := of(t, "step", ckpt.FromInt64(nil, []int64{1}))
	if ckpt.List(full{}, c) == nil || ckpt.ListJSON(full{}, c) == nil || ckpt.Diff(c, c).Write(full{}) == nil {
		t.Error("a writer's error was lost")
	}
}
