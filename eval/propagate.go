package eval

import (
	"slices"

	"ibot/torch"
)

// Propagation carries labels of patches from frame to frame of a video, by the similarity of frozen
// features alone (Jabri et al. 2020; Caron et al. 2021). A patch takes the labels of the TopK most
// similar patches, weighted by exp(cosine/Temperature), among those of the first frame and of the
// last Frames frames that lie within Radius rows and columns of it.
type Propagation struct {
	Frames      int
	Radius      int // 0: anywhere in the frame
	TopK        int
	Temperature float64
}

// DefaultPropagation is the published protocol.
func DefaultPropagation() Propagation {
	return Propagation{Frames: 7, Radius: 12, TopK: 5, Temperature: 0.1}
}

// tracker follows the labels of one video.
type tracker struct {
	Propagation
	rows, cols *torch.Tensor   // (N): where on the grid each patch lies
	frames     []labelledFrame // the first, and the last few
}

// labelledFrame is a frame whose labels are known or were propagated.
type labelledFrame struct {
	features *torch.Tensor // (N, D), of length 1
	labels   *torch.Tensor // (N, C): the share of each label in each patch
}

func (f labelledFrame) free() {
	f.features.Free()
	f.labels.Free()
}

// newTracker begins with the features (h*w, D) of the first frame and its labels (h*w, C).
func newTracker(p Propagation, h, w int, features, labels *torch.Tensor) *tracker {
	rows, cols := make([]float32, h*w), make([]float32, h*w)
	for i := range rows {
		rows[i], cols[i] = float32(i/w), float32(i%w)
	}
	t := &tracker{Propagation: p}
	t.rows = torch.New(rows, h*w).ToDevice(features.Device()).Own()
	t.cols = torch.New(cols, h*w).ToDevice(features.Device()).Own()
	t.keep(normalise(features), labels)
	return t
}

func (t *tracker) close() {
	t.rows.Free()
	t.cols.Free()
	for _, f := range t.frames {
		f.free()
	}
}

// keep adds a frame, and forgets the oldest but the first.
func (t *tracker) keep(features, labels *torch.Tensor) {
	t.frames = append(t.frames, labelledFrame{features.Clone().Own(), labels.Clone().Own()})
	if len(t.frames) > 1+t.Frames {
		t.frames[1].free()
		t.frames = slices.Delete(t.frames, 1, 2)
	}
}

// next propagates labels to the next frame, with features (N, D), and returns them: (N, C).
func (t *tracker) next(features *torch.Tensor) *torch.Tensor {
	features = normalise(features)
	var sources, labels []*torch.Tensor
	for _, f := range t.frames {
		sources, labels = append(sources, f.features), append(labels, f.labels)
	}
	from, known := torch.Cat(sources, 0).Transpose(0, 1), torch.Cat(labels, 0) // (D, F*N), (F*N, C)
	N := features.Size(0)
	rows := max(1, blockSize/from.Size(1))
	var parts []*torch.Tensor
	for first := 0; first < N; first += rows {
		parts = append(parts, torch.Tidy(func() *torch.Tensor {
			return t.affinity(features, from, first, min(first+rows, N)).MM(known)
		}))
	}
	out := torch.Cat(parts, 0)
	t.keep(features, out)
	return out
}

// affinity is how much patches first to end take of each source (D, F*N): (end-first, F*N), rows
// that sum to 1.
func (t *tracker) affinity(features, from *torch.Tensor, first, end int) *torch.Tensor {
	a := features.Slice(0, first, end).MM(from).DivScalar(t.Temperature).Exp()
	if t.Radius > 0 {
		away := func(at *torch.Tensor) *torch.Tensor { // (end-first, N)
			return at.Slice(0, first, end).Unsqueeze(1).Sub(at.Unsqueeze(0)).Abs()
		}
		near := away(t.rows).Maximum(away(t.cols)).Neg().GeScalar(float64(-t.Radius)).To(torch.Float32)
		a = a.Reshape(end-first, len(t.frames), -1).Mul(near.Unsqueeze(1)).Reshape(end-first, -1)
	}
	best, _ := a.TopK(min(t.TopK, a.Size(1)), 1)
	least := best.From(1, best.Size(1)-1) // (end-first, 1)
	// As the reference: patches that are as similar as the last of the best count too.
	a = a.Mul(a.Sub(least).GeScalar(0).To(torch.Float32))
	return a.Div(a.Sum(1).Unsqueeze(1))
}

// objects turns labels (h*w, C) into the number of the object at each of the h*patch x w*patch
// pixels: bilinear between patches, each label's share stretched to [0, 1], the largest wins.
func objects(labels *torch.Tensor, h, w, patch int) []uint8 {
	C := labels.Size(1)
	grid := labels.Transpose(0, 1).Reshape(1, C, h, w)
	pixels := h * patch * w * patch
	winner, best := make([]uint8, pixels), make([]float32, pixels)
	for c := range C {
		var shares []float32
		torch.Scope(func() {
			shares = grid.Slice(1, c, c+1).Bilinear(h*patch, w*patch, float64(patch), float64(patch)).Floats()
		})
		low, high := slices.Min(shares), slices.Max(shares)
		if high <= 0 || high == low { // a label that is nowhere, or everywhere alike
			low, high = 0, 1
		}
		for i, v := range shares {
			if v = (v - low) / (high - low); c == 0 || v > best[i] {
				winner[i], best[i] = uint8(c), v
			}
		}
	}
	return winner
}
