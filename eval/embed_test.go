package eval

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/imaging"
	"ibot/internal/golden"
	"ibot/nn"
	"ibot/torch"
)

// mixed is a set of images of several sizes, of three classes. Those of bad cannot be read.
type mixed struct {
	photos
}

func (m mixed) Load(i int) (*imaging.Image, error) {
	size := [][2]int{{50, 37}, {33, 80}, {50, 37}, {32, 32}}[i%4]
	m.w, m.h = size[0], size[1]
	return m.photos.Load(i)
}

func embedding(r *Run, t *testing.T, c Choice, whole bool) Embedding {
	t.Helper()
	o, err := r.Options(FeatureSettings{LastBlocks: 1})
	if err != nil {
		t.Fatal(err)
	}
	if whole {
		o.Transform.Resize, o.Transform.Multiple = o.Transform.Crop, 8
	}
	return Embedding{Choice: c, Options: o, About: About{Net: "teacher", Data: "mixed"}}
}

// TestEmbedFormats: every format gives back the features that were computed, and their images.
func TestEmbedFormats(t *testing.T) {
	checkLive(t)
	set := mixed{photos{n: 23, channels: 3, bad: []int{0, 7}}}
	r := goldenRun(t)
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	var want []float32 // one image at a time
	var names []string
	for i := range set.n {
		im, err := set.Load(i)
		if err != nil {
			continue
		}
		names = append(names, set.Name(i))
		im = im.ResizeShorter(32, imaging.Bicubic)
		im = centre(im, im.W/8*8, im.H/8*8)
		chw := make([]float32, 3*im.W*im.H)
		im.ToCHW(chw, imagenet.Mean, imagenet.Std)
		torch.Scope(func() {
			torch.NoGrad(func() {
				want = append(want, r.Net.Backbone.Forward(nn.Eval, torch.New(chw, 1, 3, im.H, im.W), nil).Select(1, 0).Floats()...)
			})
		})
	}
	for _, format := range Formats {
		t.Run(format.Ending, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "features"+format.Ending)
			e := embedding(r, t, Choice{Feature: "cls", LastBlocks: 1}, true)
			done, err := r.Embed(t.Context(), set, path, e)
			if err != nil {
				t.Fatal(err)
			}
			if done.Images != 21 || done.Bad != 2 || done.Before != 0 || done.Ready {
				t.Errorf("done: %+v", done)
			}
			f, about, err := OpenFeatures(path, torch.CPU)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if !slices.Equal(f.Names, names) || f.Labels[0] != 1 || !slices.Equal(f.Classes, set.Classes()) || about.Feature != "cls" || about.Crop != 32 {
				t.Errorf("names %v, labels %v, about %+v", f.Names, f.Labels, about)
			}
			torch.Scope(func() {
				golden.Equal(t, "features", f.Rows(0, f.Len()), torch.New(want, 21, 64), golden.Tolerance{Abs: 1e-5})
			})
			bad, err := os.ReadFile(BadList(path))
			if err != nil || strings.Count(string(bad), "\n") != 2 || !strings.Contains(string(bad), `"name":"7.png"`) {
				t.Errorf("bad images: %s, %v", bad, err)
			}
			if _, err := os.Stat(PartialPath(path)); err == nil {
				t.Error("the folder of the beginnings is left")
			}
			if again, err := r.Embed(t.Context(), set, path, e); err != nil || !again.Ready {
				t.Errorf("again: %+v, %v", again, err)
			}
			e.Choice.Feature = "mean"
			if _, err := r.Embed(t.Context(), set, path, e); err == nil || !strings.Contains(err.Error(), "holds other features than are asked for: they are of another choice, cls of the last 1 blocks; remove it") {
				t.Errorf("another choice: %v", err)
			}
		})
	}
}

// imagenet is the transform's normalisation of three channels.
var imagenet = DefaultTransform(32)

