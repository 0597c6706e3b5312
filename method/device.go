package method

import (
	"slices"

	"ibot/torch"
)

// The views of a batch as tensor operations. They give the same bytes as [View.Render], because every
// step that could round otherwise is made of exact sums:
//
//   - Crop, resize, flip and blur are matrix products of bytes with fixed-point weights. A weight
//     is cut into a multiple of 2^12 and a rest below 2^11 in size, so that float32, in any order, adds whole numbers
//     below 2^24: all of them for the former, up to 32 weights for the latter. Where more than 32 pixels
//     become one, the rest may be off by some 2^-22 of a level. (TF32, which libtorch leaves off for matrix
//     products, would cost the blur a level here and there.)
//   - Colours are sums of whole numbers in float32 or float64, tables, and Pillow's own float32 operations, one
//     kernel each, so that no product is fused with a sum. Nothing is divided by a plain number, which
//     CUDA turns into the multiplication with its inverse.
//
// Tensors of views under way are (n, H, C, W) of whole numbers from 0 to 255 as float32: in this order
// rows and columns are both ready for a matrix product.

// shot is a view with the place of its crop on the device.
type shot struct {
	draftView
	first  int64 // the crop's upper left pixel
	stride int64 // pixels from a row to the next
}

// RenderOn renders the views of drafts, which NewDraft made of what v.Draw drew, on the device d: the global
// views (G*B, C, S, S) and the local ones (L*B, C, s, s), crop by crop, normalised. local is nil where there are
// none. They equal [View.RenderCHW]'s. It panics where images differ in their channels, or have others than v has
// means.
func (v Views) RenderOn(d torch.Device, drafts []Draft) (global, local *torch.Tensor) {
	views := torch.TidyAll(func() (views []*torch.Tensor) {
		torch.NoGrad(func() {
			torch.Autocast(d, torch.Float32, func() {
				p := upload(d, drafts)
				views = append(views, p.render(p.shots(drafts, 0, v.GlobalNumber), v))
				if v.LocalNumber > 0 {
					views = append(views, p.render(p.shots(drafts, v.GlobalNumber, v.GlobalNumber+v.LocalNumber), v))
				}
			})
		})
		return views
	})
	if v.LocalNumber > 0 {
		local = views[1]
	}
	return views[0], local
}

// canvas holds the pictures of a batch in the memory of a device.
type canvas struct {
	device torch.Device
	pixels *torch.Tensor // (P, C) bytes, picture after picture, row by row
	at     [][]int64     // the first pixel of each picture of each draft
	hue    hueTables     // where C is 3
}

func upload(d torch.Device, drafts []Draft) canvas {
	p := canvas{device: d}
	total, channels := int64(0), drafts[0].channels()
	for _, draft := range drafts {
		var at []int64
		for _, im := range draft.pictures {
			at = append(at, total)
			total += int64(im.W * im.H)
		}
		p.at = append(p.at, at)
	}
	p.pixels = torch.Empty(torch.Uint8, d, int(total), channels)
	for i, draft := range drafts {
		for j, im := range draft.pictures {
			from := int(p.at[i][j])
			p.pixels.Slice(0, from, from+im.W*im.H).FillBytes(im.Pix)
		}
	}
	if channels == 3 {
		p.hue = newHueTables(d)
	}
	return p
}

// shots lists the views from ... to-1 of all drafts, view by view.
func (p canvas) shots(drafts []Draft, from, to int) []shot {
	var all []shot
	for view := from; view < to; view++ {
		for i, draft := range drafts {
			picture := min(view, len(draft.pictures)-1)
			w := draft.views[view]
			stride := int64(draft.pictures[picture].W)
			first := p.at[i][picture] + int64(w.Box.Top)*stride + int64(w.Box.Left)
			all = append(all, shot{w, first, stride})
		}
	}
	return all
}

// maxPixels bounds the pixels that are worked on at a time: some hundred bytes of memory go with each.
const maxPixels = 1 << 23

