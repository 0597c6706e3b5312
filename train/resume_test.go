package train_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"ibot/ckpt"
	"ibot/data"
	"ibot/imaging"
	"ibot/method"
	"ibot/torch"
	"ibot/train"
)

// sameRun checks that two runs came to the same end, bit for bit: the checkpoints, and the records but for the timings.
func sameRun(t *testing.T, got, want string) {
	t.Helper()
	files := names(t, filepath.Join(want, "checkpoints"))
	if found := names(t, filepath.Join(got, "checkpoints")); !slices.Equal(found, files) {
		t.Errorf("checkpoints %q, want %q", found, files)
		return
	}
	for _, name := range files {
		if d := ckpt.Diff(open(t, got, name), open(t, want, name)); !d.Equal() || d.Same < 100 {
			t.Errorf("%s: %v", name, d)
		}
	}
	untimed := func(run string) []train.Record {
		all := lines(t, filepath.Join(run, "metrics.jsonl"))
		for _, r := range all {
			maps.DeleteFunc(r, func(key string, _ any) bool { return key == "img_s" || key == "data_s" })
		}
		return all
	}
	a, b := untimed(got), untimed(want)
	if len(a) != len(b) {
		t.Errorf("metrics.jsonl has %d lines, want %d", len(a), len(b))
		return
	}
	for i := range a {
		if !reflect.DeepEqual(a[i], b[i]) {
			t.Errorf("metrics.jsonl, line %d: %v, want %v", i+1, a[i], b[i])
		}
	}
	if a, b := lines(t, filepath.Join(got, "log.txt")), lines(t, filepath.Join(want, "log.txt")); !reflect.DeepEqual(a, b) {
		t.Errorf("log.txt: %v, want %v", a, b)
	}
}

// cancelling cancels a run when a number of images have been loaded.
type cancelling struct {
	data.Dataset
	left   atomic.Int64
	cancel func()
}

func (c *cancelling) Load(i int) (*imaging.Image, error) {
	if c.left.Add(-1) == 0 {
		c.cancel()
	}
	return c.Dataset.Load(i)
}

// call is one call of a run that takes several.
type call struct {
	workers int
	steps   int // --steps
	load    int // cancelled when so many images are loaded
	scored  int // cancelled in the score of so many networks, of which the first is the baseline
}

// start makes the call and reports at which step it ended.
func (c call) start(t *testing.T, o train.Options) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Config.Workers, o.Config.Steps = c.workers, c.steps
	if c.load > 0 {
		images := &cancelling{Dataset: o.Images, cancel: cancel}
		images.left.Store(int64(c.load))
		o.Images = images
	}
	scored := 0
	score := func(ctx context.Context, teacher *method.Net) (map[string]float64, error) {
		if scored++; scored == c.scored {
			cancel()
		}
		return weightScore(ctx, teacher)
	}
	o.Baseline, o.Evaluate = score, score
	before := torch.Live()
	s, err := train.Pretrain(ctx, o)
	if interrupts := c.load > 0 || c.scored > 0; interrupts != errors.Is(err, context.Canceled) || !interrupts && err != nil {
		t.Fatalf("%+v: got error %v", c, err)
	}
	if after := torch.Live(); after != before {
		t.Errorf("%+v: %d tensors are left alive", c, after-before)
	}
	return s.Steps
}

// TestResumeIsBitEqual: wherever a run is interrupted, and with whatever number of workers it goes on, it comes to the
// same end as one that was not.
func TestResumeIsBitEqual(t *testing.T) {
	whole := tinyOptions(t)
	whole.Config.Workers = 1
	finish(t, whole)
	for _, test := range []struct {
		name  string
		calls []call
	}{
		{"four workers", []call{{workers: 4}}},
		{"stopped in mid-epoch", []call{{workers: 1, steps: 8}, {workers: 1}}},
		{"stopped at the end of an epoch", []call{{workers: 2, steps: 6}, {workers: 1}}},
		{"cancelled in mid-epoch", []call{{workers: 4, load: 10*tinyBatch + 3}, {workers: 1}}},
		{"cancelled before the first step", []call{{workers: 1, load: 1}, {workers: 4}}},
		{"cancelled in the baseline", []call{{workers: 1, scored: 1}, {workers: 1}}},
		{"cancelled in the score of an epoch", []call{{workers: 1, scored: 3}, {workers: 4}}},
		{"cancelled in the last score", []call{{workers: 1, scored: 4}, {workers: 1}}},
		{"again and again", []call{{workers: 1, steps: 1}, {workers: 2, steps: 5}, {workers: 3, load: tinyBatch}, {workers: 1, steps: 13}, {workers: 4, steps: 17}, {workers: 1}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := tinyOptions(t)
			for i, call := range test.calls {
				step := call.start(t, o)
				if last := i == len(test.calls)-1; last != (step == tinySteps) && call.scored != 4 {
					t.Fatalf("call %d ended at step %d of %d", i+1, step, tinySteps)
				}
				if call.load > tinyBatch && step%tinyStepsPerEpoch == 0 {
					t.Errorf("call %d ended at step %d, which is not in the midst of an epoch", i+1, step)
				}
			}
			sameRun(t, o.Config.Out, whole.Config.Out)
		})
	}
}

