package optim

import (
	"strings"

	"ibot/torch"
)

// Clip scales each gradient whose Euclidean norm exceeds limit down to that norm, and returns the norm
// of all gradients together before that, as a scalar on the device. A limit of 0 only measures.
//
// As the reference: clipped one by one, not by the global norm.
func Clip(params []Param, limit float64) *torch.Tensor {
	return torch.Tidy(func() (total *torch.Tensor) {
		torch.NoGrad(func() {
			var norms []*torch.Tensor
			for _, p := range params {
				g := p.Grad()
				if g == nil {
					continue
				}
				norm := torch.Tidy(func() *torch.Tensor {
					norm := g.NormAll()
					if limit > 0 {
						g.Mul_(norm.AddScalar(1e-6).Reciprocal().MulScalar_(limit).ClampMax(1))
					}
					return norm
				})
				norms = append(norms, norm)
			}
			if norms == nil {
				total = torch.Zeros(torch.Float32, torch.CPU)
				return
			}
			total = torch.Stack(norms, 0).NormAll()
		})
		return total
	})
}

// Freeze drops the gradients of the parameters whose name contains part, so that the next step leaves
// them, and their optimizer state, alone.
func Freeze(params []Param, part string) {
	for _, p := range params {
		if strings.Contains(p.Name, part) {
			p.SetGrad(nil)
		}
	}
}

// ZeroGrad drops all gradients.
func ZeroGrad(params []Param) {
	for _, p := range params {
		p.SetGrad(nil)
	}
}
