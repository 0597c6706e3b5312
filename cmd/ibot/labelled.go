//go:build !noengine

package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"ibot/data"
	"ibot/eval"
	"ibot/method"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

// labelled is a set to learn from, and what of it and beside it has labels for a k-NN score.
type labelled struct {
	images        data.Dataset // to learn from
	bank, queries data.Dataset // the k-NN score's; no bank: no labels; no queries: a part of the bank
	about         string       // what the score is measured on
}

// openLabelled opens the images of a run. Queries come from val_data, else from the val part of a
// folder that is split, else a part of the labelled images is looked up in the rest.
func openLabelled(c train.Config) (*labelled, error) {
	sets := c.Sets()
	images, err := sets.Open(c.Data)
	if err != nil {
		return nil, err
	}
	s := &labelled{images: images}
	splits, err := sets.Splits(c.Data)
	switch {
	case err != nil:
		return nil, err
	case c.ValData != "":
		s.queries, err = sets.Open(c.ValData)
		s.about = c.ValData + " looked up in " + c.Data
	case images.Classes() == nil || c.KNNEvery == 0:
		return s, nil
	case slices.ContainsFunc(splits, func(name string) bool { return name != "train" }):
		s.queries, err = sets.OpenSplit(c.Data, "val")
		s.about = "val looked up in train"
	default:
		s.about = "a fifth of the images looked up in the rest; training sees all of them, without labels"
	}
	s.bank = images
	return s, err
}

// scores sets the baselines and the k-NN score of a run. A set that does not do for it is no reason not to
// train, unless it was named for that purpose.
func (s *labelled) scores(ctx context.Context, o *train.Options) error {
	if s.bank == nil || o.Config.KNNEvery == 0 {
		return nil
	}
	online, err := newOnline(ctx, s, o.Config)
	switch {
	case err != nil && ctx.Err() == nil && o.Config.ValData == "":
		o.Log.Warn("no k-NN score", "because", err)
		return nil
	case err != nil:
		return err
	}
	for _, note := range online.Notes {
		o.Log.Warn(note)
	}
	o.Evaluate = func(ctx context.Context, teacher *method.Net) (map[string]float64, error) {
		return online.Score(ctx, teacher.Backbone)
	}
	o.Baseline = func(ctx context.Context, teacher *method.Net) (map[string]float64, error) {
		pixels, err := online.Pixels(ctx)
		if err != nil {
			return nil, err
		}
		untrained, err := online.Score(ctx, teacher.Backbone)
		if err != nil {
			return nil, err
		}
		o.Log.Info("k-NN before training", "pixels", percent(pixels["knn"]), "untrained", percent(untrained["knn"]))
		return map[string]float64{"knn_pixels": pixels["knn"], "knn_untrained": untrained["knn"]}, nil
	}
	bank, queries := online.Len()
	o.Log.Info("k-NN score", "of", s.about, "bank", bank, "queries", queries, slog.Int("k", online.KNN.K[0]))
	return nil
}

func newOnline(ctx context.Context, s *labelled, c train.Config) (*eval.Online, error) {
	device, err := torch.ParseDevice(c.Device)
	if err != nil {
		return nil, err
	}
	transform := eval.DefaultTransform(c.ImgSize)
	transform.Mean, transform.Std = c.Normalisation()
	return eval.NewOnline(ctx, s.bank, s.queries, eval.OnlineOptions{
		Max: c.KNNImages, K: c.KNNK, Seed: rng.Seed(c.Seed),
		Extract: eval.ExtractOptions{Transform: transform, Workers: c.Workers, Device: device},
	})
}

func percent(v float64) string { return fmt.Sprintf("%.1f %%", v) }
