package eval

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"ibot/backbone"
	"ibot/data"
	"ibot/nn"
	"ibot/rng"
	"ibot/torch"
)

func init() {
	Register(Kind{
		Name:  "partlinear",
		Short: "train linear classifiers on the most attended patches",
		Long: "Classifies images by some of their patches alone (part-wise linear probing): the\n" +
			"mean of the k patches to which [CLS] attends most in the last block, without\n" +
			"the final norm. The heads are those of ibot eval linear: 45 learning rates,\n" +
			"random crops and flips, 100 epochs, of which the best counts. All k are trained\n" +
			"at once. --cached computes the features once: not the published protocol.",
		Example: "  ibot eval partlinear --ckpt checkpoint.pth --data IMAGENET\n" +
			"  ibot eval partlinear --ckpt runs/cifar10 --data CIFAR10 --topk 1 4 16 --cached",
		Data: labelledData,
		New: func() Protocol {
			return &partProtocol{TopK: []float64{1, 7, 14, 56, 112, 196}, ProbeSettings: newProbeSettings()}
		},
	})
}

// partProtocol is part-wise linear probing (Zhou et al. 2022, section 4.3.2).
type partProtocol struct {
	LabelledSettings
	TopK    []float64 `name:"topk" group:"Patches" arg:"K ..." range:"[1,)" help:"numbers of patches, each with heads of its own"`
	Reverse bool      `name:"reverse_top" help:"the patches that [CLS] attends to least"`
	ProbeSettings
	Cached  bool `name:"cached" help:"compute each feature once, without crops and flips: not the published protocol"`
	ImgSize int  `name:"img_size" group:"Features" range:"[0,8192]" help:"side of the images in pixels; 0: what the network was trained on"`

	topk []int
	sets labelledSets
}

func (p *partProtocol) Check() (err error) {
	if p.topk, err = wholeNumbers("topk", p.TopK); err != nil {
		return err
	}
	p.topk = slices.Compact(slices.Sorted(slices.Values(p.topk)))
	return nil
}

func (p *partProtocol) Open(dir string, o data.Options) (err error) {
	p.sets, err = p.LabelledSettings.open("part-wise linear probing", dir, o, rng.Seed(p.Seed))
	return err
}

// Quick makes features be computed once.
func (p *partProtocol) Quick() { p.Cached = true }

// PartReport is the report of the protocol partlinear.
type PartReport struct {
	LabelledCounts
	Published bool          `json:"published_protocol"` // crops and flips, not features computed once
	Reverse   bool          `json:"reverse_top"`
	Epochs    int           `json:"epochs"`
	Patches   int           `json:"patches"` // of an image
	Crop      int           `json:"crop"`
	Precision string        `json:"precision"`
	Results   []PartOfImage `json:"results"`
	Bad       []string      `json:"bad_images"`
	Notes     []string      `json:"notes"`
}

// PartOfImage are the heads on so many patches.
type PartOfImage struct {
	Patches int `json:"topk"`
	HeadScores
}

func (p *partProtocol) Run(ctx context.Context, r *Run) (Report, error) {
	vit, ok := r.Net.Backbone.(*backbone.ViT)
	if !ok {
		return nil, unfit("eval: part-wise linear probing takes the patches that [CLS] attends to, and " + r.Net.Config.Arch + " has none; use a vision transformer")
	}
	o, err := r.Options(FeatureSettings{ImgSize: p.ImgSize})
	if err != nil {
		return nil, err
	}
	h, w := vit.Grid(o.Transform.Crop, o.Transform.Crop)
	report := &PartReport{
		LabelledCounts: p.sets.counts(), Published: !p.Cached, Reverse: p.Reverse, Epochs: p.Epochs, Patches: h * w,
		Crop: o.Transform.Crop, Precision: o.numbers().Precision, Notes: p.sets.notes,
	}
	if p.Cached {
		report.Notes = append(report.Notes, cachedNote)
	}
	var topk []int
	for _, k := range p.topk {
		if k > h*w {
			report.Notes = append(report.Notes, fmt.Sprintf("k = %d is left out: an image has %d patches", k, h*w))
			continue
		}
		topk = append(topk, k)
	}
	if topk == nil {
		return nil, badSetting("topk", "want at most %d, the patches of an image of %d pixels, found %d", h*w, o.Transform.Crop, p.topk[0])
	}
	return report, p.probe(ctx, r, o, parts{vit, topk, p.Reverse}, report)
}

// cachedNote says what features that were computed once are not.
const cachedNote = "features were computed once, without random crops and flips: this is not the published protocol, and gives a little less"

