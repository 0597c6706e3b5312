package eval

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"ibot/data"
	"ibot/imaging"
	"ibot/internal/progress"
	"ibot/metrics"
)

// The sets of the published numbers of retrieval.
const (
	ROxford = "ROxford5k"
	RParis  = "RParis6k"
)

func init() {
	Register(Kind{
		Name:  "retrieval",
		Short: "search a set for the images that show the same thing",
		Long: "Ranks the images of a database by the cosine similarity of their features to\n" +
			"each query (Revisited Oxford and Paris: images of at most 512 pixels a side, at\n" +
			"three scales). Scores are the mean average precision (mAP) and the mean\n" +
			"precision at k (mP@k), Medium and Hard. In a folder with a subfolder for each\n" +
			"class every image is a query, and the others of its class should be found.",
		Example: "  ibot eval retrieval --ckpt checkpoint.pth --data roxford5k\n" +
			"  ibot eval retrieval --ckpt runs/photos --data photos --imsize 224",
		Data: "a folder with gnd_NAME.pkl (or .mat, .json) and the images in jpg, as Revisited Oxford and Paris have; or labelled images, of which val is searched where there is one",
		New: func() Protocol {
			return &retrievalProtocol{K: []float64{1, 5, 10}, ImSize: 512, Multiscale: true, Feature: "cls", LastBlocks: 1}
		},
		Published: []Published{ // Zhou et al. (2022), Table 12
			{ROxford, "vit_small/16", "mAP, medium", 36.6},
			{ROxford, "vit_small/16", "mAP, hard", 13.0},
			{RParis, "vit_small/16", "mAP, medium", 61.5},
			{RParis, "vit_small/16", "mAP, hard", 34.1},
		},
	})
}

// retrievalProtocol is image retrieval with frozen features.
type retrievalProtocol struct {
	Truth      string    `name:"truth" group:"Retrieval" arg:"FILE" help:"the ground truth; empty: the gnd file in data, else the classes"`
	Images     string    `name:"images" arg:"DIR" help:"the images that the ground truth names; empty: jpg in data, or data itself"`
	K          []float64 `name:"k" arg:"K ..." range:"[1,)" help:"numbers of first images whose precision is given"`
	ImSize     int       `name:"imsize" range:"[16,8192]" help:"pixels of the longer side, to which larger images are shrunk"`
	Multiscale bool      `name:"multiscale" arg:"BOOL" help:"mean of the features at scale 1, 0.71 and 0.5"`
	Feature    string    `name:"feature" group:"Features" choices:"cls,mean,cls_mean,gem,cls_gem" help:"[CLS]; the mean of the patches; both; their generalised mean (exponent 4); or [CLS] and that"`
	LastBlocks int       `name:"n_last_blocks" range:"[1,)" help:"take [CLS] of the last N blocks"`

	k                 []int
	truth             *groundTruth // nil where classes are the truth
	database, queries data.Dataset // queries is nil where they are the database
}

func (p *retrievalProtocol) Check() (err error) {
	p.k, err = wholeNumbers("k", p.K)
	return err
}

func (p *retrievalProtocol) Open(dir string, o data.Options) (err error) {
	path := p.Truth
	if path == "" && isFolder(dir) {
		if path, err = findTruth(dir); err != nil {
			return err
		}
	}
	if path == "" {
		if p.database, err = openScored("retrieval", dir, o); err != nil {
			return fmt.Errorf("%w; %s", err, truthLayout)
		}
		return nil
	}
	if p.truth, err = readTruth(path); err != nil {
		return err
	}
	images := p.Images
	if images == "" {
		if images = filepath.Join(dir, "jpg"); !isFolder(images) {
			images = dir
		}
	}
	o.Decode.AllowTruncated = true // as the reference
	for _, set := range []struct {
		names []string
		into  *data.Dataset
	}{{p.truth.Database, &p.database}, {p.truth.Queries, &p.queries}} {
		files, err := locate(images, set.names)
		if err != nil {
			return err
		}
		if *set.into, err = o.Files(images, files); err != nil {
			return err
		}
	}
	return nil
}

