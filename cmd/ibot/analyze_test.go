package main

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/analysis"
	"ibot/torch"
)

// TestAnalyze runs every study from the command line on a checkpoint of the reference and on image files.
func TestAnalyze(t *testing.T) {
	before := torch.Live()
	dir := draw(t, "4", "40")
	for _, study := range analysis.Studies() {
		t.Run(study.Name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "new", "folder")
			code, stdout, stderr := ibot(t, "analyze", study.Name, "--ckpt", goldenCheckpoint, "--data", dir, "--out", out, "--json")
			if code != exitOK {
				t.Fatalf("code %d, stderr %s", code, stderr)
			}
			var r studyReport
			if err := json.Unmarshal([]byte(stdout), &r); err != nil {
				t.Fatalf("%v in %.200s", err, stdout)
			}
			if r.Study != study.Name || r.Checkpoint != goldenCheckpoint || r.Net != "teacher" || len(r.Files) == 0 || len(r.Values) == 0 {
				t.Errorf("got %+v", r)
			}
			for _, path := range r.Files {
				b, err := os.ReadFile(path)
				if err != nil || filepath.Dir(path) != out {
					t.Errorf("%s: %v", path, err)
				}
				if _, err := png.DecodeConfig(bytes.NewReader(b)); err != nil && filepath.Ext(path) == ".png" {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	}
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left alive", after-before)
	}
}

// TestAnalyzeImages: files in the order given, as a shell's pattern gives them.
func TestAnalyzeImages(t *testing.T) {
	dir, out := draw(t, "4", "40"), t.TempDir()
	images, err := filepath.Glob(filepath.Join(dir, "train", "*", "*.png"))
	if err != nil || len(images) < 3 {
		t.Fatal(images, err)
	}
	args := append([]string{"analyze", "similar", "--ckpt", goldenCheckpoint, "--out", out, "--at", "0.9", "0.1", "--data"}, images[:3]...)
	code, stdout, stderr := ibot(t, args...)
	want := "patch in row 1, column 8 of " + strings.TrimSuffix(filepath.Base(images[0]), ".png")
	if code != exitOK || !strings.HasPrefix(stdout, want) || !strings.HasSuffix(stdout, filepath.Join(out, "similar.png")+"\n") {
		t.Errorf("code %d, stdout %s, stderr %s; want %q", code, stdout, stderr, want)
	}
}

// TestAnalyzeRun: of a run the images are known, and its report is written beside its records.
func TestAnalyzeRun(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	args := tiny(draw(t, "4", "60"), run, "--epochs", "1", "--report_every", "1")
	if code, _, stderr := ibot(t, args...); code != exitOK || !strings.Contains(stderr, "msg=report file="+run) {
		t.Fatalf("code %d: %s", code, stderr)
	}
	page, err := os.ReadFile(filepath.Join(run, "report.html"))
	if err != nil || !bytes.Contains(page, []byte(`"title":"Loss"`)) || !bytes.Contains(page, []byte("<strong>unclear</strong>")) {
		t.Errorf("%d bytes, %v", len(page), err)
	}
	out := t.TempDir()
	code, stdout, stderr := ibot(t, "analyze", "attention", "--ckpt", run, "--out", out, "--images", "2", "--block", "1")
	if code != exitOK || stdout != filepath.Join(out, "attention.png")+"\n" {
		t.Errorf("code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
	code, stdout, stderr = ibot(t, "analyze", "report", "--ckpt", run, "--out", out)
	if code != exitOK || !strings.HasPrefix(stdout, "unclear: Too early to tell: ") {
		t.Errorf("code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
}

func TestAnalyzeErrors(t *testing.T) {
	dir, out := draw(t, "4", "40"), t.TempDir()
	image := firstImage(t, dir)
	file := filepath.Join(out, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	golden := "--ckpt " + goldenCheckpoint + " --out " + out
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"", exitUsage, "analyze: want one of its verbs, attention, correspondence, map, patterns, pca, report, similar"},
		{"atention", exitUsage, `unknown verb "atention"; did you mean "ibot analyze attention"?`},
		{"pca --out x", exitUsage, "analyze pca needs --ckpt RUN|FILE, the network to look into"},
		{"pca --ckpt x", exitUsage, "analyze pca needs --out DIR, the folder for the pictures"},
		{"pca --ckpt x --out x a.png", exitUsage, `"a.png" is no flag; name images with --data`},
		{"pca " + golden, exitUsage, "analyze pca needs --data DIR|IMG ..., the images; the checkpoint names none"},
		{"pca " + golden + " --data " + dir + " --images 0", exitUsage, "--images: "},
		{"patterns " + golden + " --data " + dir + " --order best", exitUsage, "--order: want one of populous, pure, mixed, confident, unsure"},
		{"attention " + golden + " --data " + dir + " --block 4", exitError, "block 4 was asked for, but the network has 3"},
		{"attention " + golden + " --data " + dir + " --img_size 4", exitError, "4 pixels are less than a patch of the network"},
		{"similar " + golden + " --data " + dir + " --at 0.5", exitError, "--at has 1 numbers; want two"},
		{"map " + golden + " --data " + image, exitError, "a map of 1 images; want 4 or more"},
		{"correspondence --of images " + golden + " --data " + image, exitError, "among 1 images there are no two to compare"},
		{"pca " + golden + " --data " + dir + "/nowhere", exitError, "nowhere does not exist"},
		{"pca --ckpt " + dir + " --out " + out, exitError, "holds no run"},
		{"pca --ckpt " + goldenCheckpoint + " --out " + file + "/below --data " + dir, exitError, "name another folder with --out"},
		{"attention --animate " + golden + " --data " + out + "/a.mp4", exitError, "a.mp4"},
	} {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := ibot(t, append([]string{"analyze"}, strings.Fields(test.args)...)...)
			if line := lastLine(t, stderr); code != test.code || stdout != "" || !strings.HasPrefix(line, "ibot: ") || !strings.Contains(line, test.want) {
				t.Errorf("got code %d, stdout %q, stderr %s; want %d and %q", code, stdout, stderr, test.code, test.want)
			}
		})
	}
	if left, err := os.ReadDir(out); err != nil || len(left) != 1 {
		t.Errorf("calls that failed left %v (%v)", left, err)
	}
}

func TestAnalyzeInterrupted(t *testing.T) {
	dir, out := draw(t, "4", "40"), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"analyze", "patterns", "--ckpt", goldenCheckpoint, "--data", dir, "--out", out}, &stdout, &stderr)
	if code != exitInterrupted || stdout.String() != "" || lastLine(t, stderr.String()) != "ibot: interrupted" {
		t.Errorf("got code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
	if left, err := os.ReadDir(out); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
