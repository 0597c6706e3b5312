package eval

import (
	"math"
	"slices"

	"ibot/rng"
	"ibot/torch"
)

// Head is a linear classifier on frozen features: how it is trained, and how well it did.
type Head struct {
	Optimizer   string  `json:"optimizer"` // "sgd" or "lars"
	LR          float64 `json:"lr"`        // for 256 images a step, at the start
	WeightDecay float64 `json:"weight_decay"`
	Best        float64 `json:"best"`       // top-1 on the images to classify, of the best epoch, in percent
	BestEpoch   int     `json:"best_epoch"` // counted from 1
	Last        float64 `json:"last"`       // top-1 after the last epoch
}

const headMomentum = .9 // of SGD and of LARS

// sweep trains many heads on the same batches at once. Each batch of features is made once, and the
// weights of many heads are one matrix, so a step is a few operators however many heads there are. No
// head knows of another: it becomes what it would have become alone.
type sweep struct {
	heads  []Head
	groups []*headGroup
	C, D   int
}

// groupSize bounds the weights of a group on a CPU, so that they stay in its cache from one operator
// to the next: 45 heads of 1,000 classes in one matrix took a third longer than one by one.
const groupSize = 1 << 22

// headGroup are some heads of one optimizer.
type headGroup struct {
	of         []int         // their positions in sweep.heads
	weight     *torch.Tensor // (H*C, D)
	bias       *torch.Tensor // (H*C)
	momentumW  *torch.Tensor // (H*C, D)
	momentumB  *torch.Tensor // (H*C)
	decay      *torch.Tensor // (H, 1, 1); nil without any
	lars       bool
	learnRates []float64 // (H)
}

// newSweep makes heads for C classes of features of D numbers. Their weights begin as one draw from
// N(0, 0.01^2), the same for all, and their biases at 0, as the reference's.
func newSweep(heads []Head, C, D int, seed rng.Seed, d torch.Device) *sweep {
	s := &sweep{heads: heads, C: C, D: D}
	r := seed.Stream("linear head")
	initial := make([]float32, C*D)
	for i := range initial {
		initial[i] = float32(.01 * r.NormFloat64())
	}
	together := len(heads)
	if d.Type == torch.CPUType {
		together = max(1, groupSize/(C*D))
	}
	for _, optimizer := range []string{"sgd", "lars"} {
		var of []int
		for i, h := range heads {
			if h.Optimizer == optimizer {
				of = append(of, i)
			}
		}
		for some := range slices.Chunk(of, together) {
			s.groups = append(s.groups, newHeadGroup(heads, some, optimizer, initial, D, d))
		}
	}
	return s
}

// newHeadGroup makes the heads of the positions of, with the same initial weights (C, D) each.
func newHeadGroup(heads []Head, of []int, optimizer string, initial []float32, D int, d torch.Device) *headGroup {
	g, H, C := &headGroup{of: of, lars: optimizer == "lars"}, len(of), len(initial)/D
	var decay []float32
	for _, i := range of {
		g.learnRates, decay = append(g.learnRates, heads[i].LR), append(decay, float32(heads[i].WeightDecay))
	}
	torch.Scope(func() {
		g.weight = torch.New(initial, 1, C, D).ToDevice(d).Expand(H, C, D).Reshape(H*C, D).Clone().Own()
		g.bias = torch.Zeros(torch.Float32, d, H*C).Own()
		g.momentumW = g.weight.ZerosLike().Own()
		g.momentumB = g.bias.ZerosLike().Own()
		if slices.Max(decay) > 0 {
			g.decay = torch.New(decay, H, 1, 1).ToDevice(d).Own()
		}
	})
	return g
}

// Close frees the heads.
func (s *sweep) Close() {
	for _, g := range s.groups {
		for _, t := range []*torch.Tensor{g.weight, g.bias, g.momentumW, g.momentumB, g.decay} {
			if t != nil {
				t.Free()
			}
		}
	}
}

// step trains all heads on one batch: features x (B, D) and labels (B), int64. rate is what every
// learning rate is multiplied with.
func (s *sweep) step(x, labels *torch.Tensor, rate float64) {
	torch.NoGrad(func() {
		torch.Scope(func() {
			truth := labels.OneHot(s.C).To(torch.Float32).Unsqueeze(1) // (B, 1, C)
			for _, g := range s.groups {
				torch.Scope(func() { g.step(x, truth, rate) })
			}
		})
	})
}

