package data_test

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ibot/data"
)

// fixture writes a small set of one kind below dir, as its kind stores it, and returns what to
// open. The set has two classes, "a" with images of 3x2 pixels and "b" with images of 2x3 (where
// all images must have one size: of 3x2 as well), and at least three images of each. Each kind's
// test file adds one in its init.
type fixture func(t testing.TB, dir string) (path string)

var (
	fixtures = map[string]fixture{}
	oneSize  = map[string]bool{"array": true}
)

// writePNG writes a plain image and the folders above it.
func writePNG(t testing.TB, path string, w, h int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	im := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		im.Set(i%w, i/w, color.RGBA{uint8(i), 100, 200, 255})
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, im); err != nil {
		t.Fatal(err)
	}
}

func writeText(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// describe lists a set's images with their labels.
func describe(ds data.Dataset) string {
	var all []string
	for i := range ds.Len() {
		all = append(all, fmt.Sprintf("%s:%d", ds.Name(i), ds.Label(i)))
	}
	return strings.Join(all, " ")
}

func open(t testing.TB, path string) data.Dataset {
	t.Helper()
	ds, err := data.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// Every registered kind keeps what Dataset promises.
func TestKindsConform(t *testing.T) {
	for _, kind := range data.Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			write, ok := fixtures[kind.Name]
			if !ok {
				t.Fatalf("kind %s has no fixture; add one to fixtures in its test file", kind.Name)
			}
			if kind.Doc == "" || strings.Contains(kind.Doc, "\n") {
				t.Errorf("Doc is %q, want one line", kind.Doc)
			}
			path := write(t, t.TempDir())
			ds := open(t, path)
			if got, want := describe(open(t, path)), describe(ds); got != want {
				t.Errorf("opened again it holds\n%s\nwant\n%s", got, want)
			}
			// A copy elsewhere, written in another order by the file system, is the same set.
			if got, want := describe(open(t, write(t, filepath.Join(t.TempDir(), "elsewhere")))), describe(ds); got != want {
				t.Errorf("a copy holds\n%s\nwant\n%s", got, want)
			}
			if got := ds.Classes(); !slices.Equal(got, []string{"a", "b"}) {
				t.Fatalf("the classes are %v, want a and b", got)
			}
			if ds.Len() < 6 {
				t.Fatalf("the set has %d images, want 6 or more", ds.Len())
			}
			var all sync.WaitGroup
			for i := range ds.Len() {
				all.Go(func() {
					im, err := ds.Load(i)
					if err != nil {
						t.Errorf("image %d: %v", i, err)
						return
					}
					want := [][2]int{{3, 2}, {2, 3}}[ds.Label(i)]
					if oneSize[kind.Name] {
						want = [2]int{3, 2}
					}
					if im.W != want[0] || im.H != want[1] {
						t.Errorf("image %d of class %d is %dx%d, want %dx%d", i, ds.Label(i), im.W, im.H, want[0], want[1])
					}
				})
			}
			all.Wait()
			if encoded, ok := ds.(data.Encoded); ok {
				if b, err := encoded.Bytes(0); err != nil || !strings.HasPrefix(string(b), "\x89PNG") {
					t.Errorf("the bytes of image 0 are %.8q, %v", b, err)
				}
			} else if kind.Name != "array" {
				t.Error("the bytes of its images cannot be had")
			}
		})
	}
}

// With a cache, the second opening reads the index and not the set, and gives the same set.
func TestKindsKeepAnIndex(t *testing.T) {
	for name, write := range fixtures {
		if name == "array" {
			continue // which has nothing to list
		}
		t.Run(name, func(t *testing.T) {
			path := write(t, t.TempDir())
			age(t, path)
			o := data.Options{Cache: filepath.Join(t.TempDir(), "new", "cache")}
			want, err := o.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			kept, err := filepath.Glob(filepath.Join(o.Cache, "*.index"))
			if err != nil || len(kept) != 1 {
				t.Fatalf("kept %v, %v, want one index", kept, err)
			}
			before, err := os.Stat(kept[0])
			if err != nil {
				t.Fatal(err)
			}
			got, err := o.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if describe(got) != describe(want) || !slices.Equal(got.Classes(), want.Classes()) {
				t.Errorf("from the index it holds\n%s %v\nwant\n%s %v", describe(got), got.Classes(), describe(want), want.Classes())
			}
			for i := range got.Len() {
				a, errA := got.Load(i)
				b, errB := want.Load(i)
				if errA != nil || errB != nil || !slices.Equal(a.Pix, b.Pix) {
					t.Errorf("image %d differs: %v, %v", i, errA, errB)
				}
			}
			after, err := os.Stat(kept[0])
			if err != nil || !os.SameFile(before, after) {
				t.Errorf("the index was written again (%v)", err)
			}
		})
	}
}

// age sets the times of all files and folders below path, and of path, to an hour ago, so that an
// index of them is kept.
func age(t testing.TB, path string) {
	t.Helper()
	if matches, _ := filepath.Glob(path); len(matches) == 0 {
		path = filepath.Dir(path) // a pattern
	}
	before := time.Now().Add(-time.Hour)
	err := filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, before, before))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAtMostOneKindClaimsAPath(t *testing.T) {
	for name, write := range fixtures {
		path := write(t, t.TempDir())
		info, err := os.Stat(path)
		if err != nil && !strings.Contains(path, "{") {
			t.Fatal(err)
		}
		var claim []string
		for _, kind := range data.Kinds() {
			if kind.Claims(path, info) {
				claim = append(claim, kind.Name)
			}
		}
		if !slices.Equal(claim, []string{name}) {
			t.Errorf("the fixture of %s is claimed by %v", name, claim)
		}
	}
}

func TestRegisterRefusesATakenName(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a second kind named folder was taken")
		}
	}()
	data.Register(data.Kind{Name: "folder"})
}
