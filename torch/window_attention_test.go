package torch_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"ibot/torch"
)

// windowCase is attention within windows of maps of H x W tokens.
type windowCase struct{ B, H, W, heads, d, side, shift int }

func (c windowCase) String() string {
	return fmt.Sprintf("%dx%dx%d in %d shifted %d, %d heads of %d", c.B, c.H, c.W, c.side, c.shift, c.heads, c.d)
}

var windowCases = []windowCase{
	{2, 8, 8, 2, 8, 4, 0},     // fits
	{2, 8, 8, 2, 8, 4, 2},     // shifted
	{1, 6, 6, 3, 8, 4, 0},     // padded
	{2, 6, 6, 3, 8, 4, 2},     // padded and shifted
	{2, 5, 11, 2, 7, 3, 1},    // neither side a multiple, features no whole vector
	{3, 3, 3, 2, 32, 7, 0},    // mostly padding
	{2, 3, 2, 1, 4, 7, 3},     // one window, shifted
	{1, 14, 14, 2, 32, 14, 0}, // 196 tokens: four blocks of queries
	{1, 16, 20, 2, 32, 14, 7}, // and shifted and padded
	{20, 4, 4, 1, 4, 2, 1},    // more windows than groups
	{1, 1, 1, 1, 1, 1, 0},
}

// tensors returns qkv, padding, bias and the gradient with respect to the result.
func (c windowCase) tensors(dtype torch.DType) (qkv, padding, bias, dy *torch.Tensor) {
	D, N := c.heads*c.d, c.side*c.side
	make := func(seed uint64, std float64, shape ...int) *torch.Tensor {
		n := 1
		for _, s := range shape {
			n *= s
		}
		return torch.New(normal(seed, std, n), shape...)
	}
	qkv = make(1, 1, c.B, c.H, c.W, 3*D).To(torch.BFloat16).To(dtype) // numbers that every type has
	return qkv, make(2, .5, 3*D), make(3, .5, c.heads, N, N), make(4, 1, c.B, c.H, c.W, D).To(torch.BFloat16).To(dtype)
}

// windowAttention returns the result and the gradients of qkv, padding and bias, as float64.
func windowAttention(c windowCase, dtype torch.DType) [][]float64 {
	w := torch.Windows{Side: c.side, Shift: c.shift}
	qkv, padding, bias, dy := c.tensors(dtype)
	var mask *torch.Tensor
	if c.shift > 0 {
		mask = w.Mask(c.H, c.W)
	}
	if dtype == torch.Float64 {
		padding, bias = padding.To(dtype), bias.To(dtype)
		if mask != nil {
			mask = mask.To(dtype)
		}
	}
	in := []*torch.Tensor{qkv, padding, bias}
	for _, t := range in {
		t.RequireGrad(true)
	}
	y := w.Attention(qkv, padding, bias, mask)
	y.Mul(dy).SumAll().Backward()
	out := [][]float64{torch.Read[float64](y)}
	for _, t := range in {
		g := t.Grad()
		if g == nil { // nothing was padded
			g = t.ZerosLike()
		}
		out = append(out, torch.Read[float64](g))
	}
	return out
}

// In float64 attention is taken apart into the engine's operators; the one operator must give the
// same, up to the precision of its numbers.
func TestWindowAttentionEqualsThePlainForm(t *testing.T) {
	before := torch.Live()
	for _, c := range windowCases {
		t.Run(c.String(), func(t *testing.T) {
			torch.Scope(func() {
				want := windowAttention(c, torch.Float64)
				for dtype, tolerance := range map[torch.DType]float64{torch.Float32: 3e-6, torch.BFloat16: 1e-2} {
					for i, got := range windowAttention(c, dtype) {
						name := []string{"result", "gradient of qkv", "gradient of padding", "gradient of bias"}[i]
						scale := 1e-3 // of a sum that cancels, such as the bias's over one key
						for _, x := range want[i] {
							scale = math.Max(scale, math.Abs(x))
						}
						for k := range got {
							if d := math.Abs(got[k] - want[i][k]); !(d <= tolerance*math.Max(1, scale)) {
								t.Fatalf("%v: %s, element %d is %v, want %v", dtype, name, k, got[k], want[i][k])
							}
						}
					}
				}
			})
		})
	}
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors alive, %d before", after, before)
	}
}

// A window is attention of its tokens alone: with no bias, one window without padding is
// SelfAttention.
func TestOneWindowIsSelfAttention(t *testing.T) {
	torch.Scope(func() {
		c := windowCase{3, 7, 7, 2, 16, 7, 0}
		qkv, padding, bias, _ := c.tensors(torch.Float32)
		got := torch.Windows{Side: 7}.Attention(qkv, padding, bias.ZerosLike(), nil)
		want := torch.SelfAttention(qkv.Reshape(3, 49, -1), 2)
		if !slices.Equal(got.Floats(), want.Floats()) {
			t.Error("differs")
		}
	})
}

// Weights are what the result is made of: their product with the values gives it.
func TestWindowWeights(t *testing.T) {
	torch.Scope(func() {
		c := windowCase{2, 8, 4, 2, 8, 4, 0}
		w := torch.Windows{Side: 4}
		qkv, padding, bias, _ := c.tensors(torch.Float32)
		weights := w.Weights(qkv, padding, bias, nil) // (4, 2, 16, 16)
		if got := fmt.Sprint(weights.Shape()); got != "[4 2 16 16]" {
			t.Fatalf("shape %s", got)
		}
		values := qkv.Slice(3, 32, 48).Reshape(4, 16, 2, 8).Transpose(1, 2) // windows lie one below the other
		got := weights.Matmul(values).Transpose(1, 2).Reshape(2, 8, 4, 16).Floats()
		for i, want := range w.Attention(qkv, padding, bias, nil).Floats() {
			if math.Abs(float64(got[i]-want)) > 2e-6 {
				t.Fatalf("element %d is %v, want %v", i, got[i], want)
			}
		}
	})
}

func TestWindowAttentionRefuses(t *testing.T) {
	c := windowCase{1, 4, 4, 2, 4, 2, 0}
	for name, call := range map[string]func(qkv, padding, bias *torch.Tensor){
		"a bias of another window": func(qkv, padding, bias *torch.Tensor) { torch.Windows{Side: 3}.Attention(qkv, padding, bias, nil) },
		"a mask of another map": func(qkv, padding, bias *torch.Tensor) {
			w := torch.Windows{Side: 2, Shift: 1}
			w.Attention(qkv, padding, bias, w.Mask(4, 6))
		},
		"padding of other features": func(qkv, padding, bias *torch.Tensor) {
			torch.Windows{Side: 2}.Attention(qkv, padding.Slice(0, 0, 3), bias, nil)
		},
		"a shift as long as the window": func(qkv, padding, bias *torch.Tensor) {
			torch.Windows{Side: 2, Shift: 2}.Attention(qkv, padding, bias, nil)
		},
		"a mask without a shift": func(_, _, _ *torch.Tensor) { torch.Windows{Side: 2}.Mask(4, 4) },
	} {
		err := torch.Run(func() error {
			qkv, padding, bias, _ := c.tensors(torch.Float32)
			call(qkv, padding, bias)
			return nil
		})
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
