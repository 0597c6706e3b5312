package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ibot/data"
	"ibot/internal/progress"
)

// newDataStatsVerb makes ibot data stats, which measures the mean and deviation of the pixels.
func newDataStatsVerb() *cobra.Command {
	flags := struct {
		JSON bool `name:"json" help:"print one JSON object"`
		readFlags
	}{readFlags: readFlags{InChans: 3}}
	verb := &cobra.Command{
		Use:   "stats DATA",
		Short: "measure the mean and deviation of each channel of a set",
		Long: "Measures the mean and the standard deviation of each channel, over all pixels of\n" +
			"a set (its train part, where it has one), for values from 0 to 1. Prints them as\n" +
			"the lines of a recipe. The result is exact: values are counted.",
		Example: "  ibot data stats photos\n" +
			"  ibot data stats satellite --in_chans 5 --json",
		Args: arguments(1, 1),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, args []string) error {
		set, err := data.Options{Decode: flags.decode()}.Open(args[0])
		if err != nil {
			return err
		}
		bar := progress.New(cmd.ErrOrStderr())
		bar.Start(progress.Task{Label: "measuring", Unit: "img", Total: set.Len()})
		m, err := data.Measure(cmd.Context(), set, flags.Workers, func(done int) { bar.Set(done, "") })
		bar.Finish()
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if flags.JSON {
			return json.NewEncoder(out).Encode(m)
		}
		_, err = fmt.Fprintf(out, "# %d pixels of %s of %s; %s cannot be read\nin_chans: %d\nmean: [%s]\nstd: [%s]\n",
			m.Pixels, many(m.Images, "image", "images"), args[0], many(len(m.Unreadable), "image", "images"), len(m.Mean), decimals(m.Mean), decimals(m.Std))
		return err
	}
	return verb
}

// decimals joins numbers as YAML lists have them.
func decimals(v []float64) string {
	var all []string
	for _, x := range v {
		all = append(all, fmt.Sprintf("%.4f", x))
	}
	return strings.Join(all, ", ")
}
