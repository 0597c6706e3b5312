package analysis

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ibot/internal/chart"
	"ibot/metrics"
)

// lineChart is a chart for the script of the page.
type lineChart struct {
	Title  string       `json:"title"`
	X      string       `json:"x"`
	Y      string       `json:"y"`
	Min    *float64     `json:"min,omitempty"` // ends of the axis; nil for those of the data
	Max    *float64     `json:"max,omitempty"`
	Series []lineSeries `json:"series"`
}

type lineSeries struct {
	Name   string        `json:"name"`
	Colour int           `json:"colour"`
	Level  bool          `json:"level"`
	Points [][2]*float64 `json:"points"` // y is nil in a gap
}

// lineCharts are the charts of a run: those of [Curves], and the rates that it ran with. One that has no values is
// left out.
func lineCharts(h *history, outputs int) []lineChart {
	done := func(e *entry) number { return e.Epoch + 1 } // recorded from 0 on
	step := (*entry).step
	scored := slices.DeleteFunc(slices.Clone(h.epochs), func(e entry) bool { return math.IsNaN(float64(e.KNN)) }) // a curve without gaps
	shares := []chart.Series{
		over("agreement", h.steps, step, func(e *entry) number { return e.Acc }),
		over("NMI with labels", h.epochs, step, func(e *entry) number { return e.NMI }),
	}
	health := "share"
	if outputs >= 2 {
		most := math.Log(float64(outputs))
		health = fmt.Sprintf("share (entropy: of ln %d)", outputs)
		shares = append(shares, over("entropy", h.steps, step, func(e *entry) number { return e.Entropy / number(most) }))
	}
	zero, one := 0.0, 1.0
	charts := []lineChart{
		newLineChart("Loss", "step", "cross-entropy, nats", []chart.Series{
			over("loss", h.steps, step, func(e *entry) number { return e.Loss }),
			over("[CLS]", h.steps, step, func(e *entry) number { return e.Cls }),
			over("patches", h.steps, step, func(e *entry) number { return e.Patch }),
		}),
		newLineChart("k-NN on frozen features", "epoch", "correct, %", []chart.Series{
			over("top-1", scored, done, func(e *entry) number { return e.KNN }),
			over("top-5", scored, done, func(e *entry) number { return e.KNNTop5 }),
		}, level("untrained", float64(h.baseline.KNNUntrained)), level("raw pixels", float64(h.baseline.KNNPixels))),
		newLineChart("Health", "step", health, shares),
		newLineChart("Learning rate", "step", "rate", []chart.Series{over("learning rate", h.steps, step, func(e *entry) number { return e.LR })}),
		newLineChart("Gradient", "step", "length before clipping", []chart.Series{over("gradient", h.steps, step, func(e *entry) number { return e.GradNorm })}),
		newLineChart("Speed", "step", "images a second", []chart.Series{over("images a second", h.steps, step, func(e *entry) number { return e.ImgS })}),
	}
	charts[2].Min, charts[2].Max = &zero, &one
	return slices.DeleteFunc(charts, func(c lineChart) bool { return len(c.Series) == 0 })
}

// newLineChart takes over the curves that have points, and with them the levels.
func newLineChart(title, x, y string, curves []chart.Series, levels ...chart.Series) lineChart {
	c := lineChart{Title: title, X: x, Y: y}
	for i, s := range curves {
		if points := thinned(s.X, s.Y); points != nil {
			c.Series = append(c.Series, lineSeries{Name: s.Name, Colour: i, Points: points})
		}
	}
	if c.Series == nil {
		return c
	}
	for i, s := range levels {
		if v := s.Y[0]; !math.IsNaN(v) {
			c.Series = append(c.Series, lineSeries{Name: s.Name, Colour: 3 + i, Level: true, Points: [][2]*float64{{nil, &v}}})
		}
	}
	return c
}

// mostPoints of a curve; more could not be told apart.
const mostPoints = 400

