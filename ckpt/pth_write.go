package ckpt

import (
	"archive/zip"
	"bufio"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"

	"ibot/internal/atomicfile"
)

// WritePth stores a checkpoint as torch.save does since PyTorch 1.6: either all of it or, when
// anything fails, nothing.
//
// object is what torch.load will return, with a [Tensor] wherever an array of c belongs; nil stands
// for the object that c was read with or, where there is none, for a dict of all arrays by name.
// about is kept in a member of its own, which PyTorch passes over, and comes back as metadata.
//
// Arrays of the same memory share a storage, as they did in a .pth file that they came from. An
// array that the object does not name is an error, and so are the types that PyTorch has no storage
// class for.
func WritePth(path string, c *Checkpoint, object any, about map[string]string) error {
	w, err := newPthWriter(c, object)
	if err != nil {
		return err
	}
	if w.about, err = json.Marshal(about); err != nil {
		return fmt.Errorf("ckpt: cannot write what the file says about itself: %w", err)
	}
	if err := atomicfile.Write(path, w.write); err != nil {
		return fmt.Errorf("ckpt: %w", err)
	}
	return nil
}

// pthWriter knows the pickle and, for each storage, the array that it is.
type pthWriter struct {
	c       *Checkpoint
	program []byte
	about   []byte
	keys    map[string]string // of the storage of each array
	arrays  []string          // an array of each storage, by key
}

func newPthWriter(c *Checkpoint, object any) (*pthWriter, error) {
	w := &pthWriter{c: c, keys: map[string]string{}}
	if object == nil {
		var err error
		if object, err = c.Object(); err != nil {
			return nil, err
		}
	}
	if object == nil {
		var all OrderedDict
		for _, name := range c.names {
			all = append(all, Item{name, Tensor(name)})
		}
		object = all
	}
	shared := map[*byte]string{}
	program, err := pickle(object, func(name string) (storageRef, error) {
		spec, err := c.Spec(name)
		if err != nil {
			return storageRef{}, err
		}
		n, err := elements(spec.Shape)
		if err != nil {
			return storageRef{}, err
		}
		key, known := w.keys[name]
		if !known {
			if key, err = w.storage(name, shared); err != nil {
				return storageRef{}, err
			}
		}
		return storageRef{key, spec.DType, spec.Shape, n}, nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range c.names {
		if _, ok := w.keys[name]; !ok {
			return nil, fmt.Errorf("ckpt: the object to write has no place for the array %q", name)
		}
	}
	w.program = program
	return w, nil
}

// storage gives an array the storage that it shares, or a new one.
func (w *pthWriter) storage(name string, shared map[*byte]string) (string, error) {
	key := strconv.Itoa(len(w.arrays))
	if e := w.c.entries[name]; e.inPlace && e.spec.Bytes > 0 {
		data, err := e.load()
		if err != nil {
			return "", fmt.Errorf("ckpt: cannot read %q of %s: %w", name, w.c.label(), err)
		}
		if first, ok := shared[&data[0]]; ok {
			other := w.c.entries[w.arrays[number(first)]].spec
			if other.DType == e.spec.DType && other.Bytes == e.spec.Bytes {
				w.keys[name] = first
				return first, nil
			}
		} else {
			shared[&data[0]] = key
		}
	}
	w.keys[name] = key
	w.arrays = append(w.arrays, name)
	return key, nil
}

// number reads a key of this writer.
func number(key string) int {
	n, _ := strconv.Atoi(key)
	return n
}

// countingWriter knows how far the file is.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// write writes the archive with the members of torch.save, in its order. Everything is stored
// uncompressed and begins at a multiple of 64 bytes, so that readers can map it.
func (w *pthWriter) write(out io.Writer) error {
	buffered := bufio.NewWriter(out)
	counter := &countingWriter{w: buffered}
	z := zip.NewWriter(counter)
	put := func(name string, content []byte) error {
		if err := z.Flush(); err != nil {
			return err
		}
		header := &zip.FileHeader{
			Name: "archive/" + name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(content),
			CompressedSize64: uint64(len(content)), UncompressedSize64: uint64(len(content)),
		}
		header.Extra = padding(counter.n, len(header.Name))
		member, err := z.CreateRaw(header)
		if err != nil {
			return err
		}
		_, err = member.Write(content)
		return err
	}
	for _, m := range []struct{ name, content string }{
		{"data.pkl", string(w.program)},
		{".format_version", "1"},
		{".storage_alignment", "64"},
		{"byteorder", "little"},
		{aboutMember, string(w.about)},
	} {
		if err := put(m.name, []byte(m.content)); err != nil {
			return err
		}
	}
	for i, name := range w.arrays {
		a, err := w.c.Array(name)
		if err != nil {
			return err
		}
		if err := put("data/"+strconv.Itoa(i), a.Data); err != nil {
			return err
		}
	}
	if err := put("version", []byte("3\n")); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

// padding returns the extra field that makes the content of a member begin at a multiple of 64
// bytes, as PyTorch's own ("FB", its length, "Z"...). at is where the member's header begins.
func padding(at int64, name int) []byte {
	const header, field, alignment = 30, 4, 64
	pad := (alignment - (at+header+int64(name)+field)%alignment) % alignment
	extra := append([]byte{'F', 'B', byte(pad), 0}, make([]byte, pad)...)
	for i := field; i < len(extra); i++ {
		extra[i] = 'Z'
	}
	return extra
}
