package torch_test

import (
	"slices"
	"testing"

	"ibot/torch"
)

// cuda returns the first CUDA device, and skips the test where there is none.
func cuda(t *testing.T) torch.Device {
	t.Helper()
	d, err := torch.ParseDevice("cuda")
	if err != nil {
		t.Skip(err)
	}
	return d
}

// TestTransfersToCUDA: what goes to the device is what data held when it was called, though the
// copy is made later and data has long been changed.
func TestTransfersToCUDA(t *testing.T) {
	d := cuda(t)
	noLeak(t)
	torch.Scope(func() {
		data := make([]float32, 1<<22)
		var made, filled []*torch.Tensor
		busy := torch.Ones(torch.Float32, d, 4096, 4096)
		for i := range 8 {
			for k := range data {
				data[k] = float32(i*len(data) + k)
			}
			busy = busy.Matmul(busy).MulScalar(1. / 4096) // the copies have to wait for it
			made = append(made, torch.NewOn(d, data, 2, len(data)/2))
			x := torch.Zeros(torch.Float32, d, len(data), 2).Select(1, 1) // with gaps
			torch.Fill(x, data)
			filled = append(filled, x)
		}
		clear(data)
		for i := range made {
			want := torch.Arange(d, len(data)).AddScalar(float64(i * len(data))).To(torch.Float32)
			for _, got := range []*torch.Tensor{made[i].Flatten(0, 1), filled[i]} {
				if got.Eq(want).To(torch.Float32).SumAll().Item() != float64(len(data)) {
					t.Errorf("transfer %d differs", i)
				}
			}
		}
	})
}

// TestNewOnTheCPU: there it is New.
func TestNewOnTheCPU(t *testing.T) {
	noLeak(t)
	torch.Scope(func() {
		data := []int64{3, 1, 2, 5, 4, 6}
		x := torch.NewOn(torch.CPU, data, 3, 2)
		if got := torch.Read[int64](x); !slices.Equal(got, data) || !slices.Equal(x.Shape(), []int{3, 2}) || x.Device() != torch.CPU {
			t.Errorf("got %v %v on %s", x.Shape(), got, x.Device())
		}
		if n := torch.NewOn(torch.CPU, []float32{}, 0).Numel(); n != 0 {
			t.Errorf("%d elements of nothing", n)
		}
	})
}
