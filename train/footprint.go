package train

import (
	"cmp"
	"math"
	"slices"

	"ibot/backbone"
	"ibot/method"
	"ibot/torch"
)

// Saving is how a step is made so that it needs less memory: the settings of the same names.
type Saving struct {
	MicroBatch int
	Recompute  bool
	HeadChunk  int
}

// footprint estimates the memory of training from the sizes of what is alive at once.
// docs/benchmarks.md says how good the estimates are.
type footprint struct {
	Config
	cpu           bool
	packed        float64 // bytes that layers keep of a number of a weight, packed
	fixed         float64 // bytes that are there whatever the saving
	global, local []backbone.BlockShape
}

// processBytes is what a run holds beside the tensors of a step, the loader and pictures among it, as measured.
const processBytes = 360 << 20

// newFootprint returns the footprint of training m on device d; packed is [torch.PackedBytes] of its processor.
func newFootprint(c Config, m *method.Model, d torch.Device, packed int) footprint {
	f := footprint{Config: c, cpu: d.Type == torch.CPUType}
	student, teacher := float64(m.Student.Path.Count()), float64(m.Teacher.Path.Count())
	moments := 1.
	if c.Optimizer == "adamw" {
		moments = 2
	}
	f.fixed = 4 * (student*(2+moments) + teacher) // weights, gradients, moments; weights
	if f.cpu {
		f.packed = float64(packed)
	}
	switch { // weights as the products take them
	case f.packed > 0:
		f.fixed += f.packed * (2*student + teacher)
	case c.Precision != "fp32":
		f.fixed += 2 * student
	}
	if f.cpu {
		pixels := c.GlobalCropsNumber*c.ImgSize*c.ImgSize + c.LocalCropsNumber*c.LocalSize*c.LocalSize
		f.fixed += processBytes + 3*4*float64(c.BatchSize*c.InChans*pixels) // three batches of the loader go round
	}
	net := m.Student.Backbone.(interface {
		Shapes(H, W int) []backbone.BlockShape
	})
	f.global = net.Shapes(c.ImgSize, c.ImgSize)
	if c.LocalCropsNumber > 0 {
		f.local = net.Shapes(c.LocalSize, c.LocalSize)
	}
	return f
}

// product is the bytes of a number that a matrix product reads or makes.
func (f footprint) product() float64 {
	if f.Precision == "fp32" {
		return 4
	}
	return 2
}

// activations are the bytes that a block keeps of an image for the backward pass: what enters its
// two halves, in float32, both norms, queries, keys and values, what attention gives, and the MLP's
// inside before and, but with packed weights, after GELU.
func (f footprint) activations(b backbone.BlockShape) float64 {
	inside := 2 * float64(b.Hidden)
	if f.packed > 0 {
		inside = float64(b.Hidden)
	}
	return float64(b.Tokens) * (4*2*float64(b.Dim) + f.product()*(6*float64(b.Dim)+inside))
}

// leftOnCPU is what is left of the activations, as measured: dropped branches, and the last block, which is computed for some tokens, leave out
// more than the allocator loses between tensors. A GPU computes them all.
const leftOnCPU = .85

// peak is the estimate of the greatest memory of a step, in bytes.
func (f footprint) peak(s Saving) float64 {
	m := float64(f.BatchSize)
	if s.MicroBatch > 0 {
		m = min(m, float64(s.MicroBatch))
	}
	var graph, widest float64 // of an image
	pass := func(crops int, blocks []backbone.BlockShape) {
		for _, b := range blocks {
			kept := float64(crops) * f.activations(b)
			widest = max(widest, kept)
			if s.Recompute {
				kept = 4 * float64(crops*b.Tokens*b.Dim)
			}
			graph += kept
		}
	}
	pass(f.GlobalCropsNumber, f.global)
	pass(f.LocalCropsNumber, f.local)
	// A block on its way back has its gradients, and with recomputation its activations too. The logits are gone by then.
	backward, left := .5*widest, 1.
	if s.Recompute {
		backward = widest
	}
	if f.cpu {
		left = leftOnCPU
	}
	pixels := 4 * float64(f.InChans*(f.GlobalCropsNumber*f.ImgSize*f.ImgSize+f.LocalCropsNumber*f.LocalSize*f.LocalSize))
	return f.fixed + m*pixels + left*max(m*graph+max(m*backward, f.head(m, s)), m*f.teacher())
}

