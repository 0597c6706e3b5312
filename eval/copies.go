package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"ibot/data"
)

// copyLayout is what a folder of originals and copies looks like.
const copyLayout = `want the layout of Copydays:
  DIR/original/NAME.jpg       the originals
  DIR/BLOCK/NAME_x.jpg        copies of one kind, such as strong, jpegqual/20 or crops/50: named as their originals,
                              or by a rule that --rule gives`

// block is a folder of copies of one kind.
type block struct {
	name   string
	images data.Dataset
}

// openCopies opens the originals and the blocks of copies below a folder. The originals are a block
// too, the first one.
func openCopies(dir string, o data.Options) ([]block, error) {
	if !isFolder(dir) {
		return nil, fmt.Errorf("eval: there is no folder %s; %s", dir, copyLayout)
	}
	names, err := imageFolders(dir)
	if err != nil {
		return nil, err
	}
	first := slices.IndexFunc(names, func(name string) bool { return name == "original" || name == "originals" })
	if first < 0 {
		return nil, fmt.Errorf("eval: %s holds no folder original with images; %s", dir, copyLayout)
	}
	if len(names) == 1 {
		return nil, fmt.Errorf("eval: %s holds originals, but no folder of copies beside them; %s", dir, copyLayout)
	}
	original := names[first]
	names = slices.Insert(slices.Delete(names, first, first+1), 0, original)
	var blocks []block
	for _, name := range names {
		files, err := imageFiles(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		images, err := o.Files(filepath.Join(dir, name), files)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, block{name, images})
	}
	return blocks, nil
}

// imageFolders are the folders below dir that hold images, as paths relative to it with slashes,
// those with numbers in the order of the numbers.
func imageFolders(dir string) ([]string, error) {
	var folders []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(e.Name(), ".") && path != dir {
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if e.IsDir() || !data.IsImageName(path) {
			return nil
		}
		folder, err := filepath.Rel(dir, filepath.Dir(path))
		if err == nil && folder != "." && !slices.Contains(folders, folder) {
			folders = append(folders, filepath.ToSlash(folder))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("eval: cannot list %s: %w", dir, err)
	}
	slices.SortFunc(folders, func(a, b string) int {
		if path.Dir(a) == path.Dir(b) && len(a) != len(b) && isNumber(path.Base(a)) && isNumber(path.Base(b)) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return folders, nil
}

func isNumber(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsDigit(r) })
}

// imageFiles are the names of the images that lie in a folder itself, sorted.
func imageFiles(dir string) ([]string, error) {
	matches, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*"))
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	var names []string
	for _, match := range matches {
		if name := filepath.Base(match); data.IsImageName(name) && !strings.HasPrefix(name, ".") && !isFolder(match) {
			names = append(names, name)
		}
	}
	return names, nil
}

// stem is a file's name without folders and ending.
func stem(name string) string {
	name = path.Base(name)
	return strings.TrimSuffix(name, path.Ext(name))
}

// copydaysName is how the images of Copydays are called: four digits for the original, two for the
// copy.
var copydaysName = regexp.MustCompile(`^(\d{4})\d\d$`)

// matcher says which originals a copy was made from, by the names.
type matcher struct {
	rule  *regexp.Regexp   // whose group, or all of whose match, must be the same; nil: see copiesOf
	byKey map[string][]int // the originals, by what the rule takes of their names, or by the whole
}

// newMatcher reads the names of originals. rule may be "".
func newMatcher(originals data.Dataset, rule string) (*matcher, error) {
	m := &matcher{byKey: map[string][]int{}}
	copydays := true
	for i := range originals.Len() {
		copydays = copydays && copydaysName.MatchString(stem(originals.Name(i)))
	}
	switch {
	case rule != "":
		var err error
		if m.rule, err = regexp.Compile(rule); err != nil {
			return nil, badSetting("rule", "want a regular expression: %v", err)
		}
	case copydays:
		m.rule = copydaysName
	}
	for i := range originals.Len() {
		name := stem(originals.Name(i))
		key, ok := m.key(name)
		if !ok {
			return nil, badSetting("rule", "%q does not match the original %s", m.rule, originals.Name(i))
		}
		m.byKey[key] = append(m.byKey[key], i)
	}
	return m, nil
}

// key is what of a name tells the original.
func (m *matcher) key(name string) (key string, ok bool) {
	if m.rule == nil {
		return name, true
	}
	match := m.rule.FindStringSubmatch(name)
	if match == nil {
		return "", false
	}
	return match[min(1, len(match)-1)], true
}

// originalsOf are the originals of a copy. Without a rule it is the original whose whole name the
// copy's begins with, alone or before something that is no letter or digit: the longest of them.
func (m *matcher) originalsOf(name string) []int {
	name = stem(name)
	if m.rule != nil {
		key, ok := m.key(name)
		if !ok {
			return nil
		}
		return m.byKey[key]
	}
	for end := len(name); end > 0; {
		if found := m.byKey[name[:end]]; found != nil {
			return found
		}
		for end > 0 { // back to the next place where a word ends
			r, size := utf8.DecodeLastRuneInString(name[:end])
			if end -= size; !unicode.IsLetter(r) && !unicode.IsDigit(r) {
				break
			}
		}
	}
	return nil
}

// errNoCopies is the error of names from which nothing can be told.
var errNoCopies = errors.New("eval: no copy is named as an original, so nothing is known to be found; " +
	"name copies as their originals with something behind, as in photo.jpg and photo_small.jpg, or give --rule, such as ^(.{4}) for the first four letters")
