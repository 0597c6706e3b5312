package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"

	"ibot/internal/atomicfile"
	"ibot/internal/tfevents"
)

// records are the written trace of a run: metrics.jsonl with an object for every few steps and every epoch, log.txt in
// the reference's format, and TensorBoard's event files.
type records struct {
	metrics, log *os.File
	events       *tfevents.Writer
}

// Record is a line of metrics.jsonl: its kind is "step", "epoch", "baseline" or "skipped".
type Record map[string]any

// openRecords continues the records of a run. What they say of later steps, which a killed run made after its last
// checkpoint and will make again, is dropped.
func openRecords(f *Folder, at progressState) (r *records, err error) {
	r = &records{}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	ended := func(line Record) bool { return number(line["epoch"]) < float64(at.Epoch) }
	made := func(line Record) bool {
		switch line["kind"] {
		case "baseline":
			return at.Baselines != nil
		case "epoch":
			return ended(line)
		}
		return number(line["step"]) <= float64(at.Step)
	}
	if r.metrics, err = reopen(f.path(metricsFile), made); err != nil {
		return r, err
	}
	if r.log, err = reopen(f.path(logFile), ended); err != nil {
		return r, err
	}
	r.events, err = tfevents.Create(f.path(eventsDir), at.Step)
	return r, err
}

// reopen opens a file of JSON lines to append to, rid of the lines that are not to be kept and of a
// half-written last one.
func reopen(path string, keep func(Record) bool) (*os.File, error) {
	old, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("train: %w", err)
	}
	var kept bytes.Buffer
	for line := range bytes.Lines(old) {
		var record Record
		if json.Unmarshal(line, &record) == nil && bytes.HasSuffix(line, []byte("\n")) && keep(record) {
			kept.Write(line)
		}
	}
	if kept.Len() != len(old) {
		if err := atomicfile.WriteBytes(path, kept.Bytes()); err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return file, nil
}

func number(v any) float64 {
	x, _ := v.(float64)
	return x
}

// Close closes the files.
func (r *records) Close() {
	for _, f := range []*os.File{r.metrics, r.log} {
		if f != nil {
			f.Close()
		}
	}
	if r.events != nil {
		r.events.Close()
	}
}

// write appends a line of the given kind to metrics.jsonl, and its numbers to the event file.
func (r *records) write(kind string, step, epoch int, values map[string]float64, text map[string]string) error {
	line := Record{"kind": kind, "step": step, "epoch": epoch}
	for name, v := range values {
		if !finite(v) {
			line[name] = fmt.Sprint(v) // JSON has no NaN
			continue
		}
		line[name] = v
		if kind == "step" || kind == "epoch" {
			if err := r.events.Scalar(kind+"/"+name, step, v); err != nil {
				return fmt.Errorf("train: %w", err)
			}
		}
	}
	for name, s := range text {
		line[name] = s
	}
	return appendLine(r.metrics, line)
}

// writeLog appends an epoch to log.txt. The names are the reference's; adjacc is -1 there too, for the matching that
// it stands for is not computed while training.
func (r *records) writeLog(epoch int, means map[string]float64) error {
	line := Record{"epoch": epoch, "train_adjacc": -1}
	for from, to := range map[string]string{
		"loss": "train_loss", "cls": "train_cls", "patch": "train_patch", "lr": "train_lr", "wd": "train_wd",
		"acc": "train_acc", "nmi": "train_nmi", "ari": "train_ari", "fscore": "train_fscore",
	} {
		if v, ok := means[from]; ok && !math.IsNaN(v) {
			line[to] = v
		}
	}
	return appendLine(r.log, line)
}

// appendLine appends a JSON object and a line feed in one write.
func appendLine(f *os.File, line Record) error {
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if _, err := f.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("train: %w; free some space, then start the same command again: the run goes on from its latest checkpoint", err)
	}
	return nil
}
