package analysis

import (
	"context"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ibot/data"
	"ibot/internal/atomicfile"
	"ibot/internal/chart"
	"ibot/rng"
)

// Study is one kind of pictures. Its file registers it in init; flags, help, documentation and the
// conformance test of all studies follow from that.
type Study struct {
	Name  string // of its verb: "attention"
	Short string // what it shows, in a line
	Long  string // and in full, with the choices that were made
	// NoImages is whether the study has something to say without images.
	NoImages bool
	// New returns a pointer to the study's settings, a struct whose fields have the tags of package
	// settings, with its defaults.
	New func() Runner
}

// Runner is a study with its settings.
type Runner interface {
	// Run makes the pictures. It ends early with ctx's error.
	Run(ctx context.Context, in Input) (*Result, error)
}

// Input is what a study works on.
type Input struct {
	Net    *Net         // nil for a study of records alone
	Images data.Dataset // nil likewise
	Run    string       // the folder of the run, "" where the network comes from a file
	Seed   rng.Seed     // of what is drawn at random

	BatchSize int // images a forward pass; 0: 64
	Workers   int // goroutines that decode; 0: one for each CPU

	// Progress begins a piece of work, counted in a unit such as "img"; the function that it returns is
	// told how much of it is done. Nil: nobody wants to know.
	Progress func(label, unit string, total int) (set func(done int))
}

// begin is Progress for work on images, whether it is set or not.
func (in Input) begin(label string, total int) func(done int) { return in.beginIn(label, "img", total) }

func (in Input) beginIn(label, unit string, total int) func(done int) {
	if in.Progress == nil {
		return func(int) {}
	}
	return in.Progress(label, unit, total)
}

// Result is what a study found.
type Result struct {
	Figures []Figure
	Files   []File         // what is no picture
	Lines   []string       // the findings in plain words, for people
	Values  map[string]any // and in numbers, for machines
}

// Figure is a picture with captions.
type Figure struct {
	Name    string // of its file, without the ending
	Caption string // what is to be seen
	chart.Sheet
}

// File is a further file of a result.
type File struct {
	Name  string
	Write func(w io.Writer) error
}

// Write writes the pictures and files of the result into a folder, which it makes where it is missing,
// and returns their paths. Each is written in full or not at all.
func (r *Result) Write(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("analysis: %w; name another folder with --out", err)
	}
	var paths []string
	for _, f := range r.Figures {
		path := filepath.Join(dir, f.Name+".png")
		if err := f.WriteFile(path); err != nil {
			return paths, fmt.Errorf("analysis: %w", err)
		}
		paths = append(paths, path)
	}
	for _, f := range r.Files {
		path := filepath.Join(dir, f.Name)
		if err := atomicfile.Write(path, f.Write); err != nil {
			return paths, fmt.Errorf("analysis: cannot write %s: %w", path, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

var studies []Study

// Register makes a study known. It is meant for init functions and panics where the name is taken.
func Register(s Study) {
	at, taken := slices.BinarySearchFunc(studies, s.Name, func(s Study, name string) int { return strings.Compare(s.Name, name) })
	if taken {
		panic("analysis: two studies are named " + s.Name)
	}
	studies = slices.Insert(studies, at, s)
}

// Studies are the registered studies, sorted by name.
func Studies() []Study { return slices.Clone(studies) }

// addRow adds a row of pictures with its caption.
func (f *Figure) addRow(name string, pictures ...image.Image) {
	f.Rows = append(f.Rows, name)
	f.Cells = append(f.Cells, pictures)
}
