package ckpt

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// listWidth is the width of a terminal that nobody has made wider.
const listWidth = 80

// List writes a table of the arrays (name, type, shape, bytes), their sums, and the metadata. A
// name too long for its column stands on a line of its own above the rest. No numbers are read.
func List(w io.Writer, c *Checkpoint) error {
	rows := [][4]string{{"name", "type", "shape", "bytes"}}
	count, total := 0, int64(0)
	for _, s := range c.Specs() {
		rows = append(rows, [4]string{printable(s.Name), s.DType.String(), shapeCell(s.Shape), strconv.FormatInt(s.Bytes, 10)})
		count += Array{Shape: s.Shape}.Len()
		total += s.Bytes
	}
	var width [4]int
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	width[0] = min(width[0], max(listWidth-width[1]-width[2]-width[3]-6, 20))

	var b strings.Builder
	for _, row := range rows {
		if utf8.RuneCountInString(row[0]) > width[0] {
			b.WriteString(row[0] + "\n")
			row[0] = ""
		}
		fmt.Fprintf(&b, "%-*s  %-*s  %-*s  %*s\n", width[0], row[0], width[1], row[1], width[2], row[2], width[3], row[3])
	}
	fmt.Fprintf(&b, "\n%s, %d arrays, %d elements, %s\n", kindOfFile(c), c.Len(), count, sizeText(total))
	if len(c.Meta) > 0 {
		b.WriteString("\nmetadata\n")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Meta)) {
		b.WriteString(fit("  "+printable(name)+"  "+printable(c.Meta[name])) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ListJSON writes the same as one JSON object: path, format, arrays, meta.
func ListJSON(w io.Writer, c *Checkpoint) error {
	type array struct {
		Name  string `json:"name"`
		DType string `json:"dtype"`
		Shape []int  `json:"shape"`
		Bytes int64  `json:"bytes"`
	}
	arrays := []array{}
	for _, s := range c.Specs() {
		arrays = append(arrays, array{s.Name, s.DType.String(), append([]int{}, s.Shape...), s.Bytes})
	}
	return json.NewEncoder(w).Encode(struct {
		Path   string            `json:"path"`
		Format string            `json:"format"`
		Arrays []array           `json:"arrays"`
		Meta   map[string]string `json:"meta"`
	}{c.Path, c.Format, arrays, c.Meta})
}

func kindOfFile(c *Checkpoint) string {
	if c.Format == "" {
		return "in memory"
	}
	return c.Format
}

// shapeCell writes a shape as Python does, shortened in the middle where it is absurd.
func shapeCell(shape []int) string {
	var parts []string
	for i, d := range shape {
		if i == 8 && len(shape) > 9 {
			parts = append(parts, fmt.Sprintf("... %d axes", len(shape)))
			break
		}
		parts = append(parts, strconv.Itoa(d))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// sizeText writes a number of bytes for people.
func sizeText(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1_000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// fit cuts a line that is wider than the list.
func fit(line string) string {
	if utf8.RuneCountInString(line) <= listWidth {
		return line
	}
	return string([]rune(line)[:listWidth-3]) + "..."
}

// printable returns s, in quotes and escaped if it would do something to a terminal.
func printable(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			return strconv.Quote(s)
		}
	}
	return s
}