// TestEmbedGoesOn: an embedding that is interrupted after any batch, or cut off in the midst of a
// write, ends with the file of one that was not.
func TestEmbedGoesOn(t *testing.T) {
	checkLive(t)
	set := mixed{photos{n: 30, channels: 3, bad: []int{4, 29}}}
	r := goldenRun(t)
	r.BatchSize = 4
	e := embedding(r, t, Choice{Feature: "cls_mean", LastBlocks: 2}, true)
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole.npy")
	if _, err := r.Embed(t.Context(), set, whole, e); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []struct {
		name  string
		after int // images
		harm  func(partial string) error
		found int // images that are found again
	}{
		{"at once", 4, func(string) error { return nil }, 4},
		{"late", 28, func(string) error { return nil }, 28},
		{"half a line", 12, func(p string) error { return shorten(filepath.Join(p, growingLines), 5) }, 11},
		{"half a feature", 12, func(p string) error { return shorten(filepath.Join(p, growingNumbers), 3) }, 11},
		{"no numbers", 12, func(p string) error { return os.Remove(filepath.Join(p, growingNumbers)) }, 0},
	} {
		t.Run(cut.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cut.npy")
			ctx, cancel := context.WithCancel(t.Context())
			e := e
			e.Options.Progress = func(done int) {
				if done >= cut.after {
					cancel()
				}
			}
			if _, err := r.Embed(ctx, set, path, e); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			if _, err := os.Stat(path); err == nil {
				t.Fatal("a file, though it was interrupted")
			}
			if err := cut.harm(PartialPath(path)); err != nil {
				t.Fatal(err)
			}
			other := e
			other.Choice.LastBlocks = 1
			if _, err := r.Embed(t.Context(), set, path, other); err == nil || !strings.Contains(err.Error(), PartialPath(path)+" holds other features") {
				t.Errorf("another choice: %v", err)
			}
			e.Options.Progress = nil
			done, err := r.Embed(t.Context(), set, path, e)
			if err != nil {
				t.Fatal(err)
			}
			if done.Before != cut.found || done.Images != 28 || done.Bad != 2 {
				t.Errorf("done: %+v, want %d from before", done, cut.found)
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != string(want) {
				// Other batches may round the last bit otherwise: compare the numbers.
				a, b := readNumbers(t, path), readNumbers(t, whole)
				golden.EqualFloats(t, "features", a, b, golden.Tolerance{Abs: 1e-5})
			}
		})
	}
}

func shorten(path string, by int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, info.Size()-by)
}

