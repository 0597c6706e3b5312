package ckpt_test

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"ibot/ckpt"
)

func TestDTypeNamesAndSizes(t *testing.T) {
	for _, tc := range []struct {
		d    ckpt.DType
		name string
		size int
	}{
		{ckpt.Float32, "float32", 4},
		{ckpt.Float64, "float64", 8},
		{ckpt.Float16, "float16", 2},
		{ckpt.BFloat16, "bfloat16", 2},
		{ckpt.Int64, "int64", 8},
		{ckpt.Int32, "int32", 4},
		{ckpt.Int16, "int16", 2},
		{ckpt.Int8, "int8", 1},
		{ckpt.Uint8, "uint8", 1},
		{ckpt.Bool, "bool", 1},
		{ckpt.Complex128, "complex128", 16},
		{ckpt.Unicode, "unicode", 0},
		{0, "dtype(0)", 0},
		{200, "dtype(200)", 0},
	} {
		if tc.d.String() != tc.name || tc.d.Size() != tc.size {
			t.Errorf("got %v of %d bytes, want %s of %d", tc.d, tc.d.Size(), tc.name, tc.size)
		}
	}
}

// TestHalf checks all 65,536 halves against the definition of IEEE 754.
func TestHalf(t *testing.T) {
	data := make([]byte, 0, 2<<16)
	for h := range 1 << 16 {
		data = binary.LittleEndian.AppendUint16(data, uint16(h))
	}
	got, err := ckpt.Array{DType: ckpt.Float16, Shape: []int{1 << 16}, Data: data}.Float32()
	if err != nil {
		t.Fatal(err)
	}
	for h, v := range got {
		sign, exponent, fraction := 1-2*float64(h>>15), h>>10&31, float64(h&1023)/1024
		want := sign * math.Pow(2, float64(exponent-15)) * (1 + fraction)
		switch exponent {
		case 0:
			want = sign * math.Pow(2, -14) * fraction
		case 31:
			if want = math.Inf(int(sign)); fraction != 0 {
				want = math.NaN()
			}
		}
		if float64(v) != want && !(math.IsNaN(float64(v)) && math.IsNaN(want)) {
			t.Fatalf("half %#04x is %v, want %v", h, v, want)
		}
		if want == 0 && math.Signbit(float64(v)) != (sign < 0) {
			t.Fatalf("half %#04x lost its sign", h)
		}
	}
}

func TestConversions(t *testing.T) {
	scalar := func(d ckpt.DType, data ...byte) ckpt.Array { return ckpt.Array{DType: d, Data: data} }
	for _, tc := range []struct {
		name string
		a    ckpt.Array
		read func(ckpt.Array) (any, error)
		want any // nil for an error
	}{
		{"bf16", scalar(ckpt.BFloat16, 0xc0, 0x3f), f32, []float32{1.5}},
		{"f32", scalar(ckpt.Float32, 0, 0, 0xc0, 0xbf), f32, []float32{-1.5}},
		{"f64 would be rounded", scalar(ckpt.Float64, 1, 0, 0, 0, 0, 0, 0, 0), f32, nil},
		{"i32 would be rounded", scalar(ckpt.Int32, 1, 0, 0, 1), f32, nil},
		{"i16", scalar(ckpt.Int16, 0xfe, 0xff), f32, []float32{-2}},
		{"bool of 7 is true", scalar(ckpt.Bool, 7), f32, []float32{1}},
		{"i32 as f64", scalar(ckpt.Int32, 0xff, 0xff, 0xff, 0xff), f64, []float64{-1}},
		{"u32 as f64", scalar(ckpt.Uint32, 0xff, 0xff, 0xff, 0xff), f64, []float64{1<<32 - 1}},
		{"2^53 as f64", ckpt.FromInt64(nil, []int64{1 << 53}), f64, []float64{1 << 53}},
		{"2^53+1 as f64", ckpt.FromInt64(nil, []int64{1<<53 + 1}), f64, nil},
		{"u8 as int", scalar(ckpt.Uint8, 200), i64, []int64{200}},
		{"i8 as int", scalar(ckpt.Int8, 200), i64, []int64{-56}},
		{"u16 as int", scalar(ckpt.Uint16, 0xff, 0xff), i64, []int64{65535}},
		{"u64 as int", scalar(ckpt.Uint64, 1, 0, 0, 0, 0, 0, 0, 0), i64, []int64{1}},
		{"u64 too large", scalar(ckpt.Uint64, 1, 0, 0, 0, 0, 0, 0, 0x80), i64, nil},
		{"f32 as int", ckpt.FromFloat32(nil, []float32{1}), i64, nil},
		{"bools", ckpt.Array{DType: ckpt.Bool, Shape: []int{2}, Data: []byte{0, 1}}, bools, []bool{false, true}},
		{"f32 as bools", ckpt.FromFloat32(nil, []float32{1}), bools, nil},
		{"text", ckpt.Array{DType: ckpt.Unicode, Shape: []int{2}, Data: []byte("a\x00\x00\x00\xe9\x00\x00\x00b\x00\x00\x00\x00\x00\x00\x00")}, texts, []string{"aé", "b"}},
		{"text of no width", ckpt.Array{DType: ckpt.Unicode, Shape: []int{2}}, texts, []string{"", ""}},
		{"text beyond unicode", scalar(ckpt.Unicode, 0xff, 0xff, 0xff, 0xff), texts, []string{"\ufffd"}},
		{"number as text", scalar(ckpt.Uint8, 1), texts, nil},
		{"empty", ckpt.FromFloat32([]int{0, 3}, nil), f32, []float32{}},
		{"too little data", ckpt.FromFloat32([]int{2}, []float32{1}), f32, nil},
		{"half an element", scalar(ckpt.Float32, 1, 2, 3), f32, nil},
		{"no type", ckpt.Array{Data: []byte{1}}, i64, nil},
		{"negative size", ckpt.Array{DType: ckpt.Uint8, Shape: []int{-1, -1}, Data: []byte{1}}, i64, nil},
		{"overflow", ckpt.Array{DType: ckpt.Uint8, Shape: []int{1 << 32, 1 << 32}}, i64, nil},
		{"overflow hidden by a zero", ckpt.Array{DType: ckpt.Uint8, Shape: []int{1 << 32, 0, 1 << 20}}, i64, []int64{}},
	} {
		got, err := tc.read(tc.a)
		if (err != nil) != (tc.want == nil) || err == nil && !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: got %v, %v, want %v", tc.name, got, err, tc.want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "ckpt: ") {
			t.Errorf("%s: the error does not say where it is from: %v", tc.name, err)
		}
	}
}