// RetrievalReport is the report of the protocol retrieval.
type RetrievalReport struct {
	Database int               `json:"database"`
	Queries  int               `json:"queries"`
	Results  []RetrievalScores `json:"results"`
	Settings RetrievalNumbers  `json:"settings"`
	Bad      []string          `json:"bad_images"`
	Notes    []string          `json:"notes"`

	set string
}

// RetrievalScores are means over the queries, in percent; see [metrics.Rank].
type RetrievalScores struct {
	Level       string        `json:"level"`   // "medium" or "hard", or "class" where classes are the truth
	Queries     int           `json:"queries"` // that have a relevant image
	MAP         float64       `json:"map"`
	PrecisionAt []PrecisionAt `json:"mp_at"` // mean precision at each k
}

// PrecisionAt is the share of relevant images among the first K.
type PrecisionAt struct {
	K       int     `json:"k"`
	Percent float64 `json:"percent"`
}

// RetrievalNumbers are the settings that the scores depend on.
type RetrievalNumbers struct {
	ImSize     int    `json:"imsize"`
	Multiscale bool   `json:"multiscale"`
	Feature    string `json:"feature"`
	LastBlocks int    `json:"n_last_blocks"`
	Precision  string `json:"precision"`
}

// retrievalScales are the sizes at which a feature is taken, as shares of the image's.
var retrievalScales = []float64{1, 1 / math.Sqrt2, 0.5}

func (p *retrievalProtocol) Run(ctx context.Context, r *Run) (Report, error) {
	o, err := r.Options(FeatureSettings{})
	if err != nil {
		return nil, err
	}
	o.Transform.Longest = p.ImSize
	report := &RetrievalReport{Notes: []string{}, set: p.setName(), Settings: RetrievalNumbers{
		p.ImSize, p.Multiscale, p.Feature, p.LastBlocks, o.numbers().Precision,
	}}
	database, err := p.features(ctx, r, "database", p.database, o.Transform)
	if err != nil {
		return nil, err
	}
	defer database.Close()
	queries, sets := database, []*Features{database}
	if p.queries != nil {
		if queries, err = p.features(ctx, r, "queries", p.queries, o.Transform); err != nil {
			return nil, err
		}
		defer queries.Close()
		sets = append(sets, queries)
	}
	report.Database, report.Queries, report.Bad = database.Len(), queries.Len(), unreadable(sets...)
	r.Bar.Start(progress.Task{Label: "ranking", Unit: "query", Total: queries.Len()})
	return report, p.rank(ctx, r, database, queries, report)
}

// setName recognises the published sets, at their published settings.
func (p *retrievalProtocol) setName() string {
	if p.truth == nil || p.ImSize != 512 || !p.Multiscale || p.Feature != "cls" || p.LastBlocks != 1 || len(p.truth.Queries) != 70 {
		return ""
	}
	return map[int]string{4993: ROxford, 6322: RParis}[len(p.truth.Database)]
}

// features are those of whole images, each at its own size.
func (p *retrievalProtocol) features(ctx context.Context, r *Run, part string, ds data.Dataset, t Transform) (*Features, error) {
	choice, smallest := Choice{Feature: p.Feature, LastBlocks: p.LastBlocks, Power: 4}, 1.
	if p.Multiscale {
		choice.Scales, smallest = retrievalScales, slices.Min(retrievalScales)
	}
	least := int(math.Ceil(float64(r.Net.Config.PatchSize) / smallest))
	return r.chosen(ctx, part, largeEnough{ds, t, least}, choice, t)
}

// largeEnough is a set whose images of fewer than least pixels a side, as a network sees them, cannot
// be read.
type largeEnough struct {
	data.Dataset
	transform Transform
	least     int
}

func (l largeEnough) Load(i int) (*imaging.Image, error) {
	im, err := l.Dataset.Load(i)
	if err != nil {
		return nil, err
	}
	if im = l.transform.Pixels(im); min(im.W, im.H) < l.least {
		return nil, fmt.Errorf("eval: %s is %d x %d pixels for the network, whose patches need %d a side", l.Name(i), im.W, im.H, l.least)
	}
	return im, nil
}

// level is a choice of which images count as relevant, and which not at all.
type level struct {
	name     string
	relevant func(query int) (positives, junk []int)
	scores   metrics.Rankings
}

