//go:build !noengine

package main

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ibot/analysis"
	"ibot/backbone"
	"ibot/data"
	"ibot/recipes"
	"ibot/rng"
	"ibot/train"
)

func init() { dataVerbs = append(dataVerbs, newDataShowVerb) }

// newDataShowVerb makes ibot data show, which draws the views of a few images.
func newDataShowVerb() *cobra.Command {
	flags := struct {
		Data   string `name:"data" group:"Views" arg:"DATA" help:"set of images, as pretrain takes it; the one of FILE if that names one"`
		Out    string `name:"out" arg:"PNG" help:"picture to write; ends in .png"`
		Recipe string `name:"recipe" arg:"NAME" help:"settings to start from; ibot recipes lists them"`
		File   string `name:"config" arg:"FILE" help:"YAML file with settings, above those of the recipe, such as RUN/config.yaml"`
		Seed   int    `name:"seed" range:"[0,)" help:"seed of the run"`
		Epoch  int    `name:"epoch" range:"[0,)" help:"epoch of the run, counted from 0: each draws other views, and masks may begin late"`
		Images int    `name:"images" range:"[1,256]" help:"how many images of the set, from the first one on"`
	}{Images: 4}
	verb := &cobra.Command{
		Use:   "show --data DATA --out PNG",
		Short: "draw the views of the first images of a set, with their parameters",
		Long: "Draws the crops of the first images of a set as a run with the given settings\n" +
			"makes them, and below each what was drawn for it: the box, flip, jitter, gray,\n" +
			"blur, solarize, and for global crops the share of masked patches.",
		Example: "  ibot data show --recipe vit_small_800ep --data photos --out views.png\n" +
			"  ibot data show --config RUN/config.yaml --data photos --out views.png",
		Args: arguments(0, 0),
	}
	bind(verb, &flags)
	complete(verb, "recipe", recipes.Names())
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		parsed := train.Config{Recipe: flags.Recipe, File: flags.File}
		c, _, err := resolveConfig(cmd.Flags(), &parsed, train.Default(), backbone.Names())
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("seed") {
			c.Seed = flags.Seed
		}
		c.Data = cmp.Or(flags.Data, c.Data)
		if c.Data == "" {
			return needs("data show", "data", "DATA", "the set of images")
		}
		if flags.Out == "" {
			return needs("data show", "out", "PNG", "the picture to write")
		}
		if !strings.EqualFold(filepath.Ext(flags.Out), ".png") {
			return usagef("data show: --out %s: the picture is a PNG; give a name that ends in .png", flags.Out)
		}
		if flags.Epoch >= c.Epochs {
			return usagef("data show: --epoch %d: the run has %s, counted from 0; give 0 to %d", flags.Epoch, many(c.Epochs, "epoch", "epochs"), c.Epochs-1)
		}
		samples, err := drawSamples(c, flags.Epoch, flags.Images, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if err := analysis.ParametersSheet(flags.Out, samples, c.GlobalCropsNumber, c.MaskGrid(), c.MaskGrid()); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s with %d global and %d local views each, seed %d, epoch %d\n",
			flags.Out, many(len(samples), "image", "images"), c.GlobalCropsNumber, c.LocalCropsNumber, c.Seed, flags.Epoch)
		return err
	}
	return verb
}

// drawSamples draws the views and masks of the first n images of c.Data that can be read.
func drawSamples(c train.Config, epoch, n int, stderr io.Writer) ([]analysis.Sample, error) {
	set, err := data.Options{Decode: c.Sets().Decode}.Open(c.Data)
	if err != nil {
		return nil, err
	}
	seed, side := rng.Seed(c.Seed), c.MaskGrid()
	var samples []analysis.Sample
	for i := 0; i < set.Len() && len(samples) < n; i++ {
		im, err := set.Load(i)
		if err != nil {
			fmt.Fprintf(stderr, "left out %s: %v\n", set.Name(i), err)
			continue
		}
		s := analysis.Sample{Name: set.Name(i), Source: im, Views: c.Views().Draw(seed, epoch, i, im.W, im.H)}
		if c.UseMaskedIM {
			for v := range c.GlobalCropsNumber {
				s.Masks = append(s.Masks, c.Masks().DrawAt(epoch, seed.Stream("mask", epoch, i, v), side, side))
			}
		}
		samples = append(samples, s)
	}
	if samples == nil {
		return nil, fmt.Errorf("data show: none of the %s of %s can be read; see ibot data check", many(set.Len(), "image", "images"), c.Data)
	}
	return samples, nil
}
