package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"ibot/data/drawn"
	"ibot/internal/progress"
	"ibot/internal/settings"
	"ibot/torch"
	"ibot/train"
)

// fixtures write the images that a protocol needs and give the value of --data. Those that are not
// named here have a folder of labelled images.
var fixtures = map[string]func(t *testing.T) string{}

// ease makes the settings of a protocol such that 24 images do for it.
var ease = map[string]func(p Protocol){
	"linear": func(p Protocol) {
		l := p.(*linearProtocol)
		l.Epochs, l.HeadBatch = 2, 8
	},
	"semi": func(p Protocol) {
		s := p.(*semiProtocol)
		s.Epochs, s.HeadBatch, s.Fraction, s.K = 2, 8, .5, []float64{1, 3}
	},
	"knn": func(p Protocol) { p.(*knnProtocol).K = []float64{1, 3} },
}

// labelledFolder writes 24 images of four classes, 16 of them in train and 8 in val.
func labelledFolder(t *testing.T) string {
	t.Helper()
	set, err := drawn.New(1, 4, 24, 32)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "drawn")
	if err := drawn.Write(t.Context(), dir, set, 1.0/3, func(int) {}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// goldenRun is a run of the tiny network of the goldens.
func goldenRun(t *testing.T) *Run {
	t.Helper()
	net, err := train.FindNet(filepath.Join("..", "testdata", "goldens", "a_vit_ckpt.pth"), "teacher")
	if err != nil {
		t.Fatal(err)
	}
	r := &Run{Net: net, Device: torch.CPU, BatchSize: 8, Bar: progress.New(io.Discard)}
	t.Cleanup(r.Close)
	return r
}

// TestProtocols holds every protocol to what all promise: it runs on two dozen images and gives
// finite scores, text and one JSON object, stops when it is cancelled, says what is wrong with a
// path, and leaves no tensor alive.
func TestProtocols(t *testing.T) {
	for _, kind := range Protocols() {
		t.Run(kind.Name, func(t *testing.T) {
			checkLive(t)
			dir := ""
			if fixture := fixtures[kind.Name]; fixture != nil {
				dir = fixture(t)
			} else {
				dir = labelledFolder(t)
			}
			fresh := func() Protocol {
				p := kind.New()
				if ease := ease[kind.Name]; ease != nil {
					ease(p)
				}
				return p
			}
			checkReport(t, fresh(), dir)

			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := Evaluate(ctx, fresh(), dir, goldenRun(t)); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: got %v", err)
			}
			r := goldenRun(t)
			if _, err := Evaluate(t.Context(), fresh(), filepath.Join(dir, "nowhere"), r); err == nil || !strings.Contains(err.Error(), "nowhere") {
				t.Errorf("no such folder: got %v", err)
			}
			if r.loaded {
				t.Error("the network's weights were read before the images were looked for")
			}
			empty := t.TempDir()
			if _, err := Evaluate(t.Context(), fresh(), empty, r); err == nil || !strings.Contains(err.Error(), empty) {
				t.Errorf("an empty folder: got %v", err)
			}
			if errs := settings.Check(kind.New()); errs != nil {
				t.Errorf("defaults: %v", errs)
			}
			for name, text := range map[string]string{"Short": kind.Short, "Long": kind.Long, "Example": kind.Example, "Data": kind.Data} {
				if text == "" {
					t.Errorf("%s is empty", name)
				}
			}
			for _, line := range strings.Split(kind.Long+"\n"+kind.Example, "\n") {
				if len(line) > 80 {
					t.Errorf("a line of Long or Example has %d columns: %q", len(line), line)
				}
			}
			if len(kind.Short) > 64 { // beside the longest name, in ibot eval --help
				t.Errorf("Short has %d characters: %q", len(kind.Short), kind.Short)
			}
		})
	}
}

func checkReport(t *testing.T, p Protocol, dir string) {
	t.Helper()
	report, err := Evaluate(t.Context(), p, dir, goldenRun(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Scores()) == 0 {
		t.Error("no scores")
	}
	for _, s := range report.Scores() {
		if s.Name == "" || math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
			t.Errorf("score %+v", s)
		}
	}
	var text bytes.Buffer
	if err := report.Write(&text); err != nil || text.Len() == 0 {
		t.Errorf("text: %v %q", err, text.String())
	}
	b, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(b, &object); err != nil || len(object) == 0 {
		t.Errorf("want one JSON object, found %s: %v", b, err)
	}
	for _, key := range []string{"protocol", "checkpoint", "net", "arch", "epoch", "step", "data"} {
		if _, taken := object[key]; taken {
			t.Errorf("the report has a key %q, which stands before every report", key)
		}
	}
}
