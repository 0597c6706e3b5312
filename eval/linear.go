package eval

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"ibot/ckpt"
	"ibot/data"
	"ibot/internal/progress"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

func init() {
	Register(Kind{
		Name:  "linear",
		Short: "train linear classifiers on frozen features, many rates at once",
		Long: "Trains linear classifiers on the frozen features of train and scores them on\n" +
			"val, by the protocol of iBOT: random crops and flips, SGD with momentum 0.9, 100\n" +
			"epochs, and 45 learning rates at once, each with a head of its own. The best of\n" +
			"all heads and epochs is the result. --cached computes the features once, without\n" +
			"crops and flips: much faster, and not the published protocol.",
		Example: "  ibot eval linear --ckpt runs/cifar10 --data CIFAR10 --cached\n" +
			"  ibot eval linear --ckpt checkpoint.pth --data IMAGENET --out head.safetensors\n" +
			"  ibot eval linear --ckpt runs/photos --data photos --lr 0.001 --epochs 50",
		Data: labelledData,
		New:  func() Protocol { return newLinear() },
		Published: []Published{ // Zhou et al. (2022), Table 2
			{ImageNet1K, "vit_small/16", "top-1", 77.9},
			{ImageNet1K, "vit_base/16", "top-1", 79.5},
			{ImageNet1K, "vit_large/16", "top-1", 81.0},
		},
	})
}

// labelledData is the help of --data of protocols that train classifiers.
const labelledData = "labelled images: a folder with train and val, each with a folder for each class; or class folders alone, a fifth of whose images is then held out"

// linearProtocol is the linear probe; see [probe].
type linearProtocol struct {
	LabelledSettings
	ProbeSettings
	Cached bool   `name:"cached" help:"compute each feature once, without crops and flips: not the published protocol"`
	Out    string `name:"out" arg:"FILE" help:"store the best head here, as safetensors"`
	FeatureSettings

	sets labelledSets
}

func newLinear() *linearProtocol {
	return &linearProtocol{ProbeSettings: newProbeSettings()}
}

// choose fills in which features the reference trains linear heads on, where nothing else is asked
// for: [CLS] of the last four blocks of ViT-S and Swin, else [CLS] and the mean patch of the last.
func (p *linearProtocol) choose(net *train.Net) {
	arch, _, _ := strings.Cut(architecture(net), "/")
	switch {
	case p.LastBlocks > 0:
	case p.AvgPool == 0 && (arch == "vit_small" || strings.HasPrefix(arch, "swin")):
		p.LastBlocks = 4
	case p.AvgPool == 0:
		p.AvgPool, p.LastBlocks = clsAndMeanPatches, 1
	default:
		p.LastBlocks = 1
	}
}

// ProbeSettings are the settings of linear heads.
type ProbeSettings struct {
	LR          []float64 `name:"lr" group:"Heads" arg:"LR ..." range:"(0,)" empty:"true" help:"learning rates for 256 images a step; without: the 45 of the published sweep, 1 to 9 times 0.0001, 0.001, 0.01, 0.1 and 1"`
	WeightDecay []float64 `name:"weight_decay" arg:"WD ..." range:"[0,)" help:"weight decays; the reference can try 0 and 1e-6"`
	Optimizer   string    `name:"optimizer" choices:"sgd,lars,both" help:"update rule; both: heads of either"`
	Epochs      int       `name:"epochs" range:"[1,)" help:"passes over the images"`
	HeadBatch   int       `name:"head_batch" range:"[1,)" help:"images a step of the heads"`
	Seed        int       `name:"seed" help:"of order, crops and initial weights"`
}

func newProbeSettings() ProbeSettings {
	return ProbeSettings{WeightDecay: []float64{0}, Optimizer: "sgd", Epochs: 100, HeadBatch: 128}
}

// heads are the heads that the settings ask for.
func (s ProbeSettings) heads() []Head {
	rates, optimizers := s.LR, []string{s.Optimizer}
	if len(rates) == 0 {
		rates = publishedRates()
	}
	if s.Optimizer == "both" {
		optimizers = []string{"sgd", "lars"}
	}
	return grid(rates, s.WeightDecay, optimizers)
}

func (p *linearProtocol) Open(dir string, o data.Options) (err error) {
	p.sets, err = p.LabelledSettings.open("a linear probe", dir, o, rng.Seed(p.Seed))
	return err
}

// Quick makes features be computed once.
func (p *linearProtocol) Quick() { p.Cached = true }

// LinearReport is the report of the protocol linear.
type LinearReport struct {
	LabelledCounts
	Published bool               `json:"published_protocol"` // crops and flips, not features computed once
	Epochs    int                `json:"epochs"`
	Settings  FeatureNumbers     `json:"settings"`
	Results   []LinearOfFeatures `json:"results"`
	Bad       []string           `json:"bad_images"`
	Notes     []string           `json:"notes"`
}

// LinearOfFeatures are the heads on one kind of features.
type LinearOfFeatures struct {
	Features string `json:"features"`
	HeadScores
}

func (p *linearProtocol) Run(ctx context.Context, r *Run) (Report, error) {
	p.choose(r.Net)
	o, err := r.Options(p.FeatureSettings)
	if err != nil {
		return nil, err
	}
	report := &LinearReport{
		LabelledCounts: p.sets.counts(), Published: !p.Cached, Epochs: p.Epochs, Settings: o.numbers(), Notes: p.sets.notes,
	}
	if p.Cached {
		report.Notes = append(report.Notes, cachedNote)
	}
	return report, p.eachSource(func(source string) error { return p.score(ctx, r, source, report) })
}

