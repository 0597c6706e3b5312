package data_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"ibot/data"
)

func init() {
	fixtures["list"] = func(t testing.TB, dir string) string {
		var lines strings.Builder
		for i := range 3 {
			writePNG(t, filepath.Join(dir, "images", fmt.Sprintf("%d.png", 2*i)), 3, 2)
			writePNG(t, filepath.Join(dir, "images", fmt.Sprintf("%d.png", 2*i+1)), 2, 3)
			fmt.Fprintf(&lines, "images/%d.png b\nimages/%d.png a\n", 2*i+1, 2*i)
		}
		list := filepath.Join(dir, "all.txt")
		writeText(t, list, lines.String())
		return list
	}
}

func TestListLines(t *testing.T) {
	for name, c := range map[string]struct{ text, want, classes string }{
		"paths":              {"b.png\na.png\n", "b.png:-1 a.png:-1", ""},
		"numbers":            {"b.png 0\na.png 2\n", "b.png:0 a.png:2", "0 1 2"},
		"numbers with zeros": {"b.png 00\na.png 01\n", "b.png:0 a.png:1", "0 1"},
		"names":              {"b.png dog\na.png cat", "b.png:1 a.png:0", "cat dog"},
		"names and numbers":  {"b.png dog\na.png 7", "b.png:1 a.png:0", "7 dog"},
		"commas":             {"b.png,dog\na.png, guinea pig\n", "b.png:0 a.png:1", "dog guinea pig"},
		"tabs":               {"b.png\tdog\nmy a.png\t a, b c\n", "b.png:1 my a.png:0", "a, b c dog"},
		"blanks in paths":    {"my b.png 1\nmy a.png\n", "my b.png:1 my a.png:-1", "0 1"},
		"no ending, tab":     {"ILSVRC_1\t0\n", "ILSVRC_1:0", "0"},
		"comments, blanks":   {"# made by hand\n\n  b.png  1 \r\n#x\na.png 0\r\n", "b.png:1 a.png:0", "0 1"},
		"byte order mark":    {"\ufeffb.png 1\na.png 0", "b.png:1 a.png:0", "0 1"},
		"twice":              {"a.png\na.png", "a.png:-1 a.png:-1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range []string{"a.png", "b.png", "my a.png", "my b.png", "ILSVRC_1"} {
				writePNG(t, filepath.Join(dir, file), 3, 2)
			}
			list := filepath.Join(dir, "list.csv")
			writeText(t, list, c.text)
			ds := open(t, list)
			if got := describe(ds); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := strings.Join(ds.Classes(), " "); got != c.classes {
				t.Errorf("classes are %q, want %q", got, c.classes)
			}
			if _, err := ds.Load(0); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestListWithAbsolutePaths(t *testing.T) {
	image := filepath.Join(t.TempDir(), "x.png")
	writePNG(t, image, 3, 2)
	list := filepath.Join(t.TempDir(), "list.txt")
	writeText(t, list, image)
	if _, err := open(t, list).Load(0); err != nil {
		t.Error(err)
	}
}

func TestListRefuses(t *testing.T) {
	dir := t.TempDir()
	writePNG(t, filepath.Join(dir, "a.png"), 3, 2)
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", "names no images"},
		"comments":      {"# a\n\n#b", "names no images"},
		"header":        {"path,label\na.png,1", `line 1: "path,label" names no image`}, // in a .txt
		"prose":         {"a.png\nThis is a text.\n", "line 2"},
		"binary":        {"a.png\x00 1", "line 1"},
		"one long line": {"a.png\n" + strings.Repeat("x", 1<<20), "line 2 is longer than"},
		"wild label":    {"a.png 2000000000", "numbered labels go from 0 to"},
		"all missing":   {"x/a.png\nx/b.png\nx/c.png", "names files that do not exist (3 of 3 looked up, e.g. x/a.png"},
		"one, missing":  {"b.png", "names files that do not exist (1 of 1"},
		"many missing":  {"b.png\nc.png\n" + strings.Repeat("a.png\n", 18), "(2 of 20"},
	} {
		t.Run(name, func(t *testing.T) {
			list := filepath.Join(dir, "list.txt")
			writeText(t, list, c.text)
			_, err := data.Open(list)
			if err == nil || !strings.HasPrefix(err.Error(), "data: "+list) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one that says %q", err, c.want)
			}
		})
	}
	list := filepath.Join(dir, "list.txt")
	writeText(t, list, "b.png\n"+strings.Repeat("a.png\n", 19))
	if ds := open(t, list); ds.Len() != 20 {
		t.Errorf("a list with one file of twenty missing has %d images, want 20", ds.Len())
	}
}

func FuzzList(f *testing.F) {
	f.Add("a.png 1\nb.png 0\n")
	f.Add("a.png\tdog\n# x\n\nmy b.jpg, cat")
	f.Add("\ufeff\x00\n\r\t,")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		list := filepath.Join(dir, "list.txt")
		writeText(t, list, text)
		ds, err := data.Open(list)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "data: ") {
				t.Errorf("error %q does not name its package", err)
			}
			return
		}
		for i := range ds.Len() {
			if label := ds.Label(i); label < -1 || label >= len(ds.Classes()) {
				t.Errorf("label %d of %d classes", label, len(ds.Classes()))
			}
		}
	})
}
