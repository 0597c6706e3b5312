package drawn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/data"
	"ibot/data/drawn"
	"ibot/imaging"
	"ibot/rng"
)

var _ data.Dataset = (*drawn.Set)(nil)

func ExampleNew() {
	set, err := drawn.New(rng.Seed(0), 10, 1500, 32)
	if err != nil {
		fmt.Println(err)
		return
	}
	train, val := set.Split(1.0 / 3)
	im, _ := val.Load(0)
	fmt.Println(train.Len(), val.Len(), val.Name(0), im.W, im.H)
	fmt.Println(strings.Join(set.Classes(), " "))
	// Output:
	// 1000 500 bolt/0000.png 32 32
	// bolt crescent fish gear heart hourglass key ring star tree
}

func newSet(t testing.TB, seed rng.Seed, classes, n, size int) *drawn.Set {
	t.Helper()
	set, err := drawn.New(seed, classes, n, size)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func load(t testing.TB, ds data.Dataset, i int) *imaging.Image {
	t.Helper()
	im, err := ds.Load(i)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		classes, n, size int
		want             string
	}{
		"one class":        {1, 100, 32, "there are 2 to 16"},
		"too many classes": {17, 100, 32, "there are 2 to 16"},
		"too few images":   {10, 9, 32, "10 classes need 10"},
		"no images":        {10, -1, 32, "10 classes need 10"},
		"endless images":   {10, 1 << 40, 32, "10 classes need 10 to"},
		"tiny":             {10, 100, 0, "give 8 to 2048"},
		"huge":             {10, 100, 1 << 20, "give 8 to 2048"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := drawn.New(0, c.classes, c.n, c.size)
			if err == nil || !strings.HasPrefix(err.Error(), "drawn: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one that says %q", err, c.want)
			}
		})
	}
}

func TestAnImageDependsOnSeedAndNumberAlone(t *testing.T) {
	set := newSet(t, 3, 16, 64, 24)
	_, val := set.Split(0.5)
	for i := range 32 {
		want := load(t, set, 32+i)
		if got := load(t, val, i); !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("image %d of val is not image %d of the set", i, 32+i)
		}
		if got := load(t, newSet(t, 3, 16, 1000, 24), 32+i); !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("image %d changes with the number of images", 32+i)
		}
		if got, want := val.Label(i), set.Label(32+i); got != want {
			t.Fatalf("label %d of val is %d, want %d", i, got, want)
		}
		if got := load(t, newSet(t, 4, 16, 64, 24), 32+i); bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("image %d is the same with another seed", 32+i)
		}
	}
}

func TestAnotherSizeIsTheSamePicture(t *testing.T) {
	small, large := newSet(t, 0, 16, 32, 16), newSet(t, 0, 16, 32, 64)
	for i := range small.Len() {
		a, b := load(t, small, i), load(t, large, i)
		var diff float64
		for y := range 16 {
			for x := range 16 {
				for c := range 3 {
					var mean float64
					for k := range 16 {
						mean += float64(b.Pix[((4*y+k/4)*64+4*x+k%4)*3+c]) / 16
					}
					diff += math.Abs(mean - float64(a.Pix[(y*16+x)*3+c]))
				}
			}
		}
		if diff /= 16 * 16 * 3; diff > 9 {
			t.Errorf("%s: sizes 16 and 64 differ by %.1f of 255 on average", small.Name(i), diff)
		}
	}
}

func TestSplitKeepsEveryClassInBothParts(t *testing.T) {
	for _, n := range []int{20, 21, 1500} {
		for _, share := range []float64{0, 0.2, 1} {
			set := newSet(t, 0, 10, n, 8)
			train, val := set.Split(share)
			if train.Len()+val.Len() != n {
				t.Errorf("%d images split into %d and %d", n, train.Len(), val.Len())
			}
			for name, part := range map[string]*drawn.Set{"train": train, "val": val} {
				seen, names := map[int]bool{}, map[string]bool{}
				for i := range part.Len() {
					seen[part.Label(i)], names[part.Name(i)] = true, true
				}
				if len(seen) != 10 || len(names) != part.Len() {
					t.Errorf("%s of %d images has %d classes and %d names for %d images", name, n, len(seen), len(names), part.Len())
				}
			}
		}
	}
}

