package torch_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"ibot/torch"
)

// noLeak fails the test if it leaves tensors alive.
func noLeak(t *testing.T) {
	t.Helper()
	before := torch.Live()
	t.Cleanup(func() {
		if after := torch.Live(); after != before {
			t.Errorf("%d tensors alive after the test, %d before", after, before)
		}
	})
}

func Example() {
	torch.Scope(func() { // frees every tensor made inside
		x := torch.New([]float32{1, 2, 3, 4}, 2, 2)
		y := torch.Tidy(func() *torch.Tensor { // frees all but the result
			return x.Matmul(x).AddScalar(1)
		})
		fmt.Println(y.Shape(), y.Floats())
	})
	// Output: [2 2] [8 11 16 23]
}

func ExampleRun() {
	err := torch.Run(func() error {
		x := torch.Zeros(torch.Float32, torch.CPU, 2, 3)
		x.Matmul(x) // a shape mistake panics; Run returns it
		return nil
	})
	fmt.Println(strings.SplitN(err.Error(), ":", 3)[1])
	// Output:  matmul([2, 3], [2, 3])
}

func TestScopesFreeWhatIsNotKept(t *testing.T) {
	noLeak(t)
	before := torch.Live()
	var kept, owned, dropped *torch.Tensor
	torch.Scope(func() {
		torch.Scope(func() {
			kept = torch.New([]float32{1}, 1).Keep()
			owned = torch.New([]float32{2}, 1).Own()
			dropped = kept.Add(owned)
		})
		if dropped.Defined() {
			t.Error("a tensor outlived its scope")
		}
		if got := kept.Item(); got != 1 {
			t.Errorf("kept tensor holds %v, want 1", got)
		}
	})
	if kept.Defined() {
		t.Error("Keep moved a tensor further than one scope out")
	}
	if got := owned.Item(); got != 2 {
		t.Errorf("owned tensor holds %v, want 2", got)
	}
	owned.Free()
	owned.Free() // a second time does nothing
	if got := torch.Live(); got != before {
		t.Errorf("%d alive, want %d", got, before)
	}
}

func TestTidyKeepsItsResultAlone(t *testing.T) {
	noLeak(t)
	torch.Scope(func() {
		x := torch.New([]float32{3}, 1)
		before := torch.Live()
		y := torch.Tidy(func() *torch.Tensor {
			a := x.MulScalar(2)
			return a.Add(a)
		})
		if got := torch.Live() - before; got != 1 {
			t.Errorf("Tidy left %d tensors, want 1", got)
		}
		if got := y.Item(); got != 12 {
			t.Errorf("got %v, want 12", got)
		}
		if same := torch.Tidy(func() *torch.Tensor { return x }); same != x || !x.Defined() {
			t.Error("Tidy took a tensor that was not made in it")
		}
	})
}

func TestTensorsOutsideScopesAreCollected(t *testing.T) {
	before := torch.Live()
	for range 100 {
		torch.New([]float32{1, 2}, 2).MulScalar(2)
	}
	for range 50 { // cleanups run in their own goroutine, some time after a collection
		runtime.GC()
		if torch.Live() == before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d tensors left after collection, want %d", torch.Live(), before)
}

func TestUseAfterFreePanics(t *testing.T) {
	noLeak(t)
	var x *torch.Tensor
	torch.Scope(func() { x = torch.New([]float32{1}, 1) })
	defer func() {
		if _, ok := recover().(*torch.Error); !ok {
			t.Error("use after free did not panic with *torch.Error")
		}
	}()
	x.AddScalar(1)
}

func TestErrorsNameOperatorAndShapes(t *testing.T) {
	noLeak(t)
	err := torch.Run(func() error {
		x := torch.Zeros(torch.Float32, torch.CPU, 2, 3)
		x.Add(torch.Zeros(torch.Float32, torch.CPU, 4))
		return nil
	})
	var e *torch.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want *torch.Error", err)
	}
	for _, want := range []string{"add", "[2, 3]", "[4]"} {
		if !strings.Contains(e.Error(), want) {
			t.Errorf("message %q lacks %q", e.Error(), want)
		}
	}
	if strings.Contains(e.Error(), ".cpp") || strings.Contains(e.Error(), "\n") {
		t.Errorf("message shows C++ or several lines: %q", e.Error())
	}
}

// Vectors are read and written where whole lines of the cache begin.
func TestMemoryOfTensorsIsAligned(t *testing.T) {
	noLeak(t)
	torch.Scope(func() {
		for n := 1; n < 1<<22; n = 3*n + 1 {
			torch.Zeros(torch.Float32, torch.CPU, n).View(func(values []float32) {
				if at := uintptr(unsafe.Pointer(&values[0])); at%64 != 0 {
					t.Errorf("%d values begin at %#x", n, at)
				}
				for _, v := range values {
					if v != 0 {
						t.Fatalf("%d values hold %v", n, v)
					}
				}
			})
		}
		if none := torch.Zeros(torch.Float32, torch.CPU, 0, 3).AddScalar(1); none.Numel() != 0 {
			t.Errorf("a tensor of nothing has %d values", none.Numel())
		}
	})
}

func TestOutOfMemoryIsAnError(t *testing.T) {
	noLeak(t)
	err := torch.Run(func() error {
		torch.Zeros(torch.Float32, torch.CPU, 1<<30, 1<<20)
		return nil
	})
	if !errors.Is(err, torch.ErrOutOfMemory) {
		t.Errorf("got %v, want ErrOutOfMemory", err)
	}
}