// render renders shots of one size: (N, C, S, S). Shots whose crops have about the same size are worked on together.
func (p canvas) render(shots []shot, v Views) *torch.Tensor {
	order := make([]int, len(shots))
	for i := range order {
		order[i] = i
	}
	area := func(i int) int { return shots[i].Box.Width * shots[i].Box.Height }
	slices.SortStableFunc(order, func(a, b int) int { return area(a) - area(b) })

	size := shots[0].Size
	out := torch.Empty(torch.Float32, p.device, len(shots), p.pixels.Size(1), size, size)
	for len(order) > 0 {
		n, h, w := 0, size, size
		var some []shot
		for _, i := range order {
			h, w = max(h, shots[i].Box.Height), max(w, shots[i].Box.Width)
			if n > 0 && (n+1)*h*w > maxPixels {
				break
			}
			some = append(some, shots[i])
			n++
		}
		torch.Scope(func() {
			out.IndexCopy_(0, p.numbers(order[:n]), p.normalise(p.finish(some), v))
		})
		order = order[n:]
	}
	return out
}

// finish renders shots to (n, S, C, S).
func (p canvas) finish(shots []shot) *torch.Tensor {
	x := torch.Tidy(func() *torch.Tensor { return p.resize(shots) })
	colour := x.Size(2) == 3
	if colour {
		p.jitter(x, shots)
		p.apply(x, shots, func(s shot) bool { return s.Gray }, func(x *torch.Tensor, _ []shot) *torch.Tensor {
			return luma(x).Expand(x.Shape()...)
		})
	}
	p.apply(x, shots, func(s shot) bool { return s.BlurRadius > 0 }, p.blur)
	if colour {
		p.apply(x, shots, func(s shot) bool { return s.Solarize }, func(x *torch.Tensor, _ []shot) *torch.Tensor {
			return torch.Where(x.GeScalar(solarizeThreshold), x.Neg().AddScalar(255), x)
		})
	}
	return x
}

// apply replaces the views of x that f is for.
func (p canvas) apply(x *torch.Tensor, shots []shot, isFor func(shot) bool,
	f func(x *torch.Tensor, shots []shot) *torch.Tensor,
) {
	var rows []int
	var some []shot
	for i, s := range shots {
		if isFor(s) {
			rows, some = append(rows, i), append(some, s)
		}
	}
	if rows == nil {
		return
	}
	torch.Scope(func() {
		at := p.numbers(rows)
		x.IndexCopy_(0, at, f(x.IndexSelect(0, at), some))
	})
}

// resize cuts the crops out of the pictures and brings them to their size: (n, S, C, S). Crops are filled up to
// a common size with their last rows and columns, whose weights are zero.
func (p canvas) resize(shots []shot) *torch.Tensor {
	n, C, S := len(shots), p.pixels.Size(1), shots[0].Size
	var H, W int
	var first, stride, lastRow, lastColumn []int64
	var across, down []taps
	for _, s := range shots {
		H, W = max(H, s.Box.Height), max(W, s.Box.Width)
		first, stride = append(first, s.first), append(stride, s.stride)
		lastRow, lastColumn = append(lastRow, int64(s.Box.Height-1)), append(lastColumn, int64(s.Box.Width-1))
		across, down = append(across, s.across), append(down, s.down)
	}
	each := func(v []int64) *torch.Tensor { return torch.NewOn(p.device, v, n, 1, 1) }
	y := torch.Arange(p.device, H).Reshape(1, H, 1).Minimum(each(lastRow))
	x := torch.Arange(p.device, W).Reshape(1, 1, W).Minimum(each(lastColumn))
	at := y.Mul(each(stride)).Add(each(first)).Add(x)                                           // (n, H, W)
	crops := p.pixels.IndexSelect(0, at.Reshape(n*H*W)).Reshape(n, H, W, C).Permute(0, 1, 3, 2) // bytes
	crops = crops.Contiguous().To(torch.Float32)

	rows := torch.Tidy(func() *torch.Tensor { return p.across(crops, across, bicubicBits) })
	return p.down(rows, down, bicubicBits).Reshape(n, S, C, S)
}

