package data

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenPaths(t *testing.T) {
	dir := t.TempDir()
	picture, err := os.ReadFile("../testdata/goldens/i_image.png")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, name := range []string{"b.png", "a.png", "sub/c.png"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, picture, 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	ds, err := Options{}.OpenPaths(paths[:2]...)
	if err != nil {
		t.Fatal(err)
	}
	if ds.Len() != 2 || ds.Name(0) != paths[0] || ds.Name(1) != paths[1] || ds.Label(0) != -1 || ds.Classes() != nil {
		t.Errorf("got %d images, %s, %s; want the two in the order given, without labels", ds.Len(), ds.Name(0), ds.Name(1))
	}
	if im, err := ds.Load(1); err != nil || im.W != 80 || im.H != 60 {
		t.Errorf("the second image cannot be read, or is another: %v", err)
	}
	t.Chdir(dir)
	if ds, err := (Options{}).OpenPaths("sub/c.png"); err != nil || ds.Len() != 1 {
		t.Errorf("a relative path: %v", err)
	} else if _, err := ds.Load(0); err != nil {
		t.Errorf("a relative path: %v", err)
	}
	if ds, err := (Options{}).OpenPaths(dir); err != nil || ds.Len() != 3 {
		t.Errorf("a folder: %v", err)
	}
	for want, given := range map[string][]string{
		"no path given":                 nil,
		"d.png does not exist":          {"a.png", "d.png"},
		"e.png does not exist":          {"e.png"},
		"sub is no image file":          {"a.png", "sub"},
		"give image files alone, or a ": {"sub", "a.png"},
	} {
		if _, err := (Options{}).OpenPaths(given...); err == nil || !strings.HasPrefix(err.Error(), "data: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", given, err, want)
		}
	}
}