// score enters the heads on the features from a source into the report.
func (p *linearProtocol) score(ctx context.Context, r *Run, source string, report *LinearReport) error {
	embed, o, err := r.embedder(source, p.FeatureSettings)
	if err != nil {
		return err
	}
	keep, err := r.keepProbe(p.ProbeSettings, source, p.sets, o, p.about(source), p.Cached)
	if err != nil {
		return err
	}
	if p.Cached {
		train, val, err := p.sets.rows(ctx, r, source, p.FeatureSettings)
		if err != nil {
			return err
		}
		defer train.Close()
		defer val.Close()
		if source == Trained { // images are the same for all
			report.Bad = unreadable(train, val)
		}
		return p.fit(ctx, r, source, shuffled(train, p.HeadBatch, rng.Seed(p.Seed)), keep, val, report)
	}
	val, err := r.rows(ctx, source, "val", p.sets.val, p.FeatureSettings)
	if err != nil {
		return err
	}
	defer val.Close()
	if err := checkClassifiable(val, val); err != nil {
		return err
	}
	fresh := p.augmented(r, p.sets.train, o.Transform, embed, keep)
	err = p.fit(ctx, r, source, fresh.epoch, keep, val, report)
	if source == Trained {
		report.Bad = append(unreadable(val), fresh.badNames()...)
	}
	return err
}

// fit trains heads on batches of features from a source, and enters how they do on val into the report.
func (p *linearProtocol) fit(ctx context.Context, r *Run, source string, batches batches, keep *keptProbe, val *Features, report *LinearReport) error {
	result, err := p.probe(r, source, batches, keep).run(ctx, val)
	if err != nil {
		return err
	}
	defer result.Close()
	report.Results = append(report.Results, LinearOfFeatures{source, result.scores()})
	if p.Out != "" && source == Trained {
		return p.store(r, result, val.Classes)
	}
	return nil
}

// probe is the probe of the settings on batches of features from a source. keep may be nil.
func (s ProbeSettings) probe(r *Run, source string, batches batches, keep *keptProbe) probe {
	return probe{
		Heads: s.heads(), Epochs: s.Epochs, BatchSize: s.HeadBatch, Seed: rng.Seed(s.Seed), Batches: batches,
		Keep: keep,
		Start: func(epoch int) {
			r.Bar.Start(progress.Task{Label: source + ", heads", Unit: "epochs", Total: s.Epochs, Done: epoch})
		},
		Progress: func(epoch int, best float64) { r.Bar.Set(epoch, fmt.Sprintf("best %.2f %%", best)) },
	}
}

// augmented gives batches of the features of ds that the settings ask for, cropped and flipped. keep, which may be
// nil, learns which images cannot be read.
func (s ProbeSettings) augmented(r *Run, ds data.Dataset, t Transform, embed embedder, keep *keptProbe) *augmented {
	a := &augmented{
		ds: ds, transform: t, embed: embed, batch: s.HeadBatch, workers: r.Workers, device: r.Device, seed: rng.Seed(s.Seed),
		bad: map[int]data.BadImage{},
	}
	if keep != nil {
		keep.bad = a.bad
	}
	return a
}

// store writes the best head, with all that is needed to use it.
func (p *linearProtocol) store(r *Run, result *probed, classes []string) error {
	names, err := json.Marshal(classes)
	if err != nil {
		return err
	}
	best := result.Heads[result.Best]
	c := ckpt.New()
	c.Meta = map[string]string{
		"ibot_head": "linear", "classes": string(names), "checkpoint": r.Net.Source,
		"avgpool": strconv.Itoa(p.AvgPool), "n_last_blocks": strconv.Itoa(p.LastBlocks),
		"top1": fmt.Sprint(best.Best), "optimizer": best.Optimizer, "lr": fmt.Sprint(best.LR), "weight_decay": fmt.Sprint(best.WeightDecay),
	}
	for _, part := range []struct {
		name string
		t    *torch.Tensor
	}{{"linear.weight", result.Weight}, {"linear.bias", result.Bias}} {
		if err := c.Add(part.name, ckpt.FromFloat32(part.t.Shape(), part.t.Floats())); err != nil {
			return err
		}
	}
	return ckpt.Write(p.Out, c)
}

// Scores are the accuracies of the best heads.
func (r *LinearReport) Scores() []Score {
	name := "top-1"
	if !r.Published {
		name = "top-1, features computed once"
	}
	var scores []Score
	for _, result := range r.Results {
		scores = append(scores, Score{name, result.Features, result.Top1, r.set})
	}
	return scores
}

// Write prints the report for people: the best head of each kind of features, and the best heads of
// the sweep.
func (r *LinearReport) Write(out io.Writer) error {
	const shown = 5
	fmt.Fprintf(out, "%s, %d pixels, %d heads, %d epochs\n\n", r.LabelledCounts, r.Settings.Crop, len(r.Results[0].Heads), r.Epochs)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "features\toptimizer\tlr\tweight decay\tbest epoch\ttop-1\ttop-5\t\n")
	for _, result := range r.Results {
		heads := slices.Clone(result.Heads)
		slices.SortStableFunc(heads, func(a, b Head) int { return cmp.Compare(b.Best, a.Best) })
		for i, h := range heads[:min(shown, len(heads))] {
			top5 := ""
			if i == 0 {
				top5 = fmt.Sprintf("%.2f", result.Top5)
			}
			fmt.Fprintf(w, "%s\t%s\t%g\t%g\t%d\t%.2f\t%s\t\n", result.Features, h.Optimizer, h.LR, h.WeightDecay, h.BestEpoch, h.Best, top5)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return writeRemarks(out, r.Notes, r.Bad)
}
