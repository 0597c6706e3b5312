package data

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// member is an image in an archive.
type member struct {
	name  string // with slashes
	place place
}

// memberName is a name in an archive as a path relative to its top, and whether it is that of an
// image that is not hidden. Archives made on Windows can have backslashes.
func memberName(name string) (clean string, isImage bool) {
	clean = strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(name, `\`, "/")), "/")
	if !IsImageName(clean) {
		return clean, false
	}
	return clean, !slices.ContainsFunc(strings.Split(clean, "/"), hidden)
}

// layOut makes the index of an archive whose members are laid out as the files of a folder are:
// by the rules of openFolder, so that a set is the same packed or not. A folder around all the
// rest, as archives of a folder have it, does not count. Where there are parts, part is the one
// that is wanted, and train without one.
func layOut(members []member, part string) (*index, error) {
	if len(members) == 0 {
		return nil, errors.New("holds no images")
	}
	members = unwrap(members)
	parts := partsOf(members)
	if len(parts) > 0 && part == "" {
		part = parts[0]
	}
	if part != "" {
		members = slices.DeleteFunc(members, func(m member) bool { return !strings.HasPrefix(m.name, part+"/") })
		if len(members) == 0 {
			return nil, fmt.Errorf("holds no part %s", part)
		}
		for i := range members {
			members[i].name = members[i].name[len(part)+1:]
		}
	}
	flat := slices.ContainsFunc(members, func(m member) bool { return topFolder(m.name) == "" })
	sortMembers(members, flat)
	x := &index{places: make([]place, 0, len(members)), parts: parts}
	for _, m := range members {
		if err := x.add(m.name); err != nil {
			return nil, err
		}
		x.places = append(x.places, m.place)
		if class := topFolder(m.name); !flat {
			if len(x.classes) == 0 || x.classes[len(x.classes)-1] != class {
				x.classes = append(x.classes, class)
			}
			x.labels = append(x.labels, int32(len(x.classes)-1))
		}
	}
	if len(x.classes) < 2 {
		x.labels, x.classes = nil, nil
	}
	return x, nil
}

// unwrap removes the folders that all members lie in.
func unwrap(members []member) []member {
	common := path.Dir(members[0].name)
	for _, m := range members[1:] {
		for common != "." && !strings.HasPrefix(m.name, common+"/") {
			common = path.Dir(common)
		}
	}
	if common == "." {
		return members
	}
	for i := range members {
		members[i].name = members[i].name[len(common)+1:]
	}
	return members
}

// partsOf are the parts among the top folders; see Splits.
func partsOf(members []member) []string {
	tops := map[string]bool{}
	for _, m := range members {
		tops[topFolder(m.name)] = true
	}
	return partsAmong(func(name string) bool { return tops[name] })
}

func topFolder(name string) string {
	top, _, below := strings.Cut(name, "/")
	if !below {
		return ""
	}
	return top
}

// sortMembers sorts by class (unless the set is flat), folder and file name, the order of
// openFolder.
func sortMembers(members []member, flat bool) {
	slices.SortStableFunc(members, func(a, b member) int {
		if c := strings.Compare(topFolder(a.name), topFolder(b.name)); c != 0 && !flat {
			return c
		}
		dirA, fileA := cutFile(a.name)
		dirB, fileB := cutFile(b.name)
		if c := strings.Compare(dirA, dirB); c != 0 {
			return c
		}
		return strings.Compare(fileA, fileB)
	})
}

// cutFile splits a name into its folder, without the slash, and the rest.
func cutFile(name string) (dir, file string) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return ".", name
}
