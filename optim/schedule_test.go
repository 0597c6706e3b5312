package optim_test

import (
	"fmt"
	"math"
	"testing"

	"ibot/internal/golden"
	"ibot/optim"
)

// The schedules of the reference's own functions, at every step.
func TestScheduleGolden(t *testing.T) {
	f := golden.Open(t, "d_schedules.npz")
	const lr = 0.0005 * 64 / 256
	tests := []struct {
		name  string
		sched optim.Schedule
		exact int     // so many values, from the first, are equal to the bit
		rise  float64 // height of the cosine
	}{
		{"lr", optim.CosineSchedule(lr, 1e-6, 20, 37, 3, 0), 3 * 37, lr - 1e-6},
		{"wd", optim.CosineSchedule(0.04, 0.4, 20, 37, 0, 0), 1, 0.36},
		{"momentum", optim.CosineSchedule(0.996, 1, 20, 37, 0, 0), 20 * 37, 0.004},
		{"lr_startwarm", optim.CosineSchedule(1e-3, 1e-5, 5, 11, 2, 1e-6), 2 * 11, 1e-3 - 1e-5},
		{"teacher_temp", optim.TemperatureSchedule(0.04, 0.07, 6, 20, 0), 20, 0},
		{"teacher_patch_temp", optim.TemperatureSchedule(0.04, 0.07, 6, 20, 0), 20, 0},
		{"teacher_patch_temp_mim5", optim.TemperatureSchedule(0.04, 0.07, 6, 20, 5), 20, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := f.Floats(test.name)
			if test.sched.Len() != len(want) {
				t.Fatalf("got %d steps, want %d", test.sched.Len(), len(want))
			}
			// The goldens' vectorised cosine is off by up to 4 units of 2^-53 and both sides round the sum to
			// the next float64 after that.
			for i := range want {
				tol := 0.0
				if i >= test.exact {
					tol = 0.5*test.rise*(4*0x1p-53+0x1p-52) + 0x1p-52*max(math.Abs(want[i]), test.rise)
				}
				if got := test.sched.At(i); math.Abs(got-want[i]) > tol {
					t.Fatalf("step %d: got %.17g, want %.17g, which is %.2g away and not %.2g", i, got, want[i], got-want[i], tol)
				}
			}
		})
	}
}

func TestScheduleLimits(t *testing.T) {
	long := optim.TemperatureSchedule(0.04, 0.07, 30, 100, 0)
	tests := []struct {
		name  string
		sched optim.Schedule
		steps []int
		want  []float64
	}{
		{
			"a short run is the beginning of a long one", optim.TemperatureSchedule(0.04, 0.07, 30, 10, 0),
			[]int{0, 1, 9},
			[]float64{0.04, long.At(1), long.At(9)},
		},
		{"held beyond the end", optim.TemperatureSchedule(0.04, 0.07, 3, 4, 50), []int{0, 3, 4}, []float64{0.04, 0.04, 0.04}},
		{"warm-up of one epoch", optim.TemperatureSchedule(0.04, 0.07, 1, 3, 0), []int{0, 1, 2}, []float64{0.04, 0.07, 0.07}},
		{"no warm-up", optim.TemperatureSchedule(0.04, 0.07, 0, 3, 1), []int{0, 1, 2}, []float64{0.04, 0.07, 0.07}},
		{"warm-up fills the run", optim.CosineSchedule(1, 0, 2, 3, 2, 0), []int{0, 1, 5}, []float64{0, 0.2, 1}},
		{"warm-up longer than the run", optim.CosineSchedule(1, 0, 1, 3, 2, 0), []int{0, 2, 3}, []float64{0, 0.4, 0.4}},
		{"steps outside", optim.CosineSchedule(1, 0, 1, 2, 0, 0), []int{-5, 0, 1, 2, math.MaxInt}, []float64{1, 1, 0.5, 0.5, 0.5}},
		{"no steps", optim.CosineSchedule(1, 0.25, 0, 10, 0, 0), []int{0, 7}, []float64{0.25, 0.25}},
		{"negative counts", optim.CosineSchedule(1, 0.25, -3, -10, -1, 0), []int{0}, []float64{0.25}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, step := range test.steps {
				if got := test.sched.At(step); math.Abs(got-test.want[i]) > 1e-15 {
					t.Errorf("step %d: got %g, want %g", step, got, test.want[i])
				}
			}
		})
	}
}

func ExampleCosineSchedule() {
	lr := optim.CosineSchedule(5e-4, 1e-6, 100, 1000, 10, 0) // 100 epochs of 1000 steps, 10 to warm up
	for _, epoch := range []int{0, 5, 10, 55, 99} {
		fmt.Printf("epoch %2d: %.2e\n", epoch, lr.At(epoch*1000))
	}
	// Output:
	// epoch  0: 0.00e+00
	// epoch  5: 2.50e-04
	// epoch 10: 5.00e-04
	// epoch 55: 2.50e-04
	// epoch 99: 1.15e-06
}

func ExampleTemperatureSchedule() {
	temperature := optim.TemperatureSchedule(0.04, 0.07, 4, 100, 0)
	for epoch := range 5 {
		fmt.Printf("%.2f ", temperature.At(epoch))
	}
	// Output: 0.04 0.05 0.06 0.07 0.07
}
