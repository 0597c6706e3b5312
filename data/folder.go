package data

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

func init() {
	Register(Kind{
		Name:   "folder",
		Doc:    "images in it, or one subfolder a class",
		Claims: func(_ string, info fs.FileInfo) bool { return info.IsDir() },
		Open:   openFolder,
	})
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
// a folder that links reach twice within a class is read once, so loops end.
func openFolder(root string) (Dataset, error) {
	top, err := readFolder(root)
	if err != nil {
		return nil, err
	}
	if len(top.images) > 0 {
		w := walk{root: root, seen: map[string]bool{}}
		if err := w.visit("."); err != nil {
			return nil, err
		}
		return &files{root: root, names: w.names()}, nil
	}
	set := &files{root: root}
	others := top.others
	for _, class := range top.folders {
		w := walk{root: root, seen: map[string]bool{}}
		if err := w.visit(class); err != nil {
			return nil, err
		}
		others = append(others, w.others...)
		names := w.names()
		if len(names) == 0 {
			continue
		}
		for range names {
			set.labels = append(set.labels, int32(len(set.classes)))
		}
		set.names = append(set.names, names...)
		set.classes = append(set.classes, class)
	}
	switch len(set.classes) {
	case 0:
		return nil, noImages(root, top, others)
	case 1:
		set.labels, set.classes = nil, nil
	}
	return set, nil
}

// noImages says what a folder holds in place of images.
func noImages(root string, top folder, others []string) error {
	if len(top.folders) == 0 && len(others) == 0 {
		return fmt.Errorf("data: %s is empty; put images into it, or give another folder", root)
	}
	looked := strings.Join(imageExtensions, " ")
	if len(others) == 0 {
		return fmt.Errorf("data: %s holds no images (looked for %s in it and its subfolders; found %d empty folders, e.g. %s)",
			root, looked, len(top.folders), top.folders[0])
	}
	return fmt.Errorf("data: %s holds no images (looked for %s in it and its subfolders; found %d other files, e.g. %s)",
		root, looked, len(others), others[0])
}

// folder is one listing, each part sorted by name.
type folder struct {
	images, folders, others []string
}

// readFolder lists dir and tells images, folders and other files apart. Links count as what
// they lead to; a link that leads nowhere is an image when its name says so, so that it is
// noticed as a bad image and not silently left out.
func readFolder(dir string) (folder, error) {
	var f folder
	entries, err := os.ReadDir(dir)
	if err != nil {
		return f, fmt.Errorf("data: cannot list %s: %w", dir, err)
	}
	for _, e := range entries {
		name := e.Name()
		if hidden(name) {
			continue
		}
		isDir := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(dir, name))
			isDir = err == nil && info.IsDir()
		}
		switch {
		case isDir:
			f.folders = append(f.folders, name)
		case IsImageName(name):
			f.images = append(f.images, name)
		default:
			f.others = append(f.others, name)
		}
	}
	return f, nil
}

// walk collects the images below a folder.
type walk struct {
	root   string
	seen   map[string]bool // folders visited, without links
	found  []found
	others []string
}

// found is a folder, relative to the root, and the names of the images directly in it.
type found struct {
	dir    string
	images []string
}

// visit walks dir, a path relative to the root.
func (w *walk) visit(dir string) error {
	full := filepath.Join(w.root, filepath.FromSlash(dir))
	real, err := filepath.EvalSymlinks(full)
	if err != nil {
		return fmt.Errorf("data: cannot list %s: %w", full, err)
	}
	if w.seen[real] {
		return nil
	}
	w.seen[real] = true
	f, err := readFolder(full)
	if err != nil {
		return err
	}
	w.found = append(w.found, found{dir, f.images})
	for _, name := range f.others {
		w.others = append(w.others, path.Join(dir, name))
	}
	for _, name := range f.folders {
		if err := w.visit(path.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// names are the images found, sorted by folder and then by name. Folders are compared as whole
// paths, so "a-b" comes before "a/c", which is not the order of the walk.
func (w *walk) names() []string {
	slices.SortFunc(w.found, func(a, b found) int { return strings.Compare(a.dir, b.dir) })
	var names []string
	for _, f := range w.found {
		for _, image := range f.images {
			names = append(names, path.Join(f.dir, image))
		}
	}
	return names
}
