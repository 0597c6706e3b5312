package eval

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/parquet-go/parquet-go"

	"ibot/internal/atomicfile"
)

// tableRow is a row of a Parquet file, and a line of JSON.
type tableRow struct {
	Index   int64     `parquet:"index" json:"index"`
	Name    string    `parquet:"name" json:"name"`
	Label   *int64    `parquet:"label,optional" json:"label"`
	Class   *string   `parquet:"class,optional" json:"class"`
	Width   int64     `parquet:"width" json:"width"`
	Height  int64     `parquet:"height" json:"height"`
	Rows    *int64    `parquet:"rows,optional" json:"rows,omitempty"`
	Cols    *int64    `parquet:"cols,optional" json:"cols,omitempty"`
	Feature []float32 `parquet:"feature,list" json:"feature"`
}

// rows visits the table as rows. A row is the same each time, so it must not be kept.
func (t *table) rows(classes []string, visit func(row *tableRow) error) error {
	var row tableRow
	at := 0
	return t.each(func(r Record) error {
		row = tableRow{Index: int64(r.Index), Name: r.Name, Width: int64(r.Width), Height: int64(r.Height), Feature: row.Feature[:0]}
		if r.Label >= 0 {
			label := int64(r.Label)
			row.Label = &label
			if r.Label < len(classes) {
				row.Class = &classes[r.Label]
			}
		}
		if r.Rows > 0 {
			rows, cols := int64(r.Rows), int64(r.Cols)
			row.Rows, row.Cols = &rows, &cols
		}
		for range r.Len {
			row.Feature = append(row.Feature, math.Float32frombits(binary.LittleEndian.Uint32(t.numbers[at:])))
			at += 4
		}
		return visit(&row)
	})
}

// add appends a row, whose feature must have as many numbers as those before.
func (t *table) add(row *tableRow) error {
	if len(t.records) > 0 && len(row.Feature) != t.dim {
		return fmt.Errorf("has features of %d and of %d numbers", t.dim, len(row.Feature))
	}
	t.dim = len(row.Feature)
	r := Record{Index: int(row.Index), Name: row.Name, Label: -1, Width: int(row.Width), Height: int(row.Height), Len: t.dim}
	if row.Label != nil {
		r.Label = int(*row.Label)
	}
	t.records = append(t.records, r)
	for _, v := range row.Feature {
		t.numbers = binary.LittleEndian.AppendUint32(t.numbers, math.Float32bits(v))
	}
	return nil
}

// rowGroupBytes bounds the features of a row group, which a reader may hold as a whole.
const rowGroupBytes = 32 << 20

func writeParquet(path string, about About, t *table) error {
	text, err := json.Marshal(about)
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return atomicfile.Write(path, func(out io.Writer) error {
		w := parquet.NewGenericWriter[tableRow](out, parquet.KeyValueMetadata(safetensorsAbout, string(text)))
		pending := 0
		err := t.rows(about.Classes, func(row *tableRow) error {
			if _, err := w.Write([]tableRow{*row}); err != nil {
				return err
			}
			if pending += 4 * len(row.Feature); pending < rowGroupBytes {
				return nil
			}
			pending = 0
			return w.Flush()
		})
		return errors.Join(err, w.Close())
	})
}

func aboutParquet(path string) (about About, err error) {
	file, err := os.Open(path)
	if err != nil {
		return about, err
	}
	defer file.Close()
	p, err := openParquet(file)
	if err != nil {
		return about, err
	}
	text, ok := p.Lookup(safetensorsAbout)
	if !ok {
		return about, errors.New("holds no features that this program wrote")
	}
	if err := json.Unmarshal([]byte(text), &about); err != nil {
		return about, fmt.Errorf("does not say how its features were made: %w", err)
	}
	return about, nil
}

// openParquet reads the metadata of a file. The library panics on some damaged ones.
func openParquet(file *os.File) (p *parquet.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("is damaged: %v", r)
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return parquet.OpenFile(file, info.Size())
}

func readParquet(path string) (t *table, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p, err := openParquet(file)
	if err != nil {
		return nil, err
	}
	defer func() { // see openParquet
		if r := recover(); r != nil {
			err = fmt.Errorf("is damaged: %v", r)
		}
	}()
	reader := parquet.NewGenericReader[tableRow](p)
	defer reader.Close()
	t = &table{}
	rows := make([]tableRow, 64)
	for {
		n, err := reader.Read(rows)
		for i := range rows[:n] {
			if err := t.add(&rows[i]); err != nil {
				return nil, err
			}
		}
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func writeJSONLines(path string, about About, t *table) error {
	if err := writeAbout(aboutBeside(path), about); err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		return t.rows(about.Classes, func(row *tableRow) error { return writeLine(w, row) })
	})
}

// writeLine writes v as one line of JSON.
func writeLine(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// longestLine bounds a line of JSON: a feature of a million numbers.
const longestLine = 32 << 20

func readJSONLines(path string) (*table, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	t := &table{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		var row tableRow
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("line %d is no feature: %w", len(t.records)+1, err)
		}
		if err := t.add(&row); err != nil {
			return nil, err
		}
	}
	return t, lines.Err()
}
