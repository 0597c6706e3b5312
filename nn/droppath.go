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
		weights := m.Drops.weights(d.P, x) // drawn before the draws of f
		normed, x := norm.Fork(x, nil)
		return x.AddWeighted(f(normed), weights)
	}
	kept, scale := d.Kept(m, x.Size(0))
	switch len(kept) {
	case 0:
		return x
	case x.Size(0):
		kept = nil
	}
	normed, x := norm.Fork(x, kept)
	return x.AddBranch(f(normed), scale, kept)
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
	plan     []branch
	ahead    *torch.Tensor // what scales the branches that were drawn ahead, one after the other; nil: none were
}

// branch is what is drawn for one: its probability, and for how many views.
type branch struct {
	p     float64
	views int
}

// Plan lists the branches that were drawn for a batch, for the [Drops.Ahead] of the next step.
type Plan struct {
	images   int
	branches []branch
}

// Of reports whether p is the plan of a batch of so many images.
func (p Plan) Of(images int) bool { return p.images == images }

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
		d.drawBranch(branch{p, crops * d.images})
	}
	all := d.branches[d.at]
	d.at++
	var dropped []bool
	for c := range crops {
		dropped = append(dropped, all[c*d.images+d.from:c*d.images+d.to]...)
	}
	return dropped
}

func (d *Drops) drawBranch(b branch) {
	all := make([]bool, b.views)
	for i := range all {
		all[i] = d.noise.Bernoulli(b.p)
	}
	d.branches, d.plan = append(d.branches, all), append(d.plan, b)
}

// Plan returns what was drawn.
func (d *Drops) Plan() Plan { return Plan{d.images, d.plan} }

// Ahead draws all branches of a plan, as a pass would come to them, and brings them to the device at once. It comes before
// any pass, and what it makes belongs to the scope that it is called in. The plan of a batch of another size is of no use.
func (d *Drops) Ahead(plan Plan, device torch.Device) {
	if !plan.Of(d.images) {
		return
	}
	var weights []float32
	for _, b := range plan.branches {
		d.drawBranch(b)
		for _, dropped := range d.branches[len(d.branches)-1] {
			weights = append(weights, weightOf(dropped, b.p))
		}
	}
	if weights != nil {
		d.ahead = torch.NewOn(device, weights, len(weights))
	}
}

// Drawn is what [Drops.Ahead] brought to the device; nil: nothing.
func (d *Drops) Drawn() *torch.Tensor { return d.ahead }

// SetDrawn has passes read t in place of what was drawn ahead.
func (d *Drops) SetDrawn(t *torch.Tensor) { d.ahead = t }

// weightOf is what a branch counts.
func weightOf(dropped bool, p float64) float32 {
	if dropped {
		return 0
	}
	return float32(1 / (1 - p))
}

// weights returns what scales the next branch for each view of the pass, x (B, ...), on its device: (B, 1, ...).
func (d *Drops) weights(p float64, x *torch.Tensor) *torch.Tensor {
	B, from := x.Size(0), 0
	shape := []int{B}
	for range x.Dims() - 1 {
		shape = append(shape, 1)
	}
	for _, b := range d.plan[:min(d.at, len(d.plan))] {
		from += b.views
	}
	dropped, at := d.draw(p, B), d.at-1
	if d.ahead != nil && from < d.ahead.Size(0) {
		if b := d.plan[at]; b.p != p || b.views != B/(d.to-d.from)*d.images {
			panic(&torch.Error{Op: "drop_path", Msg: "the branches of a step are not those of its plan"})
		}
		all := d.ahead.Slice(0, from, from+d.plan[at].views).Reshape(-1, d.images)
		return all.Slice(1, d.from, d.to).Reshape(shape...)
	}
	weights := make([]float32, B)
	for i := range weights {
		weights[i] = weightOf(dropped[i], p)
	}
	return torch.NewOn(x.Device(), weights, shape...)
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
