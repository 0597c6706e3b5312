package main

import (
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ibot/ckpt"
	"ibot/data"
	"ibot/internal/settings"
	"ibot/torch"
	"ibot/train"
)

// tiny is the command line of a run of 2 epochs of 6 steps, on 48 images of 4 classes.
func tiny(images, run string, more ...string) []string {
	return append([]string{"pretrain", "--recipe", "tiny", "--device", "cpu", "--data", images, "--out", run, "--report_every", "0"}, more...)
}

// tinyRun is a finished run, with the images that it learnt from.
func tinyRun(t *testing.T) (images, run, stdout string) {
	t.Helper()
	images, run = draw(t, "4", "60"), filepath.Join(t.TempDir(), "run")
	code, stdout, stderr := ibot(t, tiny(images, run)...)
	if code != exitOK {
		t.Fatalf("code %d, stderr %s", code, stderr)
	}
	return images, run, stdout
}

// copyRun copies what a run needs to go on to a new folder.
func copyRun(t *testing.T, run string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(run)); err != nil {
		t.Fatal(err)
	}
	return to
}

// records reads the lines of a kind from a run's metrics.jsonl.
func records(t *testing.T, run, kind string) (all []train.Record) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(run, "metrics.jsonl"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r train.Record
		if strings.HasSuffix(line, "\n") { // the last may be half written while a run is going on
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%v in %q", err, line)
			}
		}
		if r["kind"] == kind {
			all = append(all, r)
		}
	}
	return all
}

