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

// Encoded is a Dataset whose images are encoded files, which all kinds but arrays are.
type Encoded interface {
	Dataset
	// Bytes are the bytes of image i as they are stored, not decoded.
	Bytes(i int) ([]byte, error)
}

// Sharded is a Dataset whose images lie in a few large files. See [Sampler.ByShard].
type Sharded interface {
	Dataset
	// Shards are the numbers of the images at which each file ends, the last of them Len.
	Shards() []int
}

// Options say how a set is opened. The zero value does for most.
type Options struct {
	// Decode says what images are decoded to.
	Decode imaging.Options
	// Cache is the folder for indexes, so that a set which has not changed opens in a moment the
	// second time. It is made when it is missing; with "" no index is kept.
	Cache string
	// Memory bounds, in bytes, what unpacked parts of Parquet files may hold; 0 means 256 MiB.
	Memory int64

	part string // the part of an archive that is wanted; "" is train where there are parts
}

func (o Options) decode(b []byte) (*imaging.Image, error) { return imaging.DecodeWith(b, o.Decode) }

// Kind is one way in which a set of images can be stored.
type Kind struct {
	// Name is what messages call the kind, such as "folder".
	Name string
	// Doc says in one line how such a set looks.
	Doc string
	// Claims says whether the file or folder at path is of this kind. At most one kind may
	// claim a path. info is nil for a pattern of several files, such as x-{000..127}.tar.
	Claims func(path string, info fs.FileInfo) bool
	// Open opens the set at path.
	Open func(path string, o Options) (Dataset, error)
	// Splits, where the kind can hold several parts in one, are their names as in [Splits].
	Splits func(path string, o Options) ([]string, error)
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

// Open opens the set of images at path, of whatever kind it is, with the default options. A set
// that is split into train and val (see [Splits]) gives its train part.
//
// The error says what was found instead: no such path, an empty folder, a folder without
// images, a file of a foreign kind.
func Open(path string) (Dataset, error) { return Options{}.Open(path) }

// Open is the function Open with these options.
func (o Options) Open(path string) (Dataset, error) {
	splits, err := folderSplits(path)
	if err != nil {
		return nil, err
	}
	if len(splits) > 0 {
		return o.OpenSplit(path, "train")
	}
	return o.openWhole(path)
}

// openWhole opens path with the kind that claims it, without a look for folders of parts.
func (o Options) openWhole(path string) (Dataset, error) {
	k, err := kindOf(path)
	if err != nil {
		return nil, err
	}
	return k.Open(path, o)
}

// kindOf is the kind that claims path.
func kindOf(path string) (Kind, error) {
	info, err := stat(path)
	if err != nil {
		return Kind{}, err
	}
	var known []string
	for _, k := range kinds {
		if k.Claims(path, info) {
			return k, nil
		}
		known = append(known, k.Doc)
	}
	if hint, ok := unpackFirst(path); ok {
		return Kind{}, fmt.Errorf("data: %s is packed as a whole, so that no image in it can be reached alone; %s", path, hint)
	}
	return Kind{}, fmt.Errorf("data: %s is no set of images; give %s", path, strings.Join(known, "; or "))
}

// unpackFirst says what to do with archives in which nothing can be reached alone.
func unpackFirst(path string) (hint string, ok bool) {
	for ending, hint := range map[string]string{
		".tar.gz": "run gunzip on it", ".tgz": "run gunzip on it", ".tar.bz2": "run bunzip2 on it", ".tar.xz": "run unxz on it",
		".tar.zst": "run unzstd on it", ".7z": "unpack it", ".rar": "unpack it",
	} {
		if strings.HasSuffix(strings.ToLower(path), ending) {
			return hint, true
		}
	}
	return "", false
}

// isPattern says whether path stands for several files.
func isPattern(path string) bool { return strings.ContainsAny(path, "{*?[") }

// stat is os.Stat with an error that says what is there instead. It is nil for a pattern.
func stat(path string) (fs.FileInfo, error) {
	if path == "" {
		return nil, errors.New("data: no path given; name a folder of images or a text list of them")
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && isPattern(path) {
		return nil, nil
	}
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
var imageExtensions = []string{
	".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
}

// IsImageName says whether the file name has the ending of an image: jpg, jpeg, jpe, jfif, jfi,
// jif, png, gif, webp, bmp, tif, tiff, ppm, pgm, pbm or pnm, in any case.
func IsImageName(name string) bool {
	return slices.Contains(imageExtensions, strings.ToLower(filepath.Ext(name)))
}

// hidden says whether a file or folder is not for the user's eyes: dot files (among them the
// ._x.jpg that macOS leaves beside x.jpg) and the __MACOSX folder of its archives.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || name == "__MACOSX"
}
