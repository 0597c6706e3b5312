package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"ibot/backbone"
	"ibot/internal/settings"
	"ibot/recipes"
	"ibot/train"
)

// resolve runs resolveConfig on a command line.
func resolve(t *testing.T, line string) (train.Config, []string, error) {
	t.Helper()
	verb := &cobra.Command{Use: "pretrain"}
	parsed := train.Default()
	bind(verb, &parsed)
	if err := verb.ParseFlags(settings.Args(verb.Flags(), strings.Fields(line))); err != nil {
		t.Fatal(err)
	}
	return resolveConfig(verb.Flags(), &parsed, train.Default(), backbone.Names())
}

func TestLayers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "my.yaml")
	if err := os.WriteFile(file, []byte("recipe: tiny\nlr: 0.5\nepochs: 7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, line    string
		epochs, depth int
		lr            float64
		recipe        string
	}{
		{"defaults", "", 100, 0, 5e-4, ""},
		{"flags", "--epochs 50 --lr 1", 50, 0, 1, ""},
		{"recipe", "--recipe cifar10", 14, 3, 4e-3, "cifar10"},
		{"recipe below flags", "--lr 2 --recipe cifar10 --depth 5", 14, 5, 2, "cifar10"},
		{"a flag that repeats the default", "--recipe cifar10 --lr 5e-4", 14, 3, 5e-4, "cifar10"},
		{"the file's recipe", "--config " + file, 7, 2, 0.5, "tiny"},
		{"file below flags", "--epochs 9 --config " + file, 9, 2, 0.5, "tiny"},
		{"the flag's recipe before the file's", "--recipe cifar10 --config " + file, 7, 3, 0.5, "cifar10"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, _, err := resolve(t, test.line)
			if err != nil {
				t.Fatal(err)
			}
			if c.Epochs != test.epochs || c.Depth != test.depth || c.LR != test.lr || c.Recipe != test.recipe {
				t.Errorf("got epochs %d, depth %d, lr %g, recipe %q; want %+v", c.Epochs, c.Depth, c.LR, c.Recipe, test)
			}
		})
	}
}

func TestLayerErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "my.yaml")
	if err := os.WriteFile(file, []byte("epochs: 7\nlerning_rate: 0.5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"--recipe cifr10":               `recipes: unknown recipe "cifr10"; did you mean "cifar10"?`,
		"--config " + file:              file + `:2: unknown key "lerning_rate"`,
		"--config " + file + ".missing": "no such file",
		"--arch vit_smal":               `train: arch: unknown architecture "vit_smal"; did you mean "vit_small"?`,
		"--img_size 230":                "train: img_size 230 is not a multiple of patch_size 16; use 224 or 240",
	} {
		_, _, err := resolve(t, line)
		var usage usageError
		if err == nil || !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want a usage error with %s", line, err, want)
		}
	}
}

// TestResolvedConfigReadsBack: what a run writes into its folder gives the same run again.
func TestResolvedConfigReadsBack(t *testing.T) {
	for _, name := range recipes.Names() {
		want, _, err := resolve(t, "--recipe "+name+" --epochs 20 --pred_start_epoch 3 --data a --out b")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, settings.EncodeYAML(&want), 0o644); err != nil {
			t.Fatal(err)
		}
		got, _, err := resolve(t, "--config "+file)
		if err != nil {
			t.Fatal(err)
		}
		want.File = file
		if changes := settings.Changed(&want, &got); changes != nil {
			t.Errorf("%s: differs: %v", name, changes)
		}
	}
}