// checkpoint opens the latest checkpoint of a run and reads every array of it.
func checkpoint(t *testing.T, run string) *ckpt.Checkpoint {
	t.Helper()
	f, err := ckpt.Open(train.LatestCheckpoint(run))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for _, name := range f.Names() {
		if _, err := f.Array(name); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// TestPretrain: the main job from images to pictures, and what it says.
func TestPretrain(t *testing.T) {
	before := torch.Live()
	dir, run, stdout := tinyRun(t)
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left alive", after-before)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], run+": 12 of 12 steps, 2 epochs of 48 images, ") ||
		!strings.HasPrefix(lines[1], "k-NN: ") || lines[2] != "checkpoint: "+train.LatestCheckpoint(run) {
		t.Errorf("stdout\n%s", stdout)
	}
	baseline := records(t, run, "baseline")
	if len(baseline) != 1 || baseline[0]["knn_pixels"] == nil || baseline[0]["knn_untrained"] == nil {
		t.Errorf("baselines %v", baseline)
	}
	if steps, epochs := records(t, run, "step"), records(t, run, "epoch"); len(steps) != 12 || len(epochs) != 2 || epochs[1]["knn"] == nil || epochs[1]["knn_top5"] == nil {
		t.Errorf("%d steps and %d epochs are recorded: %v", len(steps), len(epochs), epochs)
	}
	for _, name := range []string{"views.png", "attention.png", "curves_loss.png", "curves_knn.png", "curves_health.png"} {
		f, err := os.Open(filepath.Join(run, name))
		if err != nil {
			t.Error(err)
			continue
		}
		im, err := png.Decode(f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if size := im.Bounds().Size(); size.X < 100 || size.Y < 100 {
			t.Errorf("%s has %v pixels", name, size)
		}
		f.Close()
	}
	head, err := os.ReadFile(train.ConfigPath(run))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# ibot ", "# go  ", "# libtorch ", "# command ", "\nseed: 0\n", "\ndata: " + dir + "\n"} {
		if !strings.Contains(string(head), want) {
			t.Errorf("config.yaml does not have %q", want)
		}
	}
}

// TestPretrainAgain: a finished run, called again by its folder alone, makes no step and reports the same scores; with
// more epochs it goes on.
func TestPretrainAgain(t *testing.T) {
	_, run, first := tinyRun(t)
	var before train.Config
	if err := settings.ReadYAML(train.ConfigPath(run), &before); err != nil {
		t.Fatal(err)
	}
	code, again, stderr := ibot(t, "pretrain", "--out", run)
	knn := func(stdout string) string { return strings.Split(stdout+"\n\n", "\n")[1] }
	if code != exitOK || knn(again) != knn(first) || !strings.Contains(stderr, "this run has made all of its steps") {
		t.Errorf("code %d, stdout\n%swant\n%sstderr\n%s", code, again, first, stderr)
	}
	var after train.Config
	if err := settings.ReadYAML(train.ConfigPath(run), &after); err != nil {
		t.Fatal(err)
	}
	if changes := settings.Changed(&before, &after); changes != nil {
		t.Errorf("the settings have changed: %v", changes)
	}
	code, more, stderr := ibot(t, "pretrain", "--out", run, "--epochs", "3")
	if code != exitOK || !strings.Contains(more, "18 of 18 steps, 3 epochs") || len(records(t, run, "step")) != 18 {
		t.Errorf("code %d, stdout\n%sstderr\n%s", code, more, stderr)
	}
}

// TestEvalOfARun: the score of a run is that of its latest checkpoint, and the last one that was taken online.
func TestEvalOfARun(t *testing.T) {
	dir, run, _ := tinyRun(t)
	score := func(path string) (r knnJSON) {
		code, stdout, stderr := ibot(t, "eval", "knn", "--ckpt", path, "--data", dir, "--k", "20", "--json")
		if code != exitOK {
			t.Fatalf("%s: code %d, stderr %s", path, code, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	whole, file := score(run), score(train.LatestCheckpoint(run))
	if !reflect.DeepEqual(whole.Results, file.Results) || whole.Step != 12 || whole.Epoch != 2 || whole.Arch != "vit_tiny" || whole.Bank != 48 || whole.Queries != 12 {
		t.Errorf("of the folder %+v, of the file %+v", whole, file)
	}
	epochs := records(t, run, "epoch")
	if online := epochs[len(epochs)-1]["knn"]; online != whole.Results[0].Scores[0].Top1 {
		t.Errorf("online %v, afterwards %v", online, whole.Results[0].Scores[0].Top1)
	}
	if foreign := score(goldenCheckpoint); len(foreign.Results) != 1 || foreign.Settings.Crop != 32 || foreign.Step != 0 {
		t.Errorf("of the reference's checkpoint: %+v", foreign)
	}
}

// TestPretrainWithoutLabels: a flat folder is learnt from, without a score.
func TestPretrainWithoutLabels(t *testing.T) {
	flat, run := filepath.Dir(firstImage(t, draw(t, "2", "20"))), filepath.Join(t.TempDir(), "run")
	code, stdout, stderr := ibot(t, tiny(flat, run, "--batch_size_per_gpu", "4", "--epochs", "1")...)
	if code != exitOK || strings.Contains(stdout, "k-NN") || !strings.Contains(stdout, "2 of 2 steps, 1 epochs of 8 images") {
		t.Errorf("code %d, stdout\n%sstderr\n%s", code, stdout, stderr)
	}
	if epochs := records(t, run, "epoch"); len(epochs) != 1 || epochs[0]["knn"] != nil || epochs[0]["nmi"] != nil {
		t.Errorf("records %v", epochs)
	}
}

// spoil makes images of train unreadable, by their numbers in the set: one by other bytes, the others by the loss of
// their second half. It returns their names, and what makes them whole again.
func spoil(t *testing.T, dir string, images ...int) (names []string, repair func()) {
	t.Helper()
	set, err := data.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	whole := map[string][]byte{}
	write := func(path string, content []byte) {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for n, i := range images {
		path := filepath.Join(dir, "train", filepath.FromSlash(set.Name(i)))
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		whole[path] = content
		if n == 0 {
			write(path, []byte("no image"))
		} else {
			write(path, content[:len(content)/2])
		}
		names = append(names, set.Name(i))
	}
	slices.Sort(names)
	return names, func() {
		for path, content := range whole {
			write(path, content)
		}
	}
}

// badImages reads the paths in a run's bad_images.jsonl.
func badImages(t *testing.T, run string) (paths []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(run, "bad_images.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var image struct{ Path, Error string }
		if err := json.Unmarshal([]byte(line), &image); err != nil || image.Error == "" {
			t.Fatalf("%v in %q", err, line)
		}
		paths = append(paths, image.Path)
	}
	slices.Sort(paths)
	return paths
}

// TestUnreadableImages: up to 5 % are passed over, counted and listed once.
func TestUnreadableImages(t *testing.T) {
	dir, run := draw(t, "4", "60"), filepath.Join(t.TempDir(), "run")
	spoilt, _ := spoil(t, dir, 3, 40)
	code, stdout, stderr := ibot(t, tiny(dir, run)...)
	if code != exitOK || !strings.Contains(stdout, "\n2 images could not be read: see bad_images.jsonl\n") {
		t.Errorf("code %d, stdout\n%sstderr\n%s", code, stdout, stderr)
	}
	if listed := badImages(t, run); !slices.Equal(listed, spoilt) {
		t.Errorf("listed %q, want %q", listed, spoilt)
	}
}

// TestTooManyUnreadableImages: more than 5 % end the run with the list. The steps made until then are kept, and with
// whole images it comes to the end that it would have come to.
func TestTooManyUnreadableImages(t *testing.T) {
	dir, out := draw(t, "4", "60"), t.TempDir()
	run, whole := filepath.Join(out, "run"), filepath.Join(out, "whole")
	sixth := data.Order(0, 0, 48)[40:48] // the batch of the sixth step, the last of the first epoch
	spoilt, repair := spoil(t, dir, sixth...)
	code, stdout, stderr := ibot(t, tiny(dir, run, "--knn_every", "0")...)
	line := lastLine(t, stderr)
	want := " of 48 images cannot be read, which is more than 5 %; repair or remove them (list in " + filepath.Join(run, "bad_images.jsonl") + "): "
	if code != exitError || stdout != "" || !strings.HasPrefix(line, "ibot: data: ") || !strings.Contains(line, want) {
		t.Errorf("code %d, stdout %q, stderr\n%s", code, stdout, stderr)
	}
	listed := badImages(t, run)
	if len(listed) < 3 {
		t.Errorf("listed %q", listed)
	}
	for _, path := range listed {
		if !slices.Contains(spoilt, path) {
			t.Errorf("listed %s, which is not among %q", path, spoilt)
		}
	}
	if step := checkpoint(t, run).Meta["step"]; step != "5" {
		t.Errorf("the checkpoint is of step %s, want 5", step)
	}

	repair()
	for _, run := range []string{run, whole} {
		if code, _, stderr := ibot(t, tiny(dir, run, "--knn_every", "0")...); code != exitOK {
			t.Fatal(stderr)
		}
	}
	if d := ckpt.Diff(checkpoint(t, run), checkpoint(t, whole)); !d.Equal() || d.Same < 100 {
		t.Error(d)
	}
}

// lastLine is the error at the end of stderr; it must be the only one.
func lastLine(t *testing.T, stderr string) string {
	t.Helper()
	lines := strings.Split(strings.TrimRight(stderr, "\n"), "\n")
	if n := strings.Count("\n"+stderr, "\nibot: "); n != 1 || strings.Contains(stderr, "goroutine ") || strings.Contains(stderr, "Usage") {
		t.Errorf("want one error in one line, got\n%s", stderr)
	}
	return lines[len(lines)-1]
}
