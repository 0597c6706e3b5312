package eval

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ibot/data"
	"ibot/torch"
)

// cached are the features of ds from the cache, computed now where it has none. about says what of the
// tokens embed takes. A file of the cache is named after weights, images, transform and choice; one
// that grows is gone on with after an interruption.
func (r *Run) cached(ctx context.Context, source string, ds data.Dataset, o ExtractOptions, about About, embed embedder, start func(done int)) (*Features, error) {
	if err := o.resolve(); err != nil {
		return nil, err
	}
	about, err := r.complete(about, source, ds, o)
	if err != nil {
		return nil, err
	}
	path := cachePath(r.Cache, about)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		r.noteOthers(about)
		if err := r.fillCache(ctx, path, about, ds, o, embed, start); err != nil {
			return nil, err
		}
	}
	f, was, err := OpenFeatures(path, r.Device)
	if err == nil {
		if why := was.difference(about); why != "" {
			err = &otherFeatures{path, why}
		}
	}
	if err == nil {
		err = f.readBad(path)
	}
	if err == nil {
		err = tooMany(f.Bad, ds.Len())
	}
	if err == nil {
		err = f.settle()
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, fmt.Errorf("%w (features kept in %s; remove it to have them computed anew)", err, path)
	}
	return f, nil
}

// complete adds to what embed takes of the tokens which network, images and transform features are of.
func (r *Run) complete(about About, source string, ds data.Dataset, o ExtractOptions) (About, error) {
	weights, err := r.weights(source)
	about.Net, about.Weights, about.Images, about.Classes = source, weights, ImagesDigest(ds), ds.Classes()
	about.Precision = o.numbers().Precision
	if source != RawPixels {
		about.Checkpoint = r.Net.Source
	}
	about.setTransform(o.Transform)
	return about, err
}

// cachePath is the file of a cache for features that are made as about says.
func cachePath(dir string, about About) string {
	sum := sha256.Sum256([]byte(about.key()))
	return filepath.Join(dir, hex.EncodeToString(sum[:12])+".safetensors")
}

// fillCache computes features and writes them to a file of the cache.
func (r *Run) fillCache(ctx context.Context, path string, about About, ds data.Dataset, o ExtractOptions, embed embedder, start func(done int)) error {
	if err := os.MkdirAll(r.Cache, 0o777); err != nil {
		return fmt.Errorf("eval: cannot make the folder for features: %w; name another with --cache, or none", err)
	}
	g, err := grow(PartialPath(path), about)
	if err != nil {
		return err
	}
	defer g.Close()
	start(g.next)
	if err := o.grow(ctx, ds, g, embed, func(*Record, *slot) {}); err != nil {
		return err
	}
	if g.bad == ds.Len() {
		return fmt.Errorf("eval: none of %d images can be read; see %s", ds.Len(), g.lines.Name())
	}
	format, err := FormatOf(path)
	if err != nil {
		return err
	}
	return g.finish(path, format, about)
}

// noteOthers says where the cache has these very features but of other weights.
func (r *Run) noteOthers(about About) {
	files, err := filepath.Glob(filepath.Join(r.Cache, "*.safetensors"))
	if err != nil || r.Note == nil {
		return
	}
	for _, file := range files {
		was, err := aboutSafetensors(file)
		if err != nil || was.Checkpoint != about.Checkpoint || was.Net != about.Net || was.Weights == about.Weights {
			continue
		}
		same := was
		if same.Weights = about.Weights; same.key() == about.key() {
			r.Note(fmt.Sprintf("%s has features of other weights, which %s held before; they are computed anew, and the file may be removed", file, about.Checkpoint))
		}
	}
}

// readBad reads which images could not be read.
func (f *Features) readBad(path string) error {
	file, err := os.Open(BadList(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var r Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("eval: %s is damaged: %w", BadList(path), err)
		}
		f.Bad = append(f.Bad, data.BadImage{Path: r.Name, Error: r.Error, Index: r.Index})
	}
	return nil
}

// inMemory is how many bytes of features are read into memory at once.
const inMemory = 1 << 30

// settle reads features that stay in a file into memory, unless they are large.
func (f *Features) settle() error {
	if f.file == nil || len(f.file.bytes) > inMemory {
		return nil
	}
	return f.load()
}

// load reads features that stay in a file into memory.
func (f *Features) load() error {
	if f.file == nil {
		return nil
	}
	return torch.Run(func() error {
		f.X = f.Rows(0, f.Len()).Clone().Own()
		err := f.file.Close()
		f.file = nil
		return err
	})
}
