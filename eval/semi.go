package eval

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"text/tabwriter"

	"ibot/data"
	"ibot/internal/progress"
	"ibot/rng"
)

func init() {
	Register(Kind{
		Name:  "semi",
		Short: "classify with the labels of a few images, on frozen features",
		Long: "Semi-supervised evaluation on frozen features: k-NN, linear probe and logistic\n" +
			"regression learn from a small part of train and are scored on val. The part is\n" +
			"that of a list of file names, as SimCLR's 1percent.txt and 10percent.txt, or a\n" +
			"share of each class that is drawn by the seed.",
		Example: "  ibot eval semi --ckpt checkpoint.pth --data IMAGENET --list 1percent.txt\n" +
			"  ibot eval semi --ckpt runs/cifar10 --data CIFAR10 --fraction 0.01 --seed 1",
		Data: labelledData,
		New: func() Protocol {
			p := &semiProtocol{
				Fraction: .01, K: []float64{10, 20}, ProbeSettings: newProbeSettings(), LogregSettings: newLogregSettings(),
				FeatureSettings: FeatureSettings{LastBlocks: 1},
			}
			p.Temperature = DefaultKNN().Temperature
			return p
		},
		Published: []Published{ // Zhou et al. (2022), appendix, frozen features with 1 % of the labels
			{ImageNet1K, "vit_small/16", "k-NN, 1 % of the labels", 62.3},
			{ImageNet1K, "vit_small/16", "linear, 1 % of the labels", 62.5},
			{ImageNet1K, "vit_small/16", "logistic, 1 % of the labels", 65.9},
			{ImageNet1K, "vit_small/16", "k-NN, 10 % of the labels", 70.1},
			{ImageNet1K, "vit_small/16", "linear, 10 % of the labels", 72.2},
			{ImageNet1K, "vit_small/16", "logistic, 10 % of the labels", 73.4},
		},
	})
}

// semiProtocol scores three classifiers that see the labels of a part of the images.
type semiProtocol struct {
	LabelledSettings
	List     string  `name:"list" group:"Labels" arg:"FILE" help:"names of the images of train whose labels are used, a line each"`
	Fraction float64 `name:"fraction" arg:"F" range:"(0,1]" help:"without a list: the share of each class whose labels are used, at least one image"`

	K           []float64 `name:"k" group:"k-NN" arg:"K ..." range:"[1,)" help:"numbers of neighbours that vote"`
	Temperature float64   `name:"temperature" arg:"T" range:"(0,)" help:"a neighbour votes with exp(similarity/T)"`
	ProbeSettings
	LogregSettings
	FeatureSettings

	k    []int
	sets labelledSets
	all  int // images of train, with and without labels
}

func (p *semiProtocol) Check() (err error) {
	p.k, err = wholeNumbers("k", p.K)
	return err
}

func (p *semiProtocol) Open(dir string, o data.Options) (err error) {
	if p.sets, err = p.LabelledSettings.open("a semi-supervised evaluation", dir, o, rng.Seed(p.Seed)); err != nil {
		return err
	}
	p.all = p.sets.train.Len()
	chosen := someOfEach(p.sets.train, rng.Seed(p.Seed), p.Fraction)
	if p.List != "" {
		if chosen, err = named(p.sets.train, p.List); err != nil {
			return err
		}
	}
	p.sets.train = data.Subset(p.sets.train, chosen)
	if n := len(chosen); slices.Min(p.k) > n {
		p.sets.notes = append(p.sets.notes, fmt.Sprintf("k of the k-NN is %d, for there are no more labels", n))
		p.k = []int{n}
	}
	return nil
}

// someOfEach draws a share of each class of ds, at least one image of it. Which ones depends on the
// seed alone. They are sorted.
func someOfEach(ds data.Dataset, seed rng.Seed, share float64) []int {
	members := make([][]int, len(ds.Classes()))
	for i := range ds.Len() {
		if label := ds.Label(i); label >= 0 {
			members[label] = append(members[label], i)
		}
	}
	var chosen []int
	for class, m := range members {
		n := min(len(m), max(1, int(math.Round(share*float64(len(m))))))
		seed.Stream("labels", class).Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
		chosen = append(chosen, m[:n]...)
	}
	slices.Sort(chosen)
	return chosen
}

// named are the images of ds that a list names, by file name as SimCLR's lists do, or by path. They are
// sorted.
func named(ds data.Dataset, list string) ([]int, error) {
	file, err := os.Open(list)
	if err != nil {
		return nil, fmt.Errorf("eval: cannot read the list of labelled images: %w", err)
	}
	defer file.Close()
	at := map[string]int{}
	for i := range ds.Len() {
		at[ds.Name(i)] = i
		if base := path.Base(ds.Name(i)); base != ds.Name(i) {
			if _, twice := at[base]; twice {
				at[base] = -1
			} else {
				at[base] = i
			}
		}
	}
	chosen, missing, ambiguous := []int{}, []string{}, []string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name := strings.TrimSpace(lines.Text())
		if name == "" {
			continue
		}
		switch i, ok := at[name]; {
		case !ok:
			missing = append(missing, name)
		case i < 0:
			ambiguous = append(ambiguous, name)
		default:
			chosen = append(chosen, i)
		}
	}
	slices.Sort(chosen)
	chosen = slices.Compact(chosen)
	switch {
	case lines.Err() != nil:
		return nil, fmt.Errorf("eval: %s is no list of file names: %w", list, lines.Err())
	case len(ambiguous) > 0:
		return nil, fmt.Errorf("eval: %s names %s, but several folders have such a file; write CLASS/NAME", list, some(ambiguous))
	case len(missing) > 0:
		return nil, fmt.Errorf("eval: %s names %d images that are not in train: %s; want names such as %s", list, len(missing), some(missing), path.Base(ds.Name(0)))
	case len(chosen) == 0:
		return nil, fmt.Errorf("eval: %s names no image; write a file name a line, such as %s", list, path.Base(ds.Name(0)))
	}
	return chosen, nil
}

