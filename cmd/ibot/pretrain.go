//go:build !noengine

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ibot/backbone"
	"ibot/internal/progress"
	"ibot/method"
	"ibot/recipes"
	"ibot/torch"
	"ibot/train"
)

func init() { verbs = append(verbs, newPretrainVerb) }

// newPretrainVerb makes ibot pretrain, the main job.
func newPretrainVerb() *cobra.Command {
	parsed := train.Default()
	verb := &cobra.Command{
		Use:   "pretrain --data DIR --out RUN",
		Short: "train a vision transformer on a folder of images, without labels",
		Long: "Trains student and teacher on the images below DIR and writes settings, records,\n" +
			"pictures and checkpoints to RUN. Labels (class folders) are used for the k-NN\n" +
			"score alone. Called again with the same RUN it goes on where it was.",
		Example: "  ibot pretrain --data photos --out runs/photos --recipe vit_small_800ep\n" +
			"  ibot pretrain --data CIFAR10 --out runs/cifar10 --recipe cifar10 --epochs 50\n" +
			"  ibot pretrain --out runs/photos        # go on",
		GroupID: groupTrain,
		Args:    arguments(0, 0),
	}
	bind(verb, &parsed)
	complete(verb, "recipe", recipes.Names())
	complete(verb, "arch", backbone.Names())
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		base, err := baseConfig(parsed)
		if err != nil {
			return err
		}
		c, notes, err := resolveConfig(cmd.Flags(), &parsed, base, backbone.Names())
		if err != nil {
			return err
		}
		if c.Out == "" {
			return needs("pretrain", "out", "RUN", "the folder of the run")
		}
		if c.Data == "" {
			return needs("pretrain", "data", "DIR", "the images to learn from")
		}
		summary, err := pretrain(cmd.Context(), c, notes, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		return printSummary(cmd.OutOrStdout(), summary)
	}
	return verb
}

// complete adds values of a flag to the shell's completion.
func complete(verb *cobra.Command, flag string, values []string) {
	if err := verb.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // a mistake in the program: the flag is not there
	}
}

// pretrain runs a training with its log and progress on stderr.
func pretrain(ctx context.Context, c train.Config, notes []string, stderr io.Writer) (train.Summary, error) {
	bar := progress.New(stderr)
	log := slog.New(slog.NewTextHandler(bar, &slog.HandlerOptions{ReplaceAttr: shortTime}))
	for _, note := range notes {
		log.Warn(note)
	}
	device, err := torch.ParseDevice(c.Device)
	if err == nil {
		err = c.CheckDevice(device)
	}
	if err != nil {
		return train.Summary{}, err // before the images are looked at
	}
	set, err := openLabelled(c)
	if err != nil {
		return train.Summary{}, err
	}
	drawer := &pictures{config: c, images: set.images, log: log}
	o := train.Options{Config: c, Images: set.images, About: about(), Log: log, Bar: bar}
	o.Pictures = func(run string, teacher *method.Net, when train.When) error {
		return drawer.draw(ctx, run, teacher, when)
	}
	log.Info("images", "count", set.images.Len(), "classes", len(set.images.Classes()))
	if err := set.scores(ctx, &o); err != nil {
		return train.Summary{}, err
	}
	return train.Pretrain(ctx, o)
}

// shortTime leaves the date out of log lines.
func shortTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.String(a.Key, a.Value.Time().Format(time.TimeOnly))
	}
	return a
}

// about lists what the run is made with, for the head of config.yaml.
func about() []string {
	var lines []string
	for _, f := range append(programFacts(), torchFacts()...) {
		lines = append(lines, fmt.Sprintf("%-9s %s", f.name, f.value))
	}
	return append(lines, "command   "+strings.Join(os.Args, " "))
}

// printSummary prints what a run came to, in plain words.
func printSummary(out io.Writer, s train.Summary) error {
	lines := []string{fmt.Sprintf("%s: %d of %d steps, %d epochs of %d images, %s", s.Run, s.Steps, s.StepsOf, s.Epochs, s.Images,
		time.Duration(s.Seconds*float64(time.Second)).Round(time.Second))}
	if knn, ok := s.Means["knn"]; ok {
		lines = append(lines, fmt.Sprintf("k-NN: %.1f %% (raw pixels %.1f %%, untrained %.1f %%); best %.1f %% after epoch %d",
			knn, s.Baselines["knn_pixels"], s.Baselines["knn_untrained"], s.BestKNN, s.BestEpoch))
	}
	if s.BadImages > 0 {
		lines = append(lines, fmt.Sprintf("%d images could not be read: see bad_images.jsonl", s.BadImages))
	}
	if s.Skipped > 0 {
		lines = append(lines, fmt.Sprintf("%d steps were skipped: see metrics.jsonl", s.Skipped))
	}
	lines = append(lines, "checkpoint: "+s.Checkpoint)
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}
