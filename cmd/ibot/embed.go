//go:build !noengine

package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ibot/data"
	"ibot/eval"
	"ibot/internal/progress"
)

func init() { verbs = append(verbs, newEmbedVerb) }

// embedSettings are the flags of ibot embed.
type embedSettings struct {
	netSettings
	Data  string `name:"data" arg:"DIR|LIST|-" help:"the images: a folder, a list, an archive; or - for paths on standard input, a line each"`
	Split string `name:"split" choices:"train,val,test" help:"part of a set that is split"`
	Out   string `name:"out" arg:"FILE" help:"where the features go: FILE.npy, .parquet, .safetensors or .jsonl"`

	Feature    string    `name:"feature" group:"Features" choices:"cls,mean,cls_mean,gem,cls_gem,patches" help:"[CLS]; the mean of the patches; both; their generalised mean; [CLS] and that; or all patches. Tokens are normed"`
	LastBlocks int       `name:"n_last_blocks" range:"[1,)" help:"take [CLS] of the last N blocks"`
	GeMPower   float64   `name:"gem_p" range:"(0,100]" help:"exponent of the generalised mean"`
	Scales     []float64 `name:"scales" arg:"S ..." range:"(0,4]" empty:"true" help:"average over several sizes of each image, such as 1 0.7071 0.5, and scale to length 1"`
	ImgSize    int       `name:"img_size" range:"[0,8192]" help:"side of the images in pixels; 0: what the network was trained on"`
	Whole      bool      `name:"whole" help:"leave images whole: the shorter side becomes img_size, nothing but a part of a patch is cut off"`

	runningSettings
	JSON bool `name:"json" help:"print one JSON object"`
}

// newEmbedVerb makes ibot embed, which writes features of images to a file.
func newEmbedVerb() *cobra.Command {
	flags := embedSettings{
		netSettings: netSettings{Net: "teacher"}, Split: "train", Feature: "cls", LastBlocks: 1, GeMPower: 4, runningSettings: newRunning(),
	}
	verb := &cobra.Command{
		Use:     "embed --ckpt RUN --data DIR --out FILE",
		Short:   "write the features of images to a file",
		GroupID: groupTrain,
		Long: "Writes the frozen features of images to a file, with name, label and size of\n" +
			"each image. Images that cannot be read are listed in FILE.bad.jsonl. When it is\n" +
			"interrupted, the same command goes on where it was.",
		Example: "  ibot embed --ckpt runs/photos --data photos --out photos.parquet\n" +
			"  ibot embed --ckpt checkpoint.pth --data IMAGENET --split val --out val.npy\n" +
			"  find . -name '*.jpg' | ibot embed --ckpt runs/photos --data - --out x.jsonl\n" +
			"  ibot embed --ckpt runs/photos --data photos --feature gem --whole \\\n" +
			"    --scales 1 0.7071 0.5 --out photos.safetensors",
		Args: arguments(0, 0),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, missing := range []struct{ value, flag, arg, what string }{
			{flags.Ckpt, "ckpt", "RUN|FILE", "the network"}, {flags.Data, "data", "DIR|LIST|-", "the images"}, {flags.Out, "out", "FILE", "where the features go"},
		} {
			if missing.value == "" {
				return needs("embed", missing.flag, missing.arg, missing.what)
			}
		}
		choice := eval.Choice{Feature: flags.Feature, LastBlocks: flags.LastBlocks, Power: flags.GeMPower, Scales: flags.Scales}
		if err := choice.Validate(); err != nil {
			return usageError{err}
		}
		if _, err := eval.FormatOf(flags.Out); err != nil {
			return usageError{err}
		}
		r, err := newRun(flags.netSettings, flags.runningSettings, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		defer r.Close()
		defer r.Bar.Finish()
		ds, err := flags.open(cmd.InOrStdin(), data.Options{Decode: r.Net.Config.Sets().Decode})
		if err != nil {
			return err
		}
		e, err := flags.embedding(r, choice)
		if err != nil {
			return evalError(err, flags.runningSettings)
		}
		started := false
		e.Options.Progress = func(done int) {
			if !started {
				r.Bar.Start(progress.Task{Label: "embedding", Unit: "img", Total: ds.Len(), Done: done})
				started = true
			}
			r.Bar.Set(done, "")
		}
		done, err := r.Embed(cmd.Context(), ds, flags.Out, e)
		if err != nil {
			return evalError(err, flags.runningSettings)
		}
		r.Bar.Finish()
		return flags.report(cmd.OutOrStdout(), done, ds.Len())
	}
	return verb
}

// open opens the images.
func (s embedSettings) open(stdin io.Reader, o data.Options) (data.Dataset, error) {
	if s.Data == "-" {
		return o.ReadList(stdin, "standard input", ".")
	}
	splits, err := o.Splits(s.Data)
	if err != nil {
		return nil, err
	}
	if len(splits) == 0 && s.Split == "train" {
		return o.Open(s.Data)
	}
	return o.OpenSplit(s.Data, s.Split)
}

// embedding is what the settings ask for.
func (s embedSettings) embedding(r *eval.Run, choice eval.Choice) (e eval.Embedding, err error) {
	e.Choice, e.About = choice, eval.About{Net: s.Net, Data: s.Data}
	if e.Options, err = r.Options(eval.FeatureSettings{ImgSize: s.ImgSize, LastBlocks: s.LastBlocks}); err != nil {
		return e, err
	}
	if s.Whole {
		t := &e.Options.Transform
		t.Resize, t.Multiple = t.Crop, r.Net.Config.PatchSize
	}
	return e, nil
}

// report prints what was done.
func (s embedSettings) report(out io.Writer, done *eval.Embedded, images int) error {
	if s.JSON {
		return json.NewEncoder(out).Encode(struct {
			Out    string     `json:"out"`
			Images int        `json:"images"`
			Bad    int        `json:"bad_images"`
			Before int        `json:"done_before"`
			Ready  bool       `json:"was_ready"`
			About  eval.About `json:"about"`
		}{s.Out, done.Images, done.Bad, done.Before, done.Ready, done.About})
	}
	if done.Ready {
		_, err := fmt.Fprintf(out, "%s has these features already; nothing was to do\n", s.Out)
		return err
	}
	if done.Before > 0 {
		fmt.Fprintf(out, "%d of %d images were there from before\n", done.Before, images)
	}
	if done.Bad > 0 {
		fmt.Fprintf(out, "%d images cannot be read and are left out; %s lists them\n", done.Bad, eval.BadList(s.Out))
	}
	_, err := fmt.Fprintf(out, "%s: features of %d images\n", s.Out, done.Images)
	return err
}
