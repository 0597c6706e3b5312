package torch

/*
#include "shim.h"
*/
import "C"

import (
	"runtime"
	"slices"
)

// update.cpp: all parameters of a step at once, in float32 on the CPU.
var (
	opAdamW = &op{name: "ibot::adamw_"}
	opLerp  = &op{name: "ibot::lerp_"}
	opClip  = &op{name: "ibot::clip_"}
)

// The engine's own, which can be told on the device to leave everything as it is.
var (
	opFusedAdamW_ = aten("_fused_adamw_") // from libtorch 2.0 on
	opForeachAdd_ = aten("_foreach_add_.List")
	opLerpTensor_ = aten("lerp_.Tensor")
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

// CanSkipAdamW reports whether this engine has what [AdamWUnless_] takes.
func CanSkipAdamW() bool { return opFusedAdamW_.find() != nil }

// AdamWUnless_ makes a step of AdamW with learning rate lr and the given decay, and counts it in steps, which has a float32
// scalar for each parameter; where skip is 1, on the device, it does nothing. Of f it takes betas and epsilon.
func AdamWUnless_(skip *Tensor, p, g, m, v, steps []*Tensor, lr, decay float64, f AdamWFactors) {
	Scope(func() {
		made := skip.Neg().AddScalar(1)
		opForeachAdd_.run(steps, slices.Repeat([]*Tensor{made}, len(steps)))
		opFusedAdamW_.run(p, g, m, v, []*Tensor{}, steps, lr, f.Beta1, f.Beta2, decay, f.Eps, false, false, nil, skip)
		changed(p, m, v) // which the operator does not tell, and packed weights go by
	})
}

// changed gives the tensors new versions.
func changed(lists ...[]*Tensor) {
	for _, list := range lists {
		handles := make([]C.ib_tensor, len(list))
		for i, t := range list {
			handles[i] = t.handle()
		}
		if len(handles) > 0 {
			C.ib_changed(&handles[0], C.int64_t(len(handles)))
		}
		runtime.KeepAlive(list)
	}
}

// Unless calls f, which changes the given tensors. Where skip is 1, a float32 scalar on their device, they have their old
// values again after it: the host need not know, and does not wait. A nil skip is 0, and costs nothing.
func Unless(skip *Tensor, changed []*Tensor, f func()) {
	if skip == nil {
		f()
		return
	}
	Scope(func() {
		var before []*Tensor
		for _, t := range changed {
			before = append(before, t.Clone())
		}
		f()
		keep := skip.EqScalar(1)
		for i, t := range changed {
			t.Copy_(Where(keep, before[i], t))
		}
	})
}

// LerpAllUnless_ is [LerpAll_], but where skip is 1, as for [Unless], it moves none.
func LerpAllUnless_(skip *Tensor, a, b []*Tensor, part float64) {
	if skip == nil {
		LerpAll_(a, b, part)
		return
	}
	Scope(func() {
		part := skip.Neg().AddScalar(1).MulScalar(part)
		for i := range a {
			opLerpTensor_.inplace(a[i], b[i], part)
		}
	})
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
		var each []*Tensor
		for _, t := range all {
			each = append(each, t.NormAll())
		}
		norms := Stack(each, 0)
		if limit > 0 {
			factors := norms.AddScalar(1e-6).Reciprocal().MulScalar_(limit).ClampMax(1)
			for i, t := range all {
				t.Mul_(factors.Select(0, i))
			}
		}
		return norms.NormAll()
	})
}
