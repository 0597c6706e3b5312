package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/torch"
)

// embedTrain embeds the train part of a drawn set of 60 images.
func embedTrain(t *testing.T, dir, out string) {
	t.Helper()
	code, stdout, stderr := ibot(t, "embed", "--ckpt", goldenCheckpoint, "--data", dir, "--out", out)
	if code != exitOK || !strings.Contains(stdout, out+": features of 48 images\n") {
		t.Fatalf("code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
}

func TestEmbedAndSearch(t *testing.T) {
	before := torch.Live()
	dir := draw(t, "4", "60")
	query := firstImage(t, dir)
	name, err := filepath.Rel(filepath.Join(dir, "train"), query)
	if err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{".npy", ".safetensors", ".parquet", ".jsonl"} {
		index := filepath.Join(t.TempDir(), "index"+ending)
		embedTrain(t, dir, index)
		code, stdout, stderr := ibot(t, "search", "--index", index, "--query", query, "-k", "3")
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		if code != exitOK || len(lines) != 3 || !strings.HasPrefix(lines[0], "1.0000  "+filepath.ToSlash(name)+"  "+filepath.Dir(name)) {
			t.Errorf("%s: code %d, stdout\n%sstderr %s", ending, code, stdout, stderr)
		}
		var found struct{ Results []foundOne }
		code, stdout, stderr = ibot(t, "search", "--index", index, "--query", query, "--k", "100", "--json")
		if err := json.Unmarshal([]byte(stdout), &found); code != exitOK || err != nil || len(found.Results) != 48 || found.Results[0].Name != filepath.ToSlash(name) {
			t.Errorf("%s: code %d, %v, stdout %s, stderr %s", ending, code, err, stdout, stderr)
		}
		var dupes struct {
			Images, Extra int
			Groups        []struct{ Images []string }
		}
		code, stdout, stderr = ibot(t, "dedupe", "--index", index, "--threshold", "-0.99", "--json")
		if err := json.Unmarshal([]byte(stdout), &dupes); code != exitOK || err != nil || dupes.Images != 48 || dupes.Extra != 47 || len(dupes.Groups) != 1 {
			t.Errorf("%s: code %d, %v, stdout %s, stderr %s", ending, code, err, stdout, stderr)
		}
		code, stdout, _ = ibot(t, "embed", "--ckpt", goldenCheckpoint, "--data", dir, "--out", index)
		if code != exitOK || !strings.Contains(stdout, "has these features already") {
			t.Errorf("%s: again: code %d, stdout %s", ending, code, stdout)
		}
	}
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left alive", after-before)
	}
}

// TestSearchHelp: -k, as the world writes it, is --k and no flag of its own.
func TestSearchHelp(t *testing.T) {
	_, stdout, _ := ibot(t, "search", "--help")
	if strings.Count(stdout, "--k N") != 1 || strings.Contains(stdout, "neighbours") {
		t.Error(stdout)
	}
}

// TestDedupeFindsCopies: an image that is there twice, and one that was stored as a JPEG.
func TestDedupeFindsCopies(t *testing.T) {
	dir := draw(t, "4", "60")
	first := firstImage(t, dir)
	b, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(first), "copy.png"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(t.TempDir(), "index.parquet")
	if code, _, stderr := ibot(t, "embed", "--ckpt", goldenCheckpoint, "--data", dir, "--out", index); code != exitOK {
		t.Fatal(stderr)
	}
	code, stdout, stderr := ibot(t, "dedupe", "--index", index, "--threshold", "0.99999")
	if code != exitOK || !strings.HasPrefix(stdout, "2 images, similarity 1.0000 or more\n") || !strings.Contains(stdout, "/copy.png\n") ||
		!strings.HasSuffix(stdout, "49 images, 1 groups of images that are alike; without them 48 images would be left\n") {
		t.Errorf("code %d, stdout\n%sstderr %s", code, stdout, stderr)
	}
}

// TestEmbedList reads a list on standard input; of its images one is broken.
func TestEmbedList(t *testing.T) {
	dir := draw(t, "4", "60")
	broken := filepath.Join(dir, "broken.png")
	if err := os.WriteFile(broken, []byte("no image"), 0o644); err != nil {
		t.Fatal(err)
	}
	images, err := filepath.Glob(filepath.Join(dir, "val", "*", "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Join(append(images, broken), "\n")
	out := filepath.Join(t.TempDir(), "list.jsonl")
	root := newRoot()
	var stdout, stderr bytes.Buffer
	root.SetIn(strings.NewReader(list))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs([]string{"embed", "--ckpt", goldenCheckpoint, "--data", "-", "--out", out, "--whole", "--json"})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	var done struct {
		Images int
		Bad    int `json:"bad_images"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &done); err != nil || done.Images != 12 || done.Bad != 1 {
		t.Errorf("%v: %s", err, stdout.String())
	}
	bad, err := os.ReadFile(out + ".bad.jsonl")
	if err != nil || !strings.Contains(string(bad), "broken.png") {
		t.Errorf("%s, %v", bad, err)
	}
}

func TestEmbedErrors(t *testing.T) {
	dir, out := draw(t, "4", "60"), t.TempDir()
	good := filepath.Join(out, "good.npy")
	embedTrain(t, dir, good)
	run := "--ckpt " + goldenCheckpoint + " --data " + dir
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"embed --data x --out y.npy", exitUsage, "embed needs --ckpt RUN|FILE, the network"},
		{"embed --ckpt x --out y.npy", exitUsage, "embed needs --data DIR|LIST|-, the images"},
		{"embed --ckpt x --data y", exitUsage, "embed needs --out FILE"},
		{"embed " + run + " --out " + out + "/x.csv", exitUsage, "has no ending that says in which format"},
		{"embed " + run + " --out " + out + "/x.npy --feature mean --n_last_blocks 2", exitUsage, "mean is of the last block alone"},
		{"embed " + run + " --out " + out + "/x.npy --n_last_blocks 9", exitError, "the network has 3"},
		{"embed " + run + " --out " + out + "/x.npy --img_size 4", exitUsage, "--img_size: 4 is smaller than a patch"},
		{"embed " + run + " --out " + out + "/x.npy --split test", exitError, "has no part test; it has train, val"},
		{"embed " + run + " --out " + out + "/no/x.npy/y.npy --data " + dir + "/nowhere", exitError, "nowhere does not exist"},
		{"embed " + run + " --out /proc/x.npy", exitError, "/proc/x.npy"},
		{"embed " + run + " --out " + good + " --split val", exitError, "holds other features than are asked for: they are of other images; remove it"},
		{"embed " + run + " --out " + good + " --num_heads 7", exitError, "embed_dim 64 is not a multiple of num_heads 7"},
		{"embed " + run + " --out " + good + " --num_heads 4", exitError, "they are of other weights"},
		{"search --index " + good, exitUsage, "search needs --query IMG"},
		{"search --query x", exitUsage, "search needs --index FILE"},
		{"search --index " + out + "/none.npy --query x", exitError, "none.npy: no such file"},
		{"search --index " + firstImage(t, dir) + " --query x", exitError, "has no ending that says in which format"},
		{"search --index " + good + " --query " + good, exitError, "is no image that can be read"},
		{"search --index " + good + " --query " + firstImage(t, dir) + " --ckpt " + dir, exitError, "holds no run"},
		{"search --index " + good + " --query " + firstImage(t, dir) + " --num_heads 4", exitError, "were made by other weights"},
		{"search --index " + good + " --query " + firstImage(t, dir) + " --k 0", exitUsage, "--k: "},
		{"dedupe", exitUsage, "dedupe needs --index FILE"},
		{"dedupe --index " + good + " --threshold 2", exitUsage, "--threshold: "},
	} {
		t.Run(strings.ReplaceAll(test.args, out, ""), func(t *testing.T) {
			before := torch.Live()
			code, stdout, stderr := ibot(t, strings.Fields(test.args)...)
			if line := lastLine(t, stderr); code != test.code || stdout != "" || !strings.HasPrefix(line, "ibot: ") || !strings.Contains(line, test.want) {
				t.Errorf("got code %d, stdout %q, stderr %s; want %d and %q", code, stdout, stderr, test.code, test.want)
			}
			if after := torch.Live(); after != before {
				t.Errorf("%d tensors are left alive", after-before)
			}
		})
	}
}

func TestEmbedInterrupted(t *testing.T) {
	dir, out := draw(t, "4", "60"), filepath.Join(t.TempDir(), "x.npy")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	args := []string{"embed", "--ckpt", goldenCheckpoint, "--data", dir, "--out", out}
	if code := run(ctx, args, &stdout, &stderr); code != exitInterrupted || stdout.String() != "" || !strings.HasSuffix(stderr.String(), "ibot: interrupted\n") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
	embedTrain(t, dir, out)
}
