package data

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"ibot/imaging"
)

// BadImage is an image that could not be read; a line of bad_images.jsonl.
type BadImage struct {
	Path  string `json:"path"` // bytes that are no UTF-8 are written as \xff
	Error string `json:"error"`
	Index int    `json:"index"` // -1 for what was passed over when the set was opened, such as a folder without permission
}

// allowedBad is how many of n images may be bad: 5 %, and one in a set of fewer than twenty.
func allowedBad(n int) int { return max(1, n/20) }

// BadImages loads the images of a set and keeps account of those that cannot be read. Each is
// listed once, as a line of a file; the next image that can be read takes its place. It is safe
// for use by several goroutines.
type BadImages struct {
	ds   Dataset
	path string

	mu     sync.Mutex
	file   *os.File        // nil when there is no list to write
	listed map[string]bool // paths in the file, those of earlier processes among them
	bad    map[int]bool    // images that this process could not read
	first  []BadImage      // the first few of them, for the message
}

// OpenBadImages begins the account of ds. Lines go to the file at path, which is made when it
// is not there; with an empty path they are only counted. A file that is there is continued and
// a half-written last line, as a killed process leaves it, is cut off. Its images are not
// listed again, but are tried again: they may have been repaired.
func OpenBadImages(path string, ds Dataset) (*BadImages, error) {
	b := &BadImages{ds: ds, path: path, listed: map[string]bool{}, bad: map[int]bool{}}
	if path == "" {
		return b, nil
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("data: cannot keep the list of bad images: %w", err)
	}
	if err := b.resume(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("data: cannot continue the list of bad images %s: %w", path, err)
	}
	b.file = file
	if set, ok := ds.(interface{ Skipped() []BadImage }); ok { // folders and members passed over on opening
		for _, skipped := range set.Skipped() {
			if err := b.note(skipped); err != nil {
				file.Close()
				return nil, err
			}
		}
	}
	return b, nil
}

// resume reads the lines of an earlier process and cuts off a half-written last one.
func (b *BadImages) resume(file *os.File) error {
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return err // a pipe or device has nothing to go on from
	}
	var end int64 // of the whole lines
	lines := bufio.NewReaderSize(file, 1<<20)
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return file.Truncate(end)
		}
		var image BadImage
		if err == nil {
			err = json.Unmarshal(line, &image)
		}
		if err != nil {
			return fmt.Errorf("after %d bytes: %w; move the file away", end, err)
		}
		b.listed[image.Path] = true
		end += int64(len(line))
	}
}

// Load loads image i, or in its place the next that can be read: i+1, i+2 and so on, from the
// last to the first. Which one that is depends on the files alone. It returns the number of the
// image that it loaded.
//
// The error is a *[TooManyBad] when more than 5 % of the set cannot be read (in a set of fewer
// than twenty images, more than one), and when none can.
func (b *BadImages) Load(i int) (im *imaging.Image, index int, err error) {
	n := b.ds.Len()
	for step := range n {
		index := (i + step) % n
		if b.known(index) {
			continue
		}
		im, err := b.ds.Load(index)
		if err == nil {
			return im, index, nil
		}
		if exhausted(err) {
			return nil, index, fmt.Errorf("data: cannot load %s: %w", b.ds.Name(index), err)
		}
		if err := b.add(index, err); err != nil {
			return nil, index, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return nil, i, b.tooMany()
}

// Count is how many images this process could not read.
func (b *BadImages) Count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.bad)
}

// Close closes the list.
func (b *BadImages) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == nil {
		return nil
	}
	err := b.file.Close()
	b.file = nil
	return err
}

func (b *BadImages) known(index int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bad[index]
}

// add notes that an image cannot be read, and errs when that was one too many.
func (b *BadImages) add(index int, reason error) error {
	image := BadImage{Path: printable(b.ds.Name(index)), Error: printable(reason.Error()), Index: index}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bad[index] {
		return nil // another worker met it at the same time
	}
	b.bad[index] = true
	if len(b.first) < 5 {
		b.first = append(b.first, image)
	}
	if err := b.note(image); err != nil {
		return err
	}
	if len(b.bad) > allowedBad(b.ds.Len()) {
		return b.tooMany()
	}
	return nil
}

// note writes a line of the list, unless it is there.
func (b *BadImages) note(image BadImage) error {
	if b.file == nil || b.listed[image.Path] {
		return nil
	}
	b.listed[image.Path] = true
	line, err := json.Marshal(image)
	if err != nil {
		return fmt.Errorf("data: cannot note the bad image %s: %w", image.Path, err)
	}
	// One write to a file opened for appending is one whole line.
	if _, err := b.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("data: cannot note the bad image %s: %w", image.Path, err)
	}
	return nil
}

func (b *BadImages) tooMany() *TooManyBad {
	return &TooManyBad{Count: len(b.bad), Of: b.ds.Len(), List: b.path, First: b.first}
}

// exhausted says whether the error tells of the machine and not of the image.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

// TooManyBad says that more of a set is unreadable than a run should pass over in silence.
type TooManyBad struct {
	Count, Of int
	List      string     // the file with all of them, "" when there is none
	First     []BadImage // up to five, with their reasons
}

func (e *TooManyBad) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "data: %d of %d images cannot be read, which is more than 5 %%; repair or remove them", e.Count, e.Of)
	if e.List != "" {
		fmt.Fprintf(&s, " (list in %s)", e.List)
	}
	for i, image := range e.First {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		s.WriteString(sep + image.Path)
		if i+1 == len(e.First) || e.First[i+1].Error != image.Error { // else it is said once, of all that follow one another
			fmt.Fprintf(&s, " (%s)", image.Error)
		}
	}
	if rest := e.Count - len(e.First); rest > 0 {
		fmt.Fprintf(&s, "; and %d more", rest)
	}
	return s.String()
}
