package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ibot/imaging"
)

// Dataset is a numbered list of images. The order is the same each time the same path is
// opened, on every machine. All methods may be called by several goroutines at once.
type Dataset interface {
	// Len is the number of images, at least 1.
	Len() int
	// Name is the path of image i relative to the set's folder, with slashes.
	Name(i int) string
	// Label is the position of image i's class in Classes, or -1 when it has none.
	Label(i int) int
	// Classes are the names of the classes, nil for a set without labels.
	Classes() []string
	// Load reads and decodes image i. It errs when the file cannot be read or is no image.
	Load(i int) (*imaging.Image, error)
}

// Kind is one way in which a set of images can be stored.
type Kind struct {
	// Name is what messages call the kind, such as "folder".
	Name string
	// Doc says in one line how such a set looks.
	Doc string
	// Claims says whether the file or folder at path is of this kind. At most one kind may
	// claim a path.
	Claims func(path string, info fs.FileInfo) bool
	// Open opens the set at path.
	Open func(path string) (Dataset, error)
}

var kinds []Kind

// Register adds a kind to those that Open knows. It is meant for init functions and panics when
// the name is taken.
func Register(k Kind) {
	at, taken := slices.BinarySearchFunc(kinds, k.Name, func(k Kind, name string) int {
		return strings.Compare(k.Name, name)
	})
	if taken {
		panic("data: two kinds of set are named " + k.Name)
	}
	kinds = slices.Insert(kinds, at, k)
}

// Kinds are the registered kinds, sorted by name.
func Kinds() []Kind { return slices.Clone(kinds) }

// Open opens the set of images at path, of whatever kind it is. A folder that is split into
// train and val (see [Splits]) gives its train part.
//
// The error says what was found instead: no such path, an empty folder, a folder without
// images, a file of a foreign kind.
func Open(path string) (Dataset, error) {
	splits, err := Splits(path)
	if err != nil {
		return nil, err
	}
	if len(splits) > 0 {
		return OpenSplit(path, "train")
	}
	return openWhole(path)
}

// openWhole opens path with the kind that claims it, without a look for parts.
func openWhole(path string) (Dataset, error) {
	info, err := stat(path)
	if err != nil {
		return nil, err
	}
	var known []string
	for _, k := range kinds {
		if k.Claims(path, info) {
			return k.Open(path)
		}
		known = append(known, k.Name+" ("+k.Doc+")")
	}
	return nil, fmt.Errorf("data: %s is no set of images; give a %s", path, strings.Join(known, " or a "))
}

// stat is os.Stat with an error that says what is there instead.
func stat(path string) (fs.FileInfo, error) {
	if path == "" {
		return nil, errors.New("data: no path given; name a folder of images or a text list of them")
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("data: %s does not exist; %s: %w", path, surroundings(path), fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("data: cannot open %s: %w", path, err)
	}
	return info, nil
}

// surroundings tells what the nearest existing folder above path holds, in which a slip of the
// pen shows.
func surroundings(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "check the path"
	}
	for dir := filepath.Dir(abs); ; dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			continue
		}
		var names []string
		for _, e := range entries {
			if !hidden(e.Name()) {
				names = append(names, e.Name())
			}
		}
		if len(names) == 0 {
			return dir + " holds nothing"
		}
		return dir + " holds " + few(names, 6)
	}
}

// few joins the first n of names and counts the rest.
func few(names []string, n int) string {
	if len(names) <= n {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
}

// imageExtensions are the endings that make a file an image, compared without regard to case.
var imageExtensions = []string{".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}

// IsImageName says whether the file name has the ending of an image: jpg, jpeg, png, gif, webp,
// bmp, tif or tiff, in any case.
func IsImageName(name string) bool {
	return slices.Contains(imageExtensions, strings.ToLower(filepath.Ext(name)))
}

// hidden says whether a file or folder is not for the user's eyes: dot files (among them the
// ._x.jpg that macOS leaves beside x.jpg) and the __MACOSX folder of its archives.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || name == "__MACOSX"
}

// files is a Dataset of one file an image.
type files struct {
	root    string
	names   []string // relative to root with slashes, or absolute
	labels  []int32  // nil without labels
	classes []string
}

func (f *files) Len() int          { return len(f.names) }
func (f *files) Name(i int) string { return f.names[i] }
func (f *files) Classes() []string { return f.classes }

func (f *files) Label(i int) int {
	if f.labels == nil {
		return -1
	}
	return int(f.labels[i])
}

func (f *files) Load(i int) (*imaging.Image, error) {
	return imaging.DecodeFile(f.path(i))
}

func (f *files) path(i int) string {
	name := filepath.FromSlash(f.names[i])
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(f.root, name)
}
