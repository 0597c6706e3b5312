//go:build unix

package ckpt

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// mapping is a whole file in memory, read-only. The pages are the file's own: they are read when
// touched and cost no memory that the system could not take back.
type mapping struct{ data []byte }

// mapFile maps a regular file.
func mapFile(path string) (*mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("ckpt: %w", err)
	}
	defer f.Close() // the map outlives the descriptor
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("ckpt: %w", err)
	}
	if err := regular(path, info); err != nil {
		return nil, err
	}
	if info.Size() == 0 { // which mmap refuses
		return &mapping{}, nil
	}
	if info.Size() > math.MaxInt {
		return nil, fmt.Errorf("ckpt: %s has %d bytes, more than this machine can address", path, info.Size())
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("ckpt: cannot map %s into memory: %w", path, err)
	}
	return &mapping{data}, nil
}

// Close takes the map away. Touching its bytes afterwards ends the program.
func (m *mapping) Close() error {
	if m.data == nil {
		return nil
	}
	data := m.data
	m.data = nil
	return unix.Munmap(data)
}

// readAhead is how much of a file is fetched beyond the bytes that are asked for.
const readAhead = 32 << 20

// expect has the system fetch data[from:] to the given end and a little beyond it, which is likely to
// be asked for next. Touched unprepared, a mapped file is fetched in pieces of 128 KiB, each waited for.
func expect(data []byte, from, end uint64) {
	page := uint64(os.Getpagesize())
	if from -= from % page; end-from < page {
		return
	}
	_ = unix.Madvise(data[from:min(end+readAhead, uint64(len(data)))], unix.MADV_WILLNEED) // a wish
}
