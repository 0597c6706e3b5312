package eval

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"ibot/data"
	"ibot/metrics"
	"ibot/torch"
)

func init() {
	Register(Kind{
		Name:  "copydetect",
		Short: "find the originals of cropped, recompressed or edited copies",
		Long: "Looks up each copy among the originals, and among distractors where they are\n" +
			"given, by [CLS] and the generalised mean (GeM) of the patches together\n" +
			"(Copydays: squares of 224 pixels, optional whitening). The score of each block\n" +
			"of copies is the mean average precision of the first 20 images found.",
		Example: "  ibot eval copydetect --ckpt checkpoint.pth --data copydays \\\n" +
			"    --distractors YFCC10k --whitening YFCC20k\n" +
			"  ibot eval copydetect --ckpt runs/photos --data my_copies --rule '^([a-z]+)-'",
		Data: "a folder with the folder original, and a folder for each kind of copies, as Copydays has",
		New:  func() Protocol { return &copyProtocol{} },
	})
}

// copyProtocol is copy detection with frozen features.
type copyProtocol struct {
	Distractors string `name:"distractors" alias:"distractors_path" group:"Copies" arg:"DIR" help:"images to search beside the originals"`
	Whitening   string `name:"whitening" alias:"whitening_path" arg:"DIR" help:"images to learn a whitening of the features from"`
	Rule        string `name:"rule" arg:"REGEXP" help:"what of a name tells the original: the first group, or all that matches; empty: a copy's name begins with its original's"`
	ImSize      int    `name:"imsize" range:"[0,8192]" help:"side of the squares that images are resized to; 0: what the network was trained on"`

	blocks                 []block // the originals first
	originals              *matcher
	distractors, whitening data.Dataset
}

func (p *copyProtocol) Open(dir string, o data.Options) (err error) {
	if p.blocks, err = openCopies(dir, o); err != nil {
		return err
	}
	if p.originals, err = newMatcher(p.blocks[0].images, p.Rule); err != nil {
		return err
	}
	known := slices.ContainsFunc(p.blocks[1:], func(b block) bool {
		for i := range b.images.Len() {
			if p.originals.originalsOf(b.images.Name(i)) != nil {
				return true
			}
		}
		return false
	})
	if !known {
		return fmt.Errorf("%w (in %s)", errNoCopies, dir)
	}
	if p.Distractors != "" {
		if p.distractors, err = o.Open(p.Distractors); err != nil {
			return err
		}
	}
	if p.Whitening != "" {
		p.whitening, err = o.Open(p.Whitening)
	}
	return err
}

// CopyReport is the report of the protocol copydetect.
type CopyReport struct {
	Originals   int         `json:"originals"`
	Distractors int         `json:"distractors"`
	Whitened    int         `json:"whitening_images"`
	Blocks      []CopyBlock `json:"blocks"`
	ImSize      int         `json:"imsize"`
	Precision   string      `json:"precision"`
	Bad         []string    `json:"bad_images"`
	Notes       []string    `json:"notes"`
}

// CopyBlock is the score of one kind of copies.
type CopyBlock struct {
	Name   string  `json:"name"`
	Copies int     `json:"copies"`
	MAP    float64 `json:"map"` // in percent
}

// copyRanks is how many of the images found count.
const copyRanks = 20

func (p *copyProtocol) Run(ctx context.Context, r *Run) (Report, error) {
	size, err := r.Size(p.ImSize)
	if err != nil {
		return nil, err
	}
	o, err := r.Options(FeatureSettings{})
	if err != nil {
		return nil, err
	}
	o.Transform.Resize, o.Transform.Crop, o.Transform.Square = size, size, true
	report := &CopyReport{ImSize: size, Precision: o.numbers().Precision, Bad: []string{}, Notes: []string{}}
	s := copySearch{r: r, transform: o.Transform, report: report, originals: p.originals}
	defer s.close()
	if err := s.learn(ctx, p.whitening); err != nil {
		return nil, err
	}
	if err := s.index(ctx, p.blocks[0], p.distractors); err != nil {
		return nil, err
	}
	for _, b := range p.blocks {
		if err := s.search(ctx, b); err != nil {
			return nil, err
		}
	}
	return report, nil
}

// copySearch looks up copies among originals and distractors.
type copySearch struct {
	r         *Run
	transform Transform
	originals *matcher
	whiten    *whitening // nil without
	database  *Features
	numbers   []int // of the database's images: those of the originals, then higher ones
	report    *CopyReport
}

func (s *copySearch) close() {
	if s.whiten != nil {
		s.whiten.close()
	}
	if s.database != nil {
		s.database.Close()
	}
}

