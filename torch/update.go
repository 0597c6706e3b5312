package torch

// update.cpp: all parameters of a step at once, in float32 on the CPU.
var (
	opAdamW = &op{name: "ibot::adamw_"}
	opLerp  = &op{name: "ibot::lerp_"}
	opClip  = &op{name: "ibot::clip_"}
)

// fused reports whether update.cpp takes all tensors: float32 on the CPU, without gaps.
func fused(all []*Tensor) bool {
	for _, t := range all {
		if t.Device() != CPU || t.DType() != Float32 || !t.IsContiguous() {
			return false
		}
	}
	return true
}

// AdamWFactors are what a step of AdamW multiplies by, the lists with an entry for each parameter:
//
//	m <- m + (1-Beta1) (g - m)
//	v <- Beta2 v + (1-Beta2) g^2
//	p <- Decay p - Step m / (Root sqrt(v) + Eps)
type AdamWFactors struct {
	Beta1, Beta2, Eps float64
	Decay, Step, Root []float64
}

// AdamW_ makes a step of all parameters p with gradients g and moments m and v: in one pass over memory where
// they lie on the CPU.
func AdamW_(p, g, m, v []*Tensor, f AdamWFactors) {
	if fused(p) && fused(m) && fused(v) {
		opAdamW.run(p, g, m, v, f.Beta1, f.Beta2, f.Eps, f.Decay, f.Step, f.Root)
		return
	}
	for i := range p {
		Scope(func() {
			m[i].Lerp_(g[i], 1-f.Beta1)
			v[i].MulScalar_(f.Beta2).AddCMul_(g[i], g[i], 1-f.Beta2)
			denominator := v[i].Sqrt().MulScalar_(f.Root[i]).AddScalar_(f.Eps)
			p[i].MulScalar_(f.Decay[i]).AddCDiv_(m[i], denominator, -f.Step[i])
		})
	}
}

// LerpAll_ moves every a[i] the given part of the way to b[i].
func LerpAll_(a, b []*Tensor, part float64) {
	if fused(a) && fused(b) {
		opLerp.run(a, b, part)
		return
	}
	for i := range a {
		Scope(func() { a[i].Lerp_(b[i], part) })
	}
}

// ClipEach_ scales every tensor whose Euclidean norm exceeds limit by limit/(norm + 1e-6); a limit of 0 only
// measures. It returns the norm of all together before that, a scalar where the tensors are.
func ClipEach_(all []*Tensor, limit float64) *Tensor {
	if fused(all) {
		return opClip.one(all, limit)
	}
	return Tidy(func() *Tensor {
		var norms []*Tensor
		for _, t := range all {
			norm := t.NormAll()
			if limit > 0 {
				t.Mul_(norm.AddScalar(1e-6).Reciprocal().MulScalar_(limit).ClampMax(1))
			}
			norms = append(norms, norm)
		}
		return Stack(norms, 0).NormAll()
	})
}
