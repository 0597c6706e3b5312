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
	a.each(func(i int, p Param, g *torch.Tensor) {
		m, v := a.zeros(i, "exp_avg"), a.zeros(i, "exp_avg_sq")
		t := a.count(i)
		if wd := r.decay(p); wd != 0 {
			p.MulScalar_(1 - r.LR*wd)
		}
		m.Lerp_(g, 1-beta1)
		v.MulScalar_(beta2).AddCMul_(g, g, 1-beta2)
		bias1, bias2 := 1-math.Pow(beta1, t), 1-math.Pow(beta2, t)
		denom := v.Sqrt().MulScalar_(1 / math.Sqrt(bias2)).AddScalar_(adamEps)
		p.AddCDiv_(m, denom, -r.LR/bias1)
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
