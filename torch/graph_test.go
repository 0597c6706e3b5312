package torch_test

import (
	"slices"
	"strings"
	"testing"

	"ibot/torch"
)

// TestGraph: a replay does what was recorded, with what its input holds by then.
func TestGraph(t *testing.T) {
	d := cuda(t)
	noLeak(t)
	torch.Scope(func() {
		w := torch.Ones(torch.Float32, d, 3, 3).RequireGrad(true)
		x := torch.NewOn(d, []float32{1, 2, 3}, 1, 3)
		work := func() *torch.Tensor {
			x.Matmul(w).MulScalar(2).SumAll().Backward()
			g := w.Grad()
			w.SetGrad(nil)
			return g
		}
		torch.Scope(func() { work() })
		var out *torch.Tensor
		g, err := torch.Record(d, nil, func() { out = work().Own() })
		if err != nil {
			t.Fatal(err)
		}
		defer g.Free()
		defer out.Free()
		for _, k := range []float32{1, 5} {
			torch.Fill(x, []float32{k, 2 * k, 3 * k})
			g.Replay()
			want := []float32{2 * k, 2 * k, 2 * k, 4 * k, 4 * k, 4 * k, 6 * k, 6 * k, 6 * k}
			if got := out.Floats(); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		if _, err := torch.Record(d, g, func() { x.Floats() }); err == nil || !strings.Contains(err.Error(), "recorded") {
			t.Errorf("reading while it is recorded: %v", err)
		}
		torch.Fill(x, []float32{1, 2, 3}) // and the device is as it was
		if got := x.SumAll().Item(); got != 6 {
			t.Errorf("afterwards a sum is %v", got)
		}
	})
}

// TestRecordNeedsADevice: elsewhere it is an error, and leaves everything as it was.
func TestRecordNeedsADevice(t *testing.T) {
	if n, _ := torch.CUDADevices(); n > 0 {
		t.Skip("here is one")
	}
	g, err := torch.Record(torch.Device{Type: torch.CUDAType}, nil, func() { t.Error("recorded") })
	if err == nil || g != nil {
		t.Errorf("got %v, %v", g, err)
	}
	t.Log(err)
	torch.Scope(func() { torch.New([]float32{1}, 1) })
}

// TestNoHostValuesInRecordedWork: what would be copied once, and never again, is refused.
func TestNoHostValuesInRecordedWork(t *testing.T) {
	torch.Scope(func() {
		x := torch.Ones(torch.Float32, torch.CPU, 2)
		for name, f := range map[string]func(){
			"New":   func() { torch.New([]float32{1}, 1) },
			"NewOn": func() { torch.NewOn(torch.CPU, []float32{1}, 1) },
			"Fill":  func() { torch.Fill(x, []float32{1, 2}) },
			"Read":  func() { x.Floats() },
		} {
			err := torch.Run(func() error {
				torch.Recording(f)
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), "values of the host cannot be part of work that is recorded") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
