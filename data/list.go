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
		Name:   "list",
		Doc:    "a .txt, .tsv, .csv or .lst file with a line \"path\" or \"path label\" for each image",
		Claims: func(path string, info fs.FileInfo) bool { return info.Mode().IsRegular() && isListName(path) },
		Open:   openList,
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
// A list that names many missing files is refused: more than 5 % of a sample of its lines. Where
// fewer are missing they are met while loading, and count as bad images.
func openList(path string) (Dataset, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("data: cannot open %s: %w", path, err)
	}
	defer file.Close()
	names, labels, err := readList(file)
	if err != nil {
		return nil, fmt.Errorf("data: %s %w", path, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("data: %s names no images; write one path a line, relative to %s", path, filepath.Dir(path))
	}
	set := &files{root: filepath.Dir(path), names: names}
	if set.labels, set.classes, err = numberLabels(labels); err != nil {
		return nil, fmt.Errorf("data: %s %w", path, err)
	}
	if err := checkPresence(path, set); err != nil {
		return nil, err
	}
	return set, nil
}

// readList returns the paths, with slashes, and the labels, "" for none, of the lines of r.
func readList(r io.Reader) (names, labels []string, err error) {
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
			return nil, nil, fmt.Errorf("line %d: %q names no image (looked for %s); separate path and label by a tab where the path has no ending",
				number, shorten(string(line)), strings.Join(imageExtensions, " "))
		}
		names = append(names, filepath.ToSlash(name))
		labels = append(labels, label)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, nil, fmt.Errorf("line %d is longer than %d bytes; this is no text list", number+1, longestLine)
	case err != nil:
		return nil, nil, fmt.Errorf("cannot be read: %w", err)
	}
	return names, labels, nil
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
			missing = append(missing, set.names[i])
		}
	}
	if len(missing) <= allowedBad(checked) && len(missing) < checked {
		return nil
	}
	return fmt.Errorf("data: %s names files that do not exist (%d of %d looked up, e.g. %s); paths are taken relative to %s: %w",
		list, len(missing), checked, few(missing, 3), set.root, fs.ErrNotExist)
}
