package nn

import (
	"ibot/rng"
	"ibot/torch"
)

// DropPath drops the whole residual branch of a sample with probability P, and scales the branches
// that it keeps by 1/(1-P) (stochastic depth, Huang et al. 2016).
type DropPath struct{ P float64 }

// Add returns x + f(norm(x)) for x (B, ...), f being a branch that takes samples apart. What it drops is not computed,
// unless shapes are to be fixed.
func (d DropPath) Add(m Mode, x *torch.Tensor, norm *LayerNorm, f func(*torch.Tensor) *torch.Tensor) *torch.Tensor {
	if m.FixedShapes && m.Train && d.P > 0 {
		return x.AddWeighted(f(norm.ForLinear(x)), d.weights(m, x))
	}
	kept, scale := d.Kept(m, x.Size(0))
	switch len(kept) {
	case 0:
		return x
	case x.Size(0):
		kept = nil
	}
	return x.AddBranch(f(norm.OfSamples(x, kept)), scale, kept)
}

// weights draws what scales the branches of the samples of x (B, ...): 0 where one is dropped. (B, 1, ...)
func (d DropPath) weights(m Mode, x *torch.Tensor) *torch.Tensor {
	kept, scale := d.Kept(m, x.Size(0))
	weights := make([]float32, x.Size(0))
	for _, i := range kept {
		weights[i] = float32(scale)
	}
	shape := []int{len(weights)}
	for range x.Dims() - 1 {
		shape = append(shape, 1)
	}
	return torch.NewOn(x.Device(), weights, shape...)
}

// Kept returns which of B samples keep the next branch, in ascending order, and what scales it.
func (d DropPath) Kept(m Mode, B int) (kept []int, scale float64) {
	if d.P == 0 || !m.Train {
		for i := range B {
			kept = append(kept, i)
		}
		return kept, 1
	}
	for i, dropped := range m.Drops.draw(d.P, B) {
		if !dropped {
			kept = append(kept, i)
		}
	}
	return kept, 1 / (1 - d.P)
}

// Drops says which branches are dropped in a step, for every [DropPath] in the order in which a
// forward pass comes to them and every view of the batch, crop by crop. A pass over a part of the
// images gets the draws of the whole batch for these, and one that is made again those of the first
// time.
type Drops struct {
	noise    *rng.Stream
	images   int      // of the batch
	from, to int      // the images of the pass under way
	branches [][]bool // drawn so far
	at       int      // the branch that comes next
}

// NewDrops returns the dropped branches of a batch of images, drawn from noise as they are needed.
func NewDrops(noise *rng.Stream, images int) *Drops {
	return &Drops{noise: noise, images: images, to: images}
}

// Begin begins a forward pass over the images from (included) to to (excluded).
func (d *Drops) Begin(from, to int) { d.from, d.to, d.at = from, to, 0 }

// draw returns whether the next branch is dropped, for each of n views of the images of the pass.
func (d *Drops) draw(p float64, n int) []bool {
	part := d.to - d.from
	crops := n / part
	if d.at == len(d.branches) {
		all := make([]bool, crops*d.images)
		for i := range all {
			all[i] = d.noise.Bernoulli(p)
		}
		d.branches = append(d.branches, all)
	}
	all := d.branches[d.at]
	d.at++
	var dropped []bool
	for c := range crops {
		dropped = append(dropped, all[c*d.images+d.from:c*d.images+d.to]...)
	}
	return dropped
}

// next is the number of the branch that comes next; seek goes back to it. A network that drops none
// needs no Drops.
func (d *Drops) next() int {
	if d == nil {
		return 0
	}
	return d.at
}

func (d *Drops) seek(branch int) {
	if d != nil {
		d.at = branch
	}
}
