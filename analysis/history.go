package analysis

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
)

// maxLine is the most bytes of a line of metrics.jsonl; a longer one means that the file is
// something else.
const maxLine = 1 << 20

// history is what a run recorded of its course.
type history struct {
	steps    []entry // in order; skipped steps are among them, without values
	epochs   []entry // in order
	baseline entry   // scores that need no training
}

// entry is a line of metrics.jsonl. What a line does not have is NaN.
type entry struct {
	Kind  string `json:"kind"`
	Step  number `json:"step"`
	Epoch number `json:"epoch"`

	Loss    number `json:"loss"`
	Cls     number `json:"cls"`
	Patch   number `json:"patch"`
	Acc     number `json:"acc"`
	Entropy number `json:"entropy"`

	GradNorm number `json:"grad_norm"`
	LR       number `json:"lr"`
	ImgS     number `json:"img_s"`

	NMI     number `json:"nmi"`
	KNN     number `json:"knn"`
	KNNTop5 number `json:"knn_top5"`

	KNNPixels    number `json:"knn_pixels"`
	KNNUntrained number `json:"knn_untrained"`
}

func (e *entry) step() number { return e.Step }

func blankEntry() entry {
	nan := number(math.NaN())
	return entry{
		Step: nan, Epoch: nan, Loss: nan, Cls: nan, Patch: nan, Acc: nan, Entropy: nan,
		GradNorm: nan, LR: nan, ImgS: nan,
		NMI: nan, KNN: nan, KNNTop5: nan, KNNPixels: nan, KNNUntrained: nan,
	}
}

// number is a float64 that may be written as "NaN" or "+Inf", for which JSON has no numbers.
// Anything else reads as NaN, a gap in the curve.
type number float64

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err != nil {
		v = math.NaN()
	}
	*n = number(v)
	return nil
}

// readHistory reads a metrics.jsonl. It errs when there is text in it but no JSON.
func readHistory(path string) (*history, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("analysis: want a run's folder with metrics.jsonl, as ibot pretrain makes it: %w", err)
	}
	defer file.Close()
	h, err := parseHistory(file)
	if err != nil {
		return nil, fmt.Errorf("analysis: %s: %w", path, err)
	}
	return h, nil
}

func parseHistory(r io.Reader) (*history, error) {
	h := &history{baseline: blankEntry()}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	understood, foreign := 0, 0
	for lines.Scan() {
		e := blankEntry()
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			foreign++
			continue
		}
		understood++
		h.add(e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("want JSON objects, a line each: %w", err)
	}
	if understood == 0 && foreign > 1 { // a single one may be half-written
		return nil, fmt.Errorf("want JSON objects, a line each; none of the %d lines is one", foreign)
	}
	return h, nil
}

// add enters a line. A run that went on from a checkpoint may have made steps a second time: the
// later line counts.
func (h *history) add(e entry) {
	switch {
	case e.Kind == "baseline":
		h.baseline = e
	case math.IsNaN(float64(e.Step)):
	case e.Kind == "step":
		h.steps = append(until(h.steps, e.Step), e)
	case e.Kind == "skipped":
		skipped := blankEntry()
		skipped.Kind, skipped.Step = e.Kind, e.Step
		h.steps = append(until(h.steps, e.Step), skipped)
	case e.Kind == "epoch":
		h.epochs = append(until(h.epochs, e.Step), e)
	}
}

// until is the entries before a step. Entries are in the order of their steps.
func until(entries []entry, step number) []entry {
	for len(entries) > 0 && entries[len(entries)-1].Step >= step {
		entries = entries[:len(entries)-1]
	}
	return entries
}

// skipped counts the steps that were not made because the loss or a gradient was not finite.
func (h *history) skipped() int {
	n := 0
	for i := range h.steps {
		if h.steps[i].Kind == "skipped" {
			n++
		}
	}
	return n
}