func f32(a ckpt.Array) (any, error)   { return a.Float32() }
func f64(a ckpt.Array) (any, error)   { return a.Float64() }
func i64(a ckpt.Array) (any, error)   { return a.Int64() }
func bools(a ckpt.Array) (any, error) { return a.Bools() }
func texts(a ckpt.Array) (any, error) { return a.Strings() }

func TestAddRefuses(t *testing.T) {
	c := ckpt.New()
	if err := c.Add("a", ckpt.FromFloat32([]int{2}, []float32{1, 2})); err != nil {
		t.Fatal(err)
	}
	if err := c.Add("a", ckpt.FromFloat32(nil, []float32{1})); err == nil {
		t.Error("two arrays of one name were taken")
	}
	if err := c.Add("b", ckpt.FromFloat32([]int{3}, []float32{1, 2})); err == nil {
		t.Error("an array of three elements with two was taken")
	}
	if err := c.AddFunc("c", ckpt.Float32, []int{-1}, nil); err == nil {
		t.Error("a negative size was taken")
	}
	if err := c.AddFunc("d", ckpt.Unicode, nil, nil); err == nil {
		t.Error("text of unknown size was taken")
	}
	if got := c.Names(); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("the checkpoint has %v", got)
	}
}

func TestArrayOfAFunc(t *testing.T) {
	c := ckpt.New()
	broken := errors.New("the device is gone")
	for name, load := range map[string]func() ([]byte, error){
		"good":  func() ([]byte, error) { return []byte{1, 2}, nil },
		"short": func() ([]byte, error) { return []byte{1}, nil },
		"bad":   func() ([]byte, error) { return nil, broken },
	} {
		if err := c.AddFunc(name, ckpt.Uint8, []int{2}, load); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := c.Array("good"); err != nil || !reflect.DeepEqual(a.Data, []byte{1, 2}) {
		t.Errorf("got %v, %v", a, err)
	}
	if _, err := c.Array("short"); err == nil || !strings.Contains(err.Error(), `"short"`) {
		t.Errorf("one byte for two elements: %v", err)
	}
	if _, err := c.Array("bad"); !errors.Is(err, broken) {
		t.Errorf("the cause is lost: %v", err)
	}
}

func TestMissingNamesTheNearest(t *testing.T) {
	c := ckpt.New()
	for _, name := range []string{"module.backbone.norm.weight", "head.last_layer.weight_g"} {
		if err := c.Add(name, ckpt.FromFloat32(nil, []float32{1})); err != nil {
			t.Fatal(err)
		}
	}
	for ask, want := range map[string]string{
		"norm.weight":                      `nearest is "module.backbone.norm.weight" (try --prefix module.backbone.)`,
		"student.head.last_layer.weight_g": `nearest is "head.last_layer.weight_g", without the prefix "student."`,
		"head.last_layer.weight_v":         `nearest is "head.last_layer.weight_g"`,
		"pos_embed":                        "among its 2 arrays",
	} {
		_, err := c.Array(ask)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", ask, err, want)
		}
		if _, err := c.Spec(ask); err == nil {
			t.Errorf("%s: Spec found it", ask)
		}
	}
}
