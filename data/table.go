package data

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// The names by which columns of tables go, compared without regard to case.
var (
	pathColumns  = []string{"path", "filepath", "file_path", "file", "filename", "file_name", "image", "image_path", "img", "img_path"}
	labelColumns = []string{"label", "labels", "class", "class_name", "target", "category"}
)

// table reads a list that is a table with columns, as spreadsheets write it.
type table struct {
	rows        *csv.Reader
	path, label int // columns; label is -1 where there is none
}

// newTable returns the table in r, nil when r is no table: when its ending is neither .csv nor
// .tsv, or its first line is neither a header nor quoted.
func newTable(r *bufio.Reader, ending string) *table {
	comma := map[string]rune{".csv": ',', ".tsv": '\t'}[strings.ToLower(ending)]
	if comma == 0 {
		return nil
	}
	if bom, _ := r.Peek(3); bytes.Equal(bom, []byte("\ufeff")) {
		r.Discard(3)
	}
	start, _ := r.Peek(longestLine)
	first, _, _ := bytes.Cut(start, []byte("\n"))
	if comma == ',' && !bytes.ContainsRune(first, ',') && bytes.ContainsRune(first, ';') {
		comma = ';' // what spreadsheets write where the comma is the decimal sign
	}
	t := &table{path: 0, label: -1}
	columns, err := tableReader(bytes.NewReader(first), comma).Read()
	if err != nil {
		return nil
	}
	t.rows = tableReader(&capped{r: r}, comma)
	lower := strings.Split(strings.ToLower(strings.Join(columns, "\x00")), "\x00")
	for i := range lower {
		lower[i] = strings.TrimSpace(lower[i])
	}
	switch path := firstOf(lower, pathColumns); {
	case path >= 0:
		t.path, t.label = path, firstOf(lower, labelColumns)
		t.rows.Read() // the header, which was read without a fault above
	case bytes.HasPrefix(first, []byte(`"`)):
		if len(columns) > 1 {
			t.label = 1
		}
	default:
		return nil
	}
	return t
}

func tableReader(r io.Reader, comma rune) *csv.Reader {
	rows := csv.NewReader(r)
	rows.Comma, rows.ReuseRecord, rows.FieldsPerRecord = comma, true, -1
	return rows
}

// firstOf is the column whose name comes first among names; -1 when none does.
func firstOf(columns, names []string) int {
	for _, name := range names {
		if i := slices.Index(columns, name); i >= 0 {
			return i
		}
	}
	return -1
}

// read adds the paths to x and returns the labels.
func (t *table) read(x *index) (labels []string, err error) {
	known := map[string]string{}
	for {
		row, err := t.rows.Read()
		if err == io.EOF {
			return labels, nil
		}
		if err != nil {
			return nil, fmt.Errorf("is no table that can be read: %w", err)
		}
		line, _ := t.rows.FieldPos(0)
		if t.path >= len(row) || strings.TrimSpace(row[t.path]) == "" || strings.ContainsRune(row[t.path], 0) {
			return nil, fmt.Errorf("line %d: no path in column %d", line, t.path+1)
		}
		label := ""
		if t.label >= 0 && t.label < len(row) {
			label = strings.TrimSpace(row[t.label])
		}
		if err := x.add(filepath.ToSlash(strings.TrimSpace(row[t.path]))); err != nil {
			return nil, err
		}
		labels = append(labels, intern(known, label))
	}
}

// capped is r with an end to lines that have none, which csv would take into memory.
type capped struct {
	r    *bufio.Reader
	line int
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for _, b := range p[:n] {
		if c.line++; b == '\n' {
			c.line = 0
		}
		if c.line > longestLine {
			return 0, errors.New("a line is longer than 65536 bytes")
		}
	}
	return n, err
}
