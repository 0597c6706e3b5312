package method

import (
	"ibot/nn"
	"ibot/torch"
)

// loss compares student and teacher: the last layers of both heads, the softmax, and the sums of
// the loss. weight (M) is what each masked patch counts: one over the number of masked patches of
// its crop. It uses the centers as they are; [Loss.Update] moves them.
//
// Logits are thousands of numbers a row, and the loss wants several copies of them. With a
// HeadChunk they are made for so many rows at a time, and made once more for the backward pass.
func (m *Model) loss(s Embedded, t Teacher, weight *torch.Tensor, temps Temps) Terms {
	l := m.Loss
	n := l.GlobalCrops + l.LocalCrops
	B, rows := s.Cls.Size(0)/n, m.HeadChunk
	cls, patch := m.Student.Head.Last()
	var clsTarget, patchTarget *nn.Linear
	torch.NoGrad(func() { clsTarget, patchTarget = m.Teacher.Head.Last() })
	zero := torch.Zeros(torch.Float32, s.Cls.Device())
	terms := Terms{Cls: zero, Patch: zero, Agreement: zero, Entropy: zero}
	var clusters []*torch.Tensor
	images := B
	if rows > 0 {
		images = max(1, rows/n)
	}
	each(B, images, func(from, to int) {
		zs, zt := PartOfCrops(s.Cls, B, from, to), PartOfCrops(t.Cls, B, from, to)
		torch.NoGrad(func() {
			part := float64(to-from) / float64(B)
			of, agreement, entropy := l.statistics(zs, zt, cls, clsTarget, temps.Cls)
			clusters = append(clusters, of)
			terms.Agreement = terms.Agreement.Add(agreement.MulScalar(part))
			terms.Entropy = terms.Entropy.Add(entropy.MulScalar(part))
		})
		terms.Cls = terms.Cls.Add(m.chunk(zs, cls, func(logits *torch.Tensor) *torch.Tensor {
			return l.clsTerm(logits, l.targets(zt, clsTarget, l.Center, temps.Cls), B)
		}))
	})
	if s.Masked != nil {
		M := s.Masked.Size(0)
		if rows == 0 {
			rows = M
		}
		each(M, rows, func(from, to int) {
			zt, w := t.Masked.Slice(0, from, to), weight.Slice(0, from, to)
			terms.Patch = terms.Patch.Add(m.chunk(s.Masked.Slice(0, from, to), patch, func(logits *torch.Tensor) *torch.Tensor {
				return l.patchTerm(logits, l.targets(zt, patchTarget, l.Center2, temps.Patch), w, l.GlobalCrops*B)
			}))
		})
	}
	terms.Loss, terms.Clusters = terms.Cls.Add(terms.Patch), torch.Cat(clusters, 0)
	return terms
}

// each calls f with the bounds of the parts of n things, so many in each.
func each(n, size int, f func(from, to int)) {
	for from := 0; from < n; from += size {
		f(from, min(from+size, n))
	}
}

// chunk is a term of the loss, of the logits that last makes of the student's tokens z. What term
// reaches must live until the backward pass.
func (m *Model) chunk(z *torch.Tensor, last *nn.Linear, term func(logits *torch.Tensor) *torch.Tensor) *torch.Tensor {
	if m.HeadChunk == 0 {
		return torch.Tidy(func() *torch.Tensor { return term(logits(z, last)) })
	}
	return torch.Checkpoint(func(in []*torch.Tensor) *torch.Tensor {
		return term(logits(in[0], &nn.Linear{Weight: in[1], Bias: last.Bias}))
	}, z, last.Weight)
}

// targets are the teacher's distributions (..., K) for embedded tokens: centered, sharpened,
// one-hot if so asked.
func (l *Loss) targets(z *torch.Tensor, last *nn.Linear, center *torch.Tensor, temp float64) (p *torch.Tensor) {
	torch.NoGrad(func() {
		p = torch.Tidy(func() *torch.Tensor {
			centered := logits(z, last).Sub(center.Reshape(1, -1))
			if l.HardTargets {
				return centered.ArgMax(-1).OneHot(centered.Size(-1)).To(torch.Float32)
			}
			return centered.DivScalar(temp).Softmax(-1)
		})
	})
	return p
}

// statistics says of [CLS] tokens of the student (n*B, d) and of the teacher (G*B, d): the
// teacher's strongest cluster of each image's first global crop, the share of images whose second
// crop the student puts there too, and the mean entropy of the targets in nats.
func (l *Loss) statistics(student, teacher *torch.Tensor, of, target *nn.Linear, temp float64) (clusters, agreement, entropy *torch.Tensor) {
	r := torch.TidyAll(func() []*torch.Tensor {
		B := teacher.Size(0) / l.GlobalCrops
		clusters := logits(teacher.Slice(0, 0, B), target).ArgMax(-1)
		second := min(1, l.GlobalCrops+l.LocalCrops-1) * B
		same := logits(student.Slice(0, second, second+B), of).ArgMax(-1).Eq(clusters)
		p := l.targets(teacher, target, l.Center, temp)
		entropy := p.Mul(p.ClampMin(1e-30).Log()).Sum(-1).Mean(0).Neg()
		return []*torch.Tensor{clusters, same.To(torch.Float32).MeanAll(), entropy}
	})
	return r[0], r[1], r[2]
}
