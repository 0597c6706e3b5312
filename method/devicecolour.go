package method

import (
	"sync"

	"ibot/imaging"
	"ibot/torch"
)

// The operations of imaging.Jitter, in its numbering, on tensors (n, H, 3, W).
const (
	brightness = iota
	contrast
	saturation
	hue
)

// jitter changes the colours of the views that have a Jitter, each by its own operations in its own order.
func (p canvas) jitter(x *torch.Tensor, shots []shot) {
	for place := range 4 {
		for op, f := range []func(x *torch.Tensor, shots []shot) *torch.Tensor{
			brightness: func(x *torch.Tensor, shots []shot) *torch.Tensor {
				return blend(x.ZerosLike(), x, p.factors(shots, func(j *imaging.Jitter) float64 { return j.Brightness }))
			},
			contrast: func(x *torch.Tensor, shots []shot) *torch.Tensor {
				return blend(p.meanLuma(x), x, p.factors(shots, func(j *imaging.Jitter) float64 { return j.Contrast }))
			},
			saturation: func(x *torch.Tensor, shots []shot) *torch.Tensor {
				return blend(luma(x), x, p.factors(shots, func(j *imaging.Jitter) float64 { return j.Saturation }))
			},
			hue: p.turnHue,
		} {
			p.apply(x, shots, func(s shot) bool { return s.Jitter != nil && s.Jitter.Order[place] == op }, f)
		}
	}
}

// factors returns (n, 1, 1, 1).
func (p canvas) factors(shots []shot, of func(*imaging.Jitter) float64) *torch.Tensor {
	f := make([]float32, len(shots))
	for i, s := range shots {
		f[i] = float32(of(s.Jitter))
	}
	return torch.NewOn(p.device, f, len(f), 1, 1, 1)
}

// blend is base + factor·(x-base), clipped and truncated, as Pillow's Blend.c.
func blend(base, x, factor *torch.Tensor) *torch.Tensor {
	return x.Sub(base).Mul_(factor).Add_(base).ClampMin(0).ClampMax(255).Floor()
}

// luma is Pillow's L: ITU-R 601 in 16-bit fixed point, rounded. (n, H, 1, W)
func luma(x *torch.Tensor) *torch.Tensor {
	r, g, b := channel(x, 0), channel(x, 1), channel(x, 2)
	sum := r.MulScalar(19595).Add_(g.MulScalar(38470)).Add_(b.MulScalar(7471)).AddScalar_(32768) // below 2^24
	return sum.MulScalar_(1. / (1 << 16)).Floor()
}

func channel(x *torch.Tensor, c int) *torch.Tensor { return x.Slice(2, c, c+1) }

// meanLuma is each view's mean gray, rounded: (n, 1, 1, 1).
func (p canvas) meanLuma(x *torch.Tensor) *torch.Tensor {
	n, pixels := x.Size(0), x.Size(1)*x.Size(3)
	count := torch.NewOn(p.device, []float64{float64(pixels)}, 1)
	mean := luma(x).To(torch.Float64).Sum(1, 2, 3).Div(count).AddScalar(0.5).Floor()
	return mean.To(torch.Float32).Reshape(n, 1, 1, 1)
}

// turnHue turns the hues of x by way of Pillow's 8-bit HSV (rgb2hsv_row and hsv2rgb of Convert.c). What float
// arithmetic there is on the way depends on two or three bytes alone and lies in tables.
func (p canvas) turnHue(x *torch.Tensor, shots []shot) *torch.Tensor {
	shift := make([]float32, len(shots))
	for i, s := range shots {
		shift[i] = float32(uint8(int(s.Jitter.Hue * 255))) // wraps, as uint8 in NumPy
	}
	r, g, b := channel(x, 0), channel(x, 1), channel(x, 2) // (n, H, 1, W), as all that follows
	high, low := r.Maximum(g).Maximum(b), r.Minimum(g).Minimum(b)
	middle := r.Add(g).Add_(b).Sub_(high).Sub_(low)
	span := high.Sub(low)

	// The sixth of the circle, by which channel is the highest and which the lowest: see hueOf.
	is := func(c, of *torch.Tensor) *torch.Tensor { return c.Eq(of).To(torch.Float32) }
	sixth := torch.Where(r.Eq(high), is(b, low).Neg().AddScalar(1),
		torch.Where(g.Eq(high), is(b, low).Neg().AddScalar(3), is(r, low).Neg().AddScalar(5)))
	hue := p.hue.hue.look(sixth.MulScalar(256).Add_(high.Sub(middle)).MulScalar_(256).Add_(span))
	sat := p.hue.saturation.look(high.MulScalar(256).Add_(span))
	hue = hue.Add(torch.NewOn(p.device, shift, len(shift), 1, 1, 1)) // up to 510, which the tables allow for

	// And back: one channel keeps the highest value, one gets the lowest, one lies in between.
	bottom := p.hue.bottom.look(high.MulScalar(256).Add_(sat))
	share := p.hue.share.look(hue.MulScalar(256).Add_(sat))
	between := share.Mul(high).AddScalar_(0.5).Floor().To(torch.Float32)
	var which []*torch.Tensor
	for _, table := range p.hue.which {
		which = append(which, table.look(hue))
	}
	return torch.Cat([]*torch.Tensor{high, between, bottom}, 2).Gather(2, torch.Cat(which, 2))
}

