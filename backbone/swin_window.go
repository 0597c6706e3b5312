package backbone

import (
	"sync"

	"ibot/nn"
	"ibot/torch"
)

// WindowAttention is multi-head self-attention within the windows of a map. To each score it adds a
// learned bias for the position of the key relative to the query (Liu et al. 2021, equation 4).
type WindowAttention struct {
	BiasTable *torch.Tensor // ((2 Side - 1)^2, heads): a row a relative position
	BiasIndex *torch.Tensor // (N, N), int64, N = Side^2: the row for a query and a key; a buffer, as in the reference
	QKV, Proj *nn.Linear
	Windows   torch.Windows
	masks     *windowMasks
}

func newWindowAttention(p *nn.Path, D, heads int, w torch.Windows, masks *windowMasks) *WindowAttention {
	positions, N := 2*w.Side-1, w.Side*w.Side
	return &WindowAttention{
		BiasTable: p.Param("relative_position_bias_table", nn.TruncNormal(.02), positions*positions, heads),
		BiasIndex: p.Table("relative_position_index", relativePositions(w.Side), N, N),
		QKV:       nn.NewLinear(p.Sub("qkv"), D, 3*D),
		Proj:      nn.NewLinear(p.Sub("proj"), D, D),
		Windows:   w,
		masks:     masks,
	}
}

// relativePositions numbers, for each pair of tokens of a window, where the first lies relative to
// the second: (2 side - 1) times the rows plus the columns between them, each counted from -(side -
// 1).
func relativePositions(side int) []int64 {
	var all []int64
	for q := range side * side {
		for k := range side * side {
			rows, columns := q/side-k/side+side-1, q%side-k%side+side-1
			all = append(all, int64(rows*(2*side-1)+columns))
		}
	}
	return all
}

// Bias returns what is added to the scores, (heads, N, N).
func (a *WindowAttention) Bias() *torch.Tensor {
	N := a.BiasIndex.Size(0)
	return a.BiasTable.IndexSelect(0, a.BiasIndex.Flatten(0, 1)).Reshape(N, N, -1).Permute(2, 0, 1)
}

// Forward keeps the shape (B, h, w, D). Tokens beyond the map are zeros before their projection, as
// in the reference: their queries, keys and values are the projection's biases.
func (a *WindowAttention) Forward(x *torch.Tensor) *torch.Tensor {
	mask := a.masks.of(a.Windows, x.Size(1), x.Size(2))
	return a.Proj.Forward(a.Windows.Attention(a.QKV.Forward(x), a.QKV.Bias, a.Bias(), mask))
}

// Weights returns the attention weights (B*windows, heads, N, N) of a map (B, h, w, D).
func (a *WindowAttention) Weights(x *torch.Tensor) *torch.Tensor {
	mask := a.masks.of(a.Windows, x.Size(1), x.Size(2))
	return a.Windows.Weights(a.QKV.Forward(x), a.QKV.Bias, a.Bias(), mask)
}

// MeanWeights returns the weights of a map (B, h, w, D) averaged over the queries, (B, heads, h*w).
func (a *WindowAttention) MeanWeights(x *torch.Tensor) *torch.Tensor {
	B, h, w := x.Size(0), x.Size(1), x.Size(2)
	weights := a.Weights(x)
	heads, N := weights.Size(1), weights.Size(2)
	all, windows := weights.Floats(), weights.Size(0)/B
	mean := make([]float32, B*heads*h*w)
	for i := range B * windows * heads * N {
		image, window, head, q := i/(windows*heads*N), i/(heads*N)%windows, i/N%heads, i%N
		if _, inside := a.Windows.Place(h, w, window, q); !inside {
			continue
		}
		of := mean[(image*heads+head)*h*w:]
		for k, weight := range all[i*N : (i+1)*N] {
			if place, inside := a.Windows.Place(h, w, window, k); inside {
				of[place] += weight / float32(h*w)
			}
		}
	}
	return torch.New(mean, B, heads, h*w).ToDevice(x.Device())
}

// windowMasks keeps the masks of shifted windows, one for each size of map, for all blocks of a
// network.
type windowMasks struct {
	path *nn.Path // that owns them
	mu   sync.Mutex
	kept map[windowsOfMap]*torch.Tensor
	size int // numbers in all that are kept
}

// windowsOfMap is what a mask depends on.
type windowsOfMap struct {
	torch.Windows
	down, across int
}

// maxKept is how many numbers are kept at most, 128 MiB: the masks of some sizes, not of a folder
// of photographs.
const maxKept = 1 << 25

func newWindowMasks(p *nn.Path) *windowMasks {
	return &windowMasks{path: p, kept: map[windowsOfMap]*torch.Tensor{}}
}

// of returns the mask for a map of h x w tokens, nil for windows that are not shifted.
func (m *windowMasks) of(w torch.Windows, h, width int) *torch.Tensor {
	if w.Shift == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := windowsOfMap{Windows: w}
	key.down, key.across = w.Count(h, width)
	if mask, ok := m.kept[key]; ok {
		return mask
	}
	make := func() *torch.Tensor { return w.Mask(h, width) }
	size := key.down * key.across * w.Side * w.Side * w.Side * w.Side
	if m.size+size > maxKept {
		return make().ToDevice(m.path.Device())
	}
	m.size += size
	m.kept[key] = m.path.Cache(make)
	return m.kept[key]
}
