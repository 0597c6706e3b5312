package eval

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"ibot/data"
	"ibot/internal/progress"
	"ibot/torch"
)

func init() {
	Register(Kind{
		Name:  "knn",
		Short: "classify images by their nearest neighbours among others",
		Long: "Extracts frozen features and classifies each image of val by the votes of its\n" +
			"nearest neighbours in train, by the protocol of DINO and iBOT: cosine\n" +
			"similarity, votes of exp(similarity/0.07). Any number of classes and images.",
		Example: "  ibot eval knn --ckpt runs/cifar10 --data CIFAR10\n" +
			"  ibot eval knn --ckpt checkpoint.pth --data IMAGENET --precision bf16 --json\n" +
			"  ibot eval knn --ckpt runs/photos --data photos --k 1 5 --baselines",
		Data: "labelled images: a folder with train and val, each with a folder for each class; or class folders alone, each of whose images is then looked up among all others",
		New: func() Protocol {
			published := DefaultKNN()
			p := &knnProtocol{Temperature: published.Temperature, FeatureSettings: FeatureSettings{LastBlocks: 1}}
			for _, k := range published.K {
				p.K = append(p.K, float64(k))
			}
			return p
		},
		Published: []Published{ // Zhou et al. (2022), Tables 1 and 2
			{ImageNet1K, "vit_small/16", "top-1, k = 20", 75.2},
			{ImageNet1K, "vit_base/16", "top-1, k = 20", 77.1},
			{ImageNet1K, "vit_large/16", "top-1, k = 20", 78.0},
		},
	})
}

// knnProtocol is the k-NN classifier of DINO and iBOT on frozen features; see [KNN].
type knnProtocol struct {
	Val         string    `name:"val" group:"k-NN" arg:"DIR" help:"images to classify by those of data, in place of its val"`
	K           []float64 `name:"k" alias:"nb_knn" arg:"K ..." range:"[1,)" help:"numbers of neighbours that vote"`
	Temperature float64   `name:"temperature" arg:"T" range:"(0,)" help:"a neighbour votes with exp(similarity/T)"`
	FeatureSettings

	dir           string
	k             []int
	bank, queries data.Dataset // queries is nil where each image of the bank is classified by the others
}

func (p *knnProtocol) Check() (err error) {
	p.k, err = wholeNumbers("k", p.K)
	return err
}

func (p *knnProtocol) Open(dir string, o data.Options) (err error) {
	p.dir = dir
	if p.bank, p.queries, err = openLabelled("a k-NN", dir, p.Val, o); err != nil {
		return err
	}
	n := p.bank.Len()
	if p.queries == nil {
		n--
	}
	if least := slices.Min(p.k); least > n {
		return tooFewNeighbours(least, n)
	}
	return nil
}

// KNNReport is the report of the protocol knn.
type KNNReport struct {
	Val      string          `json:"val"` // "" for val of data, and where images are left out one at a time
	LeaveOne bool            `json:"leave_one_out"`
	Bank     int             `json:"bank"`
	Queries  int             `json:"queries"`
	Classes  int             `json:"classes"`
	Settings FeatureNumbers  `json:"settings"`
	Results  []KNNOfFeatures `json:"results"`
	Bad      []string        `json:"bad_images"`
	Notes    []string        `json:"notes"`

	data string
	set  string // see [SetName]
}

// FeatureNumbers are the settings that a score of features depends on.
type FeatureNumbers struct {
	Temperature float64 `json:"temperature,omitempty"` // of the k-NN
	AvgPool     int     `json:"avgpool"`
	LastBlocks  int     `json:"n_last_blocks"`
	Resize      int     `json:"resize"`
	Crop        int     `json:"crop"`
	Precision   string  `json:"precision"`
}

// numbers are those of o.
func (o ExtractOptions) numbers() FeatureNumbers {
	n := FeatureNumbers{
		AvgPool: o.AvgPool, LastBlocks: o.LastBlocks, Resize: o.Transform.Resize, Crop: o.Transform.Crop, Precision: "fp32",
	}
	if o.Precision == torch.BFloat16 {
		n.Precision = "bf16"
	}
	return n
}

// KNNOfFeatures are the scores of one kind of features.
type KNNOfFeatures struct {
	Features string     `json:"features"` // Trained, Untrained or RawPixels
	Scores   []KNNScore `json:"scores"`
}

func (p *knnProtocol) Run(ctx context.Context, r *Run) (Report, error) {
	o, err := r.Options(p.FeatureSettings)
	if err != nil {
		return nil, err
	}
	report := &KNNReport{Val: p.Val, LeaveOne: p.queries == nil, Settings: o.numbers(), Notes: []string{}, data: p.dir}
	report.Settings.Temperature = p.Temperature
	if p.queries != nil {
		report.set = SetName(p.queries)
	}
	return report, p.eachSource(func(source string) error { return p.score(ctx, r, source, report) })
}

// score enters the accuracy of the features from a source into the report.
func (p *knnProtocol) score(ctx context.Context, r *Run, source string, report *KNNReport) error {
	bank, err := r.rows(ctx, source, "bank", p.bank, p.FeatureSettings)
	if err != nil {
		return err
	}
	defer bank.Close()
	classifier := KNN{K: p.k, Temperature: p.Temperature, Progress: func(done int) { r.Bar.Set(done, "") }}
	sets, queries := []*Features{bank}, bank
	if p.queries != nil {
		if queries, err = r.rows(ctx, source, "queries", p.queries, p.FeatureSettings); err != nil {
			return err
		}
		defer queries.Close()
		sets = append(sets, queries)
	}
	r.Bar.Start(progress.Task{Label: source + ", k-NN", Unit: "img", Total: queries.Len()})
	result, err := classifier.classify(ctx, bank, queries, p.queries == nil)
	if err != nil {
		return err
	}
	if len(report.Results) == 0 { // images and numbers of neighbours are the same for all
		report.Bank, report.Queries, report.Classes = bank.Len(), queries.Len(), result.Classes
		report.Notes = append(report.Notes, result.Notes...)
		report.Bad = unreadable(sets...)
	}
	report.Results = append(report.Results, KNNOfFeatures{source, result.Scores})
	return nil
}

// Scores are the accuracies, that of 20 neighbours first, which is the one that is quoted.
func (r *KNNReport) Scores() []Score {
	var scores []Score
	for _, result := range r.Results {
		at := len(scores)
		for _, s := range result.Scores {
			score := Score{fmt.Sprintf("top-1, k = %d", s.K), result.Features, s.Top1, r.set}
			if s.K == 20 {
				scores = slices.Insert(scores, at, score)
			} else {
				scores = append(scores, score)
			}
		}
	}
	return scores
}

// Write prints the report for people.
func (r *KNNReport) Write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if r.LeaveOne {
		fmt.Fprintf(w, "leave-one-out: each of the %d images of %s, which has no val, is looked up among all others\n", r.Bank, r.data)
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
	return writeRemarks(out, r.Notes, r.Bad)
}

// writeRemarks prints what there is to say below a table.
func writeRemarks(out io.Writer, notes, bad []string) error {
	for _, note := range notes {
		fmt.Fprintln(out, note)
	}
	if len(bad) > 0 {
		fmt.Fprintf(out, "%d images cannot be read and are left out; --json lists them\n", len(bad))
	}
	return nil
}
