package eval

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"ibot/ckpt"
	"ibot/internal/atomicfile"
)

// imagesBeside is the list of images beside an array.
func imagesBeside(path string) string { return path + ".images.jsonl" }

// writeNpy writes an array, and beside it what its rows are of.
func writeNpy(path string, about About, t *table) error {
	shape, err := t.shape()
	if err != nil {
		return err
	}
	err = atomicfile.Write(imagesBeside(path), func(w io.Writer) error {
		return t.each(func(r Record) error { return writeLine(w, r) })
	})
	if err != nil {
		return err
	}
	if err := writeAbout(aboutBeside(path), about); err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		if _, err := w.Write(npyHead(shape)); err != nil {
			return err
		}
		_, err := w.Write(t.numbers)
		return err
	})
}

// npyHead is how an npy file of float32 begins, npyHeader bytes.
func npyHead(shape []int) []byte {
	var sizes strings.Builder
	for _, n := range shape {
		fmt.Fprintf(&sizes, "%d, ", n)
	}
	dict := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", sizes.String())
	head := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), npyHeader-10)
	return append(head, fmt.Sprintf("%-*s\n", npyHeader-11, dict)...)
}

func readNpy(path string) (*table, error) {
	lines, err := os.Open(imagesBeside(path))
	if err != nil {
		return nil, err
	}
	defer lines.Close()
	c, err := ckpt.Open(path)
	if err != nil {
		return nil, err
	}
	t := &table{file: c}
	if err := eachRecord(lines, func(r Record, _ int64) bool { t.records = append(t.records, r); return true }); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := t.take(c, c.Names()[0]); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if len(t.numbers) != 4*t.dim*len(t.records) {
		return nil, errors.Join(errBeside, c.Close())
	}
	return t, nil
}

// take makes the array of a name the numbers of t.
func (t *table) take(c *ckpt.Checkpoint, name string) error {
	a, err := c.Array(name)
	if err != nil {
		return err
	}
	if a.DType != ckpt.Float32 || len(a.Shape) != 2 {
		return fmt.Errorf("holds an array %v of %v; want float32 (n, D)", a.Shape, a.DType)
	}
	t.numbers, t.dim = a.Data, a.Shape[1]
	return nil
}

// safetensorsAbout is the key of the metadata under which About stands.
const safetensorsAbout = "ibot_features"

// writeSafetensors writes features, labels, sizes (width, height), and names as a text of lines.
func writeSafetensors(path string, about About, t *table) error {
	shape, err := t.shape()
	if err != nil {
		return err
	}
	text, err := json.Marshal(about)
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	n := shape[0]
	var labels, indices, sizes []int64
	var names []byte
	err = t.each(func(r Record) error {
		labels, indices, sizes = append(labels, int64(r.Label)), append(indices, int64(r.Index)), append(sizes, int64(r.Width), int64(r.Height))
		names = append(append(names, lineBreaks.Replace(r.Name)...), '\n')
		return nil
	})
	if err != nil {
		return err
	}
	c := ckpt.New()
	c.Meta = map[string]string{safetensorsAbout: string(text)}
	err = errors.Join(
		c.AddFunc("features", ckpt.Float32, shape, func() ([]byte, error) { return t.numbers, nil }),
		c.Add("labels", ckpt.FromInt64([]int{n}, labels)),
		c.Add("indices", ckpt.FromInt64([]int{n}, indices)),
		c.Add("sizes", ckpt.FromInt64([]int{n, 2}, sizes)),
		c.Add("names", ckpt.FromUint8([]int{len(names)}, names)),
	)
	if err != nil {
		return err
	}
	return ckpt.Write(path, c)
}

// lineBreaks keeps a name on its line.
var lineBreaks = strings.NewReplacer("\n", `\n`, "\r", `\r`)

func aboutSafetensors(path string) (about About, err error) {
	c, err := ckpt.Open(path)
	if err != nil {
		return about, err
	}
	defer c.Close()
	return metaAbout(c)
}

func metaAbout(c *ckpt.Checkpoint) (about About, err error) {
	text, ok := c.Meta[safetensorsAbout]
	if !ok {
		return about, errors.New("holds no features that this program wrote")
	}
	if err := json.Unmarshal([]byte(text), &about); err != nil {
		return about, fmt.Errorf("does not say how its features were made: %w", err)
	}
	return about, nil
}

func readSafetensors(path string) (*table, error) {
	c, err := ckpt.Open(path)
	if err != nil {
		return nil, err
	}
	t := &table{file: c}
	if err := t.readArrays(c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return t, nil
}

// readArrays reads what writeSafetensors wrote.
func (t *table) readArrays(c *ckpt.Checkpoint) error {
	if err := t.take(c, "features"); err != nil {
		return err
	}
	columns := map[string][]int64{}
	for _, name := range []string{"labels", "indices", "sizes"} {
		a, err := c.Array(name)
		if err != nil {
			return err
		}
		if columns[name], err = a.Int64(); err != nil {
			return err
		}
	}
	a, err := c.Array("names")
	if err != nil {
		return err
	}
	names := strings.Split(string(a.Data), "\n")
	names = names[:len(names)-1]
	n := len(names)
	if len(columns["labels"]) != n || len(columns["indices"]) != n || len(columns["sizes"]) != 2*n {
		return errors.New("has lists of labels, sizes and names of different lengths")
	}
	for i, name := range names {
		t.records = append(t.records, Record{
			Index: int(columns["indices"][i]), Name: name, Label: int(columns["labels"][i]),
			Width: int(columns["sizes"][2*i]), Height: int(columns["sizes"][2*i+1]), Len: t.dim,
		})
	}
	return nil
}