// TestResumeAfterAKill: what a killed run had written after its last checkpoint, it makes and writes anew.
func TestResumeAfterAKill(t *testing.T) {
	whole := tinyOptions(t)
	finish(t, whole)
	o := tinyOptions(t)
	run := o.Config.Out
	call{workers: 2, steps: 8}.start(t, o)
	old, err := os.ReadFile(train.LatestCheckpoint(run))
	if err != nil {
		t.Fatal(err)
	}
	call{workers: 2, steps: 15}.start(t, o)
	write := func(path string, content []byte) {
		if err := os.WriteFile(filepath.Join(run, path), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(train.LatestCheckpoint(run)); err != nil { // which may share its bytes with best.safetensors
		t.Fatal(err)
	}
	write("checkpoints/latest.safetensors", old)
	write("checkpoints/.latest.safetensors.tmp-99-0", old[:1000])
	write("checkpoints/.best.safetensors.tmp-link", old)
	metrics, err := os.ReadFile(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	write("metrics.jsonl", append(metrics, `{"kind":"step","step":1`...))
	finish(t, o)
	sameRun(t, run, whole.Config.Out)
}

// TestGoOnFromAnotherCheckpoint: --resume FILE starts from there, and the records of later steps make way.
func TestGoOnFromAnotherCheckpoint(t *testing.T) {
	o := tinyOptions(t)
	finish(t, o)
	whole := o.Config.Out
	o.Config.Out = filepath.Join(t.TempDir(), "other")
	o.Config.Resume = filepath.Join(whole, "checkpoints", "epoch_0001.safetensors")
	finish(t, o)
	if d := ckpt.Diff(open(t, o.Config.Out, "latest.safetensors"), open(t, whole, "latest.safetensors")); !d.Equal() {
		t.Error(d)
	}
	if n := len(lines(t, filepath.Join(o.Config.Out, "log.txt"))); n != 1 {
		t.Errorf("log.txt has %d lines, want that of the one epoch made here", n)
	}
}

// TestOtherBatchSize: a run whose steps have changed goes on at the start of its epoch, and says so.
func TestOtherBatchSize(t *testing.T) {
	o := tinyOptions(t)
	call{workers: 1, steps: 8}.start(t, o)
	o.Config.BatchSize = 5
	log := &logLines{}
	o.Log = slog.New(log)
	if s := finish(t, o); s.Steps != tinyEpochs*(tinyImages/5) || s.Epochs != tinyEpochs {
		t.Errorf("ended at step %d of epoch %d", s.Steps, s.Epochs)
	}
	if !log.has("images, batch size or shard_buffer changed") {
		t.Errorf("the log does not say so: %q", log.lines)
	}
}

// sharded is a set in two large files.
type sharded struct{ data.Dataset }

func (s sharded) Shards() []int { return []int{20, s.Len()} }

// TestShardBuffer: an order by shard is as much a matter of seed and step alone as the other one.
func TestShardBuffer(t *testing.T) {
	options := func(buffer int) train.Options {
		o := tinyOptions(t)
		o.Images, o.Config.ShardBuffer = sharded{o.Images}, buffer
		return o
	}
	whole := options(7)
	whole.Config.Workers = 1
	finish(t, whole)

	resumed := options(7)
	call{workers: 4, steps: 8}.start(t, resumed)
	call{workers: 2}.start(t, resumed)
	sameRun(t, resumed.Config.Out, whole.Config.Out)

	mixed := options(0)
	finish(t, mixed)
	if d := ckpt.Diff(open(t, mixed.Config.Out, "latest.safetensors"), open(t, whole.Config.Out, "latest.safetensors")); d.Equal() {
		t.Error("the order by shard is the order of the whole set")
	}

	changed := options(7)
	call{workers: 2, steps: 8}.start(t, changed)
	changed.Config.ShardBuffer = 9
	log := &logLines{}
	changed.Log = slog.New(log)
	if s := finish(t, changed); s.Steps != tinySteps {
		t.Errorf("ended at step %d, want %d", s.Steps, tinySteps)
	}
	if !log.has("shard_buffer changed") {
		t.Errorf("the log does not say that the order is another: %q", log.lines)
	}

	plain := tinyOptions(t)
	plain.Config.ShardBuffer = 7
	if _, err := train.Pretrain(t.Context(), plain); err == nil || !strings.Contains(err.Error(), "shard_buffer 7 is for sets of large files") {
		t.Errorf("got error %v for a set that has no large files", err)
	}
}
