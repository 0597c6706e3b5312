package analysis

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ibot/internal/chart"
	"ibot/internal/settings"
	"ibot/train"
)

var (
	//go:embed page/report.html
	pageHTML string
	//go:embed page/report.css
	pageCSS string
	//go:embed page/report.js
	pageJS string

	pageTemplate = template.Must(template.New("report").Parse(pageHTML))
)

// page is what the template shows.
type page struct {
	Title, Lead string
	Verdict     *Verdict
	Facts       []fact
	Charts      []lineChart
	Scores      []scoreTable
	Sections    []section
	Missing     []string
	Settings    []settings.Change
	Config      string
	Footer      string
}

type fact struct{ Name, Value string }

// section is a chapter of pictures.
type section struct {
	ID, Title string
	Short     string // the title in the list of chapters
	Notes     []string
	Pictures  []pagePicture
	Map       *pointMap
}

// pagePicture is a figure as a page shows it: its pictures one by one, so that they find their place on a screen of
// any width.
type pagePicture struct {
	Title, Caption string
	Wide, Dense    bool // few large pictures; many without words of their own
	Scale          *chart.Scale
	Rows           []pageRow
}

type pageRow struct {
	Name, Small string
	Tiles       []*tile
}

// VerdictMark is the colour of the verdict.
func (p *page) VerdictMark() Mark {
	switch p.Verdict.State {
	case Learning:
		return Good
	case Collapsed:
		return Bad
	case Unstable, Stuck:
		return Warning
	}
	return Neutral
}

// Nav are the chapters of the page.
func (p *page) Nav() (nav []section) {
	add := func(there bool, id, title string) {
		if there {
			nav = append(nav, section{ID: id, Short: title})
		}
	}
	add(len(p.Charts) > 0, "curves", "Curves")
	add(p.Verdict != nil, "health", "Health")
	add(len(p.Scores) > 0, "scores", "Evaluations")
	for _, s := range p.Sections {
		add(true, s.ID, s.Short)
	}
	add(len(p.Settings) > 0, "settings", "Settings")
	return nav
}

// newPage begins a page with what is known of the network.
func newPage(in Input) *page {
	n := in.Net
	p := &page{Title: filepath.Base(n.Source), Lead: "The network of " + n.Source}
	if in.Run != "" {
		if abs, err := filepath.Abs(in.Run); err == nil {
			p.Title = filepath.Base(abs)
		}
	}
	if n.Epoch > 0 {
		p.Lead += fmt.Sprintf(", after %d epochs and %d steps", n.Epoch, n.Step)
	}
	p.Lead += "."
	p.Footer = "Written by ibot analyze report. Everything on this page is in this one file."
	p.fact("Architecture", n.Arch)
	rows, _ := n.Backbone.Grid(n.ImgSize, n.ImgSize)
	if rows > 0 {
		p.fact("Input", fmt.Sprintf("%d px, %d × %d patches", n.ImgSize, rows, rows))
	}
	p.fact("Width", fmt.Sprint(n.Backbone.EmbedDim()))
	if n.Params > 0 {
		p.fact("Parameters", short(float64(n.Params)))
	}
	if n.Head != nil {
		p.fact("Clusters of the head", fmt.Sprint(n.Head.OutDim))
	}
	return p
}

// fact adds a fact, unless it is empty.
func (p *page) fact(name, value string) {
	if value != "" {
		p.Facts = append(p.Facts, fact{name, value})
	}
}

// short writes a large number with a unit: 21.7 M.
func short(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%.1f G", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.1f M", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.0f k", v/1e3)
	}
	return fmt.Sprintf("%.0f", v)
}

// addRecords adds what the run recorded, and the verdict: of a checkpoint without records only that it has
// collapsed.
func (p *page) addRecords(in Input, used float64) (*Verdict, error) {
	outputs := 0
	if in.Net.Head != nil {
		outputs = in.Net.Head.OutDim
	}
	h := &history{baseline: blankEntry()}
	if in.Run != "" {
		var err error
		var k int
		h, k, err = readRun(in.Run)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			h = &history{baseline: blankEntry()}
			p.Missing = append(p.Missing, "Curves: "+in.Run+" has no metrics.jsonl.")
		case err != nil:
			return nil, err
		case k > 0:
			outputs = k
		}
		if err := p.addRun(in.Run, h); err != nil {
			return nil, err
		}
	}
	p.Charts = lineCharts(h, outputs)
	p.addScores(in.Run, h)
	p.addSettings(in)
	v := judge(h, outputs, used)
	if in.Run != "" || v.State == Collapsed {
		p.Verdict = &v
	}
	return p.Verdict, nil
}

