package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"ibot/data"
	"ibot/internal/progress"
	"ibot/metrics"
	"ibot/nn"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

func init() {
	Register(Kind{
		Name:  "cluster",
		Short: "classify without labels: clusters against classes",
		Long: "Takes the largest output of the projection head as the cluster of an image\n" +
			"(unsupervised classification, as published for a head of 1000 outputs), and\n" +
			"k-means on the features beside it. Scores are the accuracy after the best\n" +
			"matching of clusters and classes, NMI, ARI and the Fowlkes-Mallows index.",
		Example: "  ibot eval cluster --ckpt runs/cifar10 --data CIFAR10\n" +
			"  ibot eval cluster --ckpt checkpoint.pth --data IMAGENET --json\n" +
			"  ibot eval cluster --ckpt runs/photos --data photos --k 12 --baselines",
		Data: "labelled images: a folder with train and val, of which val is clustered; or class folders alone",
		New: func() Protocol {
			return &clusterProtocol{Restarts: 3, FeatureSettings: FeatureSettings{LastBlocks: 1}}
		},
		Published: []Published{ // Zhou et al. (2022), Table 4: a head of 1000 outputs
			{ImageNet1K, "vit_small/16", "accuracy", 43.4},
			{ImageNet1K, "vit_small/16", "ARI", 32.8},
			{ImageNet1K, "vit_small/16", "NMI", 78.6},
			{ImageNet1K, "vit_small/16", "FMI", 35.6},
		},
	})
}

// clusterProtocol is unsupervised classification.
type clusterProtocol struct {
	K        int `name:"k" group:"Clusters" range:"[0,1000000]" help:"clusters of k-means; 0: as many as there are classes"`
	Restarts int `name:"restarts" range:"[1,100]" help:"starts of k-means, of which the tightest counts"`
	Seed     int `name:"seed" help:"of the starts"`
	FeatureSettings

	images data.Dataset
}

func (p *clusterProtocol) Open(dir string, o data.Options) (err error) {
	if p.images, err = openScored("clusters", dir, o); err != nil {
		return err
	}
	if p.K > p.images.Len() {
		return badSetting("k", "want at most as many clusters as %s has images, %d, found %d", dir, p.images.Len(), p.K)
	}
	return nil
}

// openScored opens the labelled images that a protocol without training is scored on: the val part
// of dir where it has one, else all. what names them in errors.
func openScored(what, dir string, o data.Options) (data.Dataset, error) {
	bank, queries, err := openLabelled(what, dir, "", o)
	if queries != nil {
		return queries, err
	}
	return bank, err
}

// ClusterReport is the report of the protocol cluster.
type ClusterReport struct {
	Images   int             `json:"images"`
	Classes  int             `json:"classes"`
	Settings FeatureNumbers  `json:"settings"`
	Results  []ClusterScores `json:"results"`
	Bad      []string        `json:"bad_images"`
	Notes    []string        `json:"notes"`

	set string
}

// ClusterScores are how well clusters agree with classes, in percent.
type ClusterScores struct {
	By       string  `json:"by"`       // "head" or "k-means"
	Features string  `json:"features"` // Trained, Untrained or RawPixels
	Outputs  int     `json:"outputs"`  // clusters that there could be
	Clusters int     `json:"clusters"` // that have an image
	Accuracy float64 `json:"accuracy"` // after the best one-to-one matching
	NMI      float64 `json:"nmi"`
	ARI      float64 `json:"ari"`
	FMI      float64 `json:"fmi"` // which the reference prints as F
}

func (p *clusterProtocol) Run(ctx context.Context, r *Run) (Report, error) {
	o, err := r.Options(p.FeatureSettings)
	if err != nil {
		return nil, err
	}
	report := &ClusterReport{Classes: len(p.images.Classes()), Settings: o.numbers(), Notes: []string{}, set: SetName(p.images)}
	return report, p.eachSource(func(source string) error { return p.score(ctx, r, source, report) })
}

