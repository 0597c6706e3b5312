package analysis

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/data"
	"ibot/data/drawn"
	"ibot/imaging"
	"ibot/internal/settings"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

// studied is the teacher of the goldens, with its head and centers, and n drawn images of ten classes.
func studied(t *testing.T, n int) Input {
	t.Helper()
	net, err := train.OpenNet("../testdata/goldens/a_vit_ckpt.pth", "teacher", torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(net.Close)
	if err := net.LoadHead(torch.CPU); err != nil {
		t.Fatal(err)
	}
	in := Input{Net: NewNet(net, torch.CPU), Images: drawings(t, n), Seed: 5, BatchSize: 8}
	if in.Net.Centers[0], in.Net.Centers[1], err = net.Centers(); err != nil {
		t.Fatal(err)
	}
	return in
}

// drawings are n drawn images of 32 pixels.
func drawings(t *testing.T, n int) data.Dataset {
	t.Helper()
	set, err := drawn.New(rng.Seed(3), 10, n, 32)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Every study runs on twenty images, twice with the same result, leaves no tensor behind, writes pictures that can be
// read, and stops when it is told to.
func TestStudies(t *testing.T) {
	if len(Studies()) < 7 {
		t.Fatalf("%d studies are registered, want seven or more", len(Studies()))
	}
	for _, study := range Studies() {
		t.Run(study.Name, func(t *testing.T) {
			in := studied(t, 20)
			alive := torch.Live()
			var files [2]map[string][]byte
			for i := range files {
				result, err := study.New().Run(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				if len(result.Figures)+len(result.Files) == 0 || result.Values == nil {
					t.Fatalf("got %d figures, %d files and values %v", len(result.Figures), len(result.Files), result.Values)
				}
				for _, f := range result.Figures {
					if f.Title == "" || !strings.HasSuffix(f.Caption, ".") {
						t.Errorf("%s: title %q, caption %q; want a title and sentences", f.Name, f.Title, f.Caption)
					}
				}
				dir := t.TempDir()
				paths, err := result.Write(dir)
				if err != nil {
					t.Fatal(err)
				}
				files[i] = map[string][]byte{}
				for _, path := range paths {
					b, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					files[i][filepath.Base(path)] = b
					if _, err := png.DecodeConfig(bytes.NewReader(b)); err != nil && filepath.Ext(path) == ".png" {
						t.Errorf("%s: %v", path, err)
					}
				}
			}
			for name, b := range files[0] {
				if !bytes.Equal(b, files[1][name]) {
					t.Errorf("%s differs between two runs", name)
				}
			}
			if got := torch.Live(); got != alive {
				t.Errorf("%d tensors are alive, want %d as before", got, alive)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := study.New().Run(ctx, in); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: got %v, want %v", err, context.Canceled)
			}
		})
	}
}

// The settings of a study can be flags: known types, within their ranges, with names that the flags of every study do
// not have.
func TestStudySettings(t *testing.T) {
	taken := []string{"ckpt", "net", "data", "out", "seed", "batch_size", "num_workers", "device", "json", "help"}
	for _, study := range Studies() {
		runner := study.New()
		for _, f := range settings.Fields(runner) {
			if slices.Contains(taken, f.Name) {
				t.Errorf("%s: --%s is a flag of every study", study.Name, f.Name)
			}
		}
		for _, err := range settings.Check(runner) {
			t.Errorf("%s: default: %v", study.Name, err)
		}
		for line := range strings.Lines(study.Long) {
			if len(line) > 80 {
				t.Errorf("%s: a line of %d columns: %s", study.Name, len(line), line)
			}
		}
	}
}

// A set without labels, of which one image cannot be read, is no obstacle.
func TestStudiesWithoutLabels(t *testing.T) {
	in := studied(t, 10)
	in.Images = unlabelled{drawings(t, 22)}
	for _, study := range Studies() {
		if _, err := study.New().Run(t.Context(), in); err != nil {
			t.Errorf("%s: %v", study.Name, err)
		}
	}
}

// unlabelled has no classes, and its fourth image cannot be read.
type unlabelled struct{ data.Dataset }

func (unlabelled) Classes() []string { return nil }
func (unlabelled) Label(int) int     { return -1 }
func (u unlabelled) Load(i int) (*imaging.Image, error) {
	if i == 3 {
		return nil, errors.New("data: it is broken")
	}
	return u.Dataset.Load(i)
}

func TestResultWriteErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Result{}).Write(filepath.Join(file, "below")); err == nil || !strings.Contains(err.Error(), "name another folder with --out") {
		t.Errorf("got %v", err)
	}
	bad := &Result{Figures: []Figure{{Name: "empty"}}}
	if _, err := bad.Write(t.TempDir()); err == nil || !strings.HasPrefix(err.Error(), "analysis: ") {
		t.Errorf("got %v, want an error of analysis", err)
	}
}
