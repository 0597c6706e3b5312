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

// CanSkip is whether the engine has a kernel that looks at skip on the device.
func (a *AdamW) CanSkip() bool { return torch.CanSkipAdamW() }

// Step changes every parameter that has a gradient.
func (a *AdamW) Step(r Rates) {
	if r.Skip != nil {
		a.stepUnless(r)
		return
	}
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

// stepUnless is Step where the device decides whether it is made. Steps are counted there, for the host does not know.
func (a *AdamW) stepUnless(r Rates) {
	f := torch.AdamWFactors{Beta1: beta1, Beta2: beta2, Eps: adamEps}
	torch.NoGrad(func() {
		torch.Scope(func() {
			for _, decayed := range []bool{true, false} {
				var p, g, m, v, steps []*torch.Tensor
				decay := 0.
				for i, param := range a.params {
					grad := param.Grad()
					if grad == nil || param.Decayed() != decayed {
						continue
					}
					p, g, decay = append(p, param.Tensor), append(g, grad), r.decay(param)
					m, v = append(m, a.zeros(i, "exp_avg")), append(v, a.zeros(i, "exp_avg_sq"))
					steps = append(steps, a.counter(i))
				}
				if p != nil {
					torch.AdamWUnless_(r.Skip, p, g, m, v, steps, r.LR, decay, f)
				}
			}
		})
	})
}

// counter is the number of steps of parameter i, where the parameter is; a checkpoint has left it on the host.
func (a *AdamW) counter(i int) *torch.Tensor {
	d := a.params[i].Device()
	t, ok := a.state[i]["step"]
	if ok && t.Device() == d {
		return t
	}
	there := torch.Zeros(torch.Float32, d).Own()
	if ok {
		there.Copy_(t)
		t.Free()
	}
	a.state[i]["step"] = there
	return there
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
