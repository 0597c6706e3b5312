package drawn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Write writes the set as PNG files in class folders, dir/train/star/0000.png and so on, with
// its last images, of about the share valShare, in dir/val (see [Set.Split]); 0 gives train
// alone. Folders that are missing are made. Where progress is not nil it is called after each
// image, one call at a time, with how many there are so far.
//
// A folder train or val appears when all its images are written. If one is there already,
// nothing is written. When ctx is done, what was written is removed.
func Write(ctx context.Context, dir string, set *Set, valShare float64, progress func(done int)) error {
	if !(valShare >= 0 && valShare < 1) {
		return fmt.Errorf("drawn: a share of %g for val asked for; give 0 or more and less than 1", valShare)
	}
	type part struct {
		name string
		set  *Set
	}
	parts := []part{{"train", set}}
	if valShare > 0 {
		train, val := set.Split(valShare)
		parts = []part{{"train", train}, {"val", val}}
	}
	for _, p := range parts {
		switch _, err := os.Lstat(filepath.Join(dir, p.name)); {
		case err == nil:
			return fmt.Errorf("drawn: %s is there already; give another folder, or remove it", filepath.Join(dir, p.name))
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("drawn: cannot write to %s: %w", dir, err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("drawn: cannot make the folder: %w", err)
	}
	// Hidden, so that a killed call leaves nothing that looks like a set.
	drafts, err := os.MkdirTemp(dir, ".drawing-*")
	if err != nil {
		return fmt.Errorf("drawn: cannot write to %s: %w", dir, err)
	}
	defer os.RemoveAll(drafts)
	var mu sync.Mutex
	done := 0
	count := func() {
		mu.Lock()
		defer mu.Unlock()
		if done++; progress != nil {
			progress(done)
		}
	}
	for _, p := range parts {
		if err := writePart(ctx, filepath.Join(drafts, p.name), p.set, count); err != nil {
			return err
		}
	}
	for _, p := range parts {
		if err := os.Rename(filepath.Join(drafts, p.name), filepath.Join(dir, p.name)); err != nil {
			return fmt.Errorf("drawn: cannot put %s in place: %w", filepath.Join(dir, p.name), err)
		}
	}
	return nil
}

func writePart(ctx context.Context, dir string, set *Set, count func()) error {
	for _, class := range set.Classes() {
		// For others to read, unlike the folder of drafts.
		if err := os.MkdirAll(filepath.Join(dir, class), 0o755); err != nil {
			return fmt.Errorf("drawn: cannot make the folder: %w", err)
		}
	}
	group, alive := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i := range set.Len() {
		if alive.Err() != nil {
			break
		}
		group.Go(func() error {
			im, err := set.Load(i)
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if err := png.Encode(&b, im.ToImage()); err != nil {
				return fmt.Errorf("drawn: %s: %w", set.Name(i), err)
			}
			// Not atomicfile: the folder appears as a whole, and a flush an image takes minutes.
			if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(set.Name(i))), b.Bytes(), 0o644); err != nil {
				return fmt.Errorf("drawn: cannot write image %d of %d: %w", i+1, set.Len(), err)
			}
			count()
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}
