package eval

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/ckpt"
	"ibot/torch"
)

// arrays opens a golden of this package; testdata/README.md says where its numbers come from.
func arrays(t *testing.T, name string) *ckpt.Checkpoint {
	t.Helper()
	f, err := ckpt.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// readFloats reads an array as float32.
func readFloats(t *testing.T, f *ckpt.Checkpoint, name string) ([]float32, []int) {
	t.Helper()
	a, err := f.Array(name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := a.Float32()
	if err != nil {
		t.Fatal(err)
	}
	return v, a.Shape
}

// readInts reads an array of whole numbers.
func readInts(t *testing.T, f *ckpt.Checkpoint, name string) []int {
	t.Helper()
	a, err := f.Array(name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := a.Int64()
	if err != nil {
		t.Fatal(err)
	}
	whole := make([]int, len(v))
	for i, n := range v {
		whole[i] = int(n)
	}
	return whole
}

// From the same first centres, scikit-learn comes to the same clusters; in the last case two of them
// lie far from all images, so that they lose all of them at once.
func TestKMeansEqualsScikitLearn(t *testing.T) {
	checkLive(t)
	f := arrays(t, "kmeans.npz")
	values, shape := readFloats(t, f, "x")
	for _, name := range []string{"spread", "many", "empty"} {
		t.Run(name, func(t *testing.T) {
			torch.Scope(func() {
				init, centres := readFloats(t, f, name+"_init")
				m := KMeans{K: centres[0], Tolerance: 1e-4}
				got, err := m.from(t.Context(), torch.New(values, shape...), torch.New(init, centres...), 0)
				if err != nil {
					t.Fatal(err)
				}
				if want := readInts(t, f, name+"_labels"); !slices.Equal(got.Clusters, want) {
					t.Errorf("got clusters %v, want %v", got.Clusters, want)
				}
				want, _ := readFloats(t, f, name+"_inertia")
				if math.Abs(got.Inertia-float64(want[0])) > 1e-4*float64(want[0]) {
					t.Errorf("got inertia %v, want %v", got.Inertia, want[0])
				}
			})
		})
	}
}

func TestKMeansStarts(t *testing.T) {
	checkLive(t)
	f := arrays(t, "kmeans.npz")
	values, shape := readFloats(t, f, "x")
	torch.Scope(func() {
		x := torch.New(values, shape...)
		one, err := KMeans{K: 7}.Cluster(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		several, err := KMeans{K: 7, Restarts: 6}.Cluster(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		again, err := KMeans{K: 7, Restarts: 6}.Cluster(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		if several.Inertia > one.Inertia || !slices.Equal(several.Clusters, again.Clusters) {
			t.Errorf("inertia of one start %v, of six %v and %v", one.Inertia, several.Inertia, again.Inertia)
		}
		alone, err := KMeans{K: shape[0], Restarts: 1}.Cluster(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		if alone.Inertia > 1e-6 {
			t.Errorf("as many clusters as images: inertia %v", alone.Inertia)
		}
		same, err := KMeans{K: 3, Restarts: 1}.Cluster(t.Context(), torch.Ones(torch.Float32, torch.CPU, 5, 2))
		if err != nil || same.Inertia != 0 || slices.Max(same.Clusters) > 2 {
			t.Errorf("equal images: %+v, %v", same, err)
		}
		broken := slices.Clone(values)
		broken[17] = float32(math.NaN())
		for name, try := range map[string]func() error{
			"more clusters than images": func() error { _, err := KMeans{K: 401}.Cluster(t.Context(), x); return err },
			"no cluster":                func() error { _, err := KMeans{}.Cluster(t.Context(), x); return err },
			"NaN":                       func() error { _, err := KMeans{K: 3}.Cluster(t.Context(), torch.New(broken, shape...)); return err },
		} {
			if err := try(); err == nil || !strings.HasPrefix(err.Error(), "eval: ") {
				t.Errorf("%s: got %v", name, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := (KMeans{K: 3}).Cluster(ctx, x); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: got %v", err)
		}
	})
}
