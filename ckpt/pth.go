package ckpt

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
)

// A .pth file of torch.save since PyTorch 1.6 is a zip archive: <root>/data.pkl is the object,
// a pickle that refers to the tensors' memory by persistent ids; <root>/data/<key> is each piece
// of memory ("storage"); <root>/byteorder, since 2.1, is "little" or "big".
type pth struct {
	archive  *archive
	members  map[string]*zip.File
	root     string // with its slash
	storages map[string]*storage
}

// storage is the memory that tensors are views of.
type storage struct {
	dtype DType // 0 for an untyped one, which is measured in bytes
	bytes int
	load  func() ([]byte, error)
}

// tensor is a strided view of a storage. All has been checked against the storage's size.
type tensor struct {
	storage *storage
	dtype   DType
	offset  int // in elements
	shape   []int
	strides []int // in elements
}

// openPth reads the object and lists its tensors. Their bytes stay where they are.
func openPth(a *archive, root string, c *Checkpoint) error {
	c.Format = "pth"
	p := &pth{a, map[string]*zip.File{}, root, map[string]*storage{}}
	for _, f := range a.files {
		if p.members[f.Name] != nil {
			return fmt.Errorf("is a zip file with two members named %q", clip(f.Name))
		}
		p.members[f.Name] = f
	}
	if f := p.members[root+"byteorder"]; f != nil {
		order, err := a.head(f, 16)
		if err != nil {
			return err
		}
		if string(bytes.TrimSpace(order)) != "little" {
			return fmt.Errorf("was written with %q byte order; re-save it on a little-endian machine", clip(string(order)))
		}
	}
	object := p.members[root+"data.pkl"]
	if object.UncompressedSize64 > maxPickle {
		return fmt.Errorf("has a pickle of %d bytes, at most %d are read", object.UncompressedSize64, maxPickle)
	}
	// torch.serialization.set_crc32_options(False) writes wrong checksums everywhere, and torch.load
	// never looks at them. So those of the storages count if that of the pickle is right.
	a.unchecked = true
	program, err := a.bytes(object)
	if err != nil {
		return err
	}
	a.unchecked = crc32.ChecksumIEEE(program) != object.CRC32
	u := &unpickler{data: program, class: torchClass, persistent: p.storage}
	value, err := u.run()
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	if err := flatten(value, len(program), c); err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	c.object = value
	return p.readAbout(c)
}

// aboutMember is a member that WritePth adds, a JSON object of texts. PyTorch passes over it.
const aboutMember = "ibot.json"

// readAbout reads what WritePth was told to keep beside the object.
func (p *pth) readAbout(c *Checkpoint) error {
	f := p.members[p.root+aboutMember]
	if f == nil {
		return nil
	}
	if f.UncompressedSize64 > maxPickle {
		return fmt.Errorf("has a member %q of %d bytes, at most %d are read", aboutMember, f.UncompressedSize64, maxPickle)
	}
	text, err := p.archive.bytes(f)
	if err != nil {
		return err
	}
	about := map[string]string{}
	if err := json.Unmarshal(text, &about); err != nil {
		return fmt.Errorf("has a member %q that is no JSON object of texts: %w", aboutMember, err)
	}
	for name, text := range about {
		if _, taken := c.Meta[name]; !taken {
			c.Meta[name] = text
		}
	}
	return nil
}

// storage finds the memory of a persistent id, ("storage", type, key, location, elements).
func (p *pth) storage(id any) (any, error) {
	parts, _ := itemsOf(id)
	if len(parts) < 5 || parts[0] != "storage" {
		return nil, fmt.Errorf("it refers to %s where the id of a storage is wanted", kindOf(id))
	}
	class, isClass := parts[1].(*pyClass)
	key, isText := parts[2].(string)
	count, isInt := parts[4].(int64)
	if !isClass || !isText || !isInt {
		return nil, errors.New("it has an id of a storage that is not understood")
	}
	if s, ok := p.storages[key]; ok {
		return s, nil
	}
	dtype, known := storageType(class)
	if !known {
		return nil, fmt.Errorf("it has a storage of %s", class.name)
	}
	f := p.members[p.root+"data/"+key]
	if f == nil {
		return nil, fmt.Errorf("the file has no member %q for one of its storages", clip(p.root+"data/"+key))
	}
	size := max(dtype.Size(), 1)
	if count < 0 || uint64(count) > f.UncompressedSize64/uint64(size) {
		return nil, fmt.Errorf("storage %q has %d bytes, the pickle says %d elements of %d",
			clip(key), f.UncompressedSize64, count, size)
	}
	s := &storage{
		dtype: dtype,
		bytes: int(count) * size,
		// Once, because many tensors may be views of one storage and the checksum covers it all.
		load: sync.OnceValues(func() ([]byte, error) { return p.archive.bytes(f) }),
	}
	p.storages[key] = s
	return s, nil
}

// storageType returns what a storage class holds, 0 for untyped bytes.
func storageType(class *pyClass) (DType, bool) {
	name := class.name[strings.LastIndexByte(class.name, '.')+1:]
	if name == "UntypedStorage" || name == "_UntypedStorage" {
		return 0, true
	}
	return dtypeBy(name, func(d DType) string { return dtypes[d].storage })
}

// maxExpanded bounds what a view may be larger than its storage (torch.Tensor.expand).
const maxExpanded = 64 << 20

// newTensor checks that a view stays within its storage.
func newTensor(s *storage, dtype DType, offset any, size, stride any) (*tensor, error) {
	start, isInt := offset.(int64)
	shape, isShape := intsOf(size)
	strides, isStrides := intsOf(stride)
	if !isInt || !isShape || !isStrides || len(shape) != len(strides) || start < 0 {
		return nil, errors.New("offset, size and stride are not understood")
	}
	if !dtype.valid() {
		return nil, errors.New("the storage is untyped and no type is given")
	}
	n, err := elements(shape)
	if err != nil {
		return nil, err
	}
	reach, ok := extent(shape, strides)
	capacity := s.bytes / dtype.Size()
	if !ok || reach > 0 && (start > int64(capacity) || reach > capacity-int(start)) {
		return nil, fmt.Errorf("a tensor of shape %s, strides %s and offset %d reaches beyond its storage of %d elements",
			shapeText(shape), shapeText(strides), start, capacity)
	}
	if n*dtype.Size() > s.bytes+maxExpanded {
		return nil, fmt.Errorf("a tensor of shape %s is expanded from a storage of only %d bytes", shapeText(shape), s.bytes)
	}
	return &tensor{s, dtype, int(start), shape, strides}, nil
}

// data returns the tensor's numbers in row-major order, in place where the storage has them so.
func (t *tensor) data() ([]byte, error) {
	memory, err := t.storage.load()
	if err != nil {
		return nil, err
	}
	n, size := 1, t.dtype.Size()
	for _, d := range t.shape {
		n *= d
	}
	if n == 0 {
		return []byte{}, nil
	}
	memory = memory[t.offset*size:]
	if contiguous(t.shape, t.strides) {
		return memory[: n*size : n*size], nil
	}
	return gather(memory, size, t.shape, t.strides), nil
}
