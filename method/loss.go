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

// Embedded are the tokens of a batch of B images that carry loss, as the last layer of the head takes them: of width d.
type Embedded struct {
	Cls    *torch.Tensor // (crops*B, d), crop by crop, global crops first
	Masked *torch.Tensor // (M, d), of the masked patches only; nil where nothing is masked
}

// Teacher is what the teacher says of the global crops.
type Teacher struct {
	Embedded
	ClsMean   *torch.Tensor // (1, K): mean logits over all global crops
	PatchMean *torch.Tensor // (1, 1, K2): over all patches, masked or not
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

// clsTerm is the cross-entropy of each student view with the targets of every other global view,
// averaged over the G(G+L-1) pairs and over the B images of the batch, of which logits and targets may be a
// part. Summing the targets first takes one log-softmax a view instead of one a pair.
func (l *Loss) clsTerm(logits, targets *torch.Tensor, B int) *torch.Tensor {
	G, n := l.GlobalCrops, l.GlobalCrops+l.LocalCrops
	pairs := G * (n - 1)
	if pairs == 0 { // a single view has no other to predict
		return logits.SumAll().MulScalar(0)
	}
	return torch.Tidy(func() *torch.Tensor {
		part, K := logits.Size(0)/n, logits.Size(1)
		logp := logits.DivScalar(l.StudentTemp).LogSoftmax(-1).Reshape(n, part, K)
		perView := targets.Reshape(G, part, K)
		all := perView.Sum(0).Unsqueeze(0) // (1, part, K)
		ce := all.Sub(perView).Mul(logp.Slice(0, 0, G)).SumAll()
		if l.LocalCrops > 0 {
			ce = ce.Add(all.Mul(logp.From(0, G)).SumAll())
		}
		return ce.MulScalar(-l.Lambda1 / float64(pairs*B))
	})
}

// patchTerm is the cross-entropy of the student's masked patches with their targets, averaged over the masked patches of a
// crop, which weight does, then over all crops of the batch; a crop without masks counts as 0, as in the reference.
func (l *Loss) patchTerm(logits, targets, weight *torch.Tensor, crops int) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor {
		logp := logits.DivScalar(l.StudentTemp).LogSoftmax(-1)
		ce := targets.Mul(logp).Sum(-1) // (M)
		return ce.Mul(weight).SumAll().MulScalar(-l.Lambda2 / float64(crops))
	})
}

// AddMeans adds the part of t's means in t's share of a batch to the means of the whole, which begin as zeros.
func (whole Teacher) AddMeans(t Teacher, share float64) {
	torch.NoGrad(func() {
		whole.ClsMean.AddScaled_(t.ClsMean, share)
		whole.PatchMean.AddScaled_(t.PatchMean, share)
	})
}

// Update moves the centers towards the teacher's means of the batch. Where skip is 1, as for [torch.Unless], they stay.
func (l *Loss) Update(t Teacher, skip *torch.Tensor) {
	torch.NoGrad(func() {
		torch.Unless(skip, []*torch.Tensor{l.Center, l.Center2}, func() {
			l.Center.MulScalar_(l.CenterMomentum).AddScaled_(t.ClsMean, 1-l.CenterMomentum)
			l.Center2.MulScalar_(l.CenterMomentum2).AddScaled_(t.PatchMean, 1-l.CenterMomentum2)
		})
	})
}

// MeasuredScalars is how many numbers of [Terms.Measured] come before the clusters.
const MeasuredScalars = 5

// Measured joins what a batch measured to one vector (5+B) without history, so that it is read at once: the loss, its two
// terms, agreement, entropy, clusters, which float32 holds exactly.
func (t Terms) Measured() (all *torch.Tensor) {
	torch.NoGrad(func() {
		all = torch.Tidy(func() *torch.Tensor {
			var list []*torch.Tensor
			for _, x := range []*torch.Tensor{t.Loss, t.Cls, t.Patch, t.Agreement, t.Entropy} {
				list = append(list, x.Detach().Reshape(1))
			}
			return torch.Cat(append(list, t.Clusters.To(torch.Float32)), 0)
		})
	})
	return all
}