// score enters the clusters of the features from a source into the report.
func (p *clusterProtocol) score(ctx context.Context, r *Run, source string, report *ClusterReport) error {
	f, err := r.Features(ctx, source, "images", p.images, p.FeatureSettings)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.labelled(); err != nil {
		return err
	}
	if err := f.finite(); err != nil {
		return err
	}
	if source == Trained {
		report.Images, report.Bad = f.Len(), unreadable(f)
		if err := p.byHead(ctx, r, f, report); err != nil {
			return err
		}
	}
	k := p.K
	if k == 0 {
		k = min(len(f.Classes), f.Len())
	}
	r.Bar.Start(progress.Task{Label: fmt.Sprintf("%s, %d clusters", source, k), Unit: "start", Total: p.Restarts})
	defer r.Bar.Finish()
	means := KMeans{K: k, Restarts: p.Restarts, Tolerance: 1e-4, Seed: rng.Seed(p.Seed)}
	means.Progress = func(start, round int) { r.Bar.Set(start, fmt.Sprintf("round %d", round)) }
	var unit *torch.Tensor
	if err := torch.Run(func() error { unit = normalise(f.X).Own(); return nil }); err != nil {
		return err
	}
	defer unit.Free()
	c, err := means.Cluster(ctx, unit)
	if err != nil {
		return err
	}
	r.Bar.Set(p.Restarts, "")
	return report.enter(ClusterScores{By: "k-means", Features: source, Outputs: k}, f.Labels, c.Clusters)
}

// byHead enters the clusters that are the largest outputs of the projection head, where the
// checkpoint has one.
func (p *clusterProtocol) byHead(ctx context.Context, r *Run, f *Features, report *ClusterReport) error {
	err := torch.Run(func() error { return r.Net.LoadHead(r.Device) })
	if errors.Is(err, train.ErrNoHead) {
		report.Notes = append(report.Notes, "no clusters by the head: "+r.Net.Source+" holds a backbone alone")
		return nil
	}
	if err != nil {
		return err
	}
	head := r.Net.Head
	if p.AvgPool != clsTokens || p.LastBlocks > 1 { // the head takes [CLS] of the last block, whatever k-means does
		own, err := r.Features(ctx, Trained, "images for the head", p.images, FeatureSettings{LastBlocks: 1, ImgSize: p.ImgSize})
		if err != nil {
			return err
		}
		defer own.Close()
		f = own
	}
	var clusters []int
	for from := 0; from < f.Len(); from += headRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := torch.Run(func() error {
			torch.NoGrad(func() {
				z := head.Embed(nn.Eval, f.X.Slice(0, from, min(from+headRows, f.Len())))
				for _, k := range torch.Read[int64](head.ClsLogits(z).ArgMax(1)) {
					clusters = append(clusters, int(k))
				}
			})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return report.enter(ClusterScores{By: "head", Features: Trained, Outputs: head.OutDim}, f.Labels, clusters)
}

const headRows = 1024 // features a pass through the head

// enter scores clusters against labels.
func (r *ClusterReport) enter(s ClusterScores, labels, clusters []int) error {
	table, err := metrics.NewContingency(labels, clusters)
	if err != nil {
		return err
	}
	s.Clusters = table.Clusters()
	s.NMI, s.ARI, s.FMI = 100*table.NMI(), 100*table.ARI(), 100*table.FMI()
	accuracy, err := table.Accuracy()
	if err != nil {
		return err
	}
	s.Accuracy = 100 * accuracy
	r.Results = append(r.Results, s)
	return nil
}

// Scores are those of the head where there is one, and the accuracies of k-means.
func (r *ClusterReport) Scores() []Score {
	var scores []Score
	for _, s := range r.Results {
		if s.By == "head" {
			set := r.set
			if s.Outputs != r.Classes { // what is published has as many outputs as there are classes
				set = ""
			}
			scores = append(scores, Score{"accuracy", s.Features, s.Accuracy, set}, Score{"NMI", s.Features, s.NMI, set},
				Score{"ARI", s.Features, s.ARI, set}, Score{"FMI", s.Features, s.FMI, set})
			continue
		}
		scores = append(scores, Score{"accuracy, k-means", s.Features, s.Accuracy, ""}, Score{"NMI, k-means", s.Features, s.NMI, ""})
	}
	return scores
}

// Write prints the report for people.
func (r *ClusterReport) Write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d images of %d classes, %d pixels\n\n", r.Images, r.Classes, r.Settings.Crop)
	fmt.Fprint(w, "clusters by\tof\tclusters\taccuracy\tNMI\tARI\tFMI\t\n")
	for _, s := range r.Results {
		fmt.Fprintf(w, "%s\t%s\t%d of %d\t%.2f\t%.2f\t%.2f\t%.2f\t\n", s.By, s.Features, s.Clusters, s.Outputs, s.Accuracy, s.NMI, s.ARI, s.FMI)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	notes := r.Notes
	if i := slices.IndexFunc(r.Results, func(s ClusterScores) bool { return s.By == "head" && s.Outputs != r.Classes }); i >= 0 {
		notes = append(slices.Clone(notes), fmt.Sprintf("the head has %d outputs for %d classes; an accuracy is comparable to published ones only where these are equal",
			r.Results[i].Outputs, r.Classes))
	}
	return writeRemarks(out, notes, r.Bad)
}
