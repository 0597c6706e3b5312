package eval

import (
	"context"

	"ibot/data"
	"ibot/internal/progress"
)

// chosen are the features of ds that c takes of the trained network's tokens, with images brought to it
// by t; see embedded.
func (r *Run) chosen(ctx context.Context, part string, ds data.Dataset, c Choice, t Transform) (*Features, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	about := About{Feature: c.Feature, LastBlocks: c.LastBlocks, Scales: c.Scales}
	if c.pools() {
		about.Power = c.Power
	}
	embed := c.embedder(r.Net.Backbone, ExtractOptions{Device: r.Device, Precision: r.Precision})
	return r.embedded(ctx, part, ds, t, about, embed)
}

// embedded are the features of ds that embed makes with the trained network, with images brought to it
// by t. They are taken from the cache where it has them; about says what embed takes of the tokens. part
// is what the images are called in the line of progress. The caller closes them.
func (r *Run) embedded(ctx context.Context, part string, ds data.Dataset, t Transform, about About, embed embedder) (*Features, error) {
	o := ExtractOptions{
		Transform: t, BatchSize: r.BatchSize, Workers: r.Workers, Device: r.Device, Precision: r.Precision,
		Progress: func(done int) { r.Bar.Set(done, "") },
	}
	start := func(done int) {
		r.Bar.Start(progress.Task{Label: part, Unit: "img", Total: ds.Len(), Done: done})
	}
	if r.Cache == "" {
		start(0)
		return collect(ctx, ds, o, embed)
	}
	f, err := r.cached(ctx, Trained, ds, o, about, embed, start)
	if err != nil {
		return nil, err
	}
	return f, f.load()
}
