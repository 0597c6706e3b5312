package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/ckpt"
)

// writeCheckpoint writes a checkpoint of two arrays.
func writeCheckpoint(t *testing.T, path string, values ...float32) {
	t.Helper()
	c := ckpt.New()
	if err := c.Add("head.weight", ckpt.FromFloat32([]int{len(values)}, values)); err != nil {
		t.Fatal(err)
	}
	if err := c.Add("epoch", ckpt.FromInt64([]int{}, []int64{3})); err != nil {
		t.Fatal(err)
	}
	if err := ckpt.Write(path, c); err != nil {
		t.Fatal(err)
	}
}

func TestCkptLs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	writeCheckpoint(t, path, 1, 2)
	code, stdout, stderr := ibot(t, "ckpt", "ls", path)
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "head.weight") || !strings.Contains(stdout, "float32") {
		t.Errorf("got code %d, stdout\n%s\nstderr %q", code, stdout, stderr)
	}

	code, stdout, stderr = ibot(t, "ckpt", "ls", path, "--json")
	var object struct {
		Arrays []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(stdout), &object); code != exitOK || stderr != "" || err != nil || len(object.Arrays) != 2 {
		t.Errorf("--json: got code %d, stdout\n%s\nstderr %q, %v", code, stdout, stderr, err)
	}
}

func TestCkptDiff(t *testing.T) {
	dir := t.TempDir()
	a, same, other := filepath.Join(dir, "a.safetensors"), filepath.Join(dir, "same.safetensors"), filepath.Join(dir, "other.safetensors")
	writeCheckpoint(t, a, 1, 2)
	writeCheckpoint(t, same, 1, 2)
	writeCheckpoint(t, other, 1, 2.5)
	if code, stdout, stderr := ibot(t, "ckpt", "diff", a, same); code != exitOK || stderr != "" || !strings.Contains(stdout, "equal") {
		t.Errorf("equal ones: got code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if code, stdout, stderr := ibot(t, "ckpt", "diff", a, other); code != exitError || stderr != "" || !strings.Contains(stdout, "head.weight") {
		t.Errorf("different ones: got code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// TestCkptErrors: a file that is missing or no checkpoint is one line on stderr and exit code 1.
func TestCkptErrors(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.safetensors"), filepath.Join(dir, "bad.pth")
	writeCheckpoint(t, good, 1)
	if err := os.WriteFile(bad, []byte("<html>not found</html>"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"ckpt", "ls", filepath.Join(dir, "none.pth")},
		{"ckpt", "ls", bad},
		{"ckpt", "diff", good, bad},
		{"ckpt", "diff", bad, good},
	} {
		code, stdout, stderr := ibot(t, args...)
		if code != exitError || stdout != "" || !strings.HasPrefix(stderr, "ibot: ckpt: ") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: got code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}
