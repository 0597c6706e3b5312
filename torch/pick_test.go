package torch_test

import (
	"slices"
	"testing"

	"ibot/torch"
)

// The operators that pick, bound and number elements.
func TestPickingAndBounding(t *testing.T) {
	noLeak(t)
	torch.Scope(func() {
		a := torch.New([]float32{-1.5, 0, 0.5, 2.999}, 4)
		b := torch.New([]float32{1, -1, 0.5, 3}, 4)
		for _, c := range []struct {
			name string
			got  *torch.Tensor
			want []float32
		}{
			{"Floor", a.Floor(), []float32{-2, 0, 0, 2}},
			{"Minimum", a.Minimum(b), []float32{-1.5, -1, 0.5, 2.999}},
			{"Maximum", a.Maximum(b), []float32{1, 0, 0.5, 3}},
			{"GeScalar", a.GeScalar(0.5), []float32{0, 0, 1, 1}},
			{"Arange", torch.Arange(torch.CPU, 3), []float32{0, 1, 2}},
			{"IndexCopy_", torch.Zeros(torch.Float32, torch.CPU, 3, 2).IndexCopy_(0, torch.New([]int64{2, 0}, 2),
				torch.New([]float32{1, 2, 3, 4}, 2, 2)), []float32{3, 4, 0, 0, 1, 2}},
		} {
			if got := c.got.Floats(); !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, got, c.want)
			}
		}
		if got := torch.Arange(torch.CPU, 2).DType(); got != torch.Int64 {
			t.Errorf("Arange gives %v, want int64", got)
		}
	})
}
