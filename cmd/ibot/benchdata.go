//go:build !noengine

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"ibot/backbone"
	"ibot/data"
	"ibot/recipes"
	"ibot/train"
)

// newBenchDataVerb makes ibot bench data, which times the input of a training run.
func newBenchDataVerb() *cobra.Command {
	flags := struct {
		Data   string `name:"data" group:"What" arg:"DATA" help:"set of images, as pretrain takes it"`
		Recipe string `name:"recipe" arg:"NAME" help:"the settings whose views are made; ibot recipes lists them"`
		File   string `name:"config" arg:"FILE" help:"YAML file with settings, above those of the recipe"`
		Images int    `name:"images" range:"[1,)" help:"images a round"`
		Rounds int    `name:"rounds" range:"[1,)" help:"how often the images are gone through; the median counts"`
		JSON   bool   `name:"json" help:"print one JSON object"`
	}{Recipe: "vit_small_800ep", Images: 160, Rounds: 3}
	verb := &cobra.Command{
		Use:   "data --data DATA",
		Short: "time decoding and views on one core",
		Long: "Decodes images and makes the views of a recipe of them, on one core and without\n" +
			"a network. Prints milliseconds an image for each part, and how many cores feed\n" +
			"a device that takes a thousand images a second.",
		Example: "  ibot bench data --data photos\n" +
			"  ibot bench data --data photos --recipe vit_base_400ep --json",
		Args: arguments(0, 0),
	}
	bind(verb, &flags)
	complete(verb, "recipe", recipes.Names())
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		if flags.Data == "" {
			return needs("bench data", "data", "DATA", "the images to read")
		}
		parsed := train.Config{Recipe: flags.Recipe, File: flags.File}
		c, _, err := resolveConfig(cmd.Flags(), &parsed, train.Default(), backbone.Names())
		if err != nil {
			return err
		}
		set, err := data.Options{Decode: c.Sets().Decode}.Open(flags.Data)
		if err != nil {
			return err
		}
		var times []train.InputTime
		for range flags.Rounds {
			t, err := train.TimeInput(cmd.Context(), c, set, flags.Images)
			if err != nil {
				return err
			}
			if t.Images == 0 {
				return fmt.Errorf("bench data: none of the %d images of %s can be read; see ibot data check", set.Len(), flags.Data)
			}
			times = append(times, t)
		}
		slices.SortFunc(times, func(a, b train.InputTime) int { return int(math.Copysign(1, a.Total()-b.Total())) })
		t := times[len(times)/2]
		out := cmd.OutOrStdout()
		if flags.JSON {
			return json.NewEncoder(out).Encode(struct {
				train.InputTime
				Total float64 `json:"total"`
			}{t, t.Total()})
		}
		for _, line := range []struct {
			what    string
			seconds float64
		}{
			{"decode", t.Decode},
			{fmt.Sprintf("%d global views of %d", c.GlobalCropsNumber, c.ImgSize), t.Global},
			{fmt.Sprintf("%d local views of %d", c.LocalCropsNumber, c.LocalSize), t.Local},
			{"together", t.Total()},
		} {
			if _, err := fmt.Fprintf(out, "%-22s %7.2f ms an image\n", line.what, 1e3*line.seconds); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintf(out, "\n%.0f images/s a core; %.0f cores for 1,000 images/s\n", 1/t.Total(), math.Ceil(1000*t.Total()))
		return err
	}
	return verb
}
