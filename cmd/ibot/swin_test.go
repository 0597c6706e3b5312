package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/torch"
)

// TestSwin: what works with a ViT works with a Swin, from training to the score of its checkpoint.
func TestSwin(t *testing.T) {
	before := torch.Live()
	images, run := draw(t, "4", "60"), filepath.Join(t.TempDir(), "run")
	swin := []string{"--arch", "swin_tiny", "--depth", "0", "--depths", "1", "2", "--embed_dim", "8", "--num_heads", "1", "--window_size", "2"}
	code, stdout, stderr := ibot(t, tiny(images, run, swin...)...)
	if code != exitOK || !strings.Contains(stdout, "12 of 12 steps") {
		t.Fatalf("code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
	if strings.Contains(stderr, "level=WARN") || strings.Contains(stderr, "level=ERROR") {
		t.Errorf("stderr %s", stderr)
	}
	for _, name := range []string{"views.png", "attention.png"} {
		if _, err := os.Stat(filepath.Join(run, name)); err != nil {
			t.Error(err)
		}
	}
	if code, stdout, stderr := ibot(t, "pretrain", "--out", run, "--epochs", "3"); code != exitOK || !strings.Contains(stdout, "18 of 18 steps") {
		t.Errorf("going on: code %d, stdout %s, stderr %s", code, stdout, stderr)
	}
	if f := checkpoint(t, run); !f.Has("teacher.backbone.layers.1.blocks.1.attn.relative_position_index") || f.Has("teacher.backbone.masked_embed") {
		t.Error("the checkpoint has other names than the reference's")
	}
	for _, features := range [][]string{{}, {"--n_last_blocks", "3"}, {"--avgpool", "1"}, {"--avgpool", "2", "--net", "student"}, {"--precision", "bf16", "--img_size", "40"}} {
		args := append([]string{"eval", "knn", "--ckpt", run, "--data", images, "--k", "3", "--json"}, features...)
		code, stdout, stderr := ibot(t, args...)
		var r struct {
			Arch    string
			Step    int
			Results []json.RawMessage
		}
		if err := json.Unmarshal([]byte(stdout), &r); code != exitOK || err != nil {
			t.Errorf("%q: code %d, %v, stderr %s", features, code, err, stderr)
			continue
		}
		if r.Arch != "swin_tiny" || r.Step != 18 || len(r.Results) != 1 {
			t.Errorf("%q: %+v", features, r)
		}
	}
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left alive", after-before)
	}
}

func TestSwinRefuses(t *testing.T) {
	images, run := draw(t, "2", "20"), filepath.Join(t.TempDir(), "run")
	for want, flags := range map[string]string{
		"depth 2 is for ViT; Swin has several":                      "--arch swin_tiny --img_size 32 --local_size 16",
		"img_size 40 is not a multiple of 32, Swin's coarsest":      "--arch swin_tiny --depth 0 --img_size 40",
		"depths [2 2] are for Swin; ViT has one":                    "--depths 2 2",
		`unknown architecture "swin_tin"; did you mean "swin_tiny"`: "--arch swin_tin",
		"embed_dim 30 is not a multiple of num_heads 4":             "--arch swin_tiny --depth 0 --img_size 32 --embed_dim 30 --num_heads 4",
	} {
		code, stdout, stderr := ibot(t, tiny(images, run, strings.Fields(flags)...)...)
		if code == exitOK || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: code %d, stdout %q, stderr %s; want %q", flags, code, stdout, stderr, want)
		}
	}
}
