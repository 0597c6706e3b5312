package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ibot/data/internal/parquet"
)

func init() {
	Register(Kind{
		Name: "parquet",
		Doc:  "a .parquet file with images, a folder of them as the Hugging Face hub has it, or a pattern",
		Claims: func(path string, info fs.FileInfo) bool {
			if info == nil {
				return isPattern(path) && strings.EqualFold(filepath.Ext(path), ".parquet")
			}
			if info.IsDir() {
				return shardsIn(path) == ".parquet"
			}
			return info.Mode().IsRegular() && strings.EqualFold(filepath.Ext(path), ".parquet")
		},
		Open: openParquet,
		Splits: func(path string, _ Options) ([]string, error) {
			paths, _, err := shardPaths(path, ".parquet")
			return parquetParts(paths), err
		},
	})
}

// parquetParts are the parts among files named as the hub does: train-00000-of-00004.parquet.
func parquetParts(paths []string) []string {
	return partsAmong(func(name string) bool {
		return slices.ContainsFunc(paths, func(path string) bool { return isPart(path, name) })
	})
}

func isPart(path, name string) bool {
	base := filepath.Base(path)
	return strings.HasPrefix(base, name+"-") || strings.HasPrefix(base, name+".")
}

// openParquet opens Parquet files as the Hugging Face hub writes sets of images: a struct column
// of the file's bytes and its path, and a column of labels, whose names stand in the metadata. A
// column of bytes alone does too. The order is that of the rows.
//
// A place is a page: its offset and size, the offset of its dictionary as aux, the row in it as
// detail, and the codec and the depth of optional fields. An image costs the read of its page,
// which is kept for the next as far as Options.Memory goes.
func openParquet(path string, o Options) (Dataset, error) {
	paths, folder, err := shardPaths(path, ".parquet")
	if err != nil {
		return nil, err
	}
	if parts := parquetParts(paths); len(parts) > 0 {
		part := o.part
		if part == "" {
			part = parts[0]
		}
		paths = slices.DeleteFunc(paths, func(path string) bool { return !isPart(path, part) })
	}
	x, err := o.indexed("parquet", path, func() (*index, []stamp, error) {
		var stamps []stamp
		for _, path := range append(folder, paths...) {
			s, err := stampOf(path)
			if err != nil {
				return nil, nil, fmt.Errorf("data: %w", err)
			}
			stamps = append(stamps, s)
		}
		x, err := indexParquet(paths)
		return x, stamps, err
	})
	if err != nil {
		return nil, err
	}
	set := &packed{index: x, shards: newShards(x.shards), o: o}
	pages := newPages(set.shards, o.Memory)
	set.read = pages.image
	return set, nil
}

