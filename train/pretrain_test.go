package train_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/ckpt"
	"ibot/data/drawn"
	"ibot/internal/progress"
	"ibot/internal/settings"
	"ibot/method"
	"ibot/recipes"
	"ibot/torch"
	"ibot/train"
)

// The tiny run of these tests: 3 epochs of 6 steps of 8 images, with 2 images left over in each.
const (
	tinyEpochs        = 3
	tinyStepsPerEpoch = 6
	tinySteps         = tinyEpochs * tinyStepsPerEpoch
	tinyBatch         = 8
	tinyImages        = tinyStepsPerEpoch*tinyBatch + 2
)

// tinyOptions are a run of the recipe tiny in a new folder, on drawn images. The score of the teacher is a number that
// its weights decide.
func tinyOptions(t *testing.T) train.Options {
	t.Helper()
	recipe, err := recipes.Load("tiny")
	if err != nil {
		t.Fatal(err)
	}
	c := train.Default()
	if err := settings.DecodeYAML(recipe.File(), recipe.YAML, &c); err != nil {
		t.Fatal(err)
	}
	c.Device, c.Out, c.Epochs, c.BatchSize, c.SaveCkptFreq = "cpu", filepath.Join(t.TempDir(), "run"), tinyEpochs, tinyBatch, 1
	if _, err := c.Resolve(archs); err != nil {
		t.Fatal(err)
	}
	images, err := drawn.New(1, 4, tinyImages, 24)
	if err != nil {
		t.Fatal(err)
	}
	return train.Options{Config: c, Images: images, Baseline: weightScore, Evaluate: weightScore, Log: slog.New(slog.DiscardHandler), Bar: progress.New(io.Discard)}
}

// weightScore stands in for the k-NN score, which is a room above this one.
func weightScore(ctx context.Context, teacher *method.Net) (scores map[string]float64, err error) {
	torch.Scope(func() {
		sum := 0.
		for _, p := range teacher.Path.State() {
			sum += p.Abs().SumAll().Item()
		}
		scores = map[string]float64{"knn": 100 * (sum - math.Floor(sum))}
	})
	return scores, ctx.Err()
}

