package torch_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ibot/internal/golden"
	"ibot/torch"
)

// random returns normal values, different for each seed.
func random(seed uint64, shape ...int) *torch.Tensor {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return torch.New(normal(seed, 1, n), shape...)
}

// layers is a small network with two inputs and a parameter: gradients of all three, and how often it ran.
func layers(w *torch.Tensor, runs *int) func(in []*torch.Tensor) *torch.Tensor {
	return func(in []*torch.Tensor) *torch.Tensor {
		*runs++
		return in[0].Linear(w, nil).GELU().Linear(in[1], nil).Softmax(-1)
	}
}

// Results and gradients with a checkpoint are those without, bit for bit, also below autocast and for a constant
// input; in the backward pass the function has run twice.
func TestCheckpoint(t *testing.T) {
	for _, precision := range []torch.DType{torch.Float32, torch.BFloat16} {
		for _, constant := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, constant %v", precision, constant), func(t *testing.T) {
				before := torch.Live()
				torch.Scope(func() {
					x, w, u := random(1, 6, 5).RequireGrad(true), random(2, 7, 5).RequireGrad(true), random(3, 4, 7).RequireGrad(!constant)
					grads := func(run func(f func([]*torch.Tensor) *torch.Tensor, in ...*torch.Tensor) *torch.Tensor) (all []*torch.Tensor, runs int) {
						for _, t := range []*torch.Tensor{x, w, u} {
							t.SetGrad(nil)
						}
						var y *torch.Tensor
						torch.Autocast(torch.CPU, precision, func() { y = run(layers(w, &runs), x.MulScalar(2), u) })
						y.Square().SumAll().Backward()
						all = []*torch.Tensor{y.Detach(), x.Grad(), w.Grad()}
						if !constant {
							all = append(all, u.Grad())
						} else if u.Grad() != nil {
							t.Error("a constant has a gradient")
						}
						return all, runs
					}
					want, _ := grads(func(f func([]*torch.Tensor) *torch.Tensor, in ...*torch.Tensor) *torch.Tensor { return f(in) })
					got, runs := grads(torch.Checkpoint)
					if runs != 2 {
						t.Errorf("the function ran %d times, want 2", runs)
					}
					for i := range want {
						golden.Equal(t, []string{"y", "dx", "dw", "du"}[i], got[i], want[i], golden.Tolerance{})
					}
				})
				if after := torch.Live(); after != before {
					t.Errorf("%d tensors alive, %d before", after, before)
				}
			})
		}
	}
}

// Without gradients there is nothing to run again for.
func TestCheckpointWithoutGradients(t *testing.T) {
	torch.Scope(func() {
		x, w, runs := random(1, 6, 5), random(2, 7, 5).RequireGrad(true), 0
		torch.NoGrad(func() { torch.Checkpoint(layers(w, &runs), x.Clone().RequireGrad(true), random(3, 4, 7)) })
		torch.Checkpoint(layers(w, &runs), x, random(3, 4, 7))
		if runs != 2 {
			t.Errorf("two calls ran the function %d times", runs)
		}
	})
}

// A checkpoint within a checkpoint, and one whose function returns its input.
func TestNestedCheckpoint(t *testing.T) {
	torch.Scope(func() {
		x := torch.New([]float32{1, 2, 3}, 3).RequireGrad(true)
		square := func(in []*torch.Tensor) *torch.Tensor { return in[0].Square() }
		y := torch.Checkpoint(func(in []*torch.Tensor) *torch.Tensor {
			return torch.Checkpoint(square, torch.Checkpoint(square, in[0]))
		}, x)
		torch.Checkpoint(func(in []*torch.Tensor) *torch.Tensor { return in[0] }, y).SumAll().Backward()
		golden.EqualFloats(t, "4 x^3", torch.Read[float64](x.Grad()), []float64{4, 32, 108}, golden.Tolerance{})
	})
}

// What fails when the function runs again fails the backward pass, and exhausted memory is still known as that.
func TestCheckpointFails(t *testing.T) {
	for _, oom := range []bool{false, true} {
		before, runs := torch.Live(), 0
		err := torch.Run(func() error {
			x := torch.New([]float32{1, 2, 3}, 3).RequireGrad(true)
			y := torch.Checkpoint(func(in []*torch.Tensor) *torch.Tensor {
				if runs++; runs == 2 {
					panic(&torch.Error{Op: "aten::mul", Msg: "nothing left", OOM: oom})
				}
				return in[0].Square()
			}, x)
			y.SumAll().Backward()
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), "nothing left") || errors.Is(err, torch.ErrOutOfMemory) != oom {
			t.Errorf("out of memory %v: got %v", oom, err)
		}
		if after := torch.Live(); after != before {
			t.Errorf("%d tensors alive, %d before", after, before)
		}
	}
}
