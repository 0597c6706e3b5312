package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func init() {
	Register(Kind{
		Name: "list",
		Doc:  "a .txt, .tsv, .csv or .lst file with a line \"path\" or \"path label\" for each image, or a table with such columns",
		Claims: func(path string, info fs.FileInfo) bool {
			return info != nil && info.Mode().IsRegular() && isListName(path)
		},
		Open: openList,
	})
}

func isListName(name string) bool {
	return slices.Contains([]string{".txt", ".tsv", ".csv", ".lst"}, strings.ToLower(filepath.Ext(name)))
}

const (
	// longestLine keeps a file that is no list from being read into memory as one line.
	longestLine = 64 << 10
	// mostNumbers bounds the class names made up for numbered labels.
	mostNumbers = 1 << 20
	// checkedLines are looked up on the disk when a list is opened. A full check of a million
	// lines would take minutes on a network file system.
	checkedLines = 1000
)

// openList opens a text list: one image a line, in the order of the lines, with paths relative
// to the list's folder. Empty lines and lines that start with # are passed over.
//
// A label may follow the path. A tab separates them, whatever they hold; else the first comma
// or blank after an image ending does, so that blanks in paths need no quotes. Labels that are
// all whole numbers are the class numbers themselves; other labels are class names, numbered
// in their sorted order. Lines without a label have label -1, as has the whole set when no line
// has one.
//
// A .csv or .tsv file may begin with a header that names its columns. Then the column path,
// filepath, file, filename, file_name, image, image_path or img holds the paths and label, labels,
// class, class_name or target, where there is one, the labels; quotes and further columns are
// allowed. Without a header, a file of quoted paths is read as columns too.
//
// A list that names many missing files is refused: more than 5 % of a sample of its lines. Where
// fewer are missing they are met while loading, and count as bad images.
func openList(path string, o Options) (Dataset, error) {
	x, err := o.indexed("list", path, func() (*index, []stamp, error) {
		s, err := stampOf(path)
		if err != nil {
			return nil, nil, fmt.Errorf("data: %w", err)
		}
		x, err := indexList(path)
		return x, []stamp{s}, err
	})
	if err != nil {
		return nil, err
	}
	return &files{index: x, root: filepath.Dir(path), o: o}, nil
}

// ReadList opens the images that the lines of r name, as those of a .txt file in the folder root do.
// name is what errors call r.
func (o Options) ReadList(r io.Reader, name, root string) (Dataset, error) {
	x := &index{}
	labels, err := readList(r, x)
	if err == nil && x.Len() == 0 {
		err = errors.New("names no images; write one path a line")
	}
	if err == nil {
		x.labels, x.classes, err = numberLabels(labels)
	}
	if err != nil {
		return nil, fmt.Errorf("data: %s %w", name, err)
	}
	set := &files{index: x, root: root, o: o}
	return set, checkPresence(name, set)
}

// indexList reads a list into an index.
func indexList(path string) (*index, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("data: cannot open %s: %w", path, err)
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, longestLine)
	x := &index{}
	var labels []string
	if t := newTable(r, filepath.Ext(path)); t != nil {
		labels, err = t.read(x)
	} else {
		labels, err = readList(r, x)
	}
	if err != nil {
		return nil, fmt.Errorf("data: %s %w", path, err)
	}
	if x.Len() == 0 {
		return nil, fmt.Errorf("data: %s names no images; write one path a line, relative to %s", path, filepath.Dir(path))
	}
	if x.labels, x.classes, err = numberLabels(labels); err != nil {
		return nil, fmt.Errorf("data: %s %w", path, err)
	}
	return x, checkPresence(path, &files{index: x, root: filepath.Dir(path)})
}

// readList adds the paths of the lines of r, with slashes, to x, and returns the labels, "" for
// none.
func readList(r io.Reader, x *index) (labels []string, err error) {
	known := map[string]string{} // so that a thousand classes are a thousand texts
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4096), longestLine)
	number := 0
	for lines.Scan() {
		number++
		line := lines.Bytes()
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff")) // Windows editors' byte order mark
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		name, label, ok := cutLabel(string(line))
		if !ok {
			return nil, fmt.Errorf("line %d: %q names no image (looked for %s); separate path and label by a tab where the path has no ending",
				number, shorten(string(line)), strings.Join(imageExtensions, " "))
		}
		if err := x.add(filepath.ToSlash(name)); err != nil {
			return nil, err
		}
		labels = append(labels, intern(known, label))
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d is longer than %d bytes; this is no text list", number+1, longestLine)
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return labels, nil
}

// intern returns the text in known that equals s, and adds it if there is none.
func intern(known map[string]string, s string) string {
	if k, ok := known[s]; ok {
		return k
	}
	s = strings.Clone(s)
	known[s] = s
	return s
}

// cutLabel splits a line into path and label, and says whether there is a path to be seen.
func cutLabel(line string) (name, label string, ok bool) {
	if strings.ContainsRune(line, 0) {
		return "", "", false
	}
	if name, label, tabbed := strings.Cut(line, "\t"); tabbed {
		name = strings.TrimSpace(name)
		return name, strings.TrimSpace(label), name != ""
	}
	for i, c := range line {
		if (c == ',' || c == ' ') && IsImageName(line[:i]) {
			return line[:i], strings.Trim(line[i:], ", "), true
		}
	}
	return line, "", IsImageName(line)
}

func shorten(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// numberLabels turns the labels of a list into class numbers and names; both are nil when no
// line has a label.
func numberLabels(labels []string) ([]int32, []string, error) {
	numbered, most, any := true, -1, false
	for _, label := range labels {
		if label == "" {
			continue
		}
		any = true
		v, err := strconv.Atoi(label)
		if err != nil || v < 0 {
			numbered = false
			break
		}
		most = max(most, v)
	}
	if !any {
		return nil, nil, nil
	}
	if numbered && most >= mostNumbers {
		return nil, nil, fmt.Errorf("has the label %d; numbered labels go from 0 to %d", most, mostNumbers-1)
	}
	var classes []string
	if numbered {
		for v := range most + 1 {
			classes = append(classes, strconv.Itoa(v))
		}
	} else {
		classes = slices.DeleteFunc(slices.Clone(labels), func(label string) bool { return label == "" })
		slices.Sort(classes)
		classes = slices.Compact(classes)
	}
	number := make(map[string]int32, len(classes))
	for i, class := range classes {
		number[class] = int32(i)
	}
	numbers := make([]int32, len(labels))
	for i, label := range labels {
		switch v, err := strconv.Atoi(label); {
		case label == "":
			numbers[i] = -1
		case numbered && err == nil:
			numbers[i] = int32(v) // also where it is written 007
		default:
			numbers[i] = number[label]
		}
	}
	return numbers, classes, nil
}

// checkPresence looks up an even sample of the set's files.
func checkPresence(list string, set *files) error {
	step := max(1, set.Len()/checkedLines)
	checked := 0
	var missing []string
	for i := 0; i < set.Len(); i += step {
		checked++
		if _, err := os.Stat(set.path(i)); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, set.Name(i))
		}
	}
	if len(missing) <= allowedBad(checked) && len(missing) < checked {
		return nil
	}
	return fmt.Errorf("data: %s names files that do not exist (%d of %d looked up, e.g. %s); paths are taken relative to %s: %w",
		list, len(missing), checked, few(missing, 3), set.root, fs.ErrNotExist)
}
