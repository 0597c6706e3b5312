package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ibot/data"
	"ibot/eval"
	"ibot/internal/progress"
	"ibot/torch"
	"ibot/train"
)

func init() { verbs = append(verbs, newEvalVerb) }

// newEvalVerb makes ibot eval, the verbs that score what a network has learnt.
func newEvalVerb() *cobra.Command {
	verb := &cobra.Command{Use: "eval", Short: "score a trained network", GroupID: groupTrain}
	verb.AddCommand(newEvalKNNVerb())
	return verb
}

// knnSettings are the flags of ibot eval knn. Names of the reference's eval_knn.py are understood
// too.
type knnSettings struct {
	Ckpt string `name:"ckpt" alias:"pretrained_weights" group:"What" arg:"RUN|FILE" help:"the network: a run's folder or a checkpoint file"`
	Net  string `name:"net" alias:"checkpoint_key" choices:"teacher,student" help:"which network of the checkpoint"`
	Data string `name:"data" alias:"data_path" arg:"DIR" help:"labelled images: a folder with train and val, each with a folder for each class; or class folders alone, each of whose images is then looked up among all others"`
	Val  string `name:"val" arg:"DIR" help:"images to classify by those of data, in place of its val"`

	K           []float64 `name:"k" alias:"nb_knn" group:"k-NN" arg:"K ..." range:"[1,)" help:"numbers of neighbours that vote"`
	Temperature float64   `name:"temperature" arg:"T" range:"(0,)" help:"a neighbour votes with exp(similarity/T)"`
	AvgPool     int       `name:"avgpool" alias:"avgpool_patchtokens" range:"[0,2]" help:"features: 0 [CLS]; 1 mean of the patches; 2 both"`
	LastBlocks  int       `name:"n_last_blocks" range:"[1,)" help:"take [CLS] of the last N blocks"`
	ImgSize     int       `name:"img_size" range:"[0,8192]" help:"side of the images in pixels; 0: what the network was trained on"`
	Baselines   bool      `name:"baselines" help:"score raw pixels and the untrained network too"`

	BatchSize int    `name:"batch_size" alias:"batch_size_per_gpu" group:"Running" range:"[1,)" help:"images a forward pass; the scores do not depend on it"`
	Workers   int    `name:"num_workers" range:"[0,256]" help:"workers that decode; 0: one per CPU"`
	Device    string `name:"device" arg:"auto|cpu|cuda[:N]" help:"where to compute"`
	Precision string `name:"precision" choices:"fp32,bf16" help:"numbers of the matrix products"`
	JSON      bool   `name:"json" help:"print one JSON object"`
}

