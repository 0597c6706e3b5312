package analysis

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"ibot/data"
)

func init() {
	Register(Study{
		Name:  "report",
		Short: "one page about a run: health, curves, scores, pictures",
		Long: "Writes report.html, one file that needs nothing else: what the network is\n" +
			"and how it was trained, a verdict in plain words with the signals behind it,\n" +
			"curves that answer to the mouse, evaluations, and the pictures of the other\n" +
			"studies. It opens offline, on a phone and in print, and stays below 10 MB.\n" +
			"Files RUN/eval/*.json, as ibot eval --json prints them, are listed among the\n" +
			"evaluations.",
		NoImages: true,
		New:      func() Runner { return &reportStudy{Images: 6, Patterns: 2000, Map: 500} },
	})
}

// reportStudy writes the page.
type reportStudy struct {
	Images   int `name:"images" group:"Report" range:"[1,16]" help:"images in each picture"`
	Patterns int `name:"patterns" range:"[0,)" help:"images that are sorted into clusters; 0: all"`
	Map      int `name:"map" range:"[4,2000]" help:"images on the map"`
}

// ReportFile is the name of the page.
const ReportFile = "report.html"

// Report makes the page of a run while it is trained: with fewer images than ibot analyze report takes, so that
// it does not hold the training up.
func Report(ctx context.Context, in Input) (*Result, error) {
	return (&reportStudy{Images: 6, Patterns: 500, Map: 300}).Run(ctx, in)
}

// Run implements [Runner].
func (s *reportStudy) Run(ctx context.Context, in Input) (*Result, error) {
	p := newPage(in)
	used := math.NaN()
	if in.Images != nil {
		var err error
		if used, err = s.pictures(ctx, in, p); err != nil {
			return nil, err
		}
	} else {
		p.Missing = append(p.Missing, "Pictures: no images were given (--data), and those of the run are not where they were.")
	}
	v, err := p.addRecords(in, used)
	if err != nil {
		return nil, err
	}
	r := &Result{
		Files:  []File{{ReportFile, func(w io.Writer) error { return p.write(w) }}},
		Values: map[string]any{"missing": p.Missing},
	}
	if v != nil {
		r.Lines = []string{fmt.Sprintf("%s: %s", v.State, v.Text)}
		r.Values["verdict"] = v
	}
	return r, nil
}

// pictures adds the sections of pictures. What this network or set has no picture of is noted and passed over. It
// returns how many clusters the images are spread over, NaN where that cannot be told.
func (s *reportStudy) pictures(ctx context.Context, in Input, p *page) (used float64, err error) {
	used = math.NaN()
	for _, part := range []struct {
		id, short, title string
		runner           Runner
	}{
		{"attention", "Attention", "Where it looks", &attentionStudy{Images: s.Images, Mass: AttentionShare}},
		{"components", "Components", "What patches have in common", &pcaStudy{Images: s.Images}},
		{"similar", "Similar patches", "One patch, looked for everywhere", &similarStudy{Images: s.Images}},
		{"views", "Correspondence", "The same place in two views", &correspondenceStudy{Of: "views", Images: 4, Measured: 50, Lines: 12}},
	} {
		r, err := part.runner.Run(ctx, in)
		if ctx.Err() != nil {
			return used, ctx.Err()
		}
		if err != nil {
			p.Missing = append(p.Missing, fmt.Sprintf("%s: %v", part.title, err))
			continue
		}
		if err := p.addFigures(section{ID: part.id, Short: part.short, Title: part.title}, r.Lines, r.Figures...); err != nil {
			return used, err
		}
	}
	used, err = s.clusters(ctx, in, p)
	if err != nil {
		return used, err
	}
	m, err := (&mapStudy{Method: "tsne", Images: s.Map, Perplexity: 30, Steps: 750}).layOut(ctx, in)
	switch {
	case ctx.Err() != nil:
		return used, ctx.Err()
	case err != nil:
		p.Missing = append(p.Missing, fmt.Sprintf("The map: %v", err))
		return used, nil
	}
	return used, p.addMap(m)
}

// clusters adds what the clusters of the head gather, and the most and the least confident of them.
func (s *reportStudy) clusters(ctx context.Context, in Input, p *page) (used float64, err error) {
	used = math.NaN()
	ds := in.Images
	if s.Patterns > 0 && s.Patterns < ds.Len() {
		ds = data.Subset(ds, alternatingOrInOrder(in, s.Patterns))
	}
	for _, part := range []struct {
		of, id, short, title string
	}{
		{"patches", "patterns", "Patch clusters", "What the clusters of patches gather"},
		{"cls", "clusters", "Image clusters", "What the clusters of images gather"},
	} {
		cls := part.of == "cls"
		study := &patternsStudy{Of: part.of, Clusters: 8, Top: 10, Context: 5, Least: 10, Darkest: 40}
		// As the targets that the student learns from.
		study.Centered, study.Temp = len(in.Net.Centers[0]) > 0, cmp.Or(in.Net.Config.TeacherPatchTemp, 0.1)
		if cls {
			study.Temp = cmp.Or(in.Net.Config.TeacherTemp, 0.1)
		}
		patterns, _, err := in.gatherPatterns(ctx, ds, cls, study.Centered, 2*study.Top, study.Temp)
		if ctx.Err() != nil {
			return used, ctx.Err()
		}
		if err != nil {
			p.Missing = append(p.Missing, fmt.Sprintf("%s: %v", part.title, err))
			if errors.Is(err, errNoHead) {
				p.Missing[len(p.Missing)-1] = "Clusters: the checkpoint has no projection head."
				return used, nil
			}
			continue
		}
		clusters := patterns.Clusters()
		notes := []string{fmt.Sprintf("%d of %d clusters have a token of these %d images; the tokens are spread as widely as over %.0f clusters of equal size.",
			len(clusters), patterns.K, ds.Len(), Used(clusters))}
		if cls {
			used = Used(clusters)
		}
		if purity := MeanPurity(clusters); !math.IsNaN(purity) {
			notes[0] += fmt.Sprintf(" Purity %.0f %%: so many are of the most frequent class of their cluster.", 100*purity)
		}
		var figures []Figure
		for _, order := range []string{"populous", "confident", "unsure"} {
			study.Order = order
			if order != "populous" {
				study.Clusters = 4
			}
			f, _, err := study.draw(in, ds, clusters)
			if err != nil {
				return used, err
			}
			figures = append(figures, *f)
			if len(clusters) <= study.Clusters { // all of them are drawn
				break
			}
		}
		if err := p.addFigures(section{ID: part.id, Short: part.short, Title: part.title}, notes, figures...); err != nil {
			return used, err
		}
	}
	return used, nil
}

// mostBytes of a page.
const mostBytes = 10_000_000

// write writes the page, with pictures of less quality where it would become too large.
func (p *page) write(w io.Writer) error {
	for _, quality := range []int{88, 65, 40} {
		var b bytes.Buffer
		if err := p.render(&b, quality); err != nil {
			return err
		}
		if b.Len() < mostBytes {
			_, err := w.Write(b.Bytes())
			return err
		}
	}
	return fmt.Errorf("analysis: the report would have more than %d bytes; lower --images", mostBytes)
}
