package eval

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/data"
	"ibot/internal/golden"
	"ibot/torch"
)

// halves cuts features (n, 2 D) into two kinds (n, D), as a probe of two kinds has them.
func halves(t *testing.T, f *Features) []*Features {
	t.Helper()
	parts, err := f.columns(2)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		t.Cleanup(part.Close)
	}
	return parts
}

// TestProbeGoesOn: a probe that is interrupted after any step, and then called again, comes to the heads, the scores
// and the bad images of one that is not.
func TestProbeGoesOn(t *testing.T) {
	checkLive(t)
	train, val := logisticSets(t, golden.Open(t, "j_logistic.npz"))
	set := photos{n: 41, w: 20, h: 18, channels: 3, bad: []int{30}}
	transform := DefaultTransform(8)
	ofPhotos, err := collect(t.Context(), photos{n: 20, w: 20, h: 18, channels: 3}, ExtractOptions{Transform: transform}, flatten)
	if err != nil {
		t.Fatal(err)
	}
	defer ofPhotos.Close()
	heads := append(grid([]float64{.01, .3}, []float64{0, 1e-3}, []string{"sgd", "lars"}), Head{Optimizer: "sgd", LR: 2})
	const epochs = 3
	for name, test := range map[string]struct {
		vals  []*Features
		fresh bool // crops and flips of the photos, not features that are there
	}{
		"cached":    {[]*Features{val}, false},
		"two kinds": {halves(t, val), false},
		"augmented": {halves(t, ofPhotos), true},
	} {
		steps := 0 // of the last run
		// run trains the heads, and stops after so many steps where stop is not 0.
		run := func(path string, stop int) (all []*probed, bad []string, notes []string, err error) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			keep := &keptProbe{path: path, note: func(note string) { notes = append(notes, note) }}
			batches := shuffled(train, 32, 1)
			var fresh *augmented
			if test.fresh {
				fresh = &augmented{ds: set, transform: transform, embed: flatten, batch: 7, device: torch.CPU, seed: 1, bad: map[int]data.BadImage{}}
				keep.bad, batches = fresh.bad, fresh.epoch
			}
			steps = 0
			p := probe{Heads: heads, Epochs: epochs, BatchSize: 32, Seed: 1, Keep: keep}
			p.Batches = func(ctx context.Context, epoch, from int, step func(int, *torch.Tensor, *torch.Tensor)) error {
				return batches(ctx, epoch, from, func(number int, x, labels *torch.Tensor) {
					step(number, x, labels)
					if steps++; steps == stop {
						cancel()
					}
				})
			}
			if all, err = p.runs(ctx, test.vals); test.fresh {
				bad = fresh.badNames()
			}
			return all, bad, notes, err
		}
		want, wantBad, notes, err := run(filepath.Join(t.TempDir(), "heads.safetensors"), 0)
		if err != nil || len(notes) > 0 {
			t.Fatalf("%s: %v, notes %q", name, err, notes)
		}
		each := steps / epochs // the last stop falls on the scores after the last epoch
		for _, stop := range []int{1, each - 1, each, each + 1, 2*each + 2, epochs * each} {
			path := filepath.Join(t.TempDir(), "heads.safetensors")
			_, _, notes, err := run(path, stop)
			if !errors.Is(err, context.Canceled) || len(notes) != 1 || !strings.Contains(notes[0], "the same command goes on") {
				t.Fatalf("%s, %d steps: %v, notes %q", name, stop, err, notes)
			}
			got, bad, notes, err := run(path, 0)
			if err != nil || len(notes) != 1 || !strings.HasPrefix(notes[0], "going on in epoch ") {
				t.Fatalf("%s, %d steps: %v, notes %q", name, stop, err, notes)
			}
			if !slices.Equal(bad, wantBad) {
				t.Errorf("%s, %d steps: bad images %q, want %q", name, stop, bad, wantBad)
			}
			for i := range want {
				if !slices.Equal(got[i].Heads, want[i].Heads) || got[i].Best != want[i].Best || got[i].Top5 != want[i].Top5 {
					t.Errorf("%s, %d steps: got\n%+v, want\n%+v", name, stop, got[i].Heads, want[i].Heads)
				}
				golden.Equal(t, "best weight", got[i].Weight, want[i].Weight, golden.Tolerance{})
				golden.Equal(t, "best bias", got[i].Bias, want[i].Bias, golden.Tolerance{})
				got[i].Close()
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, %d steps: the file is still there: %v", name, stop, err)
			}
		}
		for _, r := range want {
			r.Close()
		}
	}
}

