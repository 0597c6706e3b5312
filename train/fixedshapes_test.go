package train_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"ibot/internal/golden"
	"ibot/method"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

// filled is a batch whose masked patches are filled up, as on a GPU.
func filled(b method.Batch) method.Batch {
	const more = 13
	b.Masked = torch.Cat([]*torch.Tensor{b.Masked, torch.Zeros(torch.Int64, torch.CPU, more)}, 0)
	b.Weight = torch.Cat([]*torch.Tensor{b.Weight, torch.Zeros(torch.Float32, torch.CPU, more)}, 0)
	return b
}

// TestFixedShapesLeaveTheGradients: loss, statistics and gradients with the shapes of a GPU's steps, where dropped paths are
// computed and masks filled up, are those of the others, but for rounding.
func TestFixedShapesLeaveTheGradients(t *testing.T) {
	for _, arch := range []string{"vit", "swin", "vit, two last layers", "vit, no bottleneck"} {
		m := memoryModel(t, arch)
		s := stepper(t, m)
		for _, w := range append([]saving{{}}, savings...) {
			torch.Scope(func() {
				gradients := func(fixed bool, b method.Batch) (train.Result, map[string]*torch.Tensor) {
					w.apply(s)
					s.FixedShapes = fixed
					res, err := s.Gradients(b, method.Temps{Cls: .05, Patch: .06}, rng.Seed(4).Stream("noise"))
					if err != nil {
						t.Fatal(err)
					}
					return res, takeGradients(m)
				}
				name := fmt.Sprintf("%s %+v", arch, w)
				want, wantGrads := gradients(false, memoryBatch())
				got, grads := gradients(true, filled(memoryBatch()))
				if !slices.Equal(got.Clusters, want.Clusters) {
					t.Errorf("%s: clusters %v, want %v", name, got.Clusters, want.Clusters)
				}
				golden.EqualFloats(t, name, []float64{got.Loss, got.Cls, got.Patch, got.Entropy, got.Agreement},
					[]float64{want.Loss, want.Cls, want.Patch, want.Entropy, want.Agreement}, golden.Tolerance{Rel: 2e-6})
				if !slices.Equal(slices.Sorted(maps.Keys(grads)), slices.Sorted(maps.Keys(wantGrads))) {
					t.Errorf("%s: %d parameters have gradients, want %d", name, len(grads), len(wantGrads))
				}
				for k, g := range grads {
					largest := wantGrads[k].Abs().MaxAll().Item()
					golden.Equal(t, name+": gradient of "+k, g, wantGrads[k], golden.Tolerance{Abs: 1e-5 * largest})
				}
			})
		}
	}
}

// TestFixedShapesInHalfPrecision: the same in bfloat16, up to its rounding.
func TestFixedShapesInHalfPrecision(t *testing.T) {
	for _, arch := range []string{"vit", "swin"} {
		m := memoryModel(t, arch)
		s := stepper(t, m)
		s.Precision = torch.BFloat16
		torch.Scope(func() {
			gradients := func(fixed bool, b method.Batch) map[string]*torch.Tensor {
				s.FixedShapes = fixed
				if _, err := s.Gradients(b, method.Temps{Cls: .05, Patch: .06}, rng.Seed(4).Stream("noise")); err != nil {
					t.Fatal(err)
				}
				return takeGradients(m)
			}
			want := gradients(false, memoryBatch())
			for name, g := range gradients(true, filled(memoryBatch())) {
				apart := g.Sub(want[name]).NormAll().Item() / max(want[name].NormAll().Item(), 1e-9)
				if !(apart <= .02) {
					t.Errorf("%s: the gradient of %s is %.2g of its length away", arch, name, apart)
				}
			}
		})
	}
}

// TestAGPUsStepReadsNothing: between the start of a step and its end no value is asked for, by us or by an operator.
func TestAGPUsStepReadsNothing(t *testing.T) {
	train.AsOnAGPU(t)
	for _, arch := range []string{"vit", "swin"} {
		for _, w := range []saving{{}, {recompute: true, chunk: 6}} {
			for _, optimizer := range lateOptimizers() {
				m := memoryModel(t, arch)
				s, err := train.NewStepper(m, optimizer, .3, torch.CPU, torch.Float32)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Free()
				w.apply(s)
				if !s.Late || !s.FixedShapes {
					t.Fatalf("%s: late %t, fixed shapes %t", optimizer, s.Late, s.FixedShapes)
				}
				s.Scaler = train.NewScaler()
				torch.Scope(func() {
					b := memoryBatch()
					var started *train.Started
					before := torch.Reads()
					ops := torch.Profile(func() {
						if started, err = s.Start(b, lateRates, rng.Seed(4).Stream("noise")); err != nil {
							t.Fatal(err)
						}
					})
					if n := torch.Reads() - before; n != 0 {
						t.Errorf("%s, %s: %d reads in a step", arch, optimizer, n)
					}
					for _, op := range ops {
						for _, asks := range []string{"item", "_local_scalar_dense", "nonzero", "masked_select", "equal", "unique", "is_nonzero"} {
							calls := op.Calls
							if optimizer == "adamw" { // on the CPU, its kernel reads how many steps each parameter has made
								calls -= len(s.Optimizer.State()) / 3
							}
							if strings.TrimPrefix(op.Name, "aten::") == asks && calls > 0 {
								t.Errorf("%s, %s: a step calls %s %d times", arch, optimizer, op.Name, calls)
							}
						}
					}
					if _, err := started.Wait(); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}
