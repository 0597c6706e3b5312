package eval

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The same ground truth, as Python, NumPy, MATLAB's format and JSON write it.
func TestReadTruth(t *testing.T) {
	want := &groundTruth{Queries: []string{"all_souls_000013", "oxford_000001"}}
	for i := range 9 {
		want.Database = append(want.Database, "all_souls_00000"+string(rune('0'+i)))
	}
	want.Relevant = []relevantTo{
		{Easy: []int{0, 3}, Hard: []int{4}, Junk: []int{7, 8}},
		{Hard: []int{1, 2, 5}},
	}
	files, err := filepath.Glob("testdata/gnd/*")
	if err != nil || len(files) != 10 {
		t.Fatalf("%d files (%v), want 10", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			got, err := readTruth(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got.Relevant { // empty and none are the same
				r := &got.Relevant[i]
				for _, list := range []*[]int{&r.Easy, &r.Hard, &r.Junk} {
					if len(*list) == 0 {
						*list = nil
					}
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestReadTruthErrors(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ content, want string }{
		"a.txt":       {"", "end in .pkl, .mat or .json"},
		"a.npy":       {"", "with pickle.dump or json.dump"},
		"empty.pkl":   {"", "at byte 0 of its pickle"},
		"hostile.pkl": {"cposix\nsystem\n(S'true'\ntR.", `names "posix.system", which is not among the types`},
		"short.mat":   {"MATLAB", "want a header of 128"},
		"other.json":  {`{"imlist": ["a"], "qimlist": ["q"], "gnd": []}`, "1 queries, but the relevant images (gnd) of 0"},
		"none.json":   {`{}`, "0 images (imlist) and 0 queries"},
		"range.json":  {`{"imlist": ["a"], "qimlist": ["q"], "gnd": [{"easy": [1]}]}`, "query 0 (q) has the relevant image 1, but imlist has 1"},
		"out.json":    {`{"imlist": ["../../etc/passwd"], "qimlist": ["q"], "gnd": [{"easy": [0]}]}`, "not below the folder"},
		"list.pkl":    {"]q\x00.", `no list of names "imlist"`},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readTruth(path); err == nil || !strings.HasPrefix(err.Error(), "eval: ") || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if _, err := readTruth(filepath.Join(dir, "nowhere.pkl")); err == nil {
		t.Error("no error for a missing file")
	}
}

func TestFindTruth(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*c")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := findTruth(dir); got != "" || err != nil {
		t.Errorf("an empty folder: %q, %v", got, err)
	}
	for _, name := range []string{"gnd_roxford5k.mat", "gnd_roxford5k.pkl"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := findTruth(dir); filepath.Base(got) != "gnd_roxford5k.pkl" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "gnd_rparis6k.pkl"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := findTruth(dir); err == nil || !strings.Contains(err.Error(), "--truth") {
		t.Errorf("two of them: %q, %v", got, err)
	}
}