func readNumbers(t *testing.T, path string) (all []float64) {
	t.Helper()
	f, _, err := OpenFeatures(path, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	torch.Scope(func() { all = torch.Read[float64](f.Rows(0, f.Len())) })
	return all
}

// TestChoices: the features by their definitions, from the tokens of the golden network.
func TestChoices(t *testing.T) {
	checkLive(t)
	f, vit := golden.Open(t, "g_attention_features.npz"), goldenViT(t)
	torch.Scope(func() {
		torch.NoGrad(func() {
			x := f.Tensor("x") // (2, 3, 32, 32)
			last := f.Tensor("intermediate_n3/2")
			of := func(c Choice) *torch.Tensor {
				t.Helper()
				if c.LastBlocks == 0 {
					c.LastBlocks = 1
				}
				if err := c.Validate(); err != nil {
					t.Fatal(err)
				}
				y, err := c.of(vit, x)
				if err != nil {
					t.Fatal(err)
				}
				return y
			}
			equal := func(name string, got, want *torch.Tensor) {
				t.Helper()
				golden.Equal(t, name, got, want, golden.Tolerance{Abs: 1e-5})
			}
			equal("cls", of(Choice{Feature: "cls", LastBlocks: 2}), f.Tensor("feat_avgpool0_n2"))
			equal("cls_mean", of(Choice{Feature: "cls_mean", LastBlocks: 2}), f.Tensor("feat_avgpool2_n2"))
			equal("mean", of(Choice{Feature: "mean"}), last.From(1, 1).Mean(1))
			equal("patches", of(Choice{Feature: "patches"}), last.From(1, 1))
			var gem []float32
			for b := range 2 {
				tokens := torch.Read[float64](last.Select(0, b).From(0, 1))
				for d := range 64 {
					sum := 0.
					for n := range 16 {
						sum += math.Pow(max(tokens[n*64+d], 1e-6), 3)
					}
					gem = append(gem, float32(math.Pow(sum/16, 1./3)))
				}
			}
			equal("gem", of(Choice{Feature: "gem", Power: 3}), torch.New(gem, 2, 64))
			one := of(Choice{Feature: "cls"})
			equal("one scale", of(Choice{Feature: "cls", Scales: []float64{1}}), normalise(one))
			half, err := Choice{Feature: "cls", LastBlocks: 1}.of(vit, x.Bilinear(16, 16, .5, .5))
			if err != nil {
				t.Fatal(err)
			}
			equal("two scales", of(Choice{Feature: "cls", Scales: []float64{1, .5}}), normalise(one.Add(half)))
			if _, err := (Choice{Feature: "cls", LastBlocks: 1, Scales: []float64{.1}}).of(vit, x); err == nil || !strings.Contains(err.Error(), "smaller than a patch") {
				t.Errorf("a tenth: %v", err)
			}
		})
	})
	for _, bad := range []Choice{
		{Feature: "tokens", LastBlocks: 1},
		{Feature: "cls"},
		{Feature: "mean", LastBlocks: 2},
		{Feature: "gem", LastBlocks: 1},
		{Feature: "gem", LastBlocks: 1, Power: math.NaN()},
		{Feature: "patches", LastBlocks: 1, Scales: []float64{1, .5}},
		{Feature: "cls", LastBlocks: 1, Scales: []float64{0}},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

// TestEmbedPatches: of images of one size an array holds them, of others a table does.
func TestEmbedPatches(t *testing.T) {
	checkLive(t)
	r, dir := goldenRun(t), t.TempDir()
	set := mixed{photos{n: 5, channels: 3}}
	patches := Choice{Feature: "patches", LastBlocks: 1}
	if _, err := r.Embed(t.Context(), set, filepath.Join(dir, "a.npy"), embedding(r, t, patches, false)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "a.npy"))
	if err != nil || !strings.Contains(string(b[:npyHeader]), "'shape': (5, 16, 64, )") || len(b) != npyHeader+4*5*16*64 {
		t.Errorf("%d bytes, %q, %v", len(b), b[:npyHeader], err)
	}
	if _, _, err := OpenFeatures(filepath.Join(dir, "a.npy"), torch.CPU); err == nil || !strings.Contains(err.Error(), "holds all patches of its images") {
		t.Errorf("opened: %v", err)
	}
	whole := embedding(r, t, patches, true)
	if _, err := r.Embed(t.Context(), set, filepath.Join(dir, "b.npy"), whole); err == nil || !strings.Contains(err.Error(), "store them as .parquet or .jsonl") {
		t.Errorf("an array of patches of several sizes: %v", err)
	}
	lines := filepath.Join(dir, "b.jsonl")
	if _, err := r.Embed(t.Context(), set, lines, whole); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(lines)
	if err != nil {
		t.Fatal(err)
	}
	var row tableRow
	second := strings.Split(string(text), "\n")[1] // 33 x 80 pixels, so 32 x 77, so 4 x 9 patches
	if err := json.Unmarshal([]byte(second), &row); err != nil || *row.Rows != 9 || *row.Cols != 4 || len(row.Feature) != 36*64 || row.Width != 33 || row.Height != 80 {
		t.Errorf("%.200s: %v", second, err)
	}
}

func TestEmbedErrors(t *testing.T) {
	checkLive(t)
	r, dir := goldenRun(t), t.TempDir()
	good := mixed{photos{n: 4, channels: 3}}
	none := mixed{photos{n: 4, channels: 3, bad: upTo(4)}}
	e := embedding(r, t, Choice{Feature: "cls", LastBlocks: 1}, false)
	taken := filepath.Join(dir, "taken.npy")
	if err := os.WriteFile(taken, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path string
		set        mixed
		choice     Choice
		want       string
	}{
		{"ending", "x.csv", good, e.Choice, "has no ending that says in which format"},
		{"no image", "x.npy", none, e.Choice, "none of 4 images can be read"},
		{"a file of another kind", "taken.npy", good, e.Choice, "is there already and is no file of features"},
		{"no folder", "no/folder/../x.npy", good, Choice{Feature: "cls", LastBlocks: 9}, "the network has 3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := e
			e.Choice = test.choice
			if _, err := r.Embed(t.Context(), test.set, filepath.Join(dir, test.path), e); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if b, err := os.ReadFile(taken); err != nil || string(b) != "mine" {
		t.Errorf("the file of another was changed: %q, %v", b, err)
	}
	// Two at one file.
	path := filepath.Join(dir, "two.npy")
	about, err := r.about(good, e)
	if err != nil {
		t.Fatal(err)
	}
	g, err := grow(PartialPath(path), about)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if _, err := r.Embed(t.Context(), good, path, e); err == nil || !strings.Contains(err.Error(), "another process is writing to") {
		t.Errorf("two at once: %v", err)
	}
}

// TestOpenFeaturesDamaged: damaged files of features are errors that name the file, and no panics.
func TestOpenFeaturesDamaged(t *testing.T) {
	checkLive(t)
	r, dir := goldenRun(t), t.TempDir()
	set := photos{n: 6, w: 32, h: 32, channels: 3}
	for _, format := range Formats {
		path := filepath.Join(dir, "f"+format.Ending)
		if _, err := r.Embed(t.Context(), set, path, embedding(r, t, Choice{Feature: "cls", LastBlocks: 1}, false)); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for step := range 40 {
			at := step * len(whole) / 40
			if err := os.WriteFile(path, whole[:at], 0o644); err != nil {
				t.Fatal(err)
			}
			if f, _, err := OpenFeatures(path, torch.CPU); err == nil && f.Len() == 6 {
				t.Errorf("%s cut off after %d of %d bytes: no error", format.Ending, at, len(whole))
				f.Close()
			} else if err == nil {
				f.Close() // whole lines of JSON
			} else if !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v does not name it", format.Ending, err)
			}
			flipped := slices.Clone(whole)
			flipped[at] ^= 0xff
			if err := os.WriteFile(path, flipped, 0o644); err != nil {
				t.Fatal(err)
			}
			if f, _, err := OpenFeatures(path, torch.CPU); err == nil {
				f.Close() // a number that differs
			}
		}
	}
}
