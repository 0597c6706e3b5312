package optim

import (
	"math"

	"ibot/torch"
)

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2019), with PyTorch's defaults:
// betas 0.9 and 0.999, eps 1e-8.
type AdamW struct{ slots }

const beta1, beta2, adamEps = .9, .999, 1e-8

// NewAdamW returns AdamW over params.
func NewAdamW(params []Param) *AdamW {
	return &AdamW{newSlots(params, "exp_avg", "exp_avg_sq", "step")}
}

// Step changes every parameter that has a gradient.
func (a *AdamW) Step(r Rates) {
	var p, g, m, v []*torch.Tensor
	f := torch.AdamWFactors{Beta1: beta1, Beta2: beta2, Eps: adamEps}
	torch.NoGrad(func() {
		torch.Scope(func() {
			for i, param := range a.params {
				grad := param.Grad()
				if grad == nil {
					continue
				}
				p, g = append(p, param.Tensor), append(g, grad)
				m, v = append(m, a.zeros(i, "exp_avg")), append(v, a.zeros(i, "exp_avg_sq"))
				t := a.count(i)
				f.Decay = append(f.Decay, 1-r.LR*r.decay(param))
				f.Step = append(f.Step, r.LR/(1-math.Pow(beta1, t)))
				f.Root = append(f.Root, 1/math.Sqrt(1-math.Pow(beta2, t)))
			}
			torch.AdamW_(p, g, m, v, f)
		})
	})
}

// count counts this step of parameter i: those that were frozen for a while have seen fewer.
func (a *AdamW) count(i int) float64 {
	t, ok := a.state[i]["step"]
	if !ok {
		t = torch.Zeros(torch.Float32, torch.CPU).Own()
		a.state[i]["step"] = t
	}
	return t.AddScalar_(1).Item()
}