// thinned are the points of a curve, each the mean of some neighbours where there are many. Without any value they
// are nil.
func thinned(x, y []float64) [][2]*float64 {
	var points [][2]*float64
	size := (len(y) + mostPoints - 1) / mostPoints
	found := false
	for start := 0; start < len(y); start += size {
		var sumX, sumY, n float64
		for i := start; i < min(start+size, len(y)); i++ {
			if !math.IsNaN(x[i]) && !math.IsNaN(y[i]) && !math.IsInf(y[i], 0) {
				sumX, sumY, n = sumX+x[i], sumY+y[i], n+1
			}
		}
		if n == 0 {
			if at := x[start]; !math.IsNaN(at) {
				points = append(points, [2]*float64{&at, nil})
			}
			continue
		}
		meanX, meanY := sumX/n, sumY/n
		if size > 1 {
			meanX = math.Round(meanX)
		}
		points = append(points, [2]*float64{&meanX, &meanY})
		found = true
	}
	if !found {
		return nil
	}
	return points
}

// median is the middle value.
func median(values []float64) float64 { return metrics.Percentile(values, 50) }

// scoreTable is one evaluation.
type scoreTable struct {
	Title, Note string
	Rows        []scoreRow
}

type scoreRow struct {
	Name, Value string
	Share       float64 // of 100, for the bar; negative for none
}

// addScores adds the k-NN scores of the run and the results in RUN/eval.
func (p *page) addScores(run string, h *history) {
	var knn scoreTable
	row := func(name string, v float64) {
		if !math.IsNaN(v) {
			knn.Rows = append(knn.Rows, scoreRow{name, fmt.Sprintf("%.1f %%", v), v})
		}
	}
	row("raw pixels", float64(h.baseline.KNNPixels))
	row("untrained network", float64(h.baseline.KNNUntrained))
	best, last, at := math.NaN(), math.NaN(), 0
	for i := range h.epochs {
		if v := float64(h.epochs[i].KNN); !math.IsNaN(v) {
			if last = v; !(best >= v) {
				best, at = v, int(h.epochs[i].Epoch)+1
			}
		}
	}
	row("trained, last", last)
	if best > last {
		row(fmt.Sprintf("trained, best (epoch %d)", at), best)
	}
	if !math.IsNaN(last) {
		knn.Title, knn.Note = "k-NN while training", "Labelled images looked up among others by their frozen features; labels play no part in training."
		p.Scores = append(p.Scores, knn)
	}
	if run == "" {
		return
	}
	files, _ := filepath.Glob(filepath.Join(run, "eval", "*.json"))
	for _, path := range files {
		t, err := readScores(path)
		if err != nil {
			p.Missing = append(p.Missing, fmt.Sprintf("An evaluation: %v", err))
			continue
		}
		p.Scores = append(p.Scores, t)
	}
}

// mostScores of one evaluation are listed.
const mostScores = 40

// readScores reads what ibot eval --json printed: all numbers below its results, named by the words beside them.
func readScores(path string) (scoreTable, error) {
	t := scoreTable{Title: strings.TrimSuffix(filepath.Base(path), ".json")}
	b, err := os.ReadFile(path)
	if err != nil {
		return t, err
	}
	var result map[string]any
	if err := json.Unmarshal(b, &result); err != nil {
		return t, fmt.Errorf("%s is no JSON object: %w", path, err)
	}
	if protocol, ok := result["protocol"].(string); ok {
		t.Title = protocol
	}
	if data, ok := result["data"].(string); ok {
		t.Note = "On " + data + "."
	}
	for _, key := range []string{"results", "scores", "result", "values"} {
		if v, ok := result[key]; ok {
			t.flatten("", v)
		}
	}
	if t.Rows == nil {
		return t, fmt.Errorf("%s has no results", path)
	}
	t.Rows = t.Rows[:min(len(t.Rows), mostScores)]
	return t, nil
}

// flatten lists the numbers of v. An object is named by its texts and its k, which are no scores.
func (t *scoreTable) flatten(name string, v any) {
	join := func(more string) string { return strings.TrimPrefix(name+", "+more, ", ") }
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			t.flatten(name, one)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if text, ok := v[key].(string); ok {
				name = join(text)
			}
		}
		if k, ok := v["k"].(float64); ok {
			name = join(fmt.Sprintf("k = %g", k))
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			switch one := v[key].(type) {
			case []any:
				t.flatten(name, one)
			case float64, map[string]any:
				if key != "k" {
					t.flatten(join(key), one)
				}
			}
		}
	case float64:
		share := -1.0
		if v >= 0 && v <= 100 {
			share = v
		}
		t.Rows = append(t.Rows, scoreRow{cmp.Or(name, "score"), fmt.Sprintf("%.4g", v), share})
	}
}
