package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCkptConvert converts the reference's checkpoint as users do, looks at the result, and is stopped
// by what is there already.
func TestCkptConvert(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "vit.onnx")
	convert := []string{"ckpt", "convert", goldenCheckpoint, out, "--to", "onnx", "--num-heads", "4"}
	code, stdout, stderr := ibot(t, convert...)
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "greatest difference of [CLS]") {
		t.Fatalf("got code %d, stdout\n%s\nstderr %q", code, stdout, stderr)
	}
	code, stdout, _ = ibot(t, "ckpt", "show", out, "cls_token")
	if code != exitOK || !strings.Contains(stdout, "written by: ibot") || !strings.Contains(stdout, "greatest difference") {
		t.Errorf("show: got code %d, stdout\n%s", code, stdout)
	}
	code, stdout, stderr = ibot(t, convert...)
	if code != exitError || stdout != "" || !strings.Contains(stderr, "--force") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("again: got code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	code, stdout, stderr = ibot(t, append(convert, "--force", "--json")...)
	var report struct {
		Arrays int
		Proof  struct{ Ran bool }
	}
	if err := json.Unmarshal([]byte(stdout), &report); code != exitOK || stderr != "" || err != nil || !report.Proof.Ran || report.Arrays == 0 {
		t.Errorf("--force --json: got code %d, stdout %q, stderr %q, %v", code, stdout, stderr, err)
	}
}

// TestCkptConvertGuessesHeads says that it does.
func TestCkptConvertGuessesHeads(t *testing.T) {
	code, stdout, stderr := ibot(t, "ckpt", "convert", goldenCheckpoint, filepath.Join(t.TempDir(), "b.pth"), "--to", "backbone")
	if code != exitOK || stdout == "" || !strings.Contains(stderr, "--num_heads") {
		t.Errorf("got code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// TestCkptConvertErrors: a line on stderr, and nothing is written.
func TestCkptConvertErrors(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{goldenCheckpoint, filepath.Join(dir, "a.pth")}, exitUsage, "--to FORMAT"},
		{[]string{goldenCheckpoint, filepath.Join(dir, "a.pth"), "--to", "tensorflow"}, exitUsage, "--to: want one of"},
		{[]string{goldenCheckpoint, filepath.Join(dir, "a.pth"), "--to", "timm", "--dynamic_size"}, exitUsage, "--to onnx"},
		{[]string{goldenCheckpoint, filepath.Join(dir, "a.pth"), "--to", "timm", "--net", "student", "--num_heads", "4"}, exitError, "--allow_extra masked_embed"},
		{[]string{goldenCheckpoint, filepath.Join(dir, "a.pth"), "--to", "timm", "--num_heads", "7"}, exitError, "num_heads 7"},
		{[]string{filepath.Join(dir, "none"), filepath.Join(dir, "a.pth"), "--to", "timm"}, exitError, "no such file"},
		{[]string{goldenCheckpoint, filepath.Join(dir, "a.pth"), "--to", "backbone", "--num_heads", "4", "--verify_with", filepath.Join(dir, "python")}, exitError, "was written and stays"},
	} {
		code, stdout, stderr := ibot(t, append([]string{"ckpt", "convert"}, tc.args...)...)
		if code != tc.code || stdout != "" || !strings.Contains(stderr, tc.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: got code %d, stdout %q, stderr %q", tc.args, code, stdout, stderr)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %d entries, want the one that was written: %v", len(entries), err)
	}
}

func TestCkptShow(t *testing.T) {
	code, stdout, stderr := ibot(t, "ckpt", "show", goldenCheckpoint, "--json")
	var object struct {
		Writer string
		Arrays []struct{ Min, Mean, Max *float64 }
	}
	if err := json.Unmarshal([]byte(stdout), &object); code != exitOK || stderr != "" || err != nil ||
		len(object.Arrays) != 260 || object.Arrays[0].Min == nil || !strings.Contains(object.Writer, "main_ibot.py") {
		t.Errorf("got code %d, stderr %q, %v, %.200s", code, stderr, err, stdout)
	}
	code, _, stderr = ibot(t, "ckpt", "show", goldenCheckpoint, "nothing")
	if code != exitError || !strings.Contains(stderr, `no "nothing"`) {
		t.Errorf("an unknown name: got code %d, stderr %q", code, stderr)
	}
}
