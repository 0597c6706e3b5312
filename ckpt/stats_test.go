package ckpt_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"ibot/ckpt"
)

func TestStats(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	s := ckpt.NewStats("x", ckpt.FromFloat32([]int{6}, []float32{1, nan, -3, inf, -inf, 0}))
	if s.Min != -3 || s.Max != 1 || math.Abs(s.Mean+2./3) > 1e-15 || s.NaN != 1 || s.Inf != 2 || s.Zeros != 1 {
		t.Errorf("got %+v", s)
	}
	if s := ckpt.NewStats("x", ckpt.FromInt64([]int{2}, []int64{math.MinInt64, 5})); s.Min != math.MinInt64 || s.Max != 5 {
		t.Errorf("int64: got %+v", s)
	}
	for name, a := range map[string]ckpt.Array{
		"nothing": ckpt.FromFloat32([]int{0}, nil),
		"texts":   {DType: ckpt.Unicode, Shape: []int{1}, Data: []byte("a\x00\x00\x00")},
		"NaN":     ckpt.FromFloat32([]int{1}, []float32{nan}),
	} {
		if s := ckpt.NewStats("x", a); !math.IsNaN(s.Min) || !math.IsNaN(s.Mean) || !math.IsNaN(s.Max) {
			t.Errorf("%s: got %+v", name, s)
		}
	}
}

func TestShow(t *testing.T) {
	c := ckpt.New()
	if err := c.Add("w", ckpt.FromFloat32([]int{2}, []float32{1, float32(math.NaN())})); err != nil {
		t.Fatal(err)
	}
	c.Meta["written_by"] = "a test"
	all, err := ckpt.Survey(c)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := ckpt.Show(&b, c, all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"written by: a test", "w     float32  [2]    1    1     1    1    0    0", "not finite"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	b.Reset()
	if err := ckpt.ShowJSON(&b, c, all); err != nil {
		t.Fatal(err)
	}
	var object struct {
		Arrays []struct {
			Max *float64
			NaN int
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &object); err != nil || *object.Arrays[0].Max != 1 || object.Arrays[0].NaN != 1 {
		t.Errorf("%v in %s", err, b.String())
	}
	if _, err := ckpt.Survey(c, "v"); err == nil || !strings.Contains(err.Error(), `no "v"`) {
		t.Errorf("a name that is not there: %v", err)
	}
}
