package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/eval"
	"ibot/torch"
)

// goldenCheckpoint is a tiny ViT of the reference: 32-pixel images, three blocks.
const goldenCheckpoint = "../../testdata/goldens/a_vit_ckpt.pth"

// draw writes a drawn set, with 12 images a class in train and 3 in val.
func draw(t *testing.T, classes string, images string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "drawn")
	if code, _, stderr := ibot(t, "data", "draw", "--out", dir, "--classes", classes, "--images", images, "--size", "32"); code != exitOK {
		t.Fatal(stderr)
	}
	return dir
}

func TestEvalKNN(t *testing.T) {
	before := torch.Live()
	dir := draw(t, "4", "60")
	code, stdout, stderr := ibot(t, "eval", "knn", "--ckpt", goldenCheckpoint, "--data", dir, "--k", "5", "48", "49", "--baselines")
	if code != exitOK {
		t.Fatalf("code %d, stderr %s", code, stderr)
	}
	for _, want := range []string{
		"teacher of " + goldenCheckpoint, "12 images looked up among 48\n", "4 classes, 32 pixels, temperature 0.07",
		"features   k  top-1   top-5", "trained   5  ", "untrained  48  ", "pixels  48  ", "k = 49 is left out: there are 48 images",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("want %q in\n%s", want, stdout)
		}
	}
	if !strings.Contains(stderr, "trained, bank") {
		t.Errorf("no progress: %s", stderr)
	}
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left alive", after-before)
	}
}

// knnJSON is what ibot eval knn --json prints.
type knnJSON struct {
	reportHead
	eval.KNNReport
}

func TestEvalKNNJSON(t *testing.T) {
	dir := draw(t, "4", "60")
	broken := filepath.Join(filepath.Dir(firstImage(t, dir)), "zzz.png")
	if err := os.WriteFile(broken, []byte("no image"), 0o644); err != nil {
		t.Fatal(err)
	}
	read := func(args ...string) (r knnJSON) {
		code, stdout, stderr := ibot(t, append([]string{"eval", "knn", "--json", "--ckpt", goldenCheckpoint}, args...)...)
		if code != exitOK {
			t.Fatalf("%q: code %d, stderr %s", args, code, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatalf("%q: %v in %s", args, err, stdout)
		}
		return r
	}
	split := read("--data", dir, "--k", "3")
	if split.LeaveOne || split.Bank != 48 || split.Queries != 12 || split.Classes != 4 || len(split.Results) != 1 || split.Settings.Crop != 32 {
		t.Errorf("train and val: %+v", split)
	}
	if len(split.Bad) != 1 || !strings.HasSuffix(split.Bad[0], "/zzz.png") {
		t.Errorf("bad images: %q", split.Bad)
	}
	named := read("--data_path", filepath.Join(dir, "train"), "--val", filepath.Join(dir, "val"), "--nb_knn", "3", "--batch_size", "5")
	if got, want := named.Results[0].Scores[0], split.Results[0].Scores[0]; got.Top1 != want.Top1 || got.Top5 != want.Top5 || got.K != 3 {
		t.Errorf("--val: %+v, want %+v", named.Results, split.Results)
	}
	single := read("--data", filepath.Join(dir, "train"), "--k", "3", "--net", "student", "--avgpool", "2", "--n_last_blocks", "3", "--precision", "bf16", "--img_size", "64")
	if !single.LeaveOne || single.Queries != 48 || single.Settings.Resize != 73 || single.Net != "student" {
		t.Errorf("one folder: %+v", single)
	}
}

func TestEvalKNNErrors(t *testing.T) {
	dir := draw(t, "4", "60")
	run := t.TempDir()
	flat := filepath.Dir(firstImage(t, dir))
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"--data " + dir, exitUsage, "eval knn needs --ckpt RUN|FILE, the network to score"},
		{"--ckpt x", exitUsage, "eval knn needs --data DIR, the images"},
		{"--ckpt x --data y --k 0", exitUsage, "--k: "},
		{"--ckpt x --data y --k 2.5", exitUsage, "--k: want whole numbers, found 2.5"},
		{"--ckpt x --data y --net neither", exitUsage, "--net: "},
		{"--ckpt " + goldenCheckpoint + " --data " + dir + "/nowhere", exitError, "nowhere does not exist"},
		{"--ckpt " + goldenCheckpoint + " --data " + flat, exitError, "has 0; give a folder with a subfolder for each class"},
		{"--ckpt " + goldenCheckpoint + " --data " + dir + " --val " + flat, exitError, "the images to classify have no labels"},
		{"--ckpt " + dir + "/missing.pth --data " + dir, exitError, "missing.pth"},
		{"--ckpt " + run + " --data " + dir, exitError, "holds no run"},
		{"--ckpt ../../testdata/goldens/e_knn.npz --data " + dir, exitError, "holds no vision transformer"},
		{"--ckpt " + firstImage(t, dir) + " --data " + dir, exitError, "ckpt: "},
		{"--ckpt " + goldenCheckpoint + " --data " + dir + " --img_size 4", exitUsage, "--img_size: 4 is smaller than a patch of the network, 8 pixels"},
		{"--ckpt " + goldenCheckpoint + " --data " + dir + " --n_last_blocks 4", exitError, "the network has 3"},
		{"--ckpt " + goldenCheckpoint + " --data " + dir + " --device tpu", exitError, `unknown device "tpu"`},
		{"--ckpt " + goldenCheckpoint + " --data " + dir + " --k 200", exitError, "eval: 200 neighbours were asked for, but there are only 48 images"},
	} {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := ibot(t, append([]string{"eval", "knn"}, strings.Fields(test.args)...)...)
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			last := lines[len(lines)-1] // above it there may be progress
			if code != test.code || stdout != "" || !strings.HasPrefix(last, "ibot: ") || !strings.Contains(last, test.want) {
				t.Errorf("got code %d, stdout %q, stderr %s; want %d and %q", code, stdout, stderr, test.code, test.want)
			}
		})
	}
}

// firstImage is the path of an image in train.
func firstImage(t *testing.T, dir string) string {
	t.Helper()
	images, err := filepath.Glob(filepath.Join(dir, "train", "*", "*.png"))
	if err != nil || len(images) == 0 {
		t.Fatalf("no images in %s: %v", dir, err)
	}
	return images[0]
}

func TestEvalKNNInterrupted(t *testing.T) {
	dir := draw(t, "4", "60")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code := run(ctx, []string{"eval", "knn", "--ckpt", goldenCheckpoint, "--data", dir}, &out, &errs)
	if code != exitInterrupted || out.String() != "" || !strings.HasSuffix(errs.String(), "ibot: interrupted\n") {
		t.Errorf("got code %d, stdout %q, stderr %q", code, out.String(), errs.String())
	}
}
