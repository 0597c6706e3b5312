package data

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Moments are the mean and the deviation of a set's pixels, for values in [0, 1].
type Moments struct {
	Images     int        `json:"images"` // that could be read
	Pixels     int64      `json:"pixels"` // of them
	Mean       []float64  `json:"mean"`   // by channel
	Std        []float64  `json:"std"`    // of all pixels, not of a sample: divided by their number
	Unreadable []BadImage `json:"unreadable"`
}

// histogram counts the values of each channel.
type histogram [][256]int64

// Measure returns the moments of all pixels of a set: every pixel counts the same, so a large
// image counts for more. It counts values in whole numbers, so the result is exact and does not
// depend on the number of workers (0: one for each CPU). progress may be nil.
//
// It errs when no image can be read, when images differ in their channels, and with ctx.
func Measure(ctx context.Context, set Dataset, workers int, progress func(done int)) (*Moments, error) {
	m := &Moments{Unreadable: []BadImage{}}
	var total histogram
	var mu sync.Mutex
	var done atomic.Int64
	var odd error // images that differ in their channels
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	free := sync.Pool{New: func() any { return new(histogram) }}
	err := each(ctx, set.Len(), workers, func(i int) {
		h := free.Get().(*histogram)
		defer free.Put(h)
		im, err := set.Load(i)
		if err == nil {
			h.count(im.Pix, im.C)
		}
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			m.Unreadable = append(m.Unreadable, BadImage{printable(set.Name(i)), printable(err.Error()), i})
		case total != nil && len(total) != im.C:
			odd = fmt.Errorf("data: %s has %d channels, others have %d; divide the set", printable(set.Name(i)), im.C, len(total))
			cancel()
		default:
			total.add(*h)
			m.Images++
			m.Pixels += int64(im.W) * int64(im.H)
		}
		if progress != nil {
			progress(int(done.Add(1)))
		}
	})
	slices.SortFunc(m.Unreadable, func(a, b BadImage) int { return a.Index - b.Index })
	switch {
	case odd != nil:
		return nil, odd
	case err != nil:
		return nil, err
	case m.Images == 0:
		return nil, fmt.Errorf("data: none of %d images can be read, e.g. %s", set.Len(), m.Unreadable[0].Error)
	}
	for _, values := range total {
		mean, std := moments(values)
		m.Mean, m.Std = append(m.Mean, mean), append(m.Std, std)
	}
	return m, nil
}

// count replaces h by the values of pix, whose channels are interleaved.
func (h *histogram) count(pix []uint8, channels int) {
	if len(*h) != channels {
		*h = make(histogram, channels)
	}
	clear(*h)
	if channels == 3 {
		r, g, b := &(*h)[0], &(*h)[1], &(*h)[2]
		for ; len(pix) >= 3; pix = pix[3:] {
			r[pix[0]]++
			g[pix[1]]++
			b[pix[2]]++
		}
		return
	}
	for i, v := range pix {
		(*h)[i%channels][v]++
	}
}

func (h *histogram) add(other histogram) {
	if *h == nil {
		*h = make(histogram, len(other))
	}
	for c := range other {
		for v, n := range other[c] {
			(*h)[c][v] += n
		}
	}
}

// moments are the mean and deviation of values that were counted: sums in whole numbers of any
// size, and one rounding at the end.
func moments(values [256]int64) (mean, std float64) {
	n, sum, squares := new(big.Int), new(big.Int), new(big.Int)
	for v, count := range values {
		c := big.NewInt(count)
		n.Add(n, c)
		sum.Add(sum, new(big.Int).Mul(c, big.NewInt(int64(v))))
		squares.Add(squares, new(big.Int).Mul(c, big.NewInt(int64(v*v))))
	}
	mean, _ = new(big.Rat).SetFrac(sum, new(big.Int).Mul(n, big.NewInt(255))).Float64()
	spread := new(big.Int).Sub(new(big.Int).Mul(n, squares), new(big.Int).Mul(sum, sum))
	scale := new(big.Int).Mul(new(big.Int).Mul(n, n), big.NewInt(255*255))
	variance, _ := new(big.Rat).SetFrac(spread, scale).Float64()
	return mean, math.Sqrt(variance)
}

func workersOr(n int) int {
	if n > 0 {
		return n
	}
	return runtime.NumCPU()
}