// knn is the share of val images of which the 20 nearest train images, by cosine and weighted as in
// the k-NN protocol, name the class.
func knn(train, val [][]float64, label func(i int) int, classes int) float64 {
	for _, v := range slices.Concat(train, val) {
		var norm float64
		for _, x := range v {
			norm += x * x
		}
		for k := range v {
			v[k] /= math.Sqrt(norm)
		}
	}
	hits := 0
	for i, v := range val {
		type neighbour struct {
			similarity float64
			label      int
		}
		var all []neighbour
		for j, w := range train {
			var dot float64
			for k := range v {
				dot += v[k] * w[k]
			}
			all = append(all, neighbour{dot, label(j)})
		}
		slices.SortFunc(all, func(a, b neighbour) int { return int(math.Copysign(1, b.similarity-a.similarity)) })
		votes := make([]float64, classes)
		for _, n := range all[:20] {
			votes[n.label] += math.Exp(n.similarity / 0.07)
		}
		if slices.Index(votes, slices.Max(votes)) == label(len(train)+i) {
			hits++
		}
	}
	return float64(hits) / float64(len(val))
}

// The set is worth learning only if neither raw pixels nor colours solve it. Chance is 10 %.
func TestNeitherPixelsNorColoursSolveIt(t *testing.T) {
	const classes, nTrain, nVal, size = 10, 800, 200, 16
	set := newSet(t, 0, classes, nTrain+nVal, size)
	mean, std := [3]float64{0.485, 0.456, 0.406}, [3]float64{0.229, 0.224, 0.225}
	raw, centred, colours := make([][]float64, set.Len()), make([][]float64, set.Len()), make([][]float64, set.Len())
	for i := range set.Len() {
		colours[i] = make([]float64, 64)
		im := load(t, set, i)
		for p := 0; p < len(im.Pix); p += 3 {
			for c, v := range im.Pix[p : p+3] {
				raw[i] = append(raw[i], float64(v))
				centred[i] = append(centred[i], (float64(v)/255-mean[c])/std[c])
			}
			colours[i][int(im.Pix[p]/64)*16+int(im.Pix[p+1]/64)*4+int(im.Pix[p+2]/64)]++
		}
	}
	for _, c := range []struct {
		name     string
		features [][]float64
		most     float64
	}{
		{"raw pixels", raw, 0.35},
		{"normalised pixels", centred, 0.35},
		{"colour histograms", colours, 0.20},
	} {
		got := knn(c.features[:nTrain], c.features[nTrain:], set.Label, classes)
		t.Logf("k-NN on %s: %.1f %%", c.name, 100*got)
		if got > c.most {
			t.Errorf("k-NN on %s is right for %.1f %%, want at most %.0f %%", c.name, 100*got, 100*c.most)
		}
	}
}

func TestWriteAndReadBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "set")
	set := newSet(t, 0, 4, 20, 16)
	most := 0
	if err := drawn.Write(t.Context(), dir, set, 0.25, func(done int) { most = done }); err != nil {
		t.Fatal(err)
	}
	if most != set.Len() {
		t.Errorf("progress went to %d, want %d", most, set.Len())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Fatalf("the folder holds %v (%v), want train and val alone", entries, err)
	}
	train, val := set.Split(0.25)
	for name, want := range map[string]*drawn.Set{"train": train, "val": val} {
		got, err := data.OpenSplit(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		if got.Len() != want.Len() || !slices.Equal(got.Classes(), want.Classes()) {
			t.Fatalf("%s has %d images of %v, want %d of %v", name, got.Len(), got.Classes(), want.Len(), want.Classes())
		}
		number := map[string]int{}
		for i := range want.Len() {
			number[want.Name(i)] = i
		}
		for i := range got.Len() {
			j, ok := number[got.Name(i)]
			if !ok || got.Label(i) != want.Label(j) || !bytes.Equal(load(t, got, i).Pix, load(t, want, j).Pix) {
				t.Errorf("%s: %s is not the image that was written", name, got.Name(i))
			}
		}
	}
}

func TestWriteLeavesNothingHalfDone(t *testing.T) {
	set := newSet(t, 0, 4, 40, 16)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := drawn.Write(ctx, dir, set, 0.25, func(int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that it was cancelled", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("a cancelled call left %v", entries)
	}

	if err := os.MkdirAll(filepath.Join(dir, "val"), 0o755); err != nil {
		t.Fatal(err)
	}
	err = drawn.Write(t.Context(), dir, set, 0.25, nil)
	if err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("got error %v, want that val is there already", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("a refused call left %v, want val alone", entries)
	}

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"below a file": drawn.Write(t.Context(), file, set, 0.25, nil),
		"all for val":  drawn.Write(t.Context(), t.TempDir(), set, 1, nil),
		"no share":     drawn.Write(t.Context(), t.TempDir(), set, math.NaN(), nil),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "drawn: ") {
			t.Errorf("%s: got error %v, want one from drawn", name, err)
		}
	}
}

func BenchmarkLoad32(b *testing.B) {
	set := newSet(b, 0, 16, 1600, 32)
	for i := 0; b.Loop(); i++ {
		load(b, set, i%set.Len())
	}
}
