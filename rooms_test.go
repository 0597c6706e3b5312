// Package rooms_test guards the plan of the house (docs/architecture.md): each folder is a room
// on a floor, and a room imports only rooms of lower floors.
package rooms_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "ibot/"

// plumbing is the floor of what any room may import and what imports no room.
const plumbing = -1

// floors gives each room its floor. A new room gets a line here.
var floors = map[string]int{
	"internal": plumbing, "recipes": plumbing,
	"torch": 0, "imaging": 0, "metrics": 0, "rng": 0,
	"ckpt": 1, "data": 1, "nn": 1, "optim": 1,
	"backbone":        2,
	"internal/golden": 2, // reads goldens into tensors, for tests alone
	"method":          3,
	"train":           4,
	"eval":            5, "dense": 5, "exchange": 5,
	"analysis": 6, // its studies read images as evaluations do
	"serve":    7,
	"cmd":      8,
	"scripts":  8, // programs that make what docs/ shows
}

// The rooms that build without libtorch, tests included; those low ones that do not; and those that
// may contain C.
var (
	engineFree = []string{"internal", "recipes", "imaging", "metrics", "rng", "ckpt", "data"}
	withEngine = []string{"torch", "nn", "optim", "internal/golden"}
	withC      = []string{"torch", "imaging"}
)

// room is the room that a package of this module is in: the longest entry of floors that its
// path, less the module's name, begins with. It is "" for a folder that is in no room.
func room(path string) string {
	for ; path != "."; path = filepath.Dir(path) {
		if _, ok := floors[path]; ok {
			return path
		}
	}
	return ""
}

// objection says why a file of package from ("nn", "data/drawn") may not import path; "" if it may.
func objection(from string, isTest bool, path string) string {
	home := room(from)
	if home == "" {
		return fmt.Sprintf("%s is in no room; give it a floor in rooms_test.go and in docs/architecture.md", from)
	}
	if path == "C" && !slices.Contains(withC, home) {
		return fmt.Sprintf("%s imports \"C\"; only %s may", from, strings.Join(withC, " and "))
	}
	to, ours := strings.CutPrefix(path, module)
	if !ours {
		return ""
	}
	there := room(to)
	switch {
	case there == "":
		return fmt.Sprintf("%s imports %s, which is in no room", from, to)
	case slices.Contains(withEngine, there) && slices.Contains(engineFree, home):
		return fmt.Sprintf("%s imports %s; %s must build without the engine", from, to, home)
	case there == "internal/golden" && home != there && !isTest:
		return fmt.Sprintf("%s imports %s, which is for tests alone", from, to)
	case isTest && (there == "internal/golden" || there == "rng"):
		return "" // known numbers and random ones: what tests of any floor are made from
	case there == home || floors[there] == plumbing || floors[there] < floors[home]:
		return ""
	}
	return fmt.Sprintf("%s on floor %d imports %s on floor %d; a room imports only lower floors",
		from, floors[home], to, floors[there])
}

// TestRooms reads the imports of every file itself, where `go list` would do: Go then knows what
// the test has read, and does not show a cached result after an import was added.
func TestRooms(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".") && path != "."):
			return filepath.SkipDir
		case filepath.Ext(path) != ".go" || filepath.Dir(path) == "." || filepath.Base(path) == "zengine.go":
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from := filepath.ToSlash(filepath.Dir(path))
		seen[room(from)] = true
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if why := objection(from, strings.HasSuffix(path, "_test.go"), imported); why != "" {
				t.Errorf("%s: %s", path, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !seen["torch"] || !seen["imaging"] {
		t.Errorf("only these rooms were found: %v", seen)
	}
}

func TestObjection(t *testing.T) {
	for _, c := range []struct {
		from, path string
		isTest     bool
		want       string // in the objection; "" for none
	}{
		{from: "nn", path: "ibot/torch"},
		{from: "data", path: "ibot/data/drawn"},
		{from: "cmd/ibot", path: "ibot/train"},
		{from: "rng", path: "ibot/internal/nearest"},
		{from: "train", path: "ibot/recipes"},
		{from: "imaging", path: "C"},
		{from: "metrics", path: "gonum.org/v1/gonum/mat"},
		{from: "nn", path: "ibot/internal/golden", isTest: true},
		{from: "metrics", path: "ibot/rng", isTest: true},
		{from: "metrics", path: "ibot/rng", want: "only lower floors"},
		{from: "ckpt", path: "ibot/internal/golden", isTest: true, want: "must build without the engine"},
		{from: "nn", path: "ibot/backbone", want: "nn on floor 1 imports backbone on floor 2"},
		{from: "nn", path: "ibot/optim", want: "only lower floors"},
		{from: "internal/chart", path: "ibot/rng", want: "only lower floors"},
		{from: "internal/chart", path: "ibot/torch", isTest: true, want: "must build without the engine"},
		{from: "data/drawn", path: "ibot/torch", isTest: true, want: "data/drawn imports torch"},
		{from: "nn", path: "ibot/internal/golden", want: "for tests alone"},
		{from: "backbone", path: "C", want: "only torch and imaging may"},
		{from: "attic", path: "fmt", want: "attic is in no room"},
		{from: "nn", path: "ibot/attic", want: "attic, which is in no room"},
	} {
		got := objection(c.from, c.isTest, c.path)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("objection(%q, %t, %q) = %q, want %q in it", c.from, c.isTest, c.path, got, c.want)
		}
	}
}
