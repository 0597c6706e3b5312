package imaging

// The operations below work in place, channel by channel, and equal Pillow's ImageOps and
// ImageEnhance.

// Invert turns every value v to 255-v.
func (im *Image) Invert() {
	for i, v := range im.Pix {
		im.Pix[i] = 255 - v
	}
}

// Posterize keeps the given number of high bits of every value. 8 or more change nothing.
func (im *Image) Posterize(bits int) {
	if bits >= 8 {
		return
	}
	mask := ^uint8(1<<(8-max(bits, 0)) - 1)
	for i := range im.Pix {
		im.Pix[i] &= mask
	}
}

// SolarizeAdd adds to the values below threshold, up to 255.
func (im *Image) SolarizeAdd(add, threshold int) {
	var table [256]uint8
	for v := range table {
		table[v] = uint8(v)
		if v < threshold {
			table[v] = uint8(min(max(v+add, 0), 255))
		}
	}
	im.lookup(&table)
}

// AutoContrast stretches each channel so that its least value becomes 0 and its greatest 255.
func (im *Image) AutoContrast() {
	im.lookupEach(func(counts *[256]int, table *[256]uint8) {
		low, high := 0, 255
		for low < 255 && counts[low] == 0 {
			low++
		}
		for high > 0 && counts[high] == 0 {
			high--
		}
		for v := range table {
			table[v] = uint8(v)
			if high > low {
				scale := 255 / float64(high-low)
				table[v] = uint8(min(max(float64(float64(v)*scale)+float64(-float64(low)*scale), 0), 255))
			}
		}
	})
}

// Equalize makes the values of each channel as evenly distributed as a table can.
func (im *Image) Equalize() {
	im.lookupEach(func(counts *[256]int, table *[256]uint8) {
		sum, last := 0, 0
		for _, n := range counts {
			if n > 0 {
				sum, last = sum+n, n
			}
		}
		step := (sum - last) / 255 // 0 where there are few pixels, or one value only
		n := step / 2
		for v := range table {
			table[v] = uint8(v)
			if step > 0 {
				table[v] = uint8(min(n/step, 255))
			}
			n += counts[v]
		}
	})
}

// lookupEach replaces the values of each channel by a table that fill makes of their counts.
func (im *Image) lookupEach(fill func(counts *[256]int, table *[256]uint8)) {
	for c := range im.C {
		var counts [256]int
		var table [256]uint8
		for i := c; i < len(im.Pix); i += im.C {
			counts[im.Pix[i]]++
		}
		fill(&counts, &table)
		for i := c; i < len(im.Pix); i += im.C {
			im.Pix[i] = table[im.Pix[i]]
		}
	}
}

// AdjustSharpness moves every pixel away from its smoothed value by factor: 0 is a slightly blurred
// image, 1 changes nothing. The outermost pixels stay.
func (im *Image) AdjustSharpness(factor float64) {
	if im.W < 3 || im.H < 3 || factor == 1 {
		return
	}
	// Pillow's SMOOTH: the middle counts five times, its neighbours once. In float32, row by row
	// from below, as Filter.c adds them; the conversions keep products from being fused with sums.
	const neighbour, middle = float32(1) / 13, float32(5) / 13
	src := im.Clone().Pix
	stride := im.W * im.C
	for y := 1; y < im.H-1; y++ {
		for i := y*stride + im.C; i < (y+1)*stride-im.C; i++ {
			three := func(i int, weight float32) float32 {
				left, right := float32(src[i-im.C])*neighbour, float32(src[i+im.C])*neighbour
				return float32(left) + float32(float32(src[i])*weight) + float32(right)
			}
			sum := float32(0.5) + three(i+stride, neighbour)
			sum += three(i, middle)
			sum += three(i-stride, neighbour)
			smooth := int(min(max(sum, 0), 255))
			v := float32(smooth) + float32(float32(factor)*float32(int(src[i])-smooth))
			im.Pix[i] = uint8(min(max(v, 0), 255))
		}
	}
}
