package torch_test

import (
	"slices"
	"strings"
	"testing"

	"ibot/torch"
)

// TestView: what a view writes, the tensor holds; what does not lie in order as float32 is refused.
func TestView(t *testing.T) {
	before := torch.Live()
	torch.Scope(func() {
		x := torch.New([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
		x.View(func(values []float32) {
			if !slices.Equal(values, []float32{1, 2, 3, 4, 5, 6}) {
				t.Errorf("got %v", values)
			}
			values[4] = -5
		})
		if got := x.Floats(); !slices.Equal(got, []float32{1, 2, 3, 4, -5, 6}) {
			t.Errorf("got %v", got)
		}
		x.Slice(0, 0, 0).View(func(values []float32) { t.Errorf("a view of nothing: %v", values) })
		for _, y := range []*torch.Tensor{x.Transpose(0, 1), x.To(torch.Float64)} {
			err := torch.Run(func() error {
				y.View(func([]float32) { t.Error("was called") })
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), "contiguous float32") {
				t.Errorf("got %v", err)
			}
		}
	})
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left alive", after-before)
	}
}
