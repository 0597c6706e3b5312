package eval

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"ibot/ckpt"
	"ibot/internal/atomicfile"
)

// Record says what image a feature is of.
type Record struct {
	Index  int    `json:"index"` // in the set
	Name   string `json:"name"`
	Label  int    `json:"label"` // position of the class, -1 for none
	Width  int    `json:"width"` // of the whole image, in pixels
	Height int    `json:"height"`
	Rows   int    `json:"rows,omitempty"` // of patches, where the feature is all of them
	Cols   int    `json:"cols,omitempty"`
	Len    int    `json:"len"`             // numbers of the feature
	Error  string `json:"error,omitempty"` // why the image could not be read; then there is no feature
}

// growing are features that are being computed: a folder beside the file that they are to become,
// with a NumPy array of those that are there and a line of text for each image. What was written
// before an interruption is found again.
type growing struct {
	dir     string
	lock    *flock.Flock
	numbers *os.File // the array
	lines   *os.File
	next    int // the first image that is not there yet
	count   int // float32 in the array
	bad     int // images that could not be read
}

// The files of the folder.
const (
	growingNumbers = "features.npy"
	growingLines   = "images.jsonl"
	growingAbout   = "about.json"
	growingLock    = ".lock"
)

// npyHeader is the room for the array's header, whose shape is known at the end.
const npyHeader = 128

// otherFeatures says that what was begun at a place is not what is asked for.
type otherFeatures struct{ path, why string }

func (e *otherFeatures) Error() string {
	return fmt.Sprintf("eval: %s holds other features than are asked for: %s; remove it, or name another file", e.path, e.why)
}

// grow opens the folder dir, whose features are or will be made as about says. It errs with an
// *otherFeatures where others were begun there, and where another process is at it.
func grow(dir string, about About) (g *growing, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	g = &growing{dir: dir, lock: flock.New(filepath.Join(dir, growingLock))}
	switch ok, err := g.lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("eval: cannot lock %s: %w", dir, err)
	case !ok:
		return nil, fmt.Errorf("eval: another process is writing to %s; wait for it, or name another file", dir)
	}
	defer func() {
		if err != nil {
			g.Close()
		}
	}()
	was, err := readAbout(filepath.Join(dir, growingAbout))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := writeAbout(filepath.Join(dir, growingAbout), about); err != nil {
			return g, err
		}
	case err != nil:
		return g, err
	default:
		if why := was.difference(about); why != "" {
			return g, &otherFeatures{dir, why}
		}
	}
	return g, g.open()
}

// open opens array and lines, and cuts off what is not whole.
func (g *growing) open() (err error) {
	for _, f := range []struct {
		name string
		to   **os.File
	}{{growingNumbers, &g.numbers}, {growingLines, &g.lines}} {
		if *f.to, err = os.OpenFile(filepath.Join(g.dir, f.name), os.O_RDWR|os.O_CREATE, 0o666); err != nil {
			return fmt.Errorf("eval: %w", err)
		}
	}
	info, err := g.numbers.Stat()
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	have := (info.Size() - npyHeader) / 4
	end := int64(0) // of the last whole line whose numbers are there
	err = eachRecord(g.lines, func(r Record, after int64) bool {
		if r.Index != g.next || int64(g.count+r.Len) > have || r.Len < 0 {
			return false
		}
		g.next, g.count, end = r.Index+1, g.count+r.Len, after
		if r.Error != "" {
			g.bad++
		}
		return true
	})
	if err == nil {
		err = errors.Join(g.lines.Truncate(end), g.numbers.Truncate(npyHeader+4*int64(g.count)))
	}
	if err == nil {
		_, err = g.lines.Seek(end, io.SeekStart)
	}
	if err == nil {
		_, err = g.numbers.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return fmt.Errorf("eval: cannot go on with %s: %w", g.dir, err)
	}
	return nil
}

// eachRecord visits the records of a file of lines, with the place behind each, until visit returns
// false or a line is not whole.
func eachRecord(f *os.File, visit func(r Record, after int64) bool) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	lines := bufio.NewReaderSize(f, 1<<16)
	at := int64(0)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var r Record
		if json.Unmarshal(line, &r) != nil {
			return nil
		}
		if at += int64(len(line)); !visit(r, at) {
			return nil
		}
	}
}

// add appends the records of some images, and the features of those that have one.
func (g *growing) add(records []Record, features []float32) error {
	var lines bytes.Buffer
	count := 0
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("eval: %w", err)
		}
		lines.Write(line)
		lines.WriteByte('\n')
		count += r.Len
		if r.Error != "" {
			g.bad++
		}
	}
	if count != len(features) {
		panic("eval: records and features do not belong together")
	}
	numbers := make([]byte, 0, 4*count)
	for _, v := range features {
		numbers = binary.LittleEndian.AppendUint32(numbers, math.Float32bits(v))
	}
	// The numbers first: a line stands for numbers that are there.
	if _, err := g.numbers.Write(numbers); err != nil {
		return fmt.Errorf("eval: cannot keep features: %w", err)
	}
	if _, err := g.lines.Write(lines.Bytes()); err != nil {
		return fmt.Errorf("eval: cannot keep features: %w", err)
	}
	g.next += len(records)
	g.count += count
	return nil
}

// whole makes the array a file that NumPy reads, of the given shape, and maps it into memory.
func (g *growing) whole(shape []int) (*ckpt.Checkpoint, error) {
	if _, err := g.numbers.WriteAt(npyHead(shape), 0); err != nil {
		return nil, fmt.Errorf("eval: cannot keep features: %w", err)
	}
	if err := g.numbers.Sync(); err != nil {
		return nil, fmt.Errorf("eval: cannot keep features: %w", err)
	}
	return ckpt.Open(g.numbers.Name())
}

// Close closes the files; what was added stays.
func (g *growing) Close() error {
	var errs []error
	for _, f := range []*os.File{g.numbers, g.lines} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	g.numbers, g.lines = nil, nil
	return errors.Join(append(errs, g.lock.Close())...)
}

// remove removes the folder.
func (g *growing) remove() error {
	return errors.Join(g.Close(), os.RemoveAll(g.dir))
}

func readAbout(path string) (about About, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return about, err
	}
	if err := json.Unmarshal(b, &about); err != nil {
		return about, fmt.Errorf("eval: %s does not say how features were made: %w", path, err)
	}
	return about, nil
}

func writeAbout(path string, about About) error {
	b, err := json.MarshalIndent(about, "", "  ")
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return atomicfile.WriteBytes(path, append(b, '\n'))
}
