package eval

import (
	"context"
	"slices"
	"time"

	"ibot/backbone"
	"ibot/data"
	"ibot/rng"
	"ibot/torch"
)

// TimeForward is the seconds that features of a batch of noise take, as o asks for them, without reading
// images: the median of some rounds after one that does not count.
func TimeForward(ctx context.Context, b backbone.Backbone, o ExtractOptions, rounds int) (float64, error) {
	if err := o.resolve(); err != nil {
		return 0, err
	}
	C, S := len(o.Transform.Mean), o.Transform.Crop
	noise, r := make([]float32, o.BatchSize*C*S*S), rng.Seed(0).Stream("bench")
	for i := range noise {
		noise[i] = float32(r.NormFloat64())
	}
	embed := o.embedder(b)
	var seconds []float64
	err := torch.Run(func() error {
		x := torch.New(noise, o.BatchSize, C, S, S).ToDevice(o.Device)
		for range 1 + rounds {
			if err := ctx.Err(); err != nil {
				return err
			}
			began := time.Now()
			err := torch.Run(func() (err error) {
				torch.NoGrad(func() {
					var y *torch.Tensor
					if y, err = embed(x); err == nil {
						y.ToDevice(torch.CPU)
					}
				})
				return err
			})
			if err != nil {
				return err
			}
			seconds = append(seconds, time.Since(began).Seconds())
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	seconds = seconds[1:]
	slices.Sort(seconds)
	return seconds[len(seconds)/2], nil
}

// TimeExtract is the seconds that [Extract] takes for n images of ds, which begin again where there are fewer,
// after a batch that does not count. It returns how many of them could be read.
func TimeExtract(ctx context.Context, b backbone.Backbone, ds data.Dataset, n int, o ExtractOptions) (seconds float64, images int, err error) {
	if err := o.resolve(); err != nil {
		return 0, 0, err
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i % ds.Len()
	}
	for _, part := range [][]int{order[:min(n, o.BatchSize)], order} {
		began := time.Now()
		f, err := Extract(ctx, b, data.Subset(ds, part), o)
		if err != nil {
			return 0, 0, err
		}
		seconds, images = time.Since(began).Seconds(), f.Len()
		f.Close()
	}
	return seconds, images, nil
}
