package eval

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ibot/ckpt"
	"ibot/internal/atomicfile"
	"ibot/torch"
)

// Format is a kind of file that features are stored in.
type Format struct {
	Ending string
	Doc    string
	// write makes the file of the records, whose numbers follow one another.
	write func(path string, about About, table *table) error
	// about reads how the features of a file were made.
	about func(path string) (About, error)
	// read reads a file.
	read func(path string) (*table, error)
}

// Formats are the kinds of files that there are.
var Formats = []Format{
	{".npy", "NumPy array (n, D); names, labels and sizes in FILE.images.jsonl", writeNpy, readAboutBeside, readNpy},
	{".safetensors", "arrays features (n, D), labels, sizes and names", writeSafetensors, aboutSafetensors, readSafetensors},
	{".parquet", "table with a row for each image", writeParquet, aboutParquet, readParquet},
	{".jsonl", "line of JSON for each image", writeJSONLines, readAboutBeside, readJSONLines},
}

// FormatOf is the format that the ending of a path stands for.
func FormatOf(path string) (Format, error) {
	var endings []string
	for _, f := range Formats {
		if strings.EqualFold(filepath.Ext(path), f.Ending) {
			return f, nil
		}
		endings = append(endings, f.Ending)
	}
	return Format{}, fmt.Errorf("eval: %s has no ending that says in which format features are stored; want %s", path, strings.Join(endings, ", "))
}

// aboutBeside is the file that says how features were made, beside those that have no place for it.
func aboutBeside(path string) string { return path + ".about.json" }

func readAboutBeside(path string) (About, error) {
	if _, err := os.Stat(path); err != nil {
		return About{}, err
	}
	about, err := readAbout(aboutBeside(path))
	if errors.Is(err, fs.ErrNotExist) {
		return about, fmt.Errorf("was not written by ibot embed: there is no %s", aboutBeside(path))
	}
	return about, err
}

// table are features and what they are of.
type table struct {
	records []Record // of a file that was read
	grown   *growing // of one that is to be written, whose records are not all in memory at once
	numbers []byte   // float32, little endian: the features of the records, one after the other
	dim     int      // numbers of a feature; 0 where they differ
	file    *ckpt.Checkpoint
}

// each visits the records of the images that could be read.
func (t *table) each(visit func(r Record) error) (err error) {
	if t.grown == nil {
		for _, r := range t.records {
			if err := visit(r); err != nil {
				return err
			}
		}
		return nil
	}
	read := eachRecord(t.grown.lines, func(r Record, _ int64) bool {
		if r.Error == "" {
			err = visit(r)
		}
		return err == nil
	})
	return errors.Join(err, read)
}

// check says why the numbers cannot be those of the records.
func (t *table) check() error {
	if len(t.records) == 0 || len(t.numbers) != 4*len(t.records)*t.dim {
		return fmt.Errorf("has %d images and %d numbers, which do not belong together", len(t.records), len(t.numbers)/4)
	}
	return nil
}

// shape is that of all features together: (n, D), or (n, N, D) for patches of images of one size.
func (t *table) shape() ([]int, error) {
	n, first := 0, Record{}
	err := t.each(func(r Record) error {
		if n++; n == 1 {
			first = r
		}
		if r.Len != first.Len || r.Rows != first.Rows || r.Cols != first.Cols {
			return fmt.Errorf("eval: %s has %d x %d patches and %s %d x %d, which one array cannot hold; store them as .parquet or .jsonl, or do not leave images whole",
				first.Name, first.Rows, first.Cols, r.Name, r.Rows, r.Cols)
		}
		return nil
	})
	if patches := first.Rows * first.Cols; patches > 0 {
		return []int{n, patches, first.Len / patches}, err
	}
	return []int{n, first.Len}, err
}

// finish makes the file at path of what has grown, lists the bad images, and removes the folder.
func (g *growing) finish(path string, format Format, about About) error {
	array, err := g.whole([]int{g.count})
	if err != nil {
		return err
	}
	defer array.Close()
	all, err := array.Array(array.Names()[0])
	if err != nil {
		return err
	}
	if g.bad > 0 {
		if err := atomicfile.Write(BadList(path), g.writeBad); err != nil {
			return err
		}
	}
	t := &table{grown: g, numbers: all.Data}
	if err := format.write(path, about, t); err != nil {
		return err
	}
	return g.remove()
}

// OpenFeatures reads a file of features, whose rows come on device d. Those of .npy and .safetensors
// stay in the file. The caller closes them.
func OpenFeatures(path string, d torch.Device) (*Features, About, error) {
	format, err := FormatOf(path)
	if err != nil {
		return nil, About{}, err
	}
	about, err := format.about(path)
	if err != nil {
		return nil, about, fmt.Errorf("eval: %s: %w", path, err)
	}
	if about.Feature == "patches" {
		return nil, about, fmt.Errorf("eval: %s holds all patches of its images, and not one feature for each; embed them with another --feature", path)
	}
	t, err := format.read(path)
	if err == nil {
		err = t.check()
	}
	if err != nil {
		return nil, about, fmt.Errorf("eval: %s: %w", path, err)
	}
	return t.features(d, about.Classes), about, nil
}

// features are the table's, on device d.
func (t *table) features(d torch.Device, classes []string) *Features {
	f := &Features{Classes: classes}
	for _, r := range t.records {
		f.Labels, f.Names = append(f.Labels, r.Label), append(f.Names, r.Name)
	}
	if t.file == nil {
		t.file = ckpt.New()
	}
	f.file = &mappedRows{t.file, t.numbers, t.dim, d}
	return f
}

// writeBad writes the records of the images that could not be read.
func (g *growing) writeBad(w io.Writer) (err error) {
	read := eachRecord(g.lines, func(r Record, _ int64) bool {
		if r.Error != "" {
			err = writeLine(w, r)
		}
		return err == nil
	})
	return errors.Join(err, read)
}

// errBeside says that the lines beside an array are not those of its rows.
var errBeside = errors.New("the list of images beside it does not belong to it")
