package eval

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/data"
	"ibot/imaging"
	"ibot/internal/golden"
	"ibot/torch"
)

// swapped is a set with the labels of its two classes exchanged.
type swapped struct{ data.Dataset }

func (s swapped) Label(i int) int { return 1 - s.Dataset.Label(i) }

func rowsOf(t *testing.T, f *Features) (rows []float64) {
	t.Helper()
	torch.Scope(func() { rows = torch.Read[float64](f.Rows(0, f.Len())) })
	return rows
}

// TestCache: features are computed once for one network, set, transform and choice, and anew for
// any other; they equal those that are computed without a cache.
func TestCache(t *testing.T) {
	checkLive(t)
	set := photos{n: 25, w: 40, h: 33, channels: 3, bad: []int{3}}
	dir := filepath.Join(t.TempDir(), "made", "when missing")
	plain := FeatureSettings{LastBlocks: 1}
	var notes []string
	r := goldenRun(t)
	r.Note = func(note string) { notes = append(notes, note) }
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	files := func() int {
		t.Helper()
		paths, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		return len(paths)
	}
	get := func(r *Run, source string, ds data.Dataset, s FeatureSettings) *Features {
		t.Helper()
		f, err := r.Features(t.Context(), source, "part", ds, s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.Close)
		return f
	}
	want := get(r, Trained, set, plain)
	r.Cache = dir
	for range 2 {
		got := get(r, Trained, set, plain)
		golden.EqualFloats(t, "features", rowsOf(t, got), rowsOf(t, want), golden.Tolerance{})
		if !slices.Equal(got.Names, want.Names) || !slices.Equal(got.Labels, want.Labels) || !slices.Equal(got.Classes, want.Classes) || !slices.Equal(got.Bad, want.Bad) {
			t.Errorf("got %v %v %v %v", got.Names, got.Labels, got.Classes, got.Bad)
		}
		if files() != 1 {
			t.Errorf("%d files", files())
		}
	}
	for i, other := range []struct {
		name   string
		source string
		set    data.Dataset
		s      FeatureSettings
	}{
		{"choice", Trained, set, FeatureSettings{LastBlocks: 2}},
		{"size", Trained, set, FeatureSettings{LastBlocks: 1, ImgSize: 48}},
		{"pixels", RawPixels, set, plain},
		{"untrained", Untrained, set, plain},
		{"fewer images", Trained, data.Subset(set, upTo(20)), plain},
		{"labels", Trained, swapped{set}, plain},
		{"other pixels", Trained, photos{n: 25, w: 41, h: 33, channels: 3, bad: []int{3}}, plain},
	} {
		get(r, other.source, other.set, other.s)
		if files() != i+2 {
			t.Errorf("%s: %d files, want %d", other.name, files(), i+2)
		}
	}
	if len(notes) != 0 {
		t.Errorf("notes: %q", notes)
	}
	// The checkpoint holds other weights than before.
	changed := goldenRun(t)
	changed.Cache, changed.Note = dir, r.Note
	if err := changed.load(); err != nil {
		t.Fatal(err)
	}
	torch.NoGrad(func() { changed.Net.State()[0].Tensor.AddScalar_(1) })
	if got := get(changed, Trained, set, plain); slices.Equal(rowsOf(t, got), rowsOf(t, want)) {
		t.Error("features of other weights")
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "has features of other weights") {
		t.Errorf("notes: %q", notes)
	}
}

// TestCacheInterrupted: what was computed before an interruption is not computed again.
func TestCacheInterrupted(t *testing.T) {
	checkLive(t)
	loads := 0
	set := photos{n: 40, w: 32, h: 32, channels: 3}
	r := goldenRun(t)
	r.Cache, r.BatchSize, r.Workers = t.TempDir(), 4, 1
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	slow := counting{set, &loads, func(i int) {
		if i == 31 { // which the digest does not look at
			cancel()
		}
	}}
	if _, err := r.Features(ctx, Trained, "part", slow, FeatureSettings{LastBlocks: 1}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	partial, err := filepath.Glob(filepath.Join(r.Cache, "*.partial"))
	if err != nil || len(partial) != 1 {
		t.Fatalf("%v, %v", partial, err)
	}
	loads = 0
	f, err := r.Features(t.Context(), Trained, "part", slow, FeatureSettings{LastBlocks: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Len() != 40 || loads > 16+40-12 { // the digest loads 16
		t.Errorf("%d features, %d images loaded", f.Len(), loads)
	}
	if _, err := os.Stat(partial[0]); err == nil {
		t.Error("the beginnings are left")
	}
}

// counting counts the images that are loaded, and calls seen before each.
type counting struct {
	photos
	loads *int
	seen  func(i int)
}

func (c counting) Load(i int) (*imaging.Image, error) {
	*c.loads++ // by one worker
	c.seen(i)
	return c.photos.Load(i)
}

// TestFeaturesInAFile: features that stay in a file are those in memory, for k-NN and for heads.
func TestFeaturesInAFile(t *testing.T) {
	checkLive(t)
	train, val := logisticSets(t, golden.Open(t, "j_logistic.npz"))
	inFile := func(f *Features) *Features {
		tab := &table{dim: f.Dim(), numbers: f.X.Bytes()}
		for i, label := range f.Labels {
			tab.records = append(tab.records, Record{Index: i, Label: label})
		}
		return tab.features(torch.CPU, f.Classes)
	}
	bank, queries := inFile(train), inFile(val)
	defer bank.Close()
	defer queries.Close()
	c := KNN{K: []int{5}, Temperature: .07}
	want, err := c.Classify(t.Context(), train, val)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Classify(t.Context(), bank, queries)
	if err != nil || !slices.Equal(got.Scores[0].Predictions, want.Scores[0].Predictions) {
		t.Errorf("k-NN: %+v, %v, want %+v", got, err, want)
	}
	run := func(train, val *Features) Head {
		p := probe{Heads: []Head{{Optimizer: "sgd", LR: .1}}, Epochs: 3, BatchSize: 32, Batches: shuffled(train, 32, 1)}
		r, err := p.run(t.Context(), val)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		return r.Heads[0]
	}
	if a, b := run(bank, queries), run(train, val); a != b {
		t.Errorf("heads: %+v, want %+v", a, b)
	}
	if err := bank.load(); err != nil || bank.X == nil || !slices.Equal(rowsOf(t, bank), rowsOf(t, train)) {
		t.Errorf("loaded: %v", err)
	}
}
