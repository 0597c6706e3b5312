//go:build !noengine

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ibot/backbone"
	"ibot/data/drawn"
	"ibot/internal/settings"
	"ibot/recipes"
	"ibot/rng"
	"ibot/train"
)

func init() { verbs = append(verbs, newDemoVerb) }

// The set of the demo.
const (
	demoClasses = 10
	demoImages  = 8000
	demoSize    = 32
	demoVal     = .2
)

// newDemoVerb makes ibot demo, which shows the whole of it in three minutes.
func newDemoVerb() *cobra.Command {
	flags := struct {
		Out  string `name:"out" group:"Demo" arg:"RUN" help:"folder of the run; the drawn images go to RUN/data"`
		Seed int    `name:"seed" range:"[0,)" help:"another seed draws other images and other initial weights"`
	}{Out: filepath.Join("runs", "demo")}
	verb := &cobra.Command{
		Use:   "demo",
		Short: "watch a small iBOT learn from drawn images, for three minutes",
		Long: "Draws a labelled set of objects, trains on it without the labels and prints the\n" +
			"k-NN accuracy before, during and after, beside that of raw pixels: three minutes\n" +
			"on two cores. Pictures and checkpoints are left in RUN. A demo that was\n" +
			"interrupted goes on when it is called again.",
		GroupID: groupTrain,
		Args:    arguments(0, 0),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
		c, err := demoConfig(flags.Out, flags.Seed)
		if err != nil {
			return err
		}
		if err := drawDemo(ctx, c.Data, flags.Seed, stderr); err != nil {
			return err
		}
		summary, err := pretrain(ctx, c, nil, stderr)
		if err != nil {
			return err
		}
		return printDemo(cmd.OutOrStdout(), summary, c.Data)
	}
	return verb
}

// demoConfig returns the settings of a demo in the folder out, which begins anew where the last one came to its end.
func demoConfig(out string, seed int) (train.Config, error) {
	c := train.Default()
	r, err := recipes.Load("demo")
	if err != nil {
		return c, err
	}
	if err := settings.DecodeYAML(r.File(), r.YAML, &c); err != nil {
		return c, err
	}
	c.Recipe, c.Out, c.Data, c.Seed = r.Name, out, filepath.Join(out, "data"), seed
	if finished(out) {
		c.Resume = "never"
	}
	_, err = c.Resolve(backbone.Names())
	return c, err
}

// finished reports whether the run in a folder has made all of its steps.
func finished(run string) bool {
	s, err := train.ReadSummary(run)
	return err == nil && s.Steps >= s.StepsOf
}

// drawDemo draws the set unless it is there.
func drawDemo(ctx context.Context, dir string, seed int, stderr io.Writer) error {
	if _, err := os.Stat(filepath.Join(dir, "train")); err == nil {
		return nil
	}
	set, err := drawn.New(rng.Seed(seed), demoClasses, demoImages, demoSize)
	if err != nil {
		return err
	}
	return writeDrawn(ctx, dir, set, demoVal, stderr)
}

// printDemo prints what was learnt and where to look.
func printDemo(out io.Writer, s train.Summary, images string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nk-NN accuracy on the %d kinds of drawn objects; guessing gives %d %%\n", demoClasses, 100/demoClasses)
	for _, row := range []struct {
		name  string
		score float64
	}{
		{"raw pixels", s.Baselines["knn_pixels"]}, {"untrained network", s.Baselines["knn_untrained"]}, {"trained without labels", s.Means["knn"]},
	} {
		fmt.Fprintf(&b, "  %-23s %5.1f %%  %s\n", row.name, row.score, strings.Repeat("█", int(row.score*.4)))
	}
	fmt.Fprintf(&b, "\n%s: report.html, views.png, attention.png, curves_*.png, checkpoints/\n", s.Run)
	fmt.Fprintf(&b, "next: ibot eval knn --ckpt %s --data %s\n", s.Run, images)
	_, err := io.WriteString(out, b.String())
	return err
}
