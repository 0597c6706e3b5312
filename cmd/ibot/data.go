package main

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"ibot/data/drawn"
	"ibot/internal/progress"
	"ibot/rng"
)

func init() { verbs = append(verbs, newDataVerb) }

// dataVerbs holds the constructors of the verbs below ibot data. Those that need the engine add
// themselves in init.
var dataVerbs = []func() *cobra.Command{newDataCheckVerb, newDataDrawVerb, newDataStatsVerb}

// newDataVerb makes ibot data, the verbs that make and look at sets of images.
func newDataVerb() *cobra.Command {
	verb := &cobra.Command{Use: "data", Short: "look through sets of images and draw one", GroupID: groupFiles}
	for _, newVerb := range dataVerbs {
		verb.AddCommand(newVerb())
	}
	return verb
}

// many is n of something, with the word for one of it or for several.
func many(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", several)
}

// newDataDrawVerb makes ibot data draw, which writes the drawn set to a folder.
func newDataDrawVerb() *cobra.Command {
	flags := struct {
		Out      string  `name:"out" group:"Drawing" arg:"DIR" help:"folder to write to; gets train and val with a folder for each class"`
		Classes  int     `name:"classes" range:"[2,)" help:"number of kinds of objects"`
		Images   int     `name:"images" range:"[1,)" help:"number of images in all"`
		Size     int     `name:"size" range:"[1,)" help:"side of an image in pixels"`
		Seed     int     `name:"seed" range:"[0,)" help:"another seed draws other images"`
		ValShare float64 `name:"val_share" range:"[0,1)" help:"share of the images that goes to val; 0: no val"`
	}{Classes: 10, Images: 2000, Size: 32, ValShare: 0.2}
	verb := &cobra.Command{
		Use:   "draw --out DIR",
		Short: "draw a labelled set of objects and write it as PNG files",
		Long: "Draws objects such as stars, keys and trees, varied in place, size, rotation,\n" +
			"colour, texture, light and background, and writes them as PNG files in class\n" +
			"folders. The same seed draws the same images.",
		Example: "  ibot data draw --out drawn\n" +
			"  ibot data draw --out drawn --classes 12 --images 6000 --size 64 --seed 1",
		Args: arguments(0, 0),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		if flags.Out == "" {
			return needs("data draw", "out", "DIR", "the folder to write to")
		}
		set, err := drawn.New(rng.Seed(flags.Seed), flags.Classes, flags.Images, flags.Size)
		if err != nil {
			return usageError{err}
		}
		err = writeDrawn(cmd.Context(), flags.Out, set, flags.ValShare, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s of %d classes\n", flags.Out, many(flags.Images, "image", "images"), flags.Classes)
		return err
	}
	return verb
}

// writeDrawn writes a drawn set to a folder, with its progress on stderr.
func writeDrawn(ctx context.Context, dir string, set *drawn.Set, valShare float64, stderr io.Writer) error {
	bar := progress.New(stderr)
	var start sync.Once // at the first image: what is refused at once needs no bar
	err := drawn.Write(ctx, dir, set, valShare, func(done int) {
		start.Do(func() { bar.Start(progress.Task{Label: "drawing", Unit: "img", Total: set.Len()}) })
		bar.Set(done, "")
	})
	bar.Finish()
	return err
}
