// Package atomicfile writes files that are either there in full or not at all.
//
// The bytes go to a hidden temporary file in the folder of the target, which is flushed to the
// disk and then renamed over the target. A reader, a crash or a power cut at any moment sees
// the old file or the new one, never a part of one.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// bufferSize holds the small writes of encoders together; a checkpoint is written in megabytes
// anyway and passes through.
const bufferSize = 1 << 20

// infix is what the names of temporary files have between the target's name and a number.
const infix = ".tmp-"

// Write replaces the file at path by what fn writes. The folder must exist. A file that was
// there keeps its permission bits, a new one gets 0644 less the umask; a symbolic link is
// followed, so that the link stays a link.
//
// When fn or the disk fails, the temporary file is removed, the file at path is what it was,
// and the error names the path. Errors of fn can be found with errors.Is and errors.As, and so
// can syscall.ENOSPC, which a full disk gives.
func Write(path string, fn func(io.Writer) error) error {
	target, err := resolve(path)
	if err != nil {
		return fmt.Errorf("atomicfile: cannot write %s: %w", path, err)
	}
	tmp, err := create(target)
	if err != nil {
		return fmt.Errorf("atomicfile: cannot write %s: %w", path, err)
	}
	placed := false
	defer func() { // also when fn panics
		tmp.Close()
		if !placed { // after the rename the name may be another writer's
			os.Remove(tmp.Name())
		}
	}()

	counter := &countingWriter{w: tmp}
	buffered := bufio.NewWriterSize(counter, bufferSize)
	if err = fn(buffered); err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err == nil {
		err = tmp.Close()
	}
	if err != nil {
		if own, ok := err.(*fs.PathError); ok && own.Path == tmp.Name() {
			err = cause(err)
		}
		return describe(path, counter.n, err)
	}
	if err := os.Rename(tmp.Name(), target); err != nil {
		return fmt.Errorf("atomicfile: cannot put %s in place: %w", path, cause(err))
	}
	placed = true
	if err := syncDir(filepath.Dir(target)); err != nil {
		return fmt.Errorf("atomicfile: wrote %s but could not flush its folder: %w", path, err)
	}
	return nil
}

// Check errs where Write would fail at its start: the folder of path is missing or cannot be written
// to, or path is a folder itself. It leaves nothing behind.
func Check(path string) error {
	target, err := resolve(path)
	if err != nil {
		return fmt.Errorf("atomicfile: cannot write %s: %w", path, err)
	}
	tmp, err := create(target)
	if err != nil {
		return fmt.Errorf("atomicfile: cannot write %s: %w", path, err)
	}
	tmp.Close()
	if err := os.Remove(tmp.Name()); err != nil {
		return fmt.Errorf("atomicfile: cannot write %s: %w", path, cause(err))
	}
	return nil
}

// WriteBytes replaces the file at path by b; see Write.
func WriteBytes(path string, b []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// resolve returns the file that path stands for, following symbolic links as long as they lead
// to something. A rename onto a link would replace the link and leave the file it points to.
func resolve(path string) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, nil
	case err != nil:
		return "", err
	}
	return target, nil
}

// create opens the temporary file of target: hidden, in the same folder, because a rename is
// atomic only within one file system. It has the permissions that target has or would get;
// os.CreateTemp's 0600 would keep a group from reading a shared run.
func create(target string) (*os.File, error) {
	perm, replaces := fs.FileMode(0o644), false
	if info, err := os.Stat(target); err == nil {
		if info.IsDir() {
			return nil, errors.New("it is a folder")
		}
		perm, replaces = info.Mode().Perm(), true
	}
	dir, base := filepath.Split(target)
	for try := 0; ; try++ {
		name := filepath.Join(dir, fmt.Sprintf(".%s%s%d-%d", base, infix, os.Getpid(), try))
		tmp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		if errors.Is(err, fs.ErrExist) && try < 10000 {
			continue // another writer's, or left by a killed process of the same number
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no folder %s; make it first: %w", filepath.Clean(dir), cause(err))
		}
		if err == nil && replaces {
			err = tmp.Chmod(perm) // past the umask
			if err != nil {
				tmp.Close()
				os.Remove(name)
			}
		}
		return tmp, cause(err)
	}
}

// cause leaves out the name of a temporary file, which tells nobody anything.
func cause(err error) error {
	switch err := err.(type) {
	case *fs.PathError:
		return err.Err
	case *os.LinkError:
		return err.Err
	}
	return err
}

// Sweep removes the temporary files that killed processes left in dir. Call it where nobody
// else writes, such as at the start of a run that holds its folder's lock.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("atomicfile: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, ".") && strings.Contains(name, infix) && e.Type().IsRegular() {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("atomicfile: cannot remove what a killed process left: %w", err)
			}
		}
	}
	return nil
}

// describe says which file failed after how many bytes, and what to do where the cause is known.
func describe(path string, written int64, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("atomicfile: the disk is full: %s stopped after %d bytes and was left as it was; "+
			"free some space or choose another folder: %w", path, written, err)
	case errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("atomicfile: the disk quota is used up: %s stopped after %d bytes and was left as it was; "+
			"free some space or choose another folder: %w", path, written, err)
	}
	return fmt.Errorf("atomicfile: %s stopped after %d bytes and was left as it was: %w", path, written, err)
}

// syncDir flushes the folder's entries, without which the rename may be lost in a power cut.
// Some file systems do not offer that; they answer EINVAL or ENOTSUP.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}

// countingWriter counts the bytes that reached the file.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
