package optim

import "ibot/torch"

const sgdMomentum = .9

// SGD is stochastic gradient descent with momentum 0.9 and weight decay added to the gradient, as
// PyTorch's: the momentum buffer starts as the first gradient.
type SGD struct{ slots }

// NewSGD returns SGD over params.
func NewSGD(params []Param) *SGD { return &SGD{newSlots(params, "momentum_buffer")} }

// Step changes every parameter that has a gradient.
func (s *SGD) Step(r Rates) {
	s.each(func(i int, p Param, g *torch.Tensor) {
		if wd := r.decay(p); wd != 0 {
			g = g.Add(p.MulScalar(wd))
		}
		buf := s.zeros(i, "momentum_buffer")
		torch.Unless(r.Skip, []*torch.Tensor{p.Tensor, buf}, func() {
			p.AddScaled_(buf.MulScalar_(sgdMomentum).Add_(g), -r.LR)
		})
	})
}

const larsMomentum, larsEta = .9, .001

// LARS scales the step of every matrix by the ratio of its length to its gradient's (You et al.
// 2017), with momentum 0.9 and eta 0.001. As the reference, vectors get neither the ratio nor weight decay.
type LARS struct{ slots }

// NewLARS returns LARS over params.
func NewLARS(params []Param) *LARS { return &LARS{newSlots(params, "mu")} }

// Step changes every parameter that has a gradient.
func (l *LARS) Step(r Rates) {
	l.each(func(i int, p Param, g *torch.Tensor) {
		if p.Dims() != 1 {
			if wd := r.decay(p); wd != 0 {
				g = g.Add(p.MulScalar(wd))
			}
			g = g.Mul(trustRatio(p.NormAll(), g.NormAll()))
		}
		mu := l.zeros(i, "mu")
		torch.Unless(r.Skip, []*torch.Tensor{p.Tensor, mu}, func() {
			p.AddScaled_(mu.MulScalar_(larsMomentum).Add_(g), -r.LR)
		})
	})
}

// trustRatio is eta |p|/|g|, and 1 where either is 0.
func trustRatio(p, g *torch.Tensor) *torch.Tensor {
	one := torch.Ones(torch.Float32, p.Device())
	ratio := torch.Where(g.EqScalar(0), one, p.Div(g).MulScalar(larsEta))
	return torch.Where(p.EqScalar(0), one, ratio)
}
