package data

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

func init() {
	Register(Kind{
		Name: "folder",
		Doc:  "a folder with images in it, or with one subfolder a class",
		Claims: func(path string, info fs.FileInfo) bool {
			return info != nil && info.IsDir() && shardsIn(path) == ""
		},
		Open: openFolder,
	})
}

// shardEndings are the endings of files that hold many images each, of which a folder can be full.
var shardEndings = []string{".tar", ".parquet"}

// shardsIn says that a folder, or the folder data in it, as in a clone from the Hugging Face hub,
// holds files of one of these endings; "" if not, or if there are images in it or in a folder in
// it. A folder of a million images is not listed to its end for that.
func shardsIn(dir string) string {
	ending, folders := endingIn(dir)
	for _, name := range folders {
		below, _ := endingIn(filepath.Join(dir, name))
		if below == "image" {
			return ""
		}
		if ending == "" && name == "data" {
			ending = below
		}
	}
	if ending == "image" {
		return ""
	}
	return ending
}

// endingIn is "image" where there is an image directly in a folder, else the first ending of
// shards that is there; and the folders in it, as far as it was listed.
func endingIn(dir string) (found string, folders []string) {
	f, err := os.Open(dir)
	if err != nil {
		return "", nil
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			name := e.Name()
			ending := strings.ToLower(filepath.Ext(name))
			switch {
			case hidden(name):
			case e.IsDir():
				folders = append(folders, name)
			case IsImageName(name):
				return "image", nil
			case slices.Contains(shardEndings, ending) && (found == "" || ending < found):
				found = ending
			}
		}
		if err != nil {
			return found, folders
		}
	}
}

// openFolder opens a folder of images. The rule, in the order in which it is applied:
//
//  1. Images directly in the folder: the set is unlabelled and holds all images in the folder
//     and below it. So nothing is left out of a folder that mixes images and subfolders.
//  2. Two or more subfolders with images, at any depth: each is a class, as in torchvision's
//     ImageFolder. Classes are numbered in the order of their names; subfolders without
//     images are no classes.
//  3. One subfolder with images: the set is unlabelled, as one class says nothing.
//
// Within a class, images are sorted by their folder, then by their file name, byte by byte: the
// order of torchvision. Hidden files and folders are passed over. Symbolic links are followed;
// a folder that links reach twice within a class is read once. Of several ways to it the shortest
// counts, and of equally short ones the first by name. A link to a folder in which it lies, or
// through which it was reached, is passed over and noted, so loops end. So are links that lead
// nowhere, pipes, devices, and folders below the top that cannot be listed. Files with other
// endings are counted.
func openFolder(root string, o Options) (Dataset, error) {
	x, err := o.indexed("folder", root, func() (*index, []stamp, error) {
		w := &walk{root: root}
		x, err := w.index()
		return x, w.stamps, err
	})
	if err != nil {
		return nil, err
	}
	return &files{index: x, root: root, o: o}, nil
}

// noImages says what a folder holds in place of images.
func noImages(root string, folders []string, others Some) error {
	if len(folders) == 0 && others.Count == 0 {
		return fmt.Errorf("data: %s is empty; put images into it, or give another folder", root)
	}
	looked := strings.Join(imageExtensions, " ")
	if others.Count == 0 {
		return fmt.Errorf("data: %s holds no images (looked for %s in it and its subfolders; found %d empty folders, e.g. %s)",
			root, looked, len(folders), folders[0])
	}
	return fmt.Errorf("data: %s holds no images (looked for %s in it and its subfolders; found %d other files, e.g. %s)",
		root, looked, others.Count, others.First[0])
}

// walk collects the images below a folder.
type walk struct {
	root    string
	stamps  []stamp
	others  Some  // files with other endings
	skipped index // of which only the list of what was skipped is used
}

// dir is a folder on the way.
type dir struct {
	path  string   // relative to the root, with slashes; "." is the root
	real  string   // without links
	above []string // the folders through which it was reached, without links
	class int
	listing
}

// listing is what a folder holds, each part sorted by name.
type listing struct {
	images, folders, others []string
	links                   []string // of folders, those that are links
	odd                     []oddity
	stamp                   stamp
	err                     error
}

// oddity is an entry of a folder that is neither file nor folder.
type oddity struct {
	name   string
	reason error
}

// index walks the folder.
func (w *walk) index() (*index, error) {
	real, err := filepath.Abs(w.root) // as links may name their targets
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		return nil, fmt.Errorf("data: cannot list %s: %w", w.root, err)
	}
	top := dir{path: ".", real: real, listing: readFolder(w.root)}
	if top.err != nil {
		return nil, top.err
	}
	w.note(top)
	var found []dir
	if len(top.images) > 0 {
		found = append(w.below([]dir{top}), top)
	} else {
		classes := w.children(top)
		for i := range classes {
			classes[i].class = i
		}
		found = w.below(w.list(classes))
		found = append(found, classes...)
	}
	x, err := flatten(found, top.folders)
	if err != nil {
		return nil, err
	}
	if x.Len() == 0 {
		for _, s := range w.skipped.skipped { // which are no images either
			w.others.addOther(s.Path)
		}
		return nil, noImages(w.root, top.folders, w.others)
	}
	if len(top.images) > 0 {
		x.labels, x.classes = nil, nil
	}
	x.skipped, x.others = w.skipped.skipped, w.others
	return x, nil
}

// below lists everything below the given folders, which are listed already, level by level, so
// that the listing can be parallel and what it finds is the same each time.
func (w *walk) below(level []dir) (found []dir) {
	type visit struct {
		class int
		real  string
	}
	seen := map[visit]bool{}
	for _, d := range level {
		seen[visit{d.class, d.real}] = true
	}
	for len(level) > 0 {
		var next []dir
		for _, d := range level {
			for _, child := range w.children(d) {
				if v := (visit{child.class, child.real}); !seen[v] {
					seen[v] = true
					next = append(next, child)
				}
			}
		}
		level = w.list(next)
		found = append(found, level...)
	}
	return found
}