// probe trains and scores the heads of all numbers of patches.
func (p *partProtocol) probe(ctx context.Context, r *Run, o ExtractOptions, parts parts, report *PartReport) error {
	embed := o.precisely(func(x *torch.Tensor) (*torch.Tensor, error) { return parts.of(x), nil })
	about := About{Feature: fmt.Sprintf("mean of the %v most attended patches", parts.topk), LastBlocks: 1}
	if p.Reverse {
		about.Feature = fmt.Sprintf("mean of the %v least attended patches", parts.topk)
	}
	val, err := r.embedded(ctx, "val", p.sets.val, o.Transform, about, embed)
	if err != nil {
		return err
	}
	defer val.Close()
	keep, err := r.keepProbe(p.ProbeSettings, Trained, p.sets, o, about, p.Cached)
	if err != nil {
		return err
	}
	learnt := val // what is checked against val
	var batches batches
	report.Bad = unreadable(val)
	if p.Cached {
		if learnt, err = r.embedded(ctx, "train", p.sets.train, o.Transform, about, embed); err != nil {
			return err
		}
		defer learnt.Close()
		report.Bad = unreadable(learnt, val)
		batches = shuffled(learnt, p.HeadBatch, rng.Seed(p.Seed))
	} else {
		fresh := p.augmented(r, p.sets.train, o.Transform, embed, keep)
		batches = fresh.epoch
		defer func() { report.Bad = append(report.Bad, fresh.badNames()...) }()
	}
	if err := checkClassifiable(learnt, val); err != nil {
		return err
	}
	vals, err := val.columns(len(parts.topk))
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range vals {
			f.Close()
		}
	}()
	results, err := p.ProbeSettings.probe(r, Trained, batches, keep).runs(ctx, vals)
	if err != nil {
		return err
	}
	for i, result := range results {
		report.Results = append(report.Results, PartOfImage{parts.topk[i], result.scores()})
		result.Close()
	}
	return nil
}

// parts are the means of the most attended patches of images.
type parts struct {
	vit     *backbone.ViT
	topk    []int // rising
	reverse bool  // the least attended ones
}

// of maps images (B, C, H, W) to (B, len(topk)*D): for each number k the mean of the k patches to which
// [CLS] attends most in the last block, its heads' mean, as that block leaves them.
func (p parts) of(x *torch.Tensor) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor {
		x := p.vit.Prepare(x, nil)
		last := p.vit.Blocks[len(p.vit.Blocks)-1]
		for _, b := range p.vit.Blocks[:len(p.vit.Blocks)-1] {
			x = b.Forward(nn.Eval, x)
		}
		attention := last.Attn.Weights(last.Norm1.Forward(x)).Select(2, 0).From(2, 1).To(torch.Float32).Mean(1) // (B, N)
		if p.reverse {
			attention = attention.Neg()
		}
		patches := last.Forward(nn.Eval, x).From(1, 1).To(torch.Float32) // (B, N, D)
		B, D, most := x.Size(0), x.Size(2), p.topk[len(p.topk)-1]
		_, first := attention.TopK(most, 1) // (B, most), the most attended first
		sums := patches.Gather(1, first.Unsqueeze(2).Expand(B, most, D)).CumSum(1)
		var means []*torch.Tensor
		for _, k := range p.topk {
			means = append(means, sums.Select(1, k-1).DivScalar(float64(k)))
		}
		return torch.Cat(means, 1)
	})
}

// columns cuts features of n kinds that stand one after the other in the rows. The caller closes them.
func (f *Features) columns(n int) (all []*Features, err error) {
	D := f.Dim() / n
	err = torch.Run(func() error {
		for i := range n {
			part := *f
			part.X = f.X.Slice(1, i*D, (i+1)*D).Clone().Own()
			all = append(all, &part)
		}
		return nil
	})
	if err != nil {
		for _, part := range all {
			part.Close()
		}
	}
	return all, err
}

// Scores are the accuracies of the best heads.
func (r *PartReport) Scores() []Score {
	var scores []Score
	for _, result := range r.Results {
		name := fmt.Sprintf("top-1, k = %d", result.Patches)
		if r.Reverse {
			name += ", least attended"
		}
		if !r.Published {
			name += ", features computed once"
		}
		scores = append(scores, Score{name, Trained, result.Top1, r.set})
	}
	return scores
}

// Write prints the report for people.
func (r *PartReport) Write(out io.Writer) error {
	fmt.Fprintf(out, "%s, %d pixels, %d heads, %d epochs\n\n", r.LabelledCounts, r.Crop, len(r.Results[0].Heads), r.Epochs)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	which := "most"
	if r.Reverse {
		which = "least"
	}
	fmt.Fprintf(w, "%s attended patches\ttop-1\ttop-5\toptimizer\tlr\tbest epoch\t\n", which)
	for _, result := range r.Results {
		fmt.Fprintf(w, "%d of %d\t%.2f\t%.2f\t%s\t%g\t%d\t\n", result.Patches, r.Patches, result.Top1, result.Top5,
			result.Best.Optimizer, result.Best.LR, result.Best.BestEpoch)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return writeRemarks(out, r.Notes, r.Bad)
}
