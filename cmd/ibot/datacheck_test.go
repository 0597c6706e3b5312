package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"ibot/data"
)

// writeShades writes images of one gray each as DIR/PART/CLASS/i.png, and a file that is none.
func writeShades(t *testing.T, dir string, shades ...uint8) {
	t.Helper()
	for i, shade := range shades {
		im := image.NewRGBA(image.Rect(0, 0, 4, 2))
		for p := range 8 {
			im.Set(p%4, p/4, color.RGBA{shade, shade, shade, 255})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, im); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, []string{"cat", "dog"}[i%2], string(rune('0'+i))+".png")
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "dog", "bad.png"), []byte("not an image"), 0o666); err != nil {
		t.Fatal(err)
	}
}

// runVerb runs one verb by itself.
func runVerb(t *testing.T, verb *cobra.Command, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	verb.SetArgs(args)
	verb.SetOut(&out)
	verb.SetErr(&errs)
	verb.SilenceErrors, verb.SilenceUsage = true, true
	err = verb.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func TestDataCheck(t *testing.T) {
	dir := t.TempDir()
	writeShades(t, filepath.Join(dir, "train"), 10, 20, 30, 40)
	writeShades(t, filepath.Join(dir, "val"), 10, 50)
	file := filepath.Join(t.TempDir(), "report.json")
	stdout, stderr, err := runVerb(t, newDataCheckVerb(), dir, "--out", file, "--num_workers", "1")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"images      8, of which 2 cannot be read", "train       5 images of 2 classes", "train/dog/bad.png: ", "train/cat/0.png, val/cat/0.png", "\nAdvice\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it does not say %q:\n%s", want, stdout)
		}
	}
	if !strings.Contains(stderr, "checking  100 %") {
		t.Errorf("the progress is %q", stderr)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	stdout, _, err = runVerb(t, newDataCheckVerb(), dir, "--json")
	var report data.Report
	if err != nil || stdout != string(written) || json.Unmarshal(written, &report) != nil || report.Images != 8 || report.Across.Count != 1 {
		t.Errorf("--json gives\n%s(%v), --out wrote\n%s", stdout, err, written)
	}
	if _, _, err := runVerb(t, newDataCheckVerb(), filepath.Join(dir, "none")); err == nil || !strings.HasPrefix(err.Error(), "data: ") {
		t.Errorf("a missing folder gives %v", err)
	}
}

// A report that cannot be written is refused before anything is read, or else printed first.
func TestDataCheckOut(t *testing.T) {
	dir, folder := t.TempDir(), t.TempDir()
	writeShades(t, dir, 10, 20)
	for _, out := range []string{filepath.Join(folder, "none", "r.txt"), folder} {
		stdout, stderr, err := runVerb(t, newDataCheckVerb(), dir, "--out", out)
		if err == nil || !strings.HasPrefix(err.Error(), "data check: --out: ") || !strings.Contains(err.Error(), out+": ") || strings.Contains(err.Error(), ".tmp-") || stdout+stderr != "" {
			t.Errorf("--out %s: got %q, %q, %v", out, stdout, stderr, err)
		}
	}
	// A folder takes the place of the file while images are read.
	out := filepath.Join(folder, "r.txt")
	verb := newDataCheckVerb()
	verb.SetErr(writerFunc(func(b []byte) (int, error) { return len(b), os.MkdirAll(out, 0o777) }))
	var stdout bytes.Buffer
	verb.SetOut(&stdout)
	verb.SetArgs([]string{dir, "--out", out})
	verb.SilenceErrors, verb.SilenceUsage = true, true
	if err := verb.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "--out: ") || !strings.HasPrefix(stdout.String(), "images      3, of which 1 cannot") {
		t.Errorf("got %q, %v", stdout.String(), err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestDataStats(t *testing.T) {
	dir := t.TempDir()
	writeShades(t, dir, 0, 255)
	stdout, _, err := runVerb(t, newDataStatsVerb(), dir)
	want := "# 16 pixels of 2 images of " + dir + "; 1 image cannot be read\nin_chans: 3\nmean: [0.5000, 0.5000, 0.5000]\nstd: [0.5000, 0.5000, 0.5000]\n"
	if err != nil || stdout != want {
		t.Errorf("got  %q, %v\nwant %q", stdout, err, want)
	}
	stdout, _, err = runVerb(t, newDataStatsVerb(), dir, "--in_chans", "1", "--json")
	var m data.Moments
	if err != nil || json.Unmarshal([]byte(stdout), &m) != nil || len(m.Mean) != 1 || m.Mean[0] != 0.5 || len(m.Unreadable) != 1 {
		t.Errorf("--json gives %s, %v", stdout, err)
	}
}
