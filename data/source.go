package data

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"ibot/imaging"
)

// readFile returns the content of a regular file of at most imaging.MaxFileBytes. A named pipe or
// a device, which would be waited for without end, is refused.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("data: %s is %s, wanted a file", path, fileType(info.Mode()))
	}
	if info.Size() > imaging.MaxFileBytes {
		return nil, fmt.Errorf("data: %s has %d bytes, at most %d are read", path, info.Size(), imaging.MaxFileBytes)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	defer f.Close()
	b := make([]byte, info.Size())
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && err != io.EOF {
		return nil, fmt.Errorf("data: %w", err)
	}
	return b[:n], nil
}

func fileType(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}

// printable is name as text: bytes that are no UTF-8 are written as \xff.
func printable(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRuneInString(name[i:])
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, name[i])
		} else {
			b.WriteString(name[i : i+size])
		}
		i += size
	}
	return b.String()
}

// files is a Dataset of one file an image. Names are relative to root with slashes, or absolute.
type files struct {
	*index
	root string
	o    Options
}

func (f *files) Load(i int) (*imaging.Image, error) {
	b, err := f.Bytes(i)
	if err != nil {
		return nil, err
	}
	im, err := f.o.decode(b)
	if err != nil {
		return nil, fmt.Errorf("data: %s: %w", f.path(i), err)
	}
	return im, nil
}

func (f *files) Bytes(i int) ([]byte, error) { return readFile(f.path(i)) }

func (f *files) path(i int) string {
	name := filepath.FromSlash(f.Name(i))
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(f.root, name)
}

// packed is a Dataset of images that lie in a few large files.
type packed struct {
	*index
	shards *shards
	o      Options
	// read returns the bytes of the image at a place.
	read func(p place) ([]byte, error)
}

func (s *packed) Load(i int) (*imaging.Image, error) {
	b, err := s.Bytes(i)
	if err != nil {
		return nil, err
	}
	im, err := s.o.decode(b)
	if err != nil {
		return nil, fmt.Errorf("data: %s in %s: %w", printable(s.Name(i)), s.shards.paths[s.places[i].shard], err)
	}
	return im, nil
}

func (s *packed) Bytes(i int) ([]byte, error) {
	p := s.places[i]
	b, err := s.read(p)
	if err != nil {
		return nil, fmt.Errorf("data: %s in %s %w", printable(s.Name(i)), s.shards.paths[p.shard], err)
	}
	return b, nil
}

// Shards are the numbers of the images at which each large file ends.
func (s *packed) Shards() []int { return s.shardEnds() }

// archiveParts are the parts of an archive, of which one was opened.
func archiveParts(opened Dataset, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	return opened.(*packed).parts, nil
}

// shards are large files that stay open, up to mostOpen of them at a time, so that a set of a
// thousand of them does not use up the files that a process may have.
type shards struct {
	paths []string

	mu   sync.Mutex
	open map[int32]*shard
	tick int64
}

type shard struct {
	file  *os.File
	users int
	used  int64 // when last
}

const mostOpen = 64

func newShards(paths []string) *shards { return &shards{paths: paths, open: map[int32]*shard{}} }

// read returns size bytes at an offset of a shard.
func (s *shards) read(number int32, offset, size int64) ([]byte, error) {
	if size > imaging.MaxFileBytes {
		return nil, fmt.Errorf("has %d bytes, at most %d are read", size, imaging.MaxFileBytes)
	}
	h, err := s.take(number)
	if err != nil {
		return nil, err
	}
	defer s.put(h)
	if info, err := h.file.Stat(); err != nil || size > info.Size()-offset { // before memory is taken
		return nil, errors.Join(errors.New("is not where it was: the file was changed or cut off"), err)
	}
	b := make([]byte, size)
	if _, err := h.file.ReadAt(b, offset); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return b, nil
}

// with calls use with the shard as a reader.
func (s *shards) with(number int32, use func(r io.ReaderAt) error) error {
	h, err := s.take(number)
	if err != nil {
		return err
	}
	defer s.put(h)
	return use(h.file)
}

func (s *shards) take(number int32) (*shard, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick++
	h := s.open[number]
	if h == nil {
		s.makeRoom()
		file, err := os.Open(s.paths[number])
		if err != nil {
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
		h = &shard{file: file}
		s.open[number] = h
	}
	h.users++
	h.used = s.tick
	return h, nil
}

func (s *shards) put(h *shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.users--
}

// makeRoom closes the shard that was not used for longest, when too many are open. Those in use
// stay, however many they are: no more than there are readers.
func (s *shards) makeRoom() {
	if len(s.open) < mostOpen {
		return
	}
	oldest, found := int32(0), false
	for number, h := range s.open {
		if h.users == 0 && (!found || h.used < s.open[oldest].used) {
			oldest, found = number, true
		}
	}
	if found {
		s.open[oldest].file.Close()
		delete(s.open, oldest)
	}
}

// numbered is the name of an image that has none.
func numbered(file string, i int) string { return filepath.Base(file) + "#" + strconv.Itoa(i) }
