//go:build !noengine

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"ibot/analysis"
	"ibot/data"
	"ibot/internal/progress"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

func init() { verbs = append(verbs, newAnalyzeVerb) }

// newAnalyzeVerb makes ibot analyze, with a verb for each study of package analysis.
func newAnalyzeVerb() *cobra.Command {
	verb := &cobra.Command{Use: "analyze", Short: "draw what a network has learnt, and report on a run", GroupID: groupTrain}
	for _, study := range analysis.Studies() {
		verb.AddCommand(newStudyVerb(study))
	}
	return verb
}

// analyzeSettings are the flags of every study.
type analyzeSettings struct {
	Ckpt string `name:"ckpt" alias:"pretrained_weights" group:"What" arg:"RUN|FILE" help:"the network: a run's folder or a checkpoint file"`
	Net  string `name:"net" alias:"checkpoint_key" choices:"teacher,student" help:"which network of the checkpoint"`
	Data string `name:"data" alias:"data_path" arg:"DIR|IMG ..." help:"a set of images, or image files; without it the images that the run learns from"`
	Out  string `name:"out" arg:"DIR" help:"folder for the pictures"`
	Seed int    `name:"seed" range:"[0,)" help:"another seed takes other images"`

	BatchSize int    `name:"batch_size" group:"Running" range:"[1,)" help:"images a forward pass; the pictures do not depend on it"`
	Workers   int    `name:"num_workers" range:"[0,256]" help:"workers that decode; 0: one per CPU"`
	Device    string `name:"device" arg:"auto|cpu|cuda[:N]" help:"where to compute"`
	JSON      bool   `name:"json" help:"print one JSON object"`
}

// newStudyVerb makes the verb of a study, with its flags and those of every study.
func newStudyVerb(study analysis.Study) *cobra.Command {
	runner := study.New()
	flags := analyzeSettings{Net: "teacher", BatchSize: 64, Device: "auto"}
	verb := &cobra.Command{
		Use:   study.Name + " --ckpt RUN --data DIR --out DIR",
		Short: study.Short,
		Long:  study.Long,
		Example: "  ibot analyze " + study.Name + " --ckpt runs/demo --out pictures\n" +
			"  ibot analyze " + study.Name + " --ckpt checkpoint.pth --out pictures --data *.jpg",
		Args: cobra.ArbitraryArgs, // further image files
	}
	bind(verb, &flags)
	bind(verb, runner)
	verb.RunE = func(cmd *cobra.Command, more []string) error {
		if flags.Ckpt == "" {
			return needs("analyze "+study.Name, "ckpt", "RUN|FILE", "the network to look into")
		}
		if flags.Out == "" {
			return needs("analyze "+study.Name, "out", "DIR", "the folder for the pictures")
		}
		if flags.Data == "" && len(more) > 0 {
			return usagef("analyze %s: %q is no flag; name images with --data", study.Name, more[0])
		}
		var paths []string
		if flags.Data != "" {
			paths = append([]string{flags.Data}, more...)
		}
		report, err := analyze(cmd.Context(), study, runner, flags, paths, cmd.ErrOrStderr())
		if errors.Is(err, torch.ErrOutOfMemory) {
			return fmt.Errorf("%w; lower --batch_size, now %d, or --img_size", err, flags.BatchSize)
		}
		if err != nil {
			return err
		}
		if flags.JSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
		}
		return report.write(cmd.OutOrStdout())
	}
	return verb
}

// studyReport is the result of ibot analyze.
type studyReport struct {
	Study      string         `json:"study"`
	Checkpoint string         `json:"checkpoint"`
	Net        string         `json:"net"`
	Arch       string         `json:"arch"`
	Epoch      int            `json:"epoch"`
	Step       int            `json:"step"`
	Data       []string       `json:"data"`
	Files      []string       `json:"files"`
	Values     map[string]any `json:"values"`
	lines      []string
}

// write prints the findings and the files.
func (r *studyReport) write(out io.Writer) error {
	for _, line := range append(r.lines, r.Files...) {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// analyze runs a study and writes its pictures. Progress goes to stderr.
func analyze(ctx context.Context, study analysis.Study, runner analysis.Runner, s analyzeSettings, paths []string, stderr io.Writer) (*studyReport, error) {
	device, err := torch.ParseDevice(s.Device)
	if err != nil {
		return nil, err
	}
	net, err := openStudiedNet(s.Ckpt, s.Net, device)
	if err != nil {
		return nil, err
	}
	defer net.Close()
	in := analysis.Input{Net: net.studied, Seed: rng.Seed(s.Seed), BatchSize: s.BatchSize, Workers: s.Workers}
	if info, err := os.Stat(s.Ckpt); err == nil && info.IsDir() {
		in.Run = s.Ckpt
	}
	if len(paths) == 0 && net.Config.Data != "" {
		if _, err := os.Stat(net.Config.Data); err == nil || !study.NoImages {
			paths = []string{net.Config.Data}
		}
	}
	if len(paths) == 0 && !study.NoImages {
		return nil, needs("analyze "+study.Name, "data", "DIR|IMG ...", "the images; the checkpoint names none")
	}
	if len(paths) > 0 {
		images, closeImages, err := openStudied(ctx, runner, data.Options{Decode: net.Config.Sets().Decode}, paths)
		if err != nil {
			return nil, err
		}
		defer closeImages()
		in.Images = images
	}
	bar := progress.New(stderr)
	defer bar.Finish()
	in.Progress = func(label, unit string, total int) func(int) {
		bar.Start(progress.Task{Label: label, Unit: unit, Total: total})
		return func(done int) { bar.Set(done, "") }
	}
	result, err := runner.Run(ctx, in)
	bar.Finish()
	if err != nil {
		return nil, err
	}
	files, err := result.Write(s.Out)
	return &studyReport{
		Study: study.Name, Checkpoint: net.Source, Net: s.Net, Arch: net.Config.Arch, Epoch: net.Epoch, Step: net.Step,
		Data: paths, Files: files, Values: result.Values, lines: result.Lines,
	}, err
}

// studiedNet is a network from a checkpoint, ready for a study.
type studiedNet struct {
	*train.Net
	studied *analysis.Net
}

// openStudiedNet loads a network, with its head and the centers of the loss where the checkpoint has them.
func openStudiedNet(path, which string, d torch.Device) (n *studiedNet, err error) {
	err = torch.Run(func() error {
		net, err := train.OpenNet(path, which, d)
		if err != nil {
			return err
		}
		if err = net.LoadHead(d); errors.Is(err, train.ErrNoHead) {
			err = nil // the studies that need it say so
		}
		n = &studiedNet{net, analysis.NewNet(net, d)}
		if err == nil {
			n.studied.Centers[0], n.studied.Centers[1], err = net.Centers()
		}
		if err != nil {
			net.Close()
		}
		return err
	})
	return n, err
}

// openStudied opens the images of a study, which may have a way of its own.
func openStudied(ctx context.Context, runner analysis.Runner, o data.Options, paths []string) (data.Dataset, func(), error) {
	if own, ok := runner.(interface {
		Open(ctx context.Context, o data.Options, paths ...string) (data.Dataset, func(), error)
	}); ok {
		return own.Open(ctx, o, paths...)
	}
	ds, err := o.OpenPaths(paths...)
	return ds, func() {}, err
}
