//go:build !noengine

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"ibot/analysis"
	"ibot/data"
	"ibot/eval"
	"ibot/imaging"
	"ibot/method"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

const (
	viewsPicture     = "views.png"
	attentionPicture = "attention.png"

	viewSamples      = 4
	attentionSamples = 6
	drawEvery        = 30 * time.Second // while the run goes on
)

// pictures draws into the folder of a run: the views and masks of the first images, the curves, and what
// [CLS] attends to.
type pictures struct {
	config train.Config
	images data.Dataset
	shown  []*imaging.Image // of the attention picture
	names  []string
	drawn  time.Time
	log    *slog.Logger
}

// draw is [train.Options.Pictures].
func (p *pictures) draw(ctx context.Context, run string, teacher *method.Net, when train.When) error {
	if when == train.AtStart {
		return p.views(filepath.Join(run, viewsPicture), teacher)
	}
	if p.reportDue(run, when) {
		if err := p.report(ctx, run, when); err != nil && ctx.Err() == nil {
			p.log.Warn("no report", "because", err) // no reason not to go on
		}
	}
	if when == train.AfterEpoch && time.Since(p.drawn) < drawEvery {
		return nil
	}
	err := errors.Join(analysis.Curves(run), p.attention(filepath.Join(run, attentionPicture), teacher))
	p.drawn = time.Now()
	return err
}

// views shows the views that the first images have in the first epoch.
func (p *pictures) views(path string, teacher *method.Net) error {
	c, seed := p.config, rng.Seed(p.config.Seed)
	side, _ := teacher.Backbone.Grid(c.ImgSize, c.ImgSize)
	var samples []analysis.Sample
	for _, i := range data.Order(seed, 0, p.images.Len()) {
		im, err := p.images.Load(i)
		if err != nil {
			continue // the run reports it
		}
		s := analysis.Sample{Name: p.images.Name(i), Source: im, Views: c.Views().Draw(seed, 0, i, im.W, im.H)}
		if c.UseMaskedIM {
			for v := range c.GlobalCropsNumber {
				s.Masks = append(s.Masks, c.Masks().DrawAt(0, seed.Stream("mask", 0, i, v), side, side))
			}
		}
		if samples = append(samples, s); len(samples) == viewSamples {
			break
		}
	}
	if samples == nil {
		return nil
	}
	return analysis.ViewsSheet(path, samples, c.GlobalCropsNumber, side, side)
}

// reportDue reports whether the report is to be written now.
func (p *pictures) reportDue(run string, when train.When) bool {
	every := p.config.ReportEvery
	if every == 0 || when == train.AtEnd {
		return every > 0
	}
	s, err := train.ReadSummary(run)
	return err == nil && s.Epochs%every == 0
}

// report writes report.html, from the checkpoint that has just been written.
func (p *pictures) report(ctx context.Context, run string, when train.When) error {
	device, err := torch.ParseDevice(p.config.Device)
	if err != nil {
		return err
	}
	net, err := openStudiedNet(run, "teacher", device)
	if err != nil {
		return err
	}
	defer net.Close()
	result, err := analysis.Report(ctx, analysis.Input{
		Net: net.studied, Images: p.images, Run: run, Seed: rng.Seed(p.config.Seed), Workers: p.config.Workers,
	})
	if err != nil {
		return err
	}
	if _, err := result.Write(run); err != nil {
		return err
	}
	if when == train.AtEnd && len(result.Lines) > 0 {
		p.log.Info("report", "file", filepath.Join(run, analysis.ReportFile), "verdict", result.Lines[0])
	}
	return nil
}

// attention shows the self-attention of a few images, at twice the size of training where that is small.
func (p *pictures) attention(path string, teacher *method.Net) error {
	p.choose()
	if p.shown == nil {
		return nil
	}
	device, err := torch.ParseDevice(p.config.Device)
	if err != nil {
		return err
	}
	mean, std := p.config.Normalisation()
	maps, err := analysis.Attention(teacher.Backbone, p.shown, mean, std, device)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return analysis.AttentionSheet(path, p.shown, maps, p.names)
}

// choose takes the images of the attention picture, one a class as far as there are classes.
func (p *pictures) choose() {
	if p.shown != nil {
		return
	}
	t := eval.DefaultTransform(p.config.ImgSize)
	if p.config.ImgSize < smallImage {
		t.Resize, t.Crop = 2*t.Resize, 2*t.Crop
	}
	seen := map[int]bool{}
	for _, i := range data.Order(rng.Seed(p.config.Seed), 0, p.images.Len()) {
		label := p.images.Label(i)
		if label >= 0 && seen[label] && len(seen) < len(p.images.Classes()) {
			continue
		}
		im, err := p.images.Load(i)
		if err != nil || im.C != p.config.InChans {
			continue
		}
		seen[label] = true
		name := p.images.Name(i)
		if label >= 0 {
			name = p.images.Classes()[label]
		}
		p.shown, p.names = append(p.shown, t.Pixels(im)), append(p.names, name)
		if len(p.shown) == attentionSamples {
			return
		}
	}
}

// smallImage is the side in pixels below which an image is enlarged for its attention map: the grid of patches
// would show too little.
const smallImage = 96