// children are the folders in d, not yet listed.
func (w *walk) children(d dir) []dir {
	var all []dir
	above := append(slices.Clip(d.above), d.real)
	for _, name := range d.folders {
		child := dir{path: path.Join(d.path, name), real: filepath.Join(d.real, name), above: above, class: d.class}
		if slices.Contains(d.links, name) {
			real, err := filepath.EvalSymlinks(child.real)
			if err != nil {
				w.skipped.skip(child.path, err)
				continue
			}
			if slices.ContainsFunc(above, func(folder string) bool { return within(folder, real) }) {
				w.skipped.skip(child.path, fmt.Errorf("links to %s, in which it lies", printable(real)))
				continue
			}
			child.real = real
		}
		all = append(all, child)
	}
	return all
}

// within reports whether a folder is another, or below it.
func within(folder, other string) bool {
	below, err := filepath.Rel(other, folder)
	return err == nil && below != ".." && !strings.HasPrefix(below, ".."+string(filepath.Separator))
}

// lanes is how many folders are listed at a time; more than there are CPUs, because network file
// systems answer late.
const lanes = 16

// list lists folders in parallel, and notes what was in them.
func (w *walk) list(dirs []dir) []dir {
	var all sync.WaitGroup
	for lane := range min(lanes, len(dirs)) {
		all.Go(func() {
			for i := lane; i < len(dirs); i += lanes {
				dirs[i].listing = readFolder(filepath.Join(w.root, filepath.FromSlash(dirs[i].path)))
			}
		})
	}
	all.Wait()
	for _, d := range dirs {
		if d.err != nil {
			w.skipped.skip(d.path, d.err)
			continue
		}
		w.note(d)
	}
	return dirs
}

// note keeps what was seen in a folder beside images and folders.
func (w *walk) note(d dir) {
	w.stamps = append(w.stamps, d.stamp)
	for _, name := range d.others {
		w.others.addOther(path.Join(d.path, name))
	}
	for _, o := range d.odd {
		w.skipped.skip(path.Join(d.path, o.name), o.reason)
	}
}

// addOther counts a file with another ending, and keeps the first of each ending.
func (s *Some) addOther(name string) {
	s.Count++
	same := func(kept string) bool { return strings.EqualFold(path.Ext(kept), path.Ext(name)) }
	if len(s.First) < mostNames && !slices.ContainsFunc(s.First, same) {
		s.First = append(s.First, printable(name))
	}
}

// flatten sorts folders and puts the images in them into one index. classes are the names of the
// top folders; those without images are left out.
func flatten(found []dir, classes []string) (*index, error) {
	// Folders are compared as whole paths, so "a-b" comes before "a/c", which is not the order of
	// the walk.
	slices.SortFunc(found, func(a, b dir) int {
		if a.class != b.class {
			return a.class - b.class
		}
		return strings.Compare(a.path, b.path)
	})
	x := &index{}
	last := -1
	for _, d := range found {
		if len(d.images) == 0 {
			continue
		}
		if d.class != last && d.class < len(classes) {
			x.classes, last = append(x.classes, classes[d.class]), d.class
		}
		for _, image := range d.images {
			var err error
			if d.path == "." {
				err = x.add(image)
			} else {
				err = x.add(d.path, "/", image)
			}
			if err != nil {
				return nil, err
			}
			x.labels = append(x.labels, int32(len(x.classes)-1))
		}
	}
	if len(x.classes) < 2 {
		x.labels, x.classes = nil, nil
	}
	return x, nil
}

// readFolder lists a folder and tells images, folders and other files apart. A link counts as
// what it leads to, except that one with the name of an image is an image: so a link that leads
// nowhere is noticed as a bad image, and a million links are listed without a look at each.
func readFolder(name string) listing {
	s, err := stampOf(name)
	if err != nil {
		return listing{err: fmt.Errorf("data: cannot list %s: %w", printable(name), err)}
	}
	l := listing{stamp: s}
	entries, err := listAll(name)
	if err != nil {
		return listing{err: fmt.Errorf("data: cannot list %s: %w", printable(name), err)}
	}
	for _, e := range entries {
		entry := e.Name()
		mode := e.Type()
		switch {
		case hidden(entry):
		case mode.IsDir():
			l.folders = append(l.folders, entry)
		case IsImageName(entry) && (mode.IsRegular() || mode&fs.ModeSymlink != 0):
			l.images = append(l.images, entry)
		case mode.IsRegular():
			l.others = append(l.others, entry)
		default:
			l.addLink(name, entry)
		}
	}
	return l
}

// addLink adds an entry of a folder by what it leads to, if it is a link, else as what it is.
func (l *listing) addLink(folder, entry string) {
	info, err := os.Stat(filepath.Join(folder, entry))
	switch {
	case err != nil:
		var fault *fs.PathError
		if errors.As(err, &fault) { // it names the path again
			err = fault.Err
		}
		l.odd = append(l.odd, oddity{entry, fmt.Errorf("is a link that leads nowhere: %w", err)})
	case info.IsDir():
		l.folders = append(l.folders, entry)
		l.links = append(l.links, entry)
	case info.Mode().IsRegular():
		l.others = append(l.others, entry)
	default:
		l.odd = append(l.odd, oddity{entry, fmt.Errorf("is %s, wanted a file", fileType(info.Mode()))})
	}
}

// listAll is os.ReadDir, which gives up what it has where one entry vanishes on the way.
func listAll(name string) ([]fs.DirEntry, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && err != io.EOF {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}