// indexParquet makes the index of files with the same columns.
func indexParquet(paths []string) (*index, error) {
	x := &index{shards: paths}
	var labels []string
	var names []string // of the classes, from the metadata
	known := map[string]string{}
	for i, path := range paths {
		f := parquetSet{x: x, path: path, shard: int32(i), known: known}
		err := f.open(func() error {
			if i == 0 {
				names = f.classNames()
			}
			more, err := f.add()
			labels = append(labels, more...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("data: %s %w", path, err)
		}
	}
	if x.Len() == 0 {
		return nil, fmt.Errorf("data: %s has no rows", paths[0])
	}
	if len(names) == 0 {
		var err error
		if x.labels, x.classes, err = numberLabels(labels); err != nil {
			return nil, fmt.Errorf("data: %s %w", paths[0], err)
		}
		return x, nil
	}
	x.classes = names
	for _, label := range labels {
		number, err := strconv.Atoi(label)
		if err != nil || number < 0 || number >= len(names) {
			number = -1 // the hub's sign for a label that is kept secret, or none
		}
		x.labels = append(x.labels, int32(number))
	}
	return x, nil
}

// parquetSet is a file while its index is made.
type parquetSet struct {
	x     *index
	path  string
	shard int32
	known map[string]string // labels

	file                *parquet.File
	r                   io.ReaderAt
	features            features
	image, names, label int // columns; -1 where there is none
}

// open opens the file, finds its columns and calls use.
func (s *parquetSet) open(use func() error) error {
	f, err := os.Open(s.path)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return errors.Join(errors.New("cannot be read: it is no file"), err)
	}
	if s.file, err = parquet.Open(f, info.Size()); err != nil {
		return err
	}
	s.r = f
	s.features = readFeatures(s.file.Meta["huggingface"])
	if err := s.columns(); err != nil {
		return err
	}
	return use()
}

// columns finds the columns of the image, its path and its label.
func (s *parquetSet) columns() error {
	s.image, s.names, s.label = -1, -1, -1
	var all []string
	at := map[string]int{}
	for i, c := range s.file.Columns {
		all = append(all, c.Name())
		at[c.Name()] = i
	}
	for i, c := range s.file.Columns {
		isBytes := c.Type == parquet.ByteArray && !c.Repeated
		top := c.Path[0]
		switch {
		case isBytes && s.image < 0 && len(c.Path) == 2 && c.Path[1] == "bytes" && s.features.mayBe(top, "Image"):
			s.image = i
			if path, ok := at[top+".path"]; ok {
				s.names = path
			}
		case s.label < 0 && len(c.Path) == 1 && !c.Repeated && s.features.is(top, "ClassLabel"):
			s.label = i
		}
	}
	for _, name := range []string{"image", "img", "bytes", "image_bytes", "jpg", "png"} {
		if i, ok := at[name]; ok && s.image < 0 && s.file.Columns[i].Type == parquet.ByteArray {
			s.image = i
		}
	}
	for _, name := range labelColumns {
		if i, ok := at[name]; ok && s.label < 0 && !s.file.Columns[i].Repeated {
			s.label = i
		}
	}
	if s.image < 0 {
		return fmt.Errorf("has no column of images (a struct of bytes and path, or bytes named image); it has %s", few(all, 8))
	}
	return nil
}

// add appends the rows to the index and returns their labels.
func (s *parquetSet) add() (labels []string, err error) {
	pages, err := s.file.Pages(s.image)
	if err != nil {
		return nil, err
	}
	names, err := s.texts(s.names)
	if err != nil {
		return nil, err
	}
	if labels, err = s.texts(s.label); err != nil {
		return nil, err
	}
	row := 0
	for _, p := range pages {
		for i := range p.Rows {
			name := ""
			if names != nil {
				name = names[row]
			}
			if name == "" {
				name = numbered(s.path, row)
			}
			if err := s.x.add(filepath.ToSlash(name)); err != nil {
				return nil, err
			}
			s.x.places = append(s.x.places, place{
				offset: p.Offset, size: p.Size, aux: p.Dict, shard: s.shard, detail: int32(i),
				method: uint8(p.Codec), levels: uint8(p.MaxDef),
			})
			row++
		}
	}
	if labels == nil {
		labels = make([]string, row)
	}
	return labels, nil
}

// texts reads a whole column as text, "" where there is no value; nil for no column.
func (s *parquetSet) texts(column int) ([]string, error) {
	if column < 0 {
		return nil, nil
	}
	pages, err := s.file.Pages(column)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, p := range pages {
		v, err := p.Read(s.r)
		if err != nil {
			return nil, fmt.Errorf("%w (column %s)", err, s.file.Columns[column].Name())
		}
		for i := range p.Rows {
			switch {
			case v.Null != nil && v.Null[i]:
				texts = append(texts, "")
			case v.Bytes != nil && column == s.label:
				texts = append(texts, intern(s.known, string(v.Bytes[i])))
			case v.Bytes != nil:
				texts = append(texts, string(v.Bytes[i]))
			default:
				texts = append(texts, intern(s.known, strconv.FormatInt(v.Ints[i], 10)))
			}
		}
	}
	return texts, nil
}

// features are what the hub notes about the columns.
type features map[string]struct {
	Type  string   `json:"_type"`
	Names []string `json:"names"`
}

// readFeatures reads the metadata; it is nil where there is none, or none that is understood.
func readFeatures(text string) features {
	var meta struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	if json.Unmarshal([]byte(text), &meta) != nil {
		return nil
	}
	f := features{}
	for name, raw := range meta.Info.Features {
		one := f[name]
		if json.Unmarshal(raw, &one) == nil { // lists of features are arrays, which are no concern here
			f[name] = one
		}
	}
	return f
}

func (f features) is(column, kind string) bool { return f[column].Type == kind }

// mayBe says that a column is of the kind, or that nothing is known of it.
func (f features) mayBe(column, kind string) bool {
	feature, known := f[column]
	return !known || feature.Type == kind
}

// classNames are the names of the classes, nil where the metadata has none.
func (s *parquetSet) classNames() []string {
	if s.label < 0 {
		return nil
	}
	return s.features[s.file.Columns[s.label].Path[0]].Names
}