func TestRunPassesOtherPanicsOn(t *testing.T) {
	defer func() {
		if r := recover(); r != "not ours" {
			t.Errorf("recovered %v", r)
		}
	}()
	_ = torch.Run(func() error { panic("not ours") })
}

func TestUnknownOperator(t *testing.T) {
	if torch.Has("aten::no_such_operator") {
		t.Error("Has found an operator that does not exist")
	}
	err := torch.Run(func() error {
		torch.Call("aten::no_such_operator")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "no such operator") {
		t.Errorf("got %v", err)
	}
}

func TestRoundTripOfEveryType(t *testing.T) {
	noLeak(t)
	torch.Scope(func() {
		roundTrip(t, []float32{1.5, -2, float32(math.Inf(1))})
		roundTrip(t, []float64{1.5, math.Pi, math.Copysign(0, -1)})
		roundTrip(t, []int64{1, math.MaxInt64, -7})
		roundTrip(t, []int32{1, -7, math.MinInt32})
		roundTrip(t, []uint8{0, 128, 255})
		roundTrip(t, []bool{true, false, true})
	})
}

func roundTrip[T interface {
	float32 | float64 | int64 | int32 | uint8 | bool
}](t *testing.T, want []T) {
	t.Helper()
	x := torch.New(want, len(want), 1)
	got := torch.Read[T](x.Reshape(1, -1).Transpose(0, 1))
	back := torch.Read[T](torch.FromBytes(x.Bytes(), x.DType(), x.Shape()...))
	for i := range want {
		if got[i] != want[i] || back[i] != want[i] {
			t.Errorf("%T: got %v and %v, want %v", want[0], got, back, want)
		}
	}
}

func TestBackward(t *testing.T) {
	noLeak(t)
	torch.Scope(func() {
		x := torch.New([]float32{1, 2, 3}, 3).RequireGrad(true)
		x.Mul(x).SumAll().Backward()
		if got := x.Grad().Floats(); got[0] != 2 || got[1] != 4 || got[2] != 6 {
			t.Errorf("gradient of x^2 at 1 2 3 is %v", got)
		}
		x.SetGrad(nil)
		if x.Grad() != nil {
			t.Error("SetGrad(nil) left a gradient")
		}
		torch.NoGrad(func() {
			if x.MulScalar(2).RequiresGrad() {
				t.Error("NoGrad recorded history")
			}
		})
		if !x.MulScalar(2).RequiresGrad() {
			t.Error("gradients stay off after NoGrad")
		}
	})
}

func TestAutocastMultipliesInBFloat16(t *testing.T) {
	noLeak(t)
	torch.Scope(func() {
		x := torch.Ones(torch.Float32, torch.CPU, 4, 4)
		torch.Autocast(torch.CPU, torch.BFloat16, func() {
			if got := x.Matmul(x).DType(); got != torch.BFloat16 {
				t.Errorf("product under autocast is %v", got)
			}
		})
		if got := x.Matmul(x).DType(); got != torch.Float32 {
			t.Errorf("product after autocast is %v", got)
		}
	})
}

// The float32 product that gemm.c supplies must agree with a plain one for every layout that
// libtorch may ask for.
func TestFloat32ProductsOfEveryLayout(t *testing.T) {
	noLeak(t)
	const M, K, N = 7, 5, 9
	a, b := make([]float32, M*K), make([]float32, K*N)
	for i := range a {
		a[i] = float32(i%11) - 5
	}
	for i := range b {
		b[i] = float32(i%7) - 3
	}
	want := make([]float32, M*N)
	for i := range M {
		for j := range N {
			for k := range K {
				want[i*N+j] += a[i*K+k] * b[k*N+j]
			}
		}
	}
	torch.Scope(func() {
		A, B := torch.New(a, M, K), torch.New(b, K, N)
		flip := func(x *torch.Tensor) *torch.Tensor { return x.Transpose(0, 1).Contiguous().Transpose(0, 1) }
		for name, got := range map[string]*torch.Tensor{
			"row row": A.MM(B), "column row": flip(A).MM(B), "row column": A.MM(flip(B)), "column column": flip(A).MM(flip(B)),
			"transposed result": B.Transpose(0, 1).MM(A.Transpose(0, 1)).Transpose(0, 1),
		} {
			for i, v := range got.Floats() {
				if v != want[i] {
					t.Errorf("%s: element %d is %v, want %v", name, i, v, want[i])
					break
				}
			}
		}
	})
}

func TestParseDevice(t *testing.T) {
	if d, err := torch.ParseDevice("cpu"); err != nil || d != torch.CPU {
		t.Errorf("cpu: %v, %v", d, err)
	}
	if n, _ := torch.CUDADevices(); n == 0 {
		if d, err := torch.ParseDevice("auto"); err != nil || d != torch.CPU {
			t.Errorf("auto without a GPU: %v, %v", d, err)
		}
		if _, err := torch.ParseDevice("cuda"); err == nil || !strings.Contains(err.Error(), "--device cpu") {
			t.Errorf("cuda without a GPU: %v", err)
		}
	}
	for _, bad := range []string{"gpu", "cuda:x", "cuda:-1", "CPU"} {
		if _, err := torch.ParseDevice(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	torch.Scope(func() {
		x := torch.New([]float32{1, 2, 3, 4}, 4)
		for b.Loop() {
			torch.Scope(func() { x.Add(x) })
		}
	})
}