// newEvalKNNVerb makes ibot eval knn.
func newEvalKNNVerb() *cobra.Command {
	published := eval.DefaultKNN()
	flags := knnSettings{
		Net: "teacher", Temperature: published.Temperature, LastBlocks: 1, BatchSize: 64, Device: "auto", Precision: "fp32",
	}
	for _, k := range published.K {
		flags.K = append(flags.K, float64(k))
	}
	verb := &cobra.Command{
		Use:   "knn --ckpt RUN --data DIR",
		Short: "classify images by their nearest neighbours among the features of others",
		Long: "Extracts frozen features and classifies each image of val by the votes of its\n" +
			"nearest neighbours in train, by the protocol of DINO and iBOT: cosine\n" +
			"similarity, votes of exp(similarity/0.07). Any number of classes and images.",
		Example: "  ibot eval knn --ckpt runs/cifar10 --data CIFAR10\n" +
			"  ibot eval knn --ckpt checkpoint.pth --data IMAGENET --precision bf16 --json\n" +
			"  ibot eval knn --ckpt runs/photos --data photos --k 1 5 --baselines",
		Args: arguments(0, 0),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		if flags.Ckpt == "" {
			return needs("eval knn", "ckpt", "RUN|FILE", "the network to score")
		}
		if flags.Data == "" {
			return needs("eval knn", "data", "DIR", "the labelled images")
		}
		for _, k := range flags.K {
			if k != math.Trunc(k) || k > math.MaxInt32 {
				return usagef("--k: want whole numbers, found %v", k)
			}
		}
		report, err := evalKNN(cmd.Context(), flags, cmd.ErrOrStderr())
		if errors.Is(err, torch.ErrOutOfMemory) {
			return fmt.Errorf("%w; lower --batch_size, now %d", err, flags.BatchSize)
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

// knnReport is the result of ibot eval knn.
type knnReport struct {
	Protocol   string      `json:"protocol"`
	Checkpoint string      `json:"checkpoint"`
	Net        string      `json:"net"`
	Arch       string      `json:"arch"`
	Epoch      int         `json:"epoch"`
	Step       int         `json:"step"`
	Data       string      `json:"data"`
	Val        string      `json:"val"` // "" for val of data, and where images are left out one at a time
	LeaveOne   bool        `json:"leave_one_out"`
	Bank       int         `json:"bank"`
	Queries    int         `json:"queries"`
	Classes    int         `json:"classes"`
	Settings   knnNumbers  `json:"settings"`
	Results    []knnResult `json:"results"`
	Bad        []string    `json:"bad_images"`
	Notes      []string    `json:"notes"`
}

// knnNumbers are the settings that a score depends on.
type knnNumbers struct {
	Temperature float64 `json:"temperature"`
	AvgPool     int     `json:"avgpool"`
	LastBlocks  int     `json:"n_last_blocks"`
	Resize      int     `json:"resize"`
	Crop        int     `json:"crop"`
	Precision   string  `json:"precision"`
}

// knnResult are the scores of one kind of features.
type knnResult struct {
	Features string          `json:"features"` // "trained", "untrained" or "pixels"
	Scores   []eval.KNNScore `json:"scores"`
}

// evalKNN scores the network, and the baselines where they are asked for. Progress goes to stderr.
func evalKNN(ctx context.Context, s knnSettings, stderr io.Writer) (*knnReport, error) {
	device, err := torch.ParseDevice(s.Device)
	if err != nil {
		return nil, err
	}
	var net *train.Net
	if err := torch.Run(func() (err error) { net, err = train.OpenNet(s.Ckpt, s.Net, device); return err }); err != nil {
		return nil, err
	}
	defer net.Close()
	sets, err := openKNNSets(data.Options{Decode: net.Config.Sets().Decode}, s.Data, s.Val)
	if err != nil {
		return nil, err
	}
	size := net.Config.ImgSize
	if s.ImgSize > 0 {
		size = s.ImgSize
	}
	if size < net.Config.PatchSize {
		return nil, usagef("--img_size %d is smaller than a patch of the network, %d pixels", size, net.Config.PatchSize)
	}
	o := eval.ExtractOptions{
		Transform: eval.DefaultTransform(size), AvgPool: s.AvgPool, LastBlocks: s.LastBlocks,
		BatchSize: s.BatchSize, Workers: s.Workers, Device: device, Precision: torch.Float32,
	}
	o.Transform.Mean, o.Transform.Std = net.Config.Normalisation()
	if s.Precision == "bf16" {
		o.Precision = torch.BFloat16
	}
	r := &knnReport{
		Protocol: "knn", Checkpoint: net.Source, Net: s.Net, Arch: net.Config.Arch, Epoch: net.Epoch, Step: net.Step,
		Data: s.Data, Val: s.Val, LeaveOne: sets.queries == nil, Bad: []string{}, Notes: []string{},
		Settings: knnNumbers{
			s.Temperature, s.AvgPool, s.LastBlocks, o.Transform.Resize, o.Transform.Crop, s.Precision,
		},
	}
	run := knnRun{sets: sets, options: o, classifier: eval.KNN{Temperature: s.Temperature}, bar: progress.New(stderr), report: r}
	for _, k := range s.K {
		run.classifier.K = append(run.classifier.K, int(k))
	}
	defer run.bar.Finish()
	if err := run.score(ctx, "trained", func(ds data.Dataset, o eval.ExtractOptions) (*eval.Features, error) {
		return eval.Extract(ctx, net.Backbone, ds, o)
	}); err != nil || !s.Baselines {
		return r, err
	}
	fresh, err := net.Untrained(device)
	if err != nil {
		return nil, err
	}
	defer fresh.Close()
	if err := run.score(ctx, "untrained", func(ds data.Dataset, o eval.ExtractOptions) (*eval.Features, error) {
		return eval.Extract(ctx, fresh.Backbone, ds, o)
	}); err != nil {
		return nil, err
	}
	return r, run.score(ctx, "pixels", func(ds data.Dataset, o eval.ExtractOptions) (*eval.Features, error) {
		return eval.Pixels(ctx, ds, min(size, eval.PixelSize), o)
	})
}

// knnSets are the images that vote, and those that are classified: nil where each image of the bank
// is classified by the others.
type knnSets struct{ bank, queries data.Dataset }

// openKNNSets opens the images of a k-NN.
func openKNNSets(o data.Options, dir, val string) (sets knnSets, err error) {
	if sets.bank, err = o.Open(dir); err != nil {
		return sets, err
	}
	if n := len(sets.bank.Classes()); n < 2 {
		return sets, fmt.Errorf("eval: a k-NN needs images of two classes or more, but %s has %d; give a folder with a subfolder for each class, or with train and val of such folders", dir, n)
	}
	splits, err := o.Splits(dir)
	switch {
	case err != nil:
		return sets, err
	case val != "":
		sets.queries, err = o.Open(val)
	case len(splits) > 0:
		sets.queries, err = o.OpenSplit(dir, "val")
	default:
		return sets, nil
	}
	if err == nil && sets.queries.Classes() == nil {
		err = fmt.Errorf("eval: the images to classify have no labels, so nothing can be scored; give them a subfolder for each class, as %s has", dir)
	}
	if err == nil {
		sets.queries, err = data.WithClasses(sets.queries, sets.bank.Classes())
	}
	return sets, err
}

// knnRun scores several kinds of features of the same images.
type knnRun struct {
	sets       knnSets
	options    eval.ExtractOptions
	classifier eval.KNN
	bar        *progress.Bar
	report     *knnReport
}

// score enters the accuracy of the features that extract makes into the report.
func (r *knnRun) score(ctx context.Context, name string, extract func(data.Dataset, eval.ExtractOptions) (*eval.Features, error)) error {
	features := func(part string, ds data.Dataset) (*eval.Features, error) {
		r.bar.Start(progress.Task{Label: name + ", " + part, Unit: "img", Total: ds.Len()})
		o := r.options
		o.Progress = func(done int) { r.bar.Set(done, "") }
		return extract(ds, o)
	}
	bank, err := features("bank", r.sets.bank)
	if err != nil {
		return err
	}
	defer bank.Close()
	queries, classify := bank, func() (*eval.KNNResult, error) { return r.classifier.LeaveOneOut(ctx, bank) }
	if r.sets.queries != nil {
		if queries, err = features("queries", r.sets.queries); err != nil {
			return err
		}
		defer queries.Close()
		classify = func() (*eval.KNNResult, error) { return r.classifier.Classify(ctx, bank, queries) }
	}
	r.bar.Start(progress.Task{Label: name + ", k-NN", Unit: "img", Total: queries.Len()})
	r.classifier.Progress = func(done int) { r.bar.Set(done, "") }
	result, err := classify()
	if err != nil {
		return err
	}
	if len(r.report.Results) == 0 { // images and numbers of neighbours are the same for all
		r.report.Bank, r.report.Queries, r.report.Classes = bank.Len(), queries.Len(), result.Classes
		r.report.Notes = append(r.report.Notes, result.Notes...)
		bad := bank.Bad
		if r.sets.queries != nil {
			bad = append(bad, queries.Bad...)
		}
		for _, image := range bad {
			r.report.Bad = append(r.report.Bad, image.Path)
		}
	}
	r.report.Results = append(r.report.Results, knnResult{name, result.Scores})
	return nil
}

// write prints the report for people.
func (r *knnReport) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s of %s (%s, epoch %d, step %d)\n", r.Net, r.Checkpoint, r.Arch, r.Epoch, r.Step)
	if r.LeaveOne {
		fmt.Fprintf(w, "leave-one-out: each of the %d images of %s, which has no val, is looked up among all others\n", r.Bank, r.Data)
	} else {
		fmt.Fprintf(w, "%d images looked up among %d\n", r.Queries, r.Bank)
	}
	fmt.Fprintf(w, "%d classes, %d pixels, temperature %g\n\n", r.Classes, r.Settings.Crop, r.Settings.Temperature)
	fmt.Fprint(w, "features\tk\ttop-1\ttop-5\t\n")
	for _, result := range r.Results {
		for _, s := range result.Scores {
			fmt.Fprintf(w, "%s\t%d\t%.2f\t%.2f\t\n", result.Features, s.K, s.Top1, s.Top5)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, note := range r.Notes {
		fmt.Fprintln(out, note)
	}
	if len(r.Bad) > 0 {
		fmt.Fprintf(out, "%d images cannot be read and are left out; --json lists them\n", len(r.Bad))
	}
	return nil
}
