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
			var grads []*torch.Tensor
			for _, p := range params {
				if g := p.Grad(); g != nil {
					grads = append(grads, g)
				}
			}
			if grads == nil {
				total = torch.Zeros(torch.Float32, torch.CPU)
				return
			}
			total = torch.ClipEach_(grads, limit)
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