// finish runs o to its last step.
func finish(t *testing.T, o train.Options) train.Summary {
	t.Helper()
	s, err := train.Pretrain(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens a checkpoint of a run.
func open(t *testing.T, run, name string) *ckpt.Checkpoint {
	t.Helper()
	f, err := ckpt.Open(filepath.Join(run, "checkpoints", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// lines reads a file of JSON objects.
func lines(t *testing.T, path string) (all []train.Record) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r train.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v in %q", path, err, line)
		}
		all = append(all, r)
	}
	return all
}

// names lists a folder, hidden files too.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestFolderOfARun: every file that a run leaves, and what the records say.
func TestFolderOfARun(t *testing.T) {
	o := tinyOptions(t)
	o.About = []string{"ibot 1.2.3"}
	moments := []train.When{}
	o.Pictures = func(run string, _ *method.Net, when train.When) error {
		moments = append(moments, when)
		return nil
	}
	before := torch.Live()
	s := finish(t, o)
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left alive", after-before)
	}
	run := o.Config.Out
	if got, want := names(t, run), []string{".lock", "bad_images.jsonl", "checkpoints", "config.yaml", "log.txt", "metrics.jsonl", "summary.json", "tf_logs"}; !slices.Equal(got, want) {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
	if want := []train.When{train.AtStart, train.AfterEpoch, train.AfterEpoch, train.AtEnd}; !slices.Equal(moments, want) {
		t.Errorf("pictures at %v, want %v", moments, want)
	}

	var c train.Config
	if err := settings.ReadYAML(train.ConfigPath(run), &c); err != nil {
		t.Fatal(err)
	}
	if changes := settings.Changed(&o.Config, &c); changes != nil {
		t.Errorf("config.yaml differs from the settings: %v", changes)
	}
	if text, _ := os.ReadFile(train.ConfigPath(run)); !strings.HasPrefix(string(text), "# ibot 1.2.3\n") {
		t.Errorf("config.yaml begins with %.40q", text)
	}

	checkMetrics(t, run)
	checkLog(t, run)
	if events := names(t, filepath.Join(run, "tf_logs")); len(events) != 1 || !strings.HasPrefix(events[0], "events.out.tfevents.") {
		t.Errorf("tf_logs holds %q", events)
	}
	if got, want := names(t, filepath.Join(run, "checkpoints")), []string{"best.safetensors", "epoch_0001.safetensors", "epoch_0002.safetensors", "latest.safetensors"}; !slices.Equal(got, want) {
		t.Errorf("checkpoints holds %q, want %q", got, want)
	}
	if d := ckpt.Diff(open(t, run, "epoch_0002.safetensors"), open(t, run, "latest.safetensors")); !d.Equal() || d.Same < 100 {
		t.Errorf("the checkpoint of the last epoch is not the latest: %v", d)
	}
	checkSummary(t, run, s)
}

// checkMetrics checks kinds, keys and order of metrics.jsonl.
func checkMetrics(t *testing.T, run string) {
	t.Helper()
	measured := []string{"loss", "cls", "patch", "acc", "entropy", "grad_norm", "lr", "wd", "momentum", "temp", "patch_temp"}
	keys := map[string][]string{
		"baseline": {"knn"},
		"step":     append([]string{"img_s", "data_s"}, measured...),
		"epoch":    append([]string{"nmi", "ari", "fscore", "knn"}, measured...),
	}
	var kinds []string
	for i, r := range lines(t, filepath.Join(run, "metrics.jsonl")) {
		kind, _ := r["kind"].(string)
		kinds = append(kinds, kind)
		want := append([]string{"kind", "step", "epoch"}, keys[kind]...)
		for _, key := range want {
			if _, ok := r[key]; !ok {
				t.Errorf("line %d, a %s, has no %q: %v", i+1, kind, key, r)
			}
		}
		if len(r) != len(want) {
			t.Errorf("line %d has %d keys, want %q: %v", i+1, len(r), want, r)
		}
		if step, _ := r["step"].(float64); kind == "step" && int(r["epoch"].(float64)) != (int(step)-1)/tinyStepsPerEpoch {
			t.Errorf("line %d: step %v is not of epoch %v", i+1, step, r["epoch"])
		}
	}
	epoch := append(slices.Repeat([]string{"step"}, tinyStepsPerEpoch), "epoch")
	if want := append([]string{"baseline"}, slices.Repeat(epoch, tinyEpochs)...); !slices.Equal(kinds, want) {
		t.Errorf("metrics.jsonl has %q, want %q", kinds, want)
	}
}

// checkLog checks the reference's keys, of which the adjusted accuracy is -1 there too.
func checkLog(t *testing.T, run string) {
	t.Helper()
	log := lines(t, filepath.Join(run, "log.txt"))
	if len(log) != tinyEpochs {
		t.Errorf("log.txt has %d lines, want one an epoch", len(log))
	}
	for i, r := range log {
		for _, key := range []string{"train_cls", "train_patch", "train_loss", "train_lr", "train_wd", "train_acc", "train_nmi", "train_ari", "train_fscore"} {
			if v, ok := r[key].(float64); !ok || math.IsNaN(v) {
				t.Errorf("log.txt line %d: %s is %v", i+1, key, r[key])
			}
		}
		if r["epoch"] != float64(i) || r["train_adjacc"] != -1. || len(r) != 11 {
			t.Errorf("log.txt line %d: %v", i+1, r)
		}
	}
}

// checkSummary checks summary.json and the summary that Pretrain returned.
func checkSummary(t *testing.T, run string, s train.Summary) {
	t.Helper()
	text, err := os.ReadFile(train.SummaryPath(run))
	if err != nil {
		t.Fatal(err)
	}
	var written train.Summary
	if err := json.Unmarshal(text, &written); err != nil {
		t.Fatal(err)
	}
	if written.Steps != s.Steps || s.Steps != tinySteps || s.StepsOf != tinySteps || s.Epochs != tinyEpochs || s.Images != tinyImages || s.Arch != "vit_tiny" {
		t.Errorf("summary %+v, written %+v", s, written)
	}
	best := 0.
	for _, r := range lines(t, filepath.Join(run, "metrics.jsonl")) {
		if r["kind"] == "epoch" {
			best = max(best, r["knn"].(float64))
		}
	}
	if s.BestKNN != best || s.BestEpoch < 1 || s.Baselines["knn"] == 0 || s.Means["knn"] == 0 || written.Means["loss"] != s.Means["loss"] {
		t.Errorf("scores of %+v, want a best of %v", s, best)
	}
	if _, err := os.Stat(s.Checkpoint); err != nil {
		t.Error(err)
	}
}

// TestFinishedRunStaysAsItIs: called again, it makes no step and still knows its scores.
func TestFinishedRunStaysAsItIs(t *testing.T) {
	o := tinyOptions(t)
	first := finish(t, o)
	again := finish(t, o)
	if again.Steps != first.Steps || again.Means["knn"] != first.Means["knn"] || again.BestEpoch != first.BestEpoch || again.Baselines["knn"] != first.Baselines["knn"] {
		t.Errorf("got %+v, want %+v", again, first)
	}
	checkMetrics(t, o.Config.Out)
	checkLog(t, o.Config.Out)

	o.Config.Resume = "never"
	finish(t, o)
	if got, want := names(t, filepath.Join(o.Config.Out, "old-1")), []string{"bad_images.jsonl", "checkpoints", "config.yaml", "log.txt", "metrics.jsonl", "summary.json", "tf_logs"}; !slices.Equal(got, want) {
		t.Errorf("set aside: %q, want %q", got, want)
	}
	if d := ckpt.Diff(open(t, filepath.Join(o.Config.Out, "old-1"), "latest.safetensors"), open(t, o.Config.Out, "latest.safetensors")); !d.Equal() {
		t.Errorf("the same seed gave another run: %v", d)
	}
}

// TestOpenNetOfARun: teacher and student come back from the folder and from the file, and a file of another kind is
// refused.
func TestOpenNetOfARun(t *testing.T) {
	o := tinyOptions(t)
	o.Config.Steps = 2
	finish(t, o)
	file := open(t, o.Config.Out, "latest.safetensors")
	for _, path := range []string{o.Config.Out, train.LatestCheckpoint(o.Config.Out)} {
		for _, which := range []string{"teacher", "student"} {
			before := torch.Live()
			net, err := train.OpenNet(path, which, torch.CPU)
			if err != nil {
				t.Fatal(err)
			}
			if net.Step != 2 || net.Config.EmbedDim != o.Config.EmbedDim || net.Prefix != which+".backbone." || !file.Has(net.Prefix+"cls_token") {
				t.Errorf("%s of %s: step %d, width %d, prefix %q", which, path, net.Step, net.Config.EmbedDim, net.Prefix)
			}
			net.Close()
			if after := torch.Live(); after != before {
				t.Errorf("%d tensors are left alive", after-before)
			}
		}
	}
}

// TestChannels: images of other channels than the network's are an error, not a panic in a worker.
func TestChannels(t *testing.T) {
	for _, channels := range []int{1, 4} {
		o := tinyOptions(t)
		o.Config.InChans = channels
		_, err := train.Pretrain(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "has 3 channels, but in_chans is") || !strings.HasSuffix(err.Error(), "use --in_chans 3") {
			t.Errorf("in_chans %d: got %v", channels, err)
		}
	}
}