// addRun adds the facts of summary.json and of the records.
func (p *page) addRun(run string, h *history) error {
	s, err := train.ReadSummary(run)
	if err == nil {
		p.fact("Images", fmt.Sprint(s.Images))
		p.fact("Steps", fmt.Sprintf("%d of %d", s.Steps, s.StepsOf))
		p.fact("Epochs", fmt.Sprint(s.Epochs))
		p.fact("Time", time.Duration(s.Seconds*float64(time.Second)).Round(time.Second).String())
		if s.BadImages > 0 {
			p.fact("Images that cannot be read", fmt.Sprint(s.BadImages))
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var speed []float64
	for i := range h.steps {
		if v := float64(h.steps[i].ImgS); !math.IsNaN(v) {
			speed = append(speed, v)
		}
	}
	if len(speed) > 0 {
		p.fact("Speed", fmt.Sprintf("%.0f images/s", median(speed)))
	}
	if config, err := os.ReadFile(train.ConfigPath(run)); err == nil {
		p.Config = string(config)
	}
	return nil
}

// addSettings lists what differs from the published defaults.
func (p *page) addSettings(in Input) {
	if in.Run == "" {
		return
	}
	published := train.Default()
	for _, c := range settings.Changed(&published, &in.Net.Config) {
		if c.To = strings.TrimSpace(c.To); c.To == "" {
			c.To = "–"
		}
		if c.From == "" {
			c.From = "–"
		}
		p.Settings = append(p.Settings, c)
	}
}

// addFigures adds a chapter.
func (p *page) addFigures(s section, notes []string, figures ...Figure) error {
	for _, n := range notes {
		s.Notes = append(s.Notes, sentence(n))
	}
	for _, f := range figures {
		picture := pagePicture{Title: f.Title, Caption: f.Caption, Wide: f.Cell > 400, Dense: f.Columns == nil && f.Below == nil, Scale: f.Scale}
		for r, cells := range f.Cells {
			row := pageRow{}
			if r < len(f.Rows) {
				name, rest, _ := strings.Cut(f.Rows[r], "\n")
				row.Name, row.Small = name, strings.ReplaceAll(rest, "\n", " · ")
			}
			for c, img := range cells {
				if img == nil {
					continue
				}
				caption := ""
				if c < len(f.Columns) && !picture.Wide {
					caption = f.Columns[c]
				}
				if r < len(f.Below) && c < len(f.Below[r]) {
					caption = f.Below[r][c]
				}
				alt := strings.Trim(row.Name+": "+caption, ": ")
				if alt == "" {
					alt = f.Title
				}
				row.Tiles = append(row.Tiles, &tile{Caption: caption, Alt: alt, img: img, cell: f.Cell})
			}
			picture.Rows = append(picture.Rows, row)
		}
		if picture.Wide && len(f.Columns) > 0 {
			picture.Caption += " " + sentence(f.Columns[0])
		}
		s.Pictures = append(s.Pictures, picture)
	}
	p.Sections = append(p.Sections, s)
	return nil
}

// sentence begins with a capital and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

// render writes the page with pictures of the given JPEG quality.
func (p *page) render(w io.Writer, quality int) error {
	for _, s := range p.Sections {
		for _, picture := range s.Pictures {
			for _, row := range picture.Rows {
				for _, t := range row.Tiles {
					if err := t.encode(quality); err != nil {
						return fmt.Errorf("analysis: %w", err)
					}
				}
			}
		}
		if s.Map != nil {
			if err := s.Map.encode(quality); err != nil {
				return fmt.Errorf("analysis: %w", err)
			}
		}
	}
	return pageTemplate.Execute(w, struct {
		*page
		CSS template.CSS
		JS  template.JS
	}{p, template.CSS(pageCSS), template.JS(pageJS)})
}