// levels are Medium and Hard, or the classes.
func (p *retrievalProtocol) levels() []*level {
	if p.truth == nil {
		members := map[int][]int{}
		for i := range p.database.Len() {
			members[p.database.Label(i)] = append(members[p.database.Label(i)], i)
		}
		return []*level{{name: "class", relevant: func(query int) (positives, junk []int) {
			for _, image := range members[p.database.Label(query)] {
				if image != query {
					positives = append(positives, image)
				}
			}
			return positives, []int{query}
		}}}
	}
	gnd := p.truth.Relevant
	return []*level{
		{name: "medium", relevant: func(q int) (positives, junk []int) {
			return slices.Concat(gnd[q].Easy, gnd[q].Hard), gnd[q].Junk
		}},
		{name: "hard", relevant: func(q int) (positives, junk []int) {
			return gnd[q].Hard, slices.Concat(gnd[q].Junk, gnd[q].Easy)
		}},
	}
}

// rank searches the database for each query, and enters the scores.
func (p *retrievalProtocol) rank(ctx context.Context, r *Run, database, queries *Features, report *RetrievalReport) error {
	levels, images := p.levels(), database.numbers(p.database.Len())
	asked := images
	if p.queries != nil {
		asked = queries.numbers(p.queries.Len())
	}
	var failed error
	ranking := make([]int, database.Len())
	err := Nearest(ctx, database, queries, database.Len(), func(query int, near []Neighbour) {
		for i, n := range near {
			ranking[i] = images[n.Index]
		}
		for _, l := range levels {
			positives, junk := l.relevant(asked[query])
			if len(positives) == 0 {
				continue // as published, no part of the mean
			}
			score, err := metrics.Rank(ranking, positives, junk, p.k...)
			if err != nil {
				failed = err
				return
			}
			l.scores.Add(score)
		}
		r.Bar.Set(query+1, "")
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	for _, l := range levels {
		if l.scores.Len() < queries.Len() {
			report.Notes = append(report.Notes, fmt.Sprintf("%s: %d queries have no relevant image and are left out", l.name, queries.Len()-l.scores.Len()))
		}
		if l.scores.Len() == 0 {
			continue
		}
		mean := l.scores.Mean()
		s := RetrievalScores{Level: l.name, Queries: l.scores.Len(), MAP: 100 * mean.AP}
		for i, k := range p.k {
			s.PrecisionAt = append(s.PrecisionAt, PrecisionAt{k, 100 * mean.PrecisionAt[i]})
		}
		report.Results = append(report.Results, s)
	}
	if report.Results == nil {
		return fmt.Errorf("eval: no query has a relevant image, so there is nothing to find; %s", truthLayout)
	}
	return nil
}

// numbers are the numbers that the rows' images have in their set of n, of which those in Bad have
// no row.
func (f *Features) numbers(n int) []int {
	bad := make(map[int]bool, len(f.Bad))
	for _, image := range f.Bad {
		bad[image.Index] = true
	}
	numbers := make([]int, 0, f.Len())
	for i := range n {
		if !bad[i] {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// Scores are the mean average precisions.
func (r *RetrievalReport) Scores() []Score {
	var scores []Score
	for _, s := range r.Results {
		scores = append(scores, Score{"mAP, " + s.Level, Trained, s.MAP, r.set})
	}
	return scores
}

// Write prints the report for people.
func (r *RetrievalReport) Write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	scales := "at one scale"
	if r.Settings.Multiscale {
		scales = "at three scales"
	}
	fmt.Fprintf(w, "%d queries in %d images, of at most %d pixels, %s\n\n", r.Queries, r.Database, r.Settings.ImSize, scales)
	fmt.Fprint(w, "relevant\tqueries\tmAP\t")
	for _, at := range r.Results[0].PrecisionAt {
		fmt.Fprintf(w, "mP@%d\t", at.K)
	}
	fmt.Fprintln(w)
	for _, s := range r.Results {
		fmt.Fprintf(w, "%s\t%d\t%.2f\t", s.Level, s.Queries, s.MAP)
		for _, at := range s.PrecisionAt {
			fmt.Fprintf(w, "%.2f\t", at.Percent)
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return writeRemarks(out, r.Notes, r.Bad)
}
