package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/torch"
)

// TestBenches: each bench measures something, and prints it beside what it printed before.
func TestBenches(t *testing.T) {
	before := torch.Live()
	dir := draw(t, "2", "12")
	for name, test := range map[string]struct {
		line    string
		figures []string // of the JSON, above 0
		rows    []string // of the text
	}{
		"knn": {
			"--queries 40 --bank 900 --dim 16 --k 1 5 --rounds 2",
			[]string{"seconds", "matrix_gflops", "peak_memory_mib"},
			[]string{"40 queries in a bank of 900, 16 numbers each", "\ntime ", "\nk = 5 "},
		},
		"embed": {
			"--arch vit_tiny --img_size 32 --batch_size 4 --rounds 1 --precision bf16 --images 30 --data " + dir,
			[]string{"forward", "embed", "gflop", "matrix_gflops", "peak_memory_mib"},
			[]string{"vit_tiny, batch 4 of 32 pixels, bf16", "\nnetwork alone ", "\nfrom files ", "\nshare of peak "},
		},
	} {
		args := append([]string{"bench", name}, strings.Fields(test.line)...)
		code, stdout, stderr := ibot(t, append(args, "--json")...)
		var result map[string]any
		if err := json.Unmarshal([]byte(stdout), &result); code != exitOK || err != nil {
			t.Fatalf("%s: code %d, %v, stdout %s, stderr %s", name, code, err, stdout, stderr)
		}
		for _, figure := range test.figures {
			if v, ok := result[figure].(float64); !ok || v <= 0 {
				t.Errorf("%s: %s is %v", name, figure, result[figure])
			}
		}
		earlier := filepath.Join(t.TempDir(), "before.json")
		if err := os.WriteFile(earlier, []byte(stdout), 0o666); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr = ibot(t, append(args, "--compare", earlier)...)
		if code != exitOK {
			t.Fatalf("%s: code %d, stderr %s", name, code, stderr)
		}
		for _, row := range append(test.rows, "   before ") {
			if !strings.Contains(stdout, row) {
				t.Errorf("%s: no %q in\n%s", name, row, stdout)
			}
		}
		if err := os.WriteFile(earlier, []byte("{}"), 0o666); err != nil {
			t.Fatal(err)
		}
		want := "is no result of ibot bench " + name + " --json"
		if code, _, stderr := ibot(t, append(args, "--compare", earlier)...); code == exitOK || !strings.Contains(stderr, want) {
			t.Errorf("%s: code %d, stderr %s, want %q", name, code, stderr, want)
		}
	}
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left alive", after-before)
	}
}

// TestBenchErrors: wrong values say what to change.
func TestBenchErrors(t *testing.T) {
	for line, want := range map[string]string{
		"bench knn --k 1.5":                                 "--k: want whole numbers, found 1.5",
		"bench knn --queries 1 --bank 3 --k 10":             "only 3 images",
		"bench embed --arch vit_smal":                       `did you mean "vit_small"?`,
		"bench embed --arch vit_tiny --data no/such/folder": "no/such/folder",
		"bench embed --img_size 30":                         "not a multiple of patch size 16",
		"bench embed --compare no/such/file":                "no/such/file",
		"bench knn --bank 90000000 --dim 16384":             "would take 5493 GiB; want fewer",
		"bench embed --batch_size 1000000":                  "would take 560 GiB; want fewer",
		"bench knn --device tpu":                            "unknown device",
	} {
		if code, _, stderr := ibot(t, strings.Fields(line)...); code == exitOK || !strings.Contains(stderr, want) {
			t.Errorf("%s: code %d, stderr %s, want %q", line, code, stderr, want)
		}
	}
}
