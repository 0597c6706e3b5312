package torch

import "fmt"

var (
	opWindowAttention = &op{name: "ibot::window_attention"} // window_attention.cpp: float32 and bfloat16 on the CPU
	opRoll            = aten("roll")
)

// Windows says how a map is cut for attention: into windows of Side x Side tokens, after it was
// rolled up and left by Shift (Liu et al. 2021, Swin, section 3.2). Maps whose height or width is
// no multiple of Side are padded at the bottom and on the right first.
type Windows struct{ Side, Shift int }

// Count returns how many windows a map of H x W tokens has, down and across.
func (w Windows) Count(H, W int) (down, across int) {
	return (H + w.Side - 1) / w.Side, (W + w.Side - 1) / w.Side
}

// Place returns where token i of a window lies in a map of H x W tokens, row by row; padding lies
// nowhere.
func (w Windows) Place(H, W, window, i int) (place int, inside bool) {
	down, across := w.Count(H, W)
	y := (window/across*w.Side + i/w.Side + w.Shift) % (down * w.Side)
	x := (window%across*w.Side + i%w.Side + w.Shift) % (across * w.Side)
	return y*W + x, y < H && x < W
}

// Attention is [SelfAttention] within each window of a map, from one projection to queries, keys
// and values, qkv (B, H, W, 3 D), to the tokens (B, H, W, D). With N = Side*Side tokens a window:
// bias (heads, N, N) is added to the scaled scores, and mask, (down*across, N, N), of each window,
// or nil. Padding (3 D) is what qkv has for tokens beyond the map: they are keys and values like
// the others.
//
// On the CPU in float32 and bfloat16 it is one operator that copies no map; elsewhere the engine's
// fused attention, if it has one.
func (w Windows) Attention(qkv, padding, bias, mask *Tensor) *Tensor {
	if d := qkv.DType(); qkv.Device() == CPU && (d == Float32 || d == BFloat16) {
		if mask == nil {
			mask = Empty(Float32, CPU, 0)
		}
		return opWindowAttention.one(qkv, padding, bias, mask, w.Side, w.Shift)
	}
	B, H, W, heads := qkv.Size(0), qkv.Size(1), qkv.Size(2), bias.Size(0)
	q, k, v := w.partition(qkv, padding, heads) // (B, windows, heads, N, d)
	var y *Tensor
	if opSDPA.find() == nil {
		y = w.weights(q, k, bias, mask).Matmul(v)
	} else {
		nW, N, d := q.Size(1), q.Size(3), q.Size(4)
		added := bias.Unsqueeze(0) // (1 or windows, heads, N, N)
		if mask != nil {
			added = added.Add(mask.Unsqueeze(1))
		}
		added = added.Expand(nW, heads, N, N).Reshape(1, nW*heads, N, N).Expand(B, -1, -1, -1).To(q.DType())
		flat := func(t *Tensor) *Tensor { return t.Reshape(B, nW*heads, N, d) }
		y = opSDPA.one(flat(q), flat(k), flat(v), added).Reshape(B, nW, heads, N, d)
	}
	return w.join(y.Transpose(2, 3).Reshape(B, q.Size(1), w.Side*w.Side, -1), H, W)
}

// Weights returns the attention weights (B*windows, heads, N, N) of [Windows.Attention], image by
// image.
func (w Windows) Weights(qkv, padding, bias, mask *Tensor) *Tensor {
	q, k, _ := w.partition(qkv, padding, bias.Size(0))
	return w.weights(q, k, bias, mask).Flatten(0, 1)
}

// weights returns softmax(q k^T / sqrt(d) + bias + mask), (B, windows, heads, N, N).
func (w Windows) weights(q, k, bias, mask *Tensor) *Tensor {
	scores := q.Matmul(k.Transpose(-2, -1)).MulScalar(invSqrt(q.Size(-1))).Add(bias)
	if mask != nil {
		scores = scores.Add(mask.Unsqueeze(1))
	}
	return scores.Softmax(-1).To(q.DType())
}

// partition pads and rolls a map and cuts it into queries, keys and values (B, windows, heads, N,
// d).
func (w Windows) partition(qkv, padding *Tensor, heads int) (q, k, v *Tensor) {
	B, H, W, D := qkv.Size(0), qkv.Size(1), qkv.Size(2), qkv.Size(3)/3
	down, across := w.Count(H, W)
	padding = padding.To(qkv.DType())
	if right := across*w.Side - W; right > 0 {
		qkv = Cat([]*Tensor{qkv, padding.Expand(B, H, right, 3*D)}, 2)
	}
	if below := down*w.Side - H; below > 0 {
		qkv = Cat([]*Tensor{qkv, padding.Expand(B, below, across*w.Side, 3*D)}, 1)
	}
	if w.Shift > 0 {
		qkv = opRoll.one(qkv, []int{-w.Shift, -w.Shift}, []int{1, 2})
	}
	x := qkv.Reshape(B, down, w.Side, across, w.Side, 3, heads, D/heads).Permute(5, 0, 1, 3, 6, 2, 4, 7) // (3, B, down, across, heads, side, side, d)
	parts := x.Reshape(3, B, down*across, heads, w.Side*w.Side, D/heads).Unbind(0)
	return parts[0], parts[1], parts[2]
}

// join makes a map (B, H, W, D) of windows (B, windows, N, D), rolls it back and cuts the padding
// off.
func (w Windows) join(y *Tensor, H, W int) *Tensor {
	B, D := y.Size(0), y.Size(3)
	down, across := w.Count(H, W)
	y = y.Reshape(B, down, across, w.Side, w.Side, D).Permute(0, 1, 3, 2, 4, 5).Reshape(B, down*w.Side, across*w.Side, D)
	if w.Shift > 0 {
		y = opRoll.one(y, []int{w.Shift, w.Shift}, []int{1, 2})
	}
	return y.Slice(1, 0, H).Slice(2, 0, W)
}

// Mask returns what is added to the scores of a rolled map of H x W tokens, (down*across, N, N) on
// the CPU: -100 between tokens that were no neighbours before it was rolled, else 0. The regions
// are those of the reference; padding counts as part of the map.
func (w Windows) Mask(H, W int) *Tensor {
	if w.Shift <= 0 || w.Shift >= w.Side {
		panic(&Error{Op: "window mask", Msg: fmt.Sprintf("a shift of %d in windows of %d; want 1 or more, and less than the window", w.Shift, w.Side)})
	}
	down, across := w.Count(H, W)
	region := func(i, size int) int {
		switch {
		case i < size-w.Side:
			return 0
		case i < size-w.Shift:
			return 1
		}
		return 2
	}
	N := w.Side * w.Side
	mask := make([]float32, 0, down*across*N*N)
	regions := make([]int, N)
	for top := range down {
		for left := range across {
			for i := range N {
				y, x := top*w.Side+i/w.Side, left*w.Side+i%w.Side
				regions[i] = 3*region(y, down*w.Side) + region(x, across*w.Side)
			}
			for _, a := range regions {
				for _, b := range regions {
					if a != b {
						mask = append(mask, -100)
					} else {
						mask = append(mask, 0)
					}
				}
			}
		}
	}
	return New(mask, down*across, N, N)
}
