package backbone_test

import (
	"fmt"
	"math"
	"testing"

	"ibot/backbone"
	"ibot/nn"
	"ibot/rng"
	"ibot/torch"
)

// The tokens that are chosen are those of the whole forward pass, with the same dropped paths and the same gradients.
func TestForwardChosen(t *testing.T) {
	pooled, plain, scaled := narrow("vit_tiny"), narrow("vit_tiny"), narrow("vit_tiny")
	pooled.MeanPooling = true
	scaled.LayerScale, scaled.Registers = .1, 2
	for name, c := range map[string]backbone.Config{"plain": plain, "registers and LayerScale": scaled, "mean pooling": pooled, "swin": narrow("swin_tiny")} {
		for _, drop := range []float64{0, .5} {
			for _, recompute := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, drop %v, recompute %v", name, drop, recompute), func(t *testing.T) {
					before := torch.Live()
					c.DropPath = drop
					p := nn.NewPath(1, torch.CPU)
					b, err := backbone.New(c, p)
					if err != nil {
						t.Fatal(err)
					}
					noise(p)
					run := func(f func(m nn.Mode, x, mask, chosen *torch.Tensor) (cls, patches *torch.Tensor)) (values []float32) {
						torch.Scope(func() {
							const B = 6
							x := image(B, 3, 32, 32)
							h, w := b.Grid(32, 32)
							on := make([]bool, B*h*w)
							var numbers []int64
							for i := range on {
								if on[i] = i%5 == 1; on[i] {
									numbers = append(numbers, int64(i))
								}
							}
							mode := nn.Mode{Train: true, Drops: nn.NewDrops(rng.Seed(2).Stream("drops"), B), Recompute: recompute}
							mode.Drops.Begin(0, B)
							cls, patches := f(mode, x, torch.New(on, B, h, w), torch.New(numbers, len(numbers)))
							values = append(cls.Contiguous().Floats(), patches.Contiguous().Floats()...)
							cls.Mul(cls).SumAll().Add(patches.Mul(patches).Mul(patches).SumAll()).Backward()
							for _, s := range p.Params() {
								if g := s.Grad(); g != nil {
									values = append(values, g.Contiguous().Floats()...)
								}
								s.SetGrad(nil)
							}
						})
						return values
					}
					want := run(func(m nn.Mode, x, mask, chosen *torch.Tensor) (cls, patches *torch.Tensor) {
						z := b.Forward(m, x, mask)
						return z.Select(1, 0), z.From(1, 1).Reshape(-1, z.Size(2)).IndexSelect(0, chosen)
					})
					got := run(func(m nn.Mode, x, mask, chosen *torch.Tensor) (cls, patches *torch.Tensor) {
						return backbone.ForwardChosen(b, m, x, mask, chosen)
					})
					if len(got) != len(want) {
						t.Fatalf("%d values, want %d", len(got), len(want))
					}
					for i, v := range want {
						if d := math.Abs(float64(got[i] - v)); !(d <= 1e-4*max(1, math.Abs(float64(v)))) {
							t.Fatalf("value %d is %v, want %v", i, got[i], v)
						}
					}
					p.Free()
					if after := torch.Live(); after != before {
						t.Errorf("%d tensors alive, %d before", after, before)
					}
				})
			}
		}
	}
}
