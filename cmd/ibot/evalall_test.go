package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/torch"
)

// TestEvalAll: one table, one JSON, one page; what the images do not allow is named with the reason.
func TestEvalAll(t *testing.T) {
	before := torch.Live()
	dir, out := draw(t, "4", "100"), t.TempDir()
	code, stdout, stderr := ibot(t, "eval", "all", "--ckpt", goldenCheckpoint, "--data", dir, "--out", out, "--device", "cpu")
	if code != exitOK {
		t.Fatalf("code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
	for _, want := range []string{
		"teacher of " + goldenCheckpoint, "\nprotocol  ", "\nknn ", "\nlinear ", "\nlogreg ", "\nsemi ",
		"top-1, k = 20 ", "top-1, features computed once ",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("want %q in\n%s", want, stdout)
		}
	}
	var summary struct {
		Protocol string
		Scores   []evalRow
		Reports  []struct {
			Protocol string
			Report   map[string]any
		}
		NotRun []evalUnsuccess `json:"not_run"`
		Failed []evalUnsuccess
	}
	text, err := os.ReadFile(filepath.Join(out, "eval.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &summary); err != nil || summary.Protocol != "all" || len(summary.Failed) != 0 || len(summary.Reports) < 4 {
		t.Errorf("%v: %s", err, text)
	}
	page, err := os.ReadFile(filepath.Join(out, "eval.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range summary.Scores {
		if row.Paper != nil {
			t.Errorf("%+v: the paper has no number for drawn images", row)
		}
		if !strings.Contains(string(page), row.Score) {
			t.Errorf("%q is not on the page", row.Score)
		}
	}
	for _, report := range summary.Reports {
		if !strings.Contains(string(page), `<h2 id="`+report.Protocol+`">`) || len(report.Report) == 0 {
			t.Errorf("%s: not on the page, or no report", report.Protocol)
		}
	}
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left alive", after-before)
	}
}

func TestEvalAllErrors(t *testing.T) {
	dir := draw(t, "4", "60")
	flat := filepath.Dir(firstImage(t, dir))
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"--data " + dir, exitUsage, "eval all needs --ckpt RUN|FILE, the network to score"},
		{"--ckpt x", exitUsage, "eval all needs --data DIR, the images"},
		{"--ckpt " + goldenCheckpoint + " --data " + dir + "/nowhere", exitError, "nowhere: no such file"},
		{"--ckpt " + goldenCheckpoint + " --data " + firstImage(t, dir), exitError, "allows no protocol\n"},
	} {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := ibot(t, append([]string{"eval", "all"}, strings.Fields(test.args)...)...)
			if code != test.code || stdout != "" || !strings.Contains(stderr, test.want) {
				t.Errorf("got code %d, stdout %q, stderr %s; want %d and %q", code, stdout, stderr, test.code, test.want)
			}
		})
	}
	code, _, stderr := ibot(t, "eval", "knn", "--ckpt", goldenCheckpoint, "--data", flat)
	if code != exitError || !strings.Contains(stderr, "give a folder with a subfolder for each class") {
		t.Errorf("flat: code %d, %s", code, stderr)
	}
}

// TestEvalNeedsNoWeightsForBadImages: what is wrong with the images is said before the weights are read.
func TestEvalNeedsNoWeightsForBadImages(t *testing.T) {
	dir := draw(t, "4", "60")
	b, err := os.ReadFile(goldenCheckpoint)
	if err != nil {
		t.Fatal(err)
	}
	ckpt := filepath.Join(t.TempDir(), "x.pth")
	if err := os.WriteFile(ckpt, b, 0o644); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"--data " + dir + "/nowhere":       "nowhere does not exist",
		"--data " + dir + " --k 49 50":     "eval: 49 neighbours were asked for, but there are only 48 images",
		"--data " + dir + " --num_heads 5": "embed_dim 64 is not a multiple of num_heads 5",
	} {
		code, _, stderr := ibot(t, append([]string{"eval", "knn", "--ckpt", ckpt}, strings.Fields(args)...)...)
		if code != exitError || !strings.Contains(stderr, want) || strings.Contains(stderr, "trained, bank") {
			t.Errorf("%s: code %d, %s", args, code, stderr)
		}
	}
}

// TestEvalCache: the second protocol takes the features of the first; the flag none keeps nothing.
func TestEvalCache(t *testing.T) {
	dir, cache := draw(t, "4", "60"), filepath.Join(t.TempDir(), "features")
	for i, protocol := range []string{"knn", "logreg"} {
		code, _, stderr := ibot(t, "eval", protocol, "--ckpt", goldenCheckpoint, "--data", dir, "--cache", cache, "--seed", "1")
		if protocol == "knn" {
			code, _, stderr = ibot(t, "eval", protocol, "--ckpt", goldenCheckpoint, "--data", dir, "--cache", cache, "--k", "5")
		}
		if code != exitOK {
			t.Fatal(stderr)
		}
		if computed := strings.Contains(stderr, "trained, bank") || strings.Contains(stderr, "trained, train"); computed != (i == 0) {
			t.Errorf("%s: %s", protocol, stderr)
		}
	}
	if files, err := filepath.Glob(filepath.Join(cache, "*.safetensors")); err != nil || len(files) != 2 {
		t.Errorf("%v, %v", files, err)
	}
}
