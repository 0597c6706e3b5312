package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDataShow: the picture is that of the settings, the seed and the epoch.
func TestDataShow(t *testing.T) {
	images, dir := draw(t, "4", "12"), t.TempDir()
	show := func(name string, args ...string) []byte {
		t.Helper()
		path := filepath.Join(dir, name)
		code, stdout, stderr := ibot(t, append([]string{"data", "show", "--out", path}, args...)...)
		if code != exitOK || stderr != "" || !strings.HasPrefix(stdout, path+": 2 images with 2 global and ") {
			t.Fatalf("%v: code %d, %q, %s", args, code, stdout, stderr)
		}
		png, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return png
	}
	flags := []string{"--data", images, "--recipe", "cifar10", "--images", "2"}
	first := show("first.png", flags...)
	if again := show("again.png", flags...); string(again) != string(first) {
		t.Error("the same settings gave another picture")
	}
	for _, other := range [][]string{{"--seed", "1"}, {"--epoch", "1"}, {"--recipe", "tiny"}} {
		if png := show("other.png", append(flags, other...)...); string(png) == string(first) {
			t.Errorf("%v changed nothing", other)
		}
	}
	// A file of settings, such as that of a run, may name the images and the seed.
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte("recipe: cifar10\nseed: 1\ndata: "+images+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	fromFile := show("file.png", "--config", config, "--images", "2")
	if fromFlags := show("flags.png", append(flags, "--seed", "1")...); string(fromFile) != string(fromFlags) {
		t.Error("settings of a file gave another picture than flags")
	}
}

// TestDataShowPassesOverBadImages: the next image takes the place of one that cannot be read.
func TestDataShowPassesOverBadImages(t *testing.T) {
	dir := t.TempDir()
	writeShades(t, dir, 10, 20, 30) // and dog/bad.png
	out := filepath.Join(dir, "views.png")
	stdout, stderr, err := runVerb(t, newDataShowVerb(), "--data", dir, "--out", out, "--recipe", "tiny", "--images", "9")
	if err != nil || !strings.HasPrefix(stdout, out+": 3 images") || !strings.Contains(stderr, "left out dog/bad.png: ") {
		t.Errorf("got %q, %q, %v", stdout, stderr, err)
	}
	for _, name := range []string{"cat/0.png", "cat/2.png", "dog/1.png"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = runVerb(t, newDataShowVerb(), "--data", filepath.Join(dir, "cat"), "--out", out, "--recipe", "tiny")
	if err == nil || !strings.Contains(err.Error(), "none of the 2 images of ") || !strings.Contains(err.Error(), "see ibot data check") {
		t.Errorf("with nothing but empty files: got %v", err)
	}
}

func TestDataShowErrors(t *testing.T) {
	out := filepath.Join(t.TempDir(), "views.png")
	for _, c := range []struct {
		line, want string
		code       int
	}{
		{"data show --out " + out, "data show needs --data DATA, the set of images", exitUsage},
		{"data show --data x", "data show needs --out PNG, the picture to write", exitUsage},
		{"data show --data x --out views.jpg", "--out views.jpg: the picture is a PNG; give a name that ends in .png", exitUsage},
		{"data show --data x --recipe tiny --epoch 99 --out " + out, "--epoch 99: the run has 2 epochs, counted from 0; give 0 to 1", exitUsage},
		{"data show --data x --recipe tny --out " + out, `recipes: unknown recipe "tny"; did you mean "tiny"?`, exitUsage},
		{"data show --data x --images 0 --out " + out, "images", exitUsage},
		{"data show --data /no/such/set --out " + out, "data: ", exitError},
	} {
		code, stdout, stderr := ibot(t, strings.Fields(c.line)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: code %d, %q, %q; want code %d with %q", c.line, code, stdout, stderr, c.code, c.want)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a picture was written by a call that failed")
	}
}
