package data_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/data"
)

func init() {
	fixtures["folder"] = func(t testing.TB, dir string) string {
		for _, name := range []string{"3.png", "x/2.png", "1.png"} {
			writePNG(t, filepath.Join(dir, "a", name), 3, 2)
			writePNG(t, filepath.Join(dir, "b", name), 2, 3)
		}
		return dir
	}
}

func TestFolderRules(t *testing.T) {
	for name, c := range map[string]struct {
		files   []string
		want    string
		classes string
	}{
		"class folders": {
			[]string{"dog/2.png", "dog/1.png", "cat/x.png"},
			"cat/x.png:0 dog/1.png:1 dog/2.png:1", "cat dog",
		},
		"class folders with folders in them, in torchvision's order": {
			[]string{"a/s/c/1.png", "a/s-t/1.png", "a/2.png", "b/1.png"},
			"a/2.png:0 a/s-t/1.png:0 a/s/c/1.png:0 b/1.png:1", "a b",
		},
		"flat":   {[]string{"b.png", "a.png"}, "a.png:-1 b.png:-1", ""},
		"nested": {[]string{"all/2020/a.png", "all/2021/b.png"}, "all/2020/a.png:-1 all/2021/b.png:-1", ""},
		"mixed, where nothing is left out": {
			[]string{"z.png", "dog/1.png", "cat/1.png"}, "z.png:-1 cat/1.png:-1 dog/1.png:-1", "",
		},
		"folders without images are no classes": {
			[]string{"a/1.png", "b/1.png", "docs/readme.txt", "notes.txt"}, "a/1.png:0 b/1.png:1", "a b",
		},
		"hidden files and folders": {
			[]string{"a/1.png", "a/._1.png", "b/1.png", ".git/1.png", "__MACOSX/a/1.png"}, "a/1.png:0 b/1.png:1", "a b",
		},
		"an archive beside class folders": {
			[]string{"a/1.png", "b/1.png", "a.tar", "data/x.parquet"}, "a/1.png:0 b/1.png:1", "a b",
		},
		"any case": {[]string{"1.PNG", "2.Jpeg", "3.txt"}, "1.PNG:-1 2.Jpeg:-1", ""},
		"every ending": {
			[]string{"1.jpg", "1.jpeg", "1.jpe", "1.jfif", "1.jfi", "1.JIF", "1.png", "1.gif", "1.webp", "1.bmp", "1.tif", "1.tiff", "1.pbm", "1.pgm", "1.pnm", "1.ppm", "1.psd"},
			"1.JIF:-1 1.bmp:-1 1.gif:-1 1.jfi:-1 1.jfif:-1 1.jpe:-1 1.jpeg:-1 1.jpg:-1 1.pbm:-1 1.pgm:-1 1.png:-1 1.pnm:-1 1.ppm:-1 1.tif:-1 1.tiff:-1 1.webp:-1", "",
		},
		"train and val": {
			[]string{"train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png"}, "a/1.png:0 b/1.png:1", "a b",
		},
		"train without val is a folder like others": {
			[]string{"train/1.png", "bus/1.png"}, "bus/1.png:0 train/1.png:1", "bus train",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range c.files {
				writeText(t, filepath.Join(dir, file), "not read when opened")
			}
			ds := open(t, dir)
			if got := describe(ds); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := strings.Join(ds.Classes(), " "); got != c.classes {
				t.Errorf("classes are %q, want %q", got, c.classes)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"empty", "hollow/a", "hollow/b"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeText(t, filepath.Join(root, "texts", "notes.txt"), "")
	writeText(t, filepath.Join(root, "texts", "sub", "more.md"), "")
	writeText(t, filepath.Join(root, "movie.mp4"), "")
	for name, c := range map[string]struct {
		path string
		want []string
	}{
		"no path":        {"", []string{"no path given"}},
		"missing":        {"imgs", []string{"imgs does not exist", root + " holds empty, hollow, movie.mp4, texts"}},
		"missing parent": {"imgs/train/x", []string{"does not exist", root + " holds empty"}},
		"empty":          {"empty", []string{"is empty"}},
		"empty folders":  {"hollow", []string{"holds no images", "2 empty folders, e.g. a"}},
		"no images":      {"texts", []string{"holds no images (looked for .jpg", "found 2 other files, e.g. notes.txt"}},
		"foreign file":   {"movie.mp4", []string{"is no set of images; give ", "a folder with images", "; or a .zip file"}},
		"below a file":   {"movie.mp4/x", []string{"not a directory"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := c.path
			if path != "" {
				path = filepath.Join(root, path)
			}
			_, err := data.Open(path)
			if err == nil || !strings.HasPrefix(err.Error(), "data: ") {
				t.Fatalf("got error %v, want one from data", err)
			}
			for _, want := range append(c.want, path) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q has more than one line", err)
			}
		})
	}
	if _, err := data.Open(filepath.Join(root, "imgs")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder gives %v, want fs.ErrNotExist within", err)
	}
}

func TestLinksAreFollowedAndLoopsEnd(t *testing.T) {
	dir := t.TempDir()
	writePNG(t, filepath.Join(dir, "pool", "x", "1.png"), 3, 2)
	set := filepath.Join(dir, "set")
	for link, to := range map[string]string{
		"set/a":        "../pool/x", // two classes may show the same folder
		"set/b":        "../pool/x",
		"set/c/up":     "..", // a loop: a and b are no images of c
		"set/c/broken": "../nowhere",
		"pool/x/self":  ".",
	} {
		path := filepath.Join(dir, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("gone.png", filepath.Join(dir, "pool", "x", "2.png")); err != nil {
		t.Fatal(err)
	}
	ds := open(t, set)
	want := "a/1.png:0 a/2.png:0 b/1.png:1 b/2.png:1"
	if got := describe(ds); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	noted := map[string]string{}
	for _, s := range ds.(interface{ Skipped() []data.BadImage }).Skipped() {
		noted[s.Path] = s.Error
	}
	for link, want := range map[string]string{
		"c/up": "in which it lies", "a/self": "in which it lies", "b/self": "in which it lies", "c/broken": "leads nowhere: no such file",
	} {
		if !strings.Contains(noted[link], want) {
			t.Errorf("%s is noted as %q, want %q", link, noted[link], want)
		}
	}
	if _, err := ds.Load(0); err != nil {
		t.Errorf("an image behind a link: %v", err)
	}
	if _, err := ds.Load(1); err == nil {
		t.Error("a link to nowhere was loaded")
	}
}

// A link that leads back by way of another folder is a loop too.
func TestLinksBackToTheRootDoubleNothing(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"set/x/1.png", "set/y/1.png", "away/2.png"} {
		writePNG(t, filepath.Join(dir, name), 3, 2)
	}
	for link, to := range map[string]string{"set/x/up": "..", "set/x/top": "../..", "set/x/more": "../../away", "away/back": filepath.Join(dir, "set")} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	ds := open(t, "set")
	if got, want := describe(ds), "x/1.png:0 x/more/2.png:0 y/1.png:1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var noted []string
	for _, s := range ds.(interface{ Skipped() []data.BadImage }).Skipped() {
		noted = append(noted, s.Path)
	}
	if want := []string{"x/top", "x/up", "x/more/back"}; !slices.Equal(noted, want) {
		t.Errorf("passed over were %v, want %v", noted, want)
	}
}

func TestSplits(t *testing.T) {
	for name, c := range map[string]struct {
		dirs []string
		want []string
		val  string // the folder that OpenSplit(val) opens, "" for an error
	}{
		"train and val":       {[]string{"train", "val"}, []string{"train", "val"}, "val"},
		"train and test":      {[]string{"train", "test"}, []string{"train", "test"}, "test"},
		"all":                 {[]string{"test", "train", "val", "extra"}, []string{"train", "val", "test"}, "val"},
		"train and valid":     {[]string{"train", "valid"}, []string{"train", "valid"}, "valid"},
		"val alone":           {[]string{"val", "x"}, nil, ""},
		"train alone":         {[]string{"train", "x"}, nil, ""},
		"classes, no parts":   {[]string{"cat", "dog"}, nil, ""},
		"val and test, alone": {[]string{"val", "test"}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for _, dir := range c.dirs {
				writeText(t, filepath.Join(root, dir, "a", dir+".png"), "")
				writeText(t, filepath.Join(root, dir, "b", dir+".png"), "")
			}
			got, err := data.Splits(root)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("Splits gives %v, %v, want %v", got, err, c.want)
			}
			ds, err := data.OpenSplit(root, "val")
			if c.val == "" {
				if err == nil || !strings.Contains(err.Error(), "is not split") {
					t.Errorf("got error %v, want that it is not split", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, want := ds.Name(0), "a/"+c.val+".png"; got != want {
				t.Errorf("val begins with %s, want %s", got, want)
			}
			if _, err := data.OpenSplit(root, "dev"); err == nil || !strings.Contains(err.Error(), "has no part dev; it has train, ") {
				t.Errorf("got error %v, want the parts that there are", err)
			}
		})
	}
	if _, err := data.Splits(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder gives %v, want fs.ErrNotExist within", err)
	}
}