// head is what head and loss keep for m images: the MLP of the rows that carry loss, and several
// copies of the logits of as many as there are at a time.
func (f footprint) head(m float64, s Saving) float64 {
	rows := m * float64(f.GlobalCropsNumber+f.LocalCropsNumber)
	if f.UseMaskedIM {
		last := f.global[len(f.global)-1].Tokens
		crops := m * float64(f.GlobalCropsNumber)
		rows += crops * float64(last) * f.maskedShare(crops)
		if !f.cpu { // there they are filled up
			rows += float64(method.MaskedMultiple(int(crops) * last))
		}
	}
	inside := rows * (2*f.product()*float64(f.HiddenDim*(f.HeadLayers-1)) + 4*3*float64(f.BottleneckDim))
	const copies = 5 // logits, scaled, their logarithms, targets, and a gradient
	at := rows
	if s.HeadChunk > 0 {
		at = min(rows, float64(s.HeadChunk))
	}
	weights := 3 * 4 * float64(f.BottleneckDim*f.OutDim) // of the last layers, and the gradient of one
	return inside + weights + copies*4*at*float64(f.OutDim)
}

// maskedShare is the share of masked patches that so many crops hardly exceed together.
func (f footprint) maskedShare(crops float64) float64 {
	mean, most := 0., 0.
	for i, r := range f.PredRatio {
		mean += r / float64(len(f.PredRatio))
		most = max(most, r+f.PredRatioVar[i])
	}
	return mean + (most-mean)/math.Sqrt(crops)
}

// teacher is what the teacher holds of an image at once: a block on its way, or the head's MLP of
// all tokens.
func (f footprint) teacher() float64 {
	var widest float64
	for _, b := range f.global {
		widest = max(widest, f.activations(b))
	}
	last := f.global[len(f.global)-1]
	return float64(f.GlobalCropsNumber) * max(widest, float64(last.Tokens)*f.product()*3*float64(f.HiddenDim))
}

// fits returns the fastest plan that needs at most limit bytes, and its need. Where there is none,
// need is the least.
func (f footprint) fits(limit float64, parts bool) (s Saving, ok bool, need float64) {
	least := math.Inf(1)
	for _, s := range f.plans(parts) {
		need := f.peak(s)
		if need <= limit {
			return s, true, need
		}
		least = min(least, need)
	}
	return Saving{}, false, least
}

// plans lists the ways to make a step, the fastest first. What the settings ask for is in all of
// them. A head that looks at the whole batch (parts is false) does not let it be parted.
func (f footprint) plans(parts bool) (all []Saving) {
	batch := f.BatchSize
	if f.MicroBatch > 0 {
		batch = min(batch, f.MicroBatch)
	}
	sizes := []int{batch}
	for m := batch; parts && m > 1; sizes = append(sizes, m) {
		m = (m + 1) / 2
	}
	for _, m := range sizes {
		for _, recompute := range []bool{false, true} {
			for _, chunk := range []int{0, headChunk} {
				if f.Recompute && !recompute || f.HeadChunk > 0 && chunk == 0 || !parts && chunk > 0 {
					continue
				}
				s := Saving{MicroBatch: m, Recompute: recompute, HeadChunk: chunk}
				if m == f.BatchSize {
					s.MicroBatch = 0
				}
				if f.HeadChunk > 0 {
					s.HeadChunk = f.HeadChunk
				}
				all = append(all, s)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Saving) int { return cmp.Compare(f.cost(a), f.cost(b)) })
	return all
}

// headChunk is how many rows of logits a plan has at a time, where it must.
const headChunk = 256

// cost is what a step takes, in units of an image of a whole batch, as measured
// (docs/benchmarks.md): recomputing the student's blocks is a quarter more, a micro-batch takes the
// cast and the sum of all weights' gradients.
func (f footprint) cost(s Saving) float64 {
	images, parts := float64(f.BatchSize), 1.
	if s.MicroBatch > 0 {
		parts = math.Ceil(images / float64(s.MicroBatch))
	}
	part := .1
	if f.Precision != "fp32" {
		part = .5
	}
	t := images + part*parts
	if s.Recompute {
		t += .28 * images
	}
	if s.HeadChunk > 0 {
		t += .01 * images
	}
	return t
}
