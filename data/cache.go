package data

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"ibot/internal/atomicfile"
)

// stamp is the state of a file or folder that an index was made from. Files are added to a
// folder, taken away and renamed only with a new time of the folder, so the folders of a set
// stand for all that is in them: a thousand calls of stat in place of a million.
type stamp struct {
	path string
	size int64 // of a file; 0 for a folder
	time int64 // of the last change, in nanoseconds
}

// settled is how old the newest change must be for an index to be kept. A clock that ticks in
// seconds, as those of some file systems do, cannot tell a later change within its tick.
const settled = 2 * time.Second

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	s := stamp{path: path, time: info.ModTime().UnixNano()}
	if !info.IsDir() {
		s.size = info.Size()
	}
	return s, nil
}

// indexed returns the index of the set at path from the cache, where it is there and nothing has
// changed since it was made. Else build makes it, with the stamps of what it was made from, and
// it is kept. A cache that cannot be written is no reason not to go on; one that is damaged or of
// another version is written anew.
func (o Options) indexed(kind, path string, build func() (*index, []stamp, error)) (*index, error) {
	if o.Cache == "" {
		x, _, err := build()
		return x, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	key := kind + "\x00" + abs + "\x00" + o.part
	sum := sha256.Sum256([]byte(key))
	file := filepath.Join(o.Cache, fmt.Sprintf("%x.index", sum[:12]))
	if x, err := readIndex(file, key); err == nil {
		return x, nil
	}
	began := time.Now()
	x, stamps, err := build()
	if err != nil {
		return nil, err
	}
	for _, s := range stamps {
		if s.time > began.Add(-settled).UnixNano() {
			return x, nil
		}
	}
	if err := os.MkdirAll(o.Cache, 0o777); err != nil {
		return x, o.cacheFault(err)
	}
	return x, o.cacheFault(writeIndex(file, key, x, stamps))
}

// cacheFault lets only a full disk through, about which the user will want to know.
func (o Options) cacheFault(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("data: cannot keep the index in %s: %w", o.Cache, err)
	}
	return nil
}

// readIndex reads an index and errs when it is not that of key or is out of date.
func readIndex(file, key string) (*index, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	d := newDecoder(f, info.Size())
	if got := d.text(); d.err != nil || got != key {
		return nil, errIndex
	}
	if err := unchanged(d.stamps()); err != nil {
		return nil, err
	}
	return d.index()
}

func writeIndex(file, key string, x *index, stamps []stamp) error {
	return atomicfile.Write(file, newEncoder(key, x, stamps).encode)
}

// unchanged looks up all stamps, several at a time because of network file systems.
func unchanged(stamps []stamp) error {
	const lanes = 16
	var changed sync.Once
	var err error
	var all sync.WaitGroup
	for lane := range lanes {
		all.Go(func() {
			for i := lane; i < len(stamps); i += lanes {
				if now, e := stampOf(stamps[i].path); e != nil || now != stamps[i] {
					changed.Do(func() { err = fmt.Errorf("%s has changed", stamps[i].path) })
					return
				}
			}
		})
	}
	all.Wait()
	return err
}
