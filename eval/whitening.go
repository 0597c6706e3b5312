package eval

import (
	"fmt"

	"ibot/torch"
)

// whitening turns features such that those it was learnt on have about the same variance in every
// direction: principal components, each divided by the root of its energy.
type whitening struct {
	mean    *torch.Tensor // (1, D)
	project *torch.Tensor // (D, D)
}

func (w *whitening) close() {
	w.mean.Free()
	w.project.Free()
}

// leastEnergy of a component, as a share of the largest one's.
const leastEnergy = 1e-5

// learnWhitening learns from features x (n, D). As in the reference, the energies are those of the
// features as they are, though the mean is subtracted when they are applied.
func learnWhitening(x *torch.Tensor) (w *whitening, err error) {
	err = torch.Run(func() error {
		torch.NoGrad(func() {
			wide := x.To(torch.Float64)
			energy := wide.Transpose(0, 1).MM(wide).DivScalar(float64(x.Size(0))) // (D, D)
			parts := torch.Call("aten::linalg_eigh", energy, "L")
			values, vectors := parts[0], parts[1] // (D), (D, D): rising, in columns
			least := values.MaxAll().Item() * leastEnergy
			w = &whitening{
				mean:    x.Mean(0).Unsqueeze(0).Own(),
				project: vectors.Div(values.ClampMin(least).Sqrt().Unsqueeze(0)).To(torch.Float32).Own(),
			}
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("eval: whitening: %w", err)
	}
	return w, nil
}

// apply whitens the rows of x (n, D).
func (w *whitening) apply(x *torch.Tensor) *torch.Tensor { return x.Sub(w.mean).MM(w.project) }