// blur is Pillow's Gaussian blur: three boxes across, then three down.
func (p canvas) blur(x *torch.Tensor, shots []shot) *torch.Tensor {
	var boxes []taps
	for _, s := range shots {
		boxes = append(boxes, s.blur)
	}
	for range 3 {
		x = torch.Tidy(func() *torch.Tensor { return p.across(x, boxes, blurBits) })
	}
	for range 3 {
		x = torch.Tidy(func() *torch.Tensor { return p.down(x, boxes, blurBits) })
	}
	return x
}

// across maps the rows of x (n, H, C, W) by maps, one for each view: (n, H, C, out).
func (p canvas) across(x *torch.Tensor, maps []taps, bits int) *torch.Tensor {
	n, H, C, W := x.Size(0), x.Size(1), x.Size(2), x.Size(3)
	m := p.matrices(maps, W) // (n, 2*out, W)
	sums := x.Reshape(n, H*C, W).Matmul(m.Transpose(1, 2))
	return fixedPoint(sums, 2, bits).Reshape(n, H, C, -1)
}

// down maps the columns of x (n, H, C, W): (n, out, C, W).
func (p canvas) down(x *torch.Tensor, maps []taps, bits int) *torch.Tensor {
	n, H, C, W := x.Size(0), x.Size(1), x.Size(2), x.Size(3)
	m := p.matrices(maps, H) // (n, 2*out, H)
	sums := m.Matmul(x.Reshape(n, H, C*W))
	return fixedPoint(sums, 1, bits).Reshape(n, -1, C, W)
}

// upper is what the larger parts of weights are multiples of.
const upper = 1 << 12

// matrices returns maps of up to in places to out as matrices (n, 2*out, in): out rows with the larger parts of the
// weights, over upper, and out rows with the rests.
func (p canvas) matrices(maps []taps, in int) *torch.Tensor {
	n, out, K := len(maps), len(maps[0].start), 0
	for _, m := range maps {
		K = max(K, m.n)
	}
	start, weight := make([]int64, 0, n*out), make([]float32, n*out*K)
	for i, m := range maps {
		start = append(start, m.start...)
		for o := range out {
			for k, w := range m.weight[o*m.n : (o+1)*m.n] {
				weight[(i*out+o)*K+k] = float32(w) // at most 2^24 in size
			}
		}
	}
	end := torch.NewOn(p.device, []int64{int64(in - 1)}, 1)
	at := torch.NewOn(p.device, start, n, out, 1).Add(torch.Arange(p.device, K)).Minimum(end)
	w := torch.NewOn(p.device, weight, n, out, K)
	large := w.AddScalar(upper / 2).MulScalar(1. / upper).Floor()
	rest := w.Sub(large.MulScalar(upper))
	m := torch.Zeros(torch.Float32, p.device, n, 2, out, in)
	m.ScatterAdd_(3, at.Unsqueeze(1).Expand(n, 2, out, K), torch.Stack([]*torch.Tensor{large, rest}, 1))
	return m.Reshape(n, 2*out, in)
}

// fixedPoint joins the sums of both parts of the weights, whose halves lie along axis, and rounds them to bytes.
func fixedPoint(sums *torch.Tensor, axis, bits int) *torch.Tensor {
	parts := sums.Chunk(2, axis)
	sum := parts[0].To(torch.Float64).MulScalar_(upper).Add_(parts[1]).AddScalar_(float64(int(1) << (bits - 1)))
	return sum.MulScalar_(1 / float64(int(1)<<bits)).Floor().To(torch.Float32).ClampMin(0).ClampMax(255)
}

// normalise turns (n, S, C, S) into (n, C, S, S) of (value/255 - mean) / std, rounded after each of the three.
func (p canvas) normalise(x *torch.Tensor, v Views) *torch.Tensor {
	each := func(values []float32) *torch.Tensor { return torch.NewOn(p.device, values, len(values), 1, 1) }
	return x.Permute(0, 2, 1, 3).Div(each([]float32{255})).Sub(each(v.Mean)).Div(each(v.Std))
}

func (p canvas) numbers(v []int) *torch.Tensor {
	all := make([]int64, len(v))
	for i, n := range v {
		all[i] = int64(n)
	}
	return torch.NewOn(p.device, all, len(all))
}