func (g *headGroup) step(x, truth *torch.Tensor, rate float64) {
	B, C, H := x.Size(0), truth.Size(2), len(g.of)
	p := x.Linear(g.weight, g.bias).Reshape(B, H, C).Softmax(-1)
	// The cross entropy's gradient with respect to the logits: softmax less the truth, of the mean
	// over the batch.
	grad := p.Sub_(truth).MulScalar_(1/float64(B)).Reshape(B, H*C)
	gradB := grad.Sum(0) // (H*C)
	rates := make([]float32, H)
	for i, lr := range g.learnRates {
		rates[i] = float32(lr * rate)
	}
	lr := torch.New(rates, H, 1, 1).ToDevice(x.Device())
	blocks := func(t *torch.Tensor) *torch.Tensor { return t.Reshape(H, C, -1) } // shares memory
	if g.lars {
		gradW := grad.Transpose(0, 1).MM(x)
		if g.decay != nil {
			blocks(gradW).AddCMul_(blocks(g.weight), g.decay, 1)
		}
		blocks(gradW).Mul_(trustRatios(blocks(g.weight), blocks(gradW)))
		g.momentumW.MulScalar_(headMomentum).Add_(gradW)
	} else {
		g.momentumW.AddMM_(grad.Transpose(0, 1), x, headMomentum)
		if g.decay != nil { // PyTorch's SGD decays the bias too, LARS does not
			blocks(g.momentumW).AddCMul_(blocks(g.weight), g.decay, 1)
			blocks(gradB).AddCMul_(blocks(g.bias), g.decay, 1)
		}
	}
	g.momentumB.MulScalar_(headMomentum).Add_(gradB)
	blocks(g.weight).AddCMul_(blocks(g.momentumW), lr, -1)
	blocks(g.bias).AddCMul_(blocks(g.momentumB), lr, -1)
}

const larsEta = .001

// trustRatios are LARS's of each head, (H, 1, 1): eta |w|/|g|, and 1 where either is 0.
func trustRatios(w, g *torch.Tensor) *torch.Tensor {
	w, g = w.Flatten(1, 2).Norm(1), g.Flatten(1, 2).Norm(1) // (H, 1)
	one := torch.Ones(torch.Float32, w.Device())
	ratio := torch.Where(g.EqScalar(0), one, w.Div(g).MulScalar(larsEta))
	return torch.Where(w.EqScalar(0), one, ratio).Unsqueeze(2)
}

// count adds to hits, one number a head, on how many of the rows x (B, D) it is right about labels
// (B). A head whose weights have run away is right about none.
func (s *sweep) count(x, labels *torch.Tensor, hits []int) {
	torch.NoGrad(func() {
		torch.Scope(func() {
			B := x.Size(0)
			for _, g := range s.groups {
				H := len(g.of)
				logits := x.Linear(g.weight, g.bias).Reshape(B, H, s.C)
				right := logits.ArgMax(-1).Eq(labels.Unsqueeze(1)).To(torch.Float32).Sum(0) // (H)
				finite := logits.Abs().Sum(0, 2).Floats()
				for i, n := range right.Floats() {
					if f := float64(finite[i]); !math.IsNaN(f) && !math.IsInf(f, 0) {
						hits[g.of[i]] += int(n)
					}
				}
			}
		})
	})
}

// head returns copies of the weight (C, D) and the bias (C) of head i.
func (s *sweep) head(i int) (weight, bias *torch.Tensor) {
	for _, g := range s.groups {
		if at := slices.Index(g.of, i); at >= 0 {
			torch.Scope(func() {
				weight = g.weight.Slice(0, at*s.C, (at+1)*s.C).Clone().Own()
				bias = g.bias.Slice(0, at*s.C, (at+1)*s.C).Clone().Own()
			})
		}
	}
	return weight, bias
}

// cosineRate is the factor of the learning rates in an epoch, counted from 0: it falls from 1 along a
// half cosine that would be 0 in the epoch after the last, as PyTorch's CosineAnnealingLR.
func cosineRate(epoch, epochs int) float64 {
	return (1 + math.Cos(math.Pi*float64(epoch)/float64(epochs))) / 2
}