// hueTables holds the steps of turnHue that are not whole numbers.
type hueTables struct {
	hue        table    // [6·256·256]: of the sixth, highest less middle value, and highest less lowest
	saturation table    // [256·256]: of the highest value, and highest less lowest
	bottom     table    // [256·256]: the lowest value, of the highest and the saturation
	share      table    // [511·256]: the middle value over the highest, float64, of a turned hue and the saturation
	which      [3]table // [511] each: for red, green and blue of a turned hue: 0 highest, 1 middle, 2 lowest
}

// table is a vector on a device.
type table struct{ *torch.Tensor }

// look returns the elements of the table that the whole numbers in `at` name.
func (t table) look(at *torch.Tensor) *torch.Tensor {
	return t.IndexSelect(0, at.Reshape(at.Numel()).To(torch.Int64)).Reshape(at.Shape()...)
}

// newHueTables brings the tables to the device.
func newHueTables(d torch.Device) (t hueTables) {
	h := hostTables()
	bytes := func(v []uint8) table { return table{torch.NewOn(d, v, len(v)).To(torch.Float32)} }
	t.hue, t.saturation, t.bottom = bytes(h.hue), bytes(h.saturation), bytes(h.bottom)
	t.share = table{torch.NewOn(d, h.share, len(h.share))}
	for c := range t.which {
		t.which[c] = table{torch.NewOn(d, h.which[c], len(h.which[c]))}
	}
	return t
}

// hostTable is what hueTables is made of.
type hostTable struct {
	hue, saturation, bottom []uint8
	share                   []float64
	which                   [3][]int64
}

var hostTables = sync.OnceValue(func() (t hostTable) {
	for sixth := range 6 {
		for part := range 256 {
			for span := range 256 {
				t.hue = append(t.hue, hueOf(sixth, min(part, span), span))
			}
		}
	}
	for high := range 256 {
		for i := range 256 {
			sat := float32(min(i, high)) / float32(max(high, 1))
			t.saturation = append(t.saturation, uint8(float64(sat)*255))
			fs := float32(i) / 255
			t.bottom = append(t.bottom, uint8(float64(float64(high)*(1-float64(fs)))+0.5))
		}
	}
	for turned := range 511 { // an 8-bit hue and an 8-bit shift
		h := turned & 255
		k := 6 * h / 255 // 0 to 6
		f := float32(6*h-255*k) / 255
		for s := range 256 {
			fs := float32(s) / 255
			share := 1 - float64(float64(fs)*(1-float64(f)))
			if k%2 == 1 {
				share = 1 - float64(float32(fs*f))
			}
			t.share = append(t.share, share)
		}
		order := [6][3]int64{{0, 1, 2}, {1, 0, 2}, {2, 0, 1}, {2, 1, 0}, {1, 2, 0}, {0, 2, 1}}[k%6]
		for c := range t.which {
			t.which[c] = append(t.which[c], order[c])
		}
	}
	return t
})

// hueOf is the 8-bit hue of a colour: of its sixth of the circle, of the highest value less the middle one, and of the
// highest less the lowest. The sixths are 0 red to yellow, 1 magenta to red, 2 yellow to green, 3 green to cyan, 4 cyan
// to blue, 5 blue to magenta.
func hueOf(sixth, part, span int) uint8 {
	if span == 0 {
		return 0
	}
	// Pillow's 2+rc-bc and its like, where one of rc, gc and bc is 0, one 1 and one x or 1-x.
	x := float32(part) / float32(span)
	hue := [6]float32{1 - x, -1 + x, 1 + x, 3 - x, 3 + x, 5 - x}[sixth]
	turns := float64(hue) / 6
	if hue < 0 {
		turns++
	}
	return uint8(float64(float32(turns)) * 255)
}
