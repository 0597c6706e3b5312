package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/train"
)

// TestDemoErrors: what is wrong with the command line or the folder is said before anything is drawn.
func TestDemoErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"--sed 3", exitUsage, "unknown flag --sed; did you mean --seed?"},
		{"--seed -1", exitUsage, `--seed: want a whole number of at least 0, found "-1"`},
		{"now", exitUsage, `demo: one argument too many, "now"; want ibot demo`},
		{"--out file", exitError, "drawn: cannot write to file/data: "},
		{"--out file/below", exitError, "drawn: cannot write to file/below/data: "},
	} {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := ibot(t, append([]string{"demo"}, strings.Fields(test.args)...)...)
			if line := lastLine(t, stderr); code != test.code || stdout != "" || !strings.Contains(line, test.want) {
				t.Errorf("code %d, stdout %q, stderr %s", code, stdout, stderr)
			}
		})
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDemoInterrupted: interrupted while it draws, it leaves no half of a set.
func TestDemoInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := filepath.Join(t.TempDir(), "demo")
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"demo", "--out", out}, &stdout, &stderr)
	if code != exitInterrupted || stdout.Len() > 0 || lastLine(t, stderr.String()) != "ibot: interrupted" {
		t.Errorf("code %d, stdout %q, stderr %s", code, stdout.String(), stderr.String())
	}
	if left, _ := filepath.Glob(filepath.Join(out, "data", "*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

// TestDemoConfig: an interrupted demo goes on, a finished one begins anew.
func TestDemoConfig(t *testing.T) {
	out := t.TempDir()
	for _, test := range []struct {
		name    string
		summary train.Summary
		want    string
	}{
		{"interrupted", train.Summary{Steps: 7, StepsOf: 8}, "auto"},
		{"finished", train.Summary{Steps: 8, StepsOf: 8}, "never"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, err := json.Marshal(test.summary)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(train.SummaryPath(out), b, 0o644); err != nil {
				t.Fatal(err)
			}
			c, err := demoConfig(out, 3)
			if err != nil || c.Resume != test.want || c.Seed != 3 || c.Recipe != "demo" || c.Data != filepath.Join(out, "data") {
				t.Errorf("resume %q, seed %d, recipe %q, data %q, %v", c.Resume, c.Seed, c.Recipe, c.Data, err)
			}
		})
	}
}

// TestPrintDemo: the three scores under one another, and what to do next.
func TestPrintDemo(t *testing.T) {
	var out bytes.Buffer
	s := train.Summary{
		Run: "runs/demo", Means: map[string]float64{"knn": 80},
		Baselines: map[string]float64{"knn_pixels": 20, "knn_untrained": 25.04},
	}
	if err := printDemo(&out, s, "runs/demo/data"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"raw pixels               20.0 %  ████████\n", "untrained network        25.0 %  ██████████\n",
		"trained without labels   80.0 %  " + strings.Repeat("█", 32) + "\n", "next: ibot eval knn --ckpt runs/demo --data runs/demo/data\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in\n%s", want, out.String())
		}
	}
}