// some quotes the first few names.
func some(names []string) string {
	text := strings.Join(names[:min(3, len(names))], ", ")
	if len(names) > 3 {
		text += ", ..."
	}
	return text
}

// SemiReport is the report of the protocol semi.
type SemiReport struct {
	LabelledCounts
	Of       int              `json:"of"` // images of train, with and without labels
	Percent  float64          `json:"percent"`
	List     string           `json:"list"`
	Seed     int              `json:"seed"`
	Settings FeatureNumbers   `json:"settings"`
	Results  []SemiOfFeatures `json:"results"`
	Bad      []string         `json:"bad_images"`
	Notes    []string         `json:"notes"`
}

// SemiOfFeatures are the classifiers on one kind of features.
type SemiOfFeatures struct {
	Features string         `json:"features"`
	KNN      []KNNScore     `json:"knn"`
	Linear   Head           `json:"linear"` // the best head
	Logistic []*LogisticFit `json:"logistic"`
}

func (p *semiProtocol) Run(ctx context.Context, r *Run) (Report, error) {
	o, err := r.Options(p.FeatureSettings)
	if err != nil {
		return nil, err
	}
	report := &SemiReport{
		LabelledCounts: p.sets.counts(), Of: p.all, List: p.List, Seed: p.Seed, Settings: o.numbers(), Notes: p.sets.notes,
		Percent: 100 * float64(p.sets.train.Len()) / float64(p.all),
	}
	report.Settings.Temperature = p.Temperature
	report.Notes = append(report.Notes, "the linear probe saw features that were computed once, without random crops and flips: not the published protocol")
	return report, p.eachSource(func(source string) error { return p.score(ctx, r, source, report) })
}

// score enters the classifiers on the features from a source into the report.
func (p *semiProtocol) score(ctx context.Context, r *Run, source string, report *SemiReport) error {
	train, val, err := p.sets.rows(ctx, r, source, p.FeatureSettings)
	if err != nil {
		return err
	}
	defer train.Close()
	defer val.Close()
	result := SemiOfFeatures{Features: source}
	r.Bar.Start(progress.Task{Label: source + ", k-NN", Unit: "img", Total: val.Len()})
	knn, err := KNN{K: p.k, Temperature: p.Temperature, Progress: func(done int) { r.Bar.Set(done, "") }}.Classify(ctx, train, val)
	if err != nil {
		return err
	}
	result.KNN = knn.Scores
	heads, err := p.probe(r, source, shuffled(train, p.HeadBatch, rng.Seed(p.Seed)), nil).run(ctx, val)
	if err != nil {
		return err
	}
	defer heads.Close()
	result.Linear = heads.Heads[heads.Best]
	var notes []string
	if result.Logistic, notes, err = p.fit(ctx, r, source, train, val); err != nil {
		return err
	}
	if len(report.Results) == 0 {
		report.Notes = append(report.Notes, knn.Notes...)
		report.Bad = unreadable(train, val)
	}
	report.Notes = append(report.Notes, notes...)
	report.Results = append(report.Results, result)
	return nil
}

// Scores are the best of each classifier.
func (r *SemiReport) Scores() []Score {
	of := fmt.Sprintf(", %.2g %% of the labels", r.Percent)
	if rounded := math.Round(r.Percent); math.Abs(r.Percent-rounded) < .02*rounded {
		of = fmt.Sprintf(", %.0f %% of the labels", rounded)
	}
	var scores []Score
	for _, result := range r.Results {
		best := slices.MaxFunc(result.KNN, func(a, b KNNScore) int { return cmp.Compare(a.Top1, b.Top1) })
		scores = append(scores,
			Score{"k-NN" + of, result.Features, best.Top1, r.set},
			Score{"linear" + of, result.Features, result.Linear.Best, r.set},
			Score{"logistic" + of, result.Features, bestFit(result.Logistic).Top1, r.set})
	}
	return scores
}

// Write prints the report for people.
func (r *SemiReport) Write(out io.Writer) error {
	fmt.Fprintf(out, "%d of %d labels (%.2f %%), scored on %d images, %d classes, %d pixels\n\n", r.Train, r.Of, r.Percent, r.Queries, r.Classes, r.Settings.Crop)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "features\tclassifier\t\ttop-1\t\n")
	for _, result := range r.Results {
		for _, s := range result.KNN {
			fmt.Fprintf(w, "%s\tk-NN\tk = %d\t%.2f\t\n", result.Features, s.K, s.Top1)
		}
		fmt.Fprintf(w, "%s\tlinear\t%s, lr = %g\t%.2f\t\n", result.Features, result.Linear.Optimizer, result.Linear.LR, result.Linear.Best)
		for _, fit := range result.Logistic {
			fmt.Fprintf(w, "%s\tlogistic\tlambda = %g\t%.2f\t\n", result.Features, fit.Lambda, fit.Top1)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return writeRemarks(out, r.Notes, r.Bad)
}
