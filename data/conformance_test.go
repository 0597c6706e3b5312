package data_test

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ibot/data"
)

// fixture writes a small set of one kind below dir, as its kind stores it, and returns what to
// open. The set has two classes, "a" with images of 3x2 pixels and "b" with images of 2x3, and
// at least three images of each. Each kind's test file adds one in its init.
type fixture func(t *testing.T, dir string) (path string)

var fixtures = map[string]fixture{}

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
					if im.W != want[0] || im.H != want[1] {
						t.Errorf("image %d of class %d is %dx%d, want %dx%d", i, ds.Label(i), im.W, im.H, want[0], want[1])
					}
				})
			}
			all.Wait()
		})
	}
}

func TestAtMostOneKindClaimsAPath(t *testing.T) {
	for name, write := range fixtures {
		path := write(t, t.TempDir())
		info, err := os.Stat(path)
		if err != nil {
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
