package method

import (
	"ibot/torch"
)

// LossConfig weighs and sharpens the two terms of the loss.
type LossConfig struct {
	GlobalCrops, LocalCrops int
	Lambda1, Lambda2        float64 // weights of the [CLS] and of the patch term
	StudentTemp             float64
	CenterMomentum          float64 // of the [CLS] center
	CenterMomentum2         float64 // of the patch center
	HardTargets             bool    // the teacher's strongest cluster instead of its distribution
}

// Loss is cross-view self-distillation on [CLS] and in-view self-distillation on masked patches, with
// centered and sharpened targets (equations 2 and 3 of the paper; equation 1 is DINO's).
type Loss struct {
	LossConfig
	Center  *torch.Tensor // (1, OutDim): moving mean of the teacher's [CLS] logits
	Center2 *torch.Tensor // (1, 1, PatchOutDim): moving mean of the teacher's patch logits
}

// NewLoss returns a loss whose centers are 0. Its owner calls [Loss.Free].
func NewLoss(c LossConfig, outDim, patchOutDim int, d torch.Device) *Loss {
	return &Loss{
		LossConfig: c,
		Center:     torch.Zeros(torch.Float32, d, 1, outDim).Own(),
		Center2:    torch.Zeros(torch.Float32, d, 1, 1, patchOutDim).Own(),
	}
}

// Free frees the centers.
func (l *Loss) Free() {
	l.Center.Free()
	l.Center2.Free()
}

// Temps are the teacher's temperatures of an epoch.
type Temps struct{ Cls, Patch float64 }

// Student is what the student says of a batch of B images: logits in float32.
type Student struct {
	Cls    *torch.Tensor // ((G+L)*B, K), crop by crop, global crops first
	Masked *torch.Tensor // (M, K2), of the masked patches only; nil where nothing is masked
}

// Teacher is what the teacher says of the global crops of the same batch.
type Teacher struct {
	Cls       *torch.Tensor // (G*B, K)
	Masked    *torch.Tensor // (M, K2), of the same patches as the student's
	ClsMean   *torch.Tensor // (1, K), over all global crops
	PatchMean *torch.Tensor // (1, 1, K2), over all patches, masked or not
}

// Terms are the loss and what it is made of, on the device.
type Terms struct {
	Loss      *torch.Tensor // scalar: Cls + Patch
	Cls       *torch.Tensor // scalar
	Patch     *torch.Tensor // scalar
	Clusters  *torch.Tensor // (B) int64: the teacher's strongest cluster of the first global crop
	Agreement *torch.Tensor // scalar: share of images whose second crop the student puts there too
	Entropy   *torch.Tensor // scalar: mean entropy of the teacher's [CLS] targets, in nats
}

// Forward returns the loss of a batch. weight (M) is what each masked patch counts: one over the number of
// masked patches of its crop. It uses the centers as they are; [Loss.Update] moves them.
func (l *Loss) Forward(s Student, t Teacher, weight *torch.Tensor, temps Temps) Terms {
	var targets *torch.Tensor
	terms := Terms{}
	torch.NoGrad(func() {
		targets = l.targets(t.Cls, l.Center, temps.Cls)
		terms.Entropy = targets.Mul(targets.ClampMin(1e-30).Log()).Sum(-1).Mean(0).Neg()
		terms.Clusters, terms.Agreement = l.agreement(s.Cls, t.Cls)
	})
	terms.Cls = l.clsTerm(s.Cls, targets)
	terms.Patch = l.patchTerm(s, t, weight, temps.Patch)
	terms.Loss = terms.Cls.Add(terms.Patch)
	return terms
}

// targets turns the teacher's logits (..., K) into distributions: centered, sharpened, one-hot if so asked.
func (l *Loss) targets(logits, center *torch.Tensor, temp float64) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor {
		centered := logits.Sub(center.Reshape(1, -1))
		if l.HardTargets {
			return centered.ArgMax(-1).OneHot(centered.Size(-1)).To(torch.Float32)
		}
		return centered.DivScalar(temp).Softmax(-1)
	})
}

// clsTerm is the cross-entropy of each student view with the targets of every other global view,
// averaged over the G(G+L-1) pairs and over images. Summing the targets first takes one
// log-softmax a view instead of one a pair.
func (l *Loss) clsTerm(logits, targets *torch.Tensor) *torch.Tensor {
	G, n := l.GlobalCrops, l.GlobalCrops+l.LocalCrops
	pairs := G * (n - 1)
	if pairs == 0 { // a single view has no other to predict
		return logits.SumAll().MulScalar(0)
	}
	return torch.Tidy(func() *torch.Tensor {
		B, K := logits.Size(0)/n, logits.Size(1)
		logp := logits.DivScalar(l.StudentTemp).LogSoftmax(-1).Reshape(n, B, K)
		perView := targets.Reshape(G, B, K)
		all := perView.Sum(0).Unsqueeze(0) // (1, B, K)
		ce := all.Sub(perView).Mul(logp.Slice(0, 0, G)).SumAll()
		if l.LocalCrops > 0 {
			ce = ce.Add(all.Mul(logp.From(0, G)).SumAll())
		}
		return ce.MulScalar(-l.Lambda1 / float64(pairs*B))
	})
}

// patchTerm is the cross-entropy of the student's masked patches with the teacher's, averaged over the
// masked patches of a crop, then over all crops; a crop without masks counts as 0, as in the reference.
func (l *Loss) patchTerm(s Student, t Teacher, weight *torch.Tensor, temp float64) *torch.Tensor {
	if s.Masked == nil {
		return torch.Zeros(torch.Float32, s.Cls.Device())
	}
	return torch.Tidy(func() *torch.Tensor {
		var targets *torch.Tensor
		torch.NoGrad(func() { targets = l.targets(t.Masked, l.Center2, temp) })
		logp := s.Masked.DivScalar(l.StudentTemp).LogSoftmax(-1)
		ce := targets.Mul(logp).Sum(-1) // (M)
		crops := t.Cls.Size(0)
		return ce.Mul(weight).SumAll().MulScalar(-l.Lambda2 / float64(crops))
	})
}

// agreement compares the teacher's strongest cluster of the first global crop with the student's of the
// second.
func (l *Loss) agreement(student, teacher *torch.Tensor) (clusters, share *torch.Tensor) {
	B := teacher.Size(0) / l.GlobalCrops
	clusters = teacher.Slice(0, 0, B).ArgMax(-1)
	second := min(1, l.GlobalCrops+l.LocalCrops-1) * B
	share = student.Slice(0, second, second+B).ArgMax(-1).Eq(clusters).To(torch.Float32).MeanAll()
	return clusters, share
}

// Update moves the centers towards the teacher's means of the batch.
func (l *Loss) Update(t Teacher) {
	torch.NoGrad(func() {
		l.Center.MulScalar_(l.CenterMomentum).AddScaled_(t.ClsMean, 1-l.CenterMomentum)
		l.Center2.MulScalar_(l.CenterMomentum2).AddScaled_(t.PatchMean, 1-l.CenterMomentum2)
	})
}
