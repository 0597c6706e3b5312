package train_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/method"
	"ibot/torch"
	"ibot/train"
)

// logLines keeps the lines of a log, and calls then after each.
type logLines struct {
	lines []string
	then  func(line string)
}

func (l *logLines) Enabled(context.Context, slog.Level) bool { return true }
func (l *logLines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logLines) WithGroup(string) slog.Handler            { return l }

func (l *logLines) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += fmt.Sprintf(" %s=%v", a.Key, a.Value); return true })
	l.lines = append(l.lines, line)
	if l.then != nil {
		l.then(line)
	}
	return nil
}

func (l *logLines) has(text string) bool {
	return slices.ContainsFunc(l.lines, func(line string) bool { return strings.Contains(line, text) })
}

// skippedSteps lists the steps that metrics.jsonl calls skipped, each with a reason and an image.
func skippedSteps(t *testing.T, run string) (steps []int) {
	t.Helper()
	for _, r := range lines(t, filepath.Join(run, "metrics.jsonl")) {
		if r["kind"] != "skipped" {
			continue
		}
		if reason, _ := r["reason"].(string); !strings.Contains(reason, "not finite") && !strings.Contains(reason, "the loss is NaN") {
			t.Errorf("a step was skipped because %q", reason)
		}
		if image, _ := r["first_image"].(string); image == "" {
			t.Errorf("a skipped step names no image: %v", r)
		}
		steps = append(steps, int(r["step"].(float64)))
	}
	return steps
}

// TestThreeNonFiniteStepsEndTheRun: a learning rate that destroys the weights. The checkpoint from before stays, the
// message says what to try, and with that the run comes to its end.
func TestThreeNonFiniteStepsEndTheRun(t *testing.T) {
	o := tinyOptions(t)
	run := o.Config.Out
	call{workers: 1, steps: 8}.start(t, o)
	good, err := os.ReadFile(train.LatestCheckpoint(run))
	if err != nil {
		t.Fatal(err)
	}

	log := &logLines{}
	o.Log = slog.New(log)
	lr := o.Config.LR
	o.Config.LR, o.Config.SaveCkptFreq = 1e30, 0
	before := torch.Live()
	s, err := train.Pretrain(t.Context(), o)
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Fatalf("got %v, want an error in one line", err)
	}
	for _, want := range []string{
		"train: 3 steps in a row were not finite, the last because ", "the latest good checkpoint is of step 8 (" + train.LatestCheckpoint(run) + ")", "try a lower --lr",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left alive", after-before)
	}
	if steps := skippedSteps(t, run); len(steps) != 3 || steps[2] != steps[0]+2 || s.Skipped != 3 || s.Steps != steps[2] {
		t.Errorf("skipped steps %v, summary %+v", steps, s)
	}
	if !log.has("step skipped step=9 because=") {
		t.Errorf("the log does not name the step: %q", log.lines)
	}
	if now, err := os.ReadFile(train.LatestCheckpoint(run)); err != nil || !bytes.Equal(now, good) {
		t.Errorf("the good checkpoint has changed: %d bytes, %v", len(now), err)
	}

	o.Config.LR, o.Config.SaveCkptFreq = lr, 1
	finish(t, o)
	whole := tinyOptions(t)
	finish(t, whole)
	sameRun(t, run, whole.Config.Out)
}

// TestNoCheckpointYet: a run that breaks in its first steps does not name a checkpoint that is not there.
func TestNoCheckpointYet(t *testing.T) {
	o := tinyOptions(t)
	o.Config.LR, o.Config.WarmupEpochs = 1e30, 0
	_, err := train.Pretrain(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "there is no checkpoint yet; try a lower --lr") {
		t.Errorf("got %v", err)
	}
}

// TestRunGoesOnAfterSkippedSteps: two steps in a row are skipped and counted; no checkpoint is written before a step
// is finite again.
func TestRunGoesOnAfterSkippedSteps(t *testing.T) {
	o := tinyOptions(t)
	o.Config.CkptEvery = 1
	var broken *torch.Tensor // a weight of the teacher, NaN from the end of the first epoch on
	var was []float32
	o.Evaluate = func(_ context.Context, teacher *method.Net) (map[string]float64, error) {
		if broken == nil {
			broken = teacher.Path.Params()[0].Tensor
			was = torch.Read[float32](broken)
			torch.NoGrad(func() { broken.Fill_(math.NaN()) })
		}
		return nil, nil
	}
	log := &logLines{}
	log.then = func(line string) {
		if !strings.HasPrefix(line, "step skipped") {
			return
		}
		if step := open(t, o.Config.Out, "latest.safetensors").Meta["step"]; step != fmt.Sprint(tinyStepsPerEpoch) {
			t.Errorf("after %q the latest checkpoint is of step %s", line, step)
		}
		if strings.HasPrefix(line, "step skipped step=7") { // the second: mend the weight
			torch.Scope(func() { torch.NoGrad(func() { broken.Copy_(torch.New(was, broken.Shape()...)) }) })
		}
	}
	o.Log = slog.New(log)
	s := finish(t, o)
	if steps := skippedSteps(t, o.Config.Out); !slices.Equal(steps, []int{7, 8}) || s.Skipped != 2 || s.Steps != tinySteps {
		t.Errorf("skipped %v, summary %+v", steps, s)
	}
	if !log.has("teacher.") {
		t.Errorf("the log does not name the weight: %q", log.lines)
	}
	if step := open(t, o.Config.Out, "latest.safetensors").Meta["step"]; step != fmt.Sprint(tinySteps) {
		t.Errorf("the latest checkpoint is of step %s", step)
	}
}
