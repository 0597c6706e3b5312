package analysis

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"ibot/internal/chart"
)

// The pictures that Curves writes into the folder of a run.
const (
	LossCurves   = "curves_loss.png"
	KNNCurves    = "curves_knn.png"
	HealthCurves = "curves_health.png"
)

// Curves draws the course of the run in the given folder from its metrics.jsonl, as three pictures
// there:
//
//   - LossCurves: the loss and its [CLS] and patch terms over steps. Steps that were skipped are
//     counted in the title and leave a gap, which is too narrow to show in a long run.
//   - KNNCurves: the k-NN score over epochs, beside those of raw pixels and of the untrained
//     network.
//   - HealthCurves: the entropy of the teacher's targets, as a share of the most that the run's
//     outputs (out_dim in its config.yaml) can have; the share of images that student and teacher
//     put into the same cluster; and the normalised mutual information of the teacher's clusters
//     with the labels. Entropy at the top with no agreement, or near 0 with full agreement, means
//     collapse.
//
// A picture is left out while nothing was recorded for it. Lines that cannot be read are passed
// over, such as the last one of a run that is being written. It errs where there is no
// metrics.jsonl, it is something else, or a picture cannot be written.
func Curves(run string) error {
	h, outputs, err := readRun(run)
	if err != nil {
		return err
	}
	if err := drawLoss(filepath.Join(run, LossCurves), h); err != nil {
		return err
	}
	if err := drawKNN(filepath.Join(run, KNNCurves), h); err != nil {
		return err
	}
	return drawHealth(filepath.Join(run, HealthCurves), h, outputs)
}

func drawLoss(path string, h *history) error {
	title := "Loss"
	if n := h.skipped(); n > 0 {
		title = fmt.Sprintf("Loss (steps skipped: %d)", n)
	}
	return drawLines(path, chart.Options{Title: title, XLabel: "step", YLabel: "cross-entropy, nats"}, []chart.Series{
		over("loss", h.steps, (*entry).step, func(e *entry) number { return e.Loss }),
		over("[CLS]", h.steps, (*entry).step, func(e *entry) number { return e.Cls }),
		over("patches", h.steps, (*entry).step, func(e *entry) number { return e.Patch }),
	})
}

func drawKNN(path string, h *history) error {
	done := func(e *entry) number { return e.Epoch + 1 } // recorded from 0 on, as in the reference
	o := chart.Options{Title: "k-NN on frozen features", XLabel: "epochs of training", YLabel: "correct, %"}
	return drawLines(path, o, []chart.Series{
		over("k-NN top-1", h.epochs, done, func(e *entry) number { return e.KNN }),
		over("k-NN top-5", h.epochs, done, func(e *entry) number { return e.KNNTop5 }),
	}, level("untrained", float64(h.baseline.KNNUntrained)), level("raw pixels", float64(h.baseline.KNNPixels)))
}

// drawHealth draws shares of 1 alone, so that one axis serves all. Without the number of outputs
// the entropy has no known maximum and is left out.
func drawHealth(path string, h *history, outputs int) error {
	o := chart.Options{Title: "Health", XLabel: "step", YLabel: "share", YMin: 0, YMax: 1}
	signals := []chart.Series{
		over("agreement", h.steps, (*entry).step, func(e *entry) number { return e.Acc }),
		over("NMI with labels", h.epochs, (*entry).step, func(e *entry) number { return e.NMI }),
	}
	if outputs < 2 {
		return drawLines(path, o, signals)
	}
	most := math.Log(float64(outputs))
	o.YLabel = fmt.Sprintf("share; for the entropy: of ln %d = %.2f nats", outputs, most)
	signals = append(signals, over("entropy", h.steps, (*entry).step, func(e *entry) number { return e.Entropy / number(most) }))
	return drawLines(path, o, signals, level("highest entropy", 1))
}

// over is a curve through the entries.
func over(name string, entries []entry, x, y func(*entry) number) chart.Series {
	s := chart.Series{Name: name, X: make([]float64, len(entries)), Y: make([]float64, len(entries))}
	for i := range entries {
		s.X[i], s.Y[i] = float64(x(&entries[i])), float64(y(&entries[i]))
	}
	return s
}

func level(name string, v float64) chart.Series {
	return chart.Series{Name: name, Y: []float64{v}, Level: true}
}

// drawLines draws curves and the levels to compare them with, unless no curve has a point.
func drawLines(path string, o chart.Options, curves []chart.Series, levels ...chart.Series) error {
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	if !slices.ContainsFunc(curves, func(c chart.Series) bool { return slices.ContainsFunc(c.Y, finite) }) {
		return nil
	}
	if err := chart.Lines(path, o, append(curves, levels...)...); err != nil {
		return fmt.Errorf("analysis: %w", err)
	}
	return nil
}

// readRun reads what the run in a folder recorded, and how many outputs it has; 0 where that is not known.
func readRun(run string) (*history, int, error) {
	h, err := readHistory(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		return nil, 0, err
	}
	outputs, err := readOutDim(filepath.Join(run, "config.yaml"))
	return h, outputs, err
}

// readOutDim reads the number of outputs from a run's settings; 0 where they or it are missing.
func readOutDim(path string) (int, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("analysis: %w", err)
	}
	var config struct {
		OutDim int `yaml:"out_dim"`
	}
	if err := yaml.Unmarshal(b, &config); err != nil {
		return 0, fmt.Errorf("analysis: %s is no YAML with a whole number out_dim: %w", path, err)
	}
	return config.OutDim, nil
}