// learn learns the whitening, where there is a set for it.
func (s *copySearch) learn(ctx context.Context, ds data.Dataset) error {
	if ds == nil {
		return nil
	}
	f, err := s.features(ctx, "whitening", ds)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.finite(); err != nil {
		return err
	}
	s.report.Whitened = f.Len()
	s.whiten, err = learnWhitening(f.X)
	return err
}

// index makes the features of the originals and the distractors.
func (s *copySearch) index(ctx context.Context, originals block, distractors data.Dataset) error {
	f, err := s.features(ctx, originals.name, originals.images)
	if err != nil {
		return err
	}
	s.database, s.numbers = f, f.numbers(originals.images.Len())
	s.report.Originals = f.Len()
	if distractors == nil {
		return nil
	}
	more, err := s.features(ctx, "distractors", distractors)
	if err != nil {
		return err
	}
	defer more.Close()
	s.report.Distractors = more.Len()
	for i := range more.Len() {
		s.numbers = append(s.numbers, originals.images.Len()+i)
	}
	return torch.Run(func() error {
		both := torch.Cat([]*torch.Tensor{f.X, more.X}, 0).Own()
		f.X.Free()
		f.X, f.Labels, f.Names = both, slices.Concat(f.Labels, more.Labels), slices.Concat(f.Names, more.Names)
		return nil
	})
}

// search looks up the copies of a block, and enters the score.
func (s *copySearch) search(ctx context.Context, b block) error {
	f, err := s.features(ctx, b.name, b.images)
	if err != nil {
		return err
	}
	defer f.Close()
	var mean metrics.Rankings
	var failed error
	images, ranking := f.numbers(b.images.Len()), make([]int, 0, copyRanks)
	err = Nearest(ctx, s.database, f, min(copyRanks, s.database.Len()), func(query int, near []Neighbour) {
		originals := s.originals.originalsOf(b.images.Name(images[query]))
		if originals == nil {
			return
		}
		ranking = ranking[:0]
		for _, n := range near {
			ranking = append(ranking, s.numbers[n.Index])
		}
		score, err := metrics.Rank(ranking, originals, nil)
		if err != nil {
			failed = err
			return
		}
		mean.Add(score)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	if missing := f.Len() - mean.Len(); missing > 0 {
		s.report.Notes = append(s.report.Notes, fmt.Sprintf("%s: %d of %d images are left out, for their names tell no original", b.name, missing, f.Len()))
	}
	if mean.Len() > 0 {
		s.report.Blocks = append(s.report.Blocks, CopyBlock{b.name, mean.Len(), 100 * mean.Mean().AP})
	}
	return nil
}

// features are [CLS] and the GeM of the patches of each image, whitened.
func (s *copySearch) features(ctx context.Context, part string, ds data.Dataset) (*Features, error) {
	f, err := s.r.chosen(ctx, part, ds, Choice{Feature: "cls_gem", LastBlocks: 1, Power: 4}, s.transform)
	if err != nil {
		return nil, err
	}
	for _, name := range unreadable(f) {
		if name = part + "/" + name; !slices.Contains(s.report.Bad, name) { // originals are read twice
			s.report.Bad = append(s.report.Bad, name)
		}
	}
	if s.whiten == nil {
		return f, nil
	}
	return f, torch.Run(func() error {
		raw := f.X
		f.X = s.whiten.apply(raw).Own()
		raw.Free()
		return nil
	})
}

// Scores are those of the blocks, that of Copydays' strong copies first, but for the originals, which
// are found as a rule.
func (r *CopyReport) Scores() []Score {
	var scores []Score
	for _, b := range r.Blocks {
		score := Score{"mAP, " + b.Name, Trained, b.MAP, ""}
		switch {
		case b.Name == "strong":
			scores = slices.Insert(scores, 0, score)
		case !strings.HasPrefix(b.Name, "original"):
			scores = append(scores, score)
		}
	}
	return scores
}

// Write prints the report for people.
func (r *CopyReport) Write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "copies looked up among %d originals and %d distractors, %d pixels", r.Originals, r.Distractors, r.ImSize)
	if r.Whitened > 0 {
		fmt.Fprintf(w, ", whitened by %d images", r.Whitened)
	}
	fmt.Fprint(w, "\n\ncopies\tnumber\tmAP\t\n")
	for _, b := range r.Blocks {
		fmt.Fprintf(w, "%s\t%d\t%.2f\t\n", b.Name, b.Copies, b.MAP)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return writeRemarks(out, r.Notes, r.Bad)
}
