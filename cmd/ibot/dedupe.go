//go:build !noengine

package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ibot/eval"
	"ibot/internal/progress"
	"ibot/torch"
)

func init() { verbs = append(verbs, newDedupeVerb) }

// dedupeSettings are the flags of ibot dedupe.
type dedupeSettings struct {
	Index     string  `name:"index" arg:"FILE" help:"features that ibot embed wrote"`
	Threshold float64 `name:"threshold" arg:"S" range:"(-1,1]" help:"cosine similarity from which two images are alike"`
	Device    string  `name:"device" arg:"auto|cpu|cuda[:N]" help:"where to compute"`
	JSON      bool    `name:"json" help:"print one JSON object"`
}

// newDedupeVerb makes ibot dedupe, which groups images that are alike.
func newDedupeVerb() *cobra.Command {
	flags := dedupeSettings{Threshold: .97, Device: "auto"}
	verb := &cobra.Command{
		Use:     "dedupe --index FILE",
		Short:   "group images that are nearly the same",
		GroupID: groupTrain,
		Long: "Compares the features of all pairs of images of an index and groups those that\n" +
			"are alike: two are in one group where a chain of similar images joins them.\n" +
			"Nothing is removed. How high the threshold has to be depends on the network.",
		Example: "  ibot embed --ckpt runs/photos --data photos --out photos.npy\n" +
			"  ibot dedupe --index photos.npy --threshold 0.95",
		Args: arguments(0, 0),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		if flags.Index == "" {
			return needs("dedupe", "index", "FILE", "the features of the images to compare")
		}
		device, err := torch.ParseDevice(flags.Device)
		if err != nil {
			return err
		}
		index, _, err := eval.OpenFeatures(flags.Index, device)
		if err != nil {
			return err
		}
		defer index.Close()
		bar := progress.New(cmd.ErrOrStderr())
		bar.Start(progress.Task{Label: "comparing", Unit: "img", Total: index.Len()})
		groups, err := eval.Duplicates(cmd.Context(), index, flags.Threshold, func(done int) { bar.Set(done, "") })
		bar.Finish()
		if err != nil {
			return err
		}
		return flags.report(cmd.OutOrStdout(), index, groups)
	}
	return verb
}

// report prints the groups.
func (s dedupeSettings) report(out io.Writer, index *eval.Features, groups []eval.Group) error {
	type group struct {
		Least  float32  `json:"least_similarity"`
		Images []string `json:"images"`
	}
	named, extra := []group{}, 0
	for _, g := range groups {
		one := group{Least: g.Least}
		for _, image := range g.Images {
			one.Images = append(one.Images, index.Names[image])
		}
		named = append(named, one)
		extra += len(one.Images) - 1
	}
	if s.JSON {
		return json.NewEncoder(out).Encode(struct {
			Index     string  `json:"index"`
			Threshold float64 `json:"threshold"`
			Images    int     `json:"images"`
			Extra     int     `json:"extra"` // that could go if one of each group stayed
			Groups    []group `json:"groups"`
		}{s.Index, s.Threshold, index.Len(), extra, named})
	}
	for _, g := range named {
		fmt.Fprintf(out, "%d images, similarity %.4f or more\n", len(g.Images), g.Least)
		for _, name := range g.Images {
			fmt.Fprintln(out, "  "+name)
		}
	}
	_, err := fmt.Fprintf(out, "%d images, %d groups of images that are alike; without them %d images would be left\n",
		index.Len(), len(groups), index.Len()-extra)
	return err
}
