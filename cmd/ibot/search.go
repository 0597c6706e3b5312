//go:build !noengine

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ibot/eval"
	"ibot/imaging"
	"ibot/torch"
)

func init() { verbs = append(verbs, newSearchVerb) }

// searchSettings are the flags of ibot search.
type searchSettings struct {
	Index    string `name:"index" arg:"FILE" help:"features that ibot embed wrote"`
	Query    string `name:"query" arg:"IMG" help:"the image to find others for"`
	K        int    `name:"k" range:"[1,)" help:"number of images to find; also -k"`
	Ckpt     string `name:"ckpt" arg:"RUN|FILE" help:"the network that made the features, where it is not where it was"`
	NumHeads int    `name:"num_heads" range:"[0,1024]" help:"attention heads of a foreign checkpoint"`
	Device   string `name:"device" arg:"auto|cpu|cuda[:N]" help:"where to compute"`
	JSON     bool   `name:"json" help:"print one JSON object"`
}

// newSearchVerb makes ibot search, which finds the images that are most like one.
func newSearchVerb() *cobra.Command {
	flags := searchSettings{K: 10, Device: "auto"}
	verb := &cobra.Command{
		Use:     "search --index FILE --query IMG",
		Short:   "find the images that are most like one",
		GroupID: groupTrain,
		Long: "Embeds an image as the images of an index were, and prints those of them whose\n" +
			"features have the largest cosine similarity to its own.",
		Example: "  ibot embed --ckpt runs/photos --data photos --out photos.parquet\n" +
			"  ibot search --index photos.parquet --query holiday.jpg -k 5",
		Args: arguments(0, 0),
	}
	bind(verb, &flags)
	short := verb.Flags().VarPF(verb.Flags().Lookup("k").Value, "neighbours", "k", "images to find")
	short.Hidden = true // -k, as it is written everywhere
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		if flags.Index == "" {
			return needs("search", "index", "FILE", "the features of the images to search in")
		}
		if flags.Query == "" {
			return needs("search", "query", "IMG", "the image to find others for")
		}
		found, err := flags.search(cmd.Context(), cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if flags.JSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
				Index   string     `json:"index"`
				Query   string     `json:"query"`
				Results []foundOne `json:"results"`
			}{flags.Index, flags.Query, found})
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		for _, f := range found {
			fmt.Fprintf(w, "%.4f\t%s\t%s\n", f.Similarity, f.Name, f.Class)
		}
		return w.Flush()
	}
	return verb
}

// foundOne is an image that was found.
type foundOne struct {
	Name       string  `json:"name"`
	Class      string  `json:"class,omitempty"`
	Similarity float32 `json:"similarity"`
}

func (s searchSettings) search(ctx context.Context, stderr io.Writer) ([]foundOne, error) {
	device, err := torch.ParseDevice(s.Device)
	if err != nil {
		return nil, err
	}
	index, about, err := eval.OpenFeatures(s.Index, device)
	if err != nil {
		return nil, err
	}
	defer index.Close()
	net := netSettings{Ckpt: s.Ckpt, Net: about.Net, NumHeads: s.NumHeads}
	if net.Ckpt == "" {
		net.Ckpt = about.Checkpoint
	}
	running := newRunning()
	running.Device, running.Precision = s.Device, about.Precision
	r, err := newRun(net, running, stderr)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	image, err := imaging.DecodeFileWith(s.Query, r.Net.Config.Sets().Decode)
	if err != nil {
		return nil, fmt.Errorf("the query %s is no image that can be read: %w", s.Query, err)
	}
	query, err := r.EmbedImages([]*imaging.Image{image}, about)
	if err != nil {
		return nil, err
	}
	asked := &eval.Features{Labels: []int{-1}, Names: []string{s.Query}}
	torch.Scope(func() { asked.X = torch.New(query, 1, len(query)).ToDevice(device).Clone().Own() })
	defer asked.Close()
	var found []foundOne
	err = eval.Nearest(ctx, index, asked, min(s.K, index.Len()), func(_ int, near []eval.Neighbour) {
		for _, n := range near {
			found = append(found, foundOne{index.Names[n.Index], className(index, n.Index), n.Similarity})
		}
	})
	return found, err
}

// className is the class of an image, "" for none.
func className(f *eval.Features, image int) string {
	if label := f.Labels[image]; label >= 0 && label < len(f.Classes) {
		return f.Classes[label]
	}
	return ""
}
