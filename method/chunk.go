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
		part := m.chunk(zs, cls, func(student *torch.Tensor) *torch.Tensor {
			teacher, p := l.targets(zt, clsTarget, l.Center, temps.Cls)
			return torch.Cat([]*torch.Tensor{l.clsTerm(student, p, B).Reshape(1), l.statistics(student, teacher, p)}, 0)
		})
		terms.Cls = terms.Cls.Add(part.Select(0, 0))
		torch.NoGrad(func() {
			share := float64(to-from) / float64(B)
			terms.Agreement = terms.Agreement.Add(part.Select(0, 1).MulScalar(share))
			terms.Entropy = terms.Entropy.Add(part.Select(0, 2).MulScalar(share))
			clusters = append(clusters, part.From(0, 3).To(torch.Int64))
		})
	})
	if s.Masked != nil {
		M := s.Masked.Size(0)
		if rows == 0 {
			rows = M
		}
		each(M, rows, func(from, to int) {
			zt, w := t.Masked.Slice(0, from, to), weight.Slice(0, from, to)
			terms.Patch = terms.Patch.Add(m.chunk(s.Masked.Slice(0, from, to), patch, func(logits *torch.Tensor) *torch.Tensor {
				_, p := l.targets(zt, patchTarget, l.Center2, temps.Patch)
				return l.patchTerm(logits, p, w, l.GlobalCrops*B)
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

// targets are the teacher's logits (..., K) for embedded tokens and its distributions: centered, sharpened, one-hot if so
// asked.
func (l *Loss) targets(z *torch.Tensor, last *nn.Linear, center *torch.Tensor, temp float64) (teacher, p *torch.Tensor) {
	torch.NoGrad(func() {
		r := torch.TidyAll(func() []*torch.Tensor {
			teacher := logits(z, last)
			centered := teacher.Sub(center.Reshape(1, -1))
			if l.HardTargets {
				return []*torch.Tensor{teacher, centered.ArgMax(-1).OneHot(centered.Size(-1)).To(torch.Float32)}
			}
			return []*torch.Tensor{teacher, centered.DivScalar(temp).Softmax(-1)}
		})
		teacher, p = r[0], r[1]
	})
	return teacher, p
}

// statistics says of [CLS] logits of the student (n*B, K), of the teacher (G*B, K) and of its targets p, one after the other:
// the share of images whose second crop the student puts where the teacher puts the first global one, the mean entropy of the
// targets in nats, and the teacher's strongest cluster of each image's first global crop (B).
func (l *Loss) statistics(student, teacher, p *torch.Tensor) (all *torch.Tensor) {
	torch.NoGrad(func() {
		all = torch.Tidy(func() *torch.Tensor {
			B := teacher.Size(0) / l.GlobalCrops
			clusters := teacher.Slice(0, 0, B).ArgMax(-1)
			second := min(1, l.GlobalCrops+l.LocalCrops-1) * B
			same := student.Slice(0, second, second+B).ArgMax(-1).Eq(clusters)
			entropy := p.Mul(p.ClampMin(1e-30).Log()).Sum(-1).Mean(0).Neg()
			return torch.Cat([]*torch.Tensor{same.To(torch.Float32).MeanAll().Reshape(1), entropy.Reshape(1), clusters.To(torch.Float32)}, 0)
		})
	})
	return all
}