// TestKeptProbeDamaged: a file that does not hold the heads is refused, and left alone.
func TestKeptProbeDamaged(t *testing.T) {
	checkLive(t)
	train, val := logisticSets(t, golden.Open(t, "j_logistic.npz"))
	path := filepath.Join(t.TempDir(), "heads.safetensors")
	run := func(heads int, ctx context.Context, after func()) error {
		p := probe{Heads: grid([]float64{.01, .1, 1}[:heads], []float64{0}, []string{"sgd"}), Epochs: 2, BatchSize: 32, Batches: shuffled(train, 32, 1)}
		p.Keep = &keptProbe{path: path, note: func(string) {}}
		p.Progress = func(int, float64) { after() }
		r, err := p.run(ctx, val)
		if err == nil {
			r.Close()
		}
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := run(2, ctx, cancel); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		heads   int
		content []byte
	}{
		"other heads": {3, whole},
		"cut off":     {2, whole[:len(whole)/2]},
		"no state":    {2, []byte(strings.Replace(string(whole), "ibot_probe", "ibot_other", 1))},
		"no epoch":    {2, []byte(strings.Replace(string(whole), `\"epoch\":1`, `\"epoch\":9`, 1))},
	} {
		if err := os.WriteFile(path, test.content, 0o666); err != nil {
			t.Fatal(err)
		}
		err := run(test.heads, t.Context(), func() {})
		if err == nil || !strings.Contains(err.Error(), "remove it to begin anew") {
			t.Errorf("%s: %v", name, err)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != string(test.content) {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
	}
}

// TestKeepProbe: the file stands for all that the heads depend on.
func TestKeepProbe(t *testing.T) {
	checkLive(t)
	r := goldenRun(t)
	r.Cache = t.TempDir()
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	_, o, err := r.embedder(Trained, FeatureSettings{LastBlocks: 1})
	if err != nil {
		t.Fatal(err)
	}
	path := func(change func(s *ProbeSettings, sets *labelledSets, o *ExtractOptions, about *About, cached *bool)) string {
		s, cached := newProbeSettings(), false
		sets := labelledSets{train: photos{n: 9, w: 20, h: 20, channels: 3}, val: photos{n: 5, w: 20, h: 20, channels: 3}}
		o, about := o, About{Feature: "avgpool 0", LastBlocks: 1}
		change(&s, &sets, &o, &about, &cached)
		keep, err := r.keepProbe(s, Trained, sets, o, about, cached)
		if err != nil {
			t.Fatal(err)
		}
		return keep.path
	}
	type state = func(s *ProbeSettings, sets *labelledSets, o *ExtractOptions, about *About, cached *bool)
	paths := map[string]bool{}
	changes := []state{
		func(*ProbeSettings, *labelledSets, *ExtractOptions, *About, *bool) {},
		func(s *ProbeSettings, _ *labelledSets, _ *ExtractOptions, _ *About, _ *bool) { s.Epochs = 7 },
		func(s *ProbeSettings, _ *labelledSets, _ *ExtractOptions, _ *About, _ *bool) { s.LR = []float64{1} },
		func(s *ProbeSettings, _ *labelledSets, _ *ExtractOptions, _ *About, _ *bool) { s.Seed = 1 },
		func(_ *ProbeSettings, sets *labelledSets, _ *ExtractOptions, _ *About, _ *bool) {
			sets.train = photos{n: 10, w: 20, h: 20, channels: 3}
		},
		func(_ *ProbeSettings, sets *labelledSets, _ *ExtractOptions, _ *About, _ *bool) {
			sets.val = photos{n: 6, w: 20, h: 20, channels: 3}
		},
		func(_ *ProbeSettings, _ *labelledSets, o *ExtractOptions, _ *About, _ *bool) { o.Transform.Crop-- },
		func(_ *ProbeSettings, _ *labelledSets, _ *ExtractOptions, about *About, _ *bool) {
			about.LastBlocks = 2
		},
		func(_ *ProbeSettings, _ *labelledSets, _ *ExtractOptions, _ *About, cached *bool) { *cached = true },
	}
	for i, change := range changes {
		if first, again := path(change), path(change); first != again {
			t.Errorf("change %d: %s and %s", i, first, again)
		}
		paths[path(change)] = true
	}
	if len(paths) != len(changes) {
		t.Errorf("%d changes have %d files: %v", len(changes), len(paths), slices.Sorted(maps.Keys(paths)))
	}
	r.Cache = ""
	if keep, err := r.keepProbe(newProbeSettings(), Trained, labelledSets{}, o, About{}, false); keep != nil || err != nil {
		t.Errorf("without a folder: %v, %v", keep, err)
	}
}
