package ckpt

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The format of torch.save before PyTorch 1.6: four pickles one behind the other (a magic number, the
// version of the format, facts about the system, the object), a fifth that lists the keys of the
// storages, and then each storage: the number of its elements as eight bytes, and the elements.
const legacyVersion = 1001

// legacy is such a file while it is read.
type legacy struct {
	data     []byte
	pos      int // behind the pickles read so far
	storages map[string]*legacyStorage
}

// legacyStorage is a storage whose place is known once all pickles are read.
type legacyStorage struct {
	storage
	count int64
	data  []byte
}

// openLegacyPth reads the object and lists its tensors.
func openLegacyPth(data []byte, c *Checkpoint) error {
	c.Format = "pth"
	l := &legacy{data: data, storages: map[string]*legacyStorage{}}
	if _, _, err := l.pickle(); err != nil { // the magic number, by which the file was recognised
		return err
	}
	version, _, err := l.pickle()
	if err != nil {
		return err
	}
	if version != int64(legacyVersion) {
		return fmt.Errorf("has another version of the old format of torch.save than %d", legacyVersion)
	}
	system, _, err := l.pickle()
	if err != nil {
		return err
	}
	if facts, ok := system.(*pyDict); ok {
		if at, ok := facts.index["little_endian"]; ok && facts.values[at] != true {
			return errors.New("was written on a big-endian machine; re-save it on a little-endian one")
		}
	}
	object, size, err := l.pickle()
	if err != nil {
		return err
	}
	keys, _, err := l.pickle()
	if err != nil {
		return err
	}
	if err := l.locate(keys); err != nil {
		return err
	}
	if err := flatten(object, size, c); err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	c.object = object
	return nil
}

// pickle reads the next pickle, and returns its value and its length in bytes.
func (l *legacy) pickle() (any, int, error) {
	rest := l.data[l.pos:]
	u := &unpickler{data: rest[:min(len(rest), maxPickle)], class: torchClass, persistent: l.storage}
	v, err := u.run()
	if err != nil {
		return nil, 0, fmt.Errorf("cannot be read: in the pickle that begins at byte %d: %w", l.pos, err)
	}
	l.pos += u.pos
	return v, u.pos, nil
}

// storage finds the memory of a persistent id, ("storage", type, key, location, elements, view). A
// view, which PyTorch before 0.4 wrote, is None or (key, offset, elements): a part of the storage.
func (l *legacy) storage(id any) (any, error) {
	parts, _ := itemsOf(id)
	if len(parts) < 5 || parts[0] != "storage" {
		return nil, fmt.Errorf("it refers to %s where the id of a storage is wanted", kindOf(id))
	}
	class, isClass := parts[1].(*pyClass)
	key, isText := parts[2].(string)
	count, isInt := parts[4].(int64)
	if !isClass || !isText || !isInt || count < 0 {
		return nil, errors.New("it has an id of a storage that is not understood")
	}
	s, known := l.storages[key]
	if !known {
		dtype, ok := storageType(class)
		if !ok {
			return nil, fmt.Errorf("it has a storage of %s", class.name)
		}
		size := int64(max(dtype.Size(), 1))
		if count > int64(len(l.data))/size {
			return nil, fmt.Errorf("storage %q has %d elements, more than the file has bytes for", clip(key), count)
		}
		s = &legacyStorage{count: count}
		s.storage = storage{dtype: dtype, bytes: int(count * size), load: func() ([]byte, error) { return s.data, nil }}
		l.storages[key] = s
	}
	if len(parts) > 5 && parts[5] != nil {
		return s.view(parts[5])
	}
	return &s.storage, nil
}

// view returns a part of a storage as one of its own.
func (s *legacyStorage) view(description any) (any, error) {
	parts, _ := itemsOf(description)
	if len(parts) != 3 {
		return nil, errors.New("the view of a storage is not understood")
	}
	offset, isInt := parts[1].(int64)
	count, alsoInt := parts[2].(int64)
	if !isInt || !alsoInt || offset < 0 || count < 0 || offset > s.count || count > s.count-offset {
		return nil, fmt.Errorf("a view reaches beyond its storage of %d elements", s.count)
	}
	size := int64(max(s.dtype.Size(), 1))
	from, to := int(offset*size), int((offset+count)*size)
	return &storage{dtype: s.dtype, bytes: to - from, load: func() ([]byte, error) { return s.data[from:to:to], nil }}, nil
}

// locate finds the storages, in the order of their keys, behind the pickles.
func (l *legacy) locate(keys any) error {
	list, ok := itemsOf(keys)
	if !ok {
		return fmt.Errorf("has %s where the list of its storages is wanted", kindOf(keys))
	}
	for _, item := range list {
		key, _ := item.(string)
		s := l.storages[key]
		switch rest := l.data[l.pos:]; {
		case s == nil:
			return fmt.Errorf("lists a storage %q that its object does not use", clip(fmt.Sprint(item)))
		case s.data != nil:
			return fmt.Errorf("lists the storage %q twice", clip(key))
		case len(rest) < 8 || len(rest)-8 < s.bytes:
			return fmt.Errorf("was cut off in storage %q, which needs %d bytes: it was half written or half downloaded", clip(key), s.bytes)
		case binary.LittleEndian.Uint64(rest) != uint64(s.count):
			return fmt.Errorf("has %d elements in storage %q, its object says %d", binary.LittleEndian.Uint64(rest), clip(key), s.count)
		default:
			s.data = rest[8 : 8+s.bytes : 8+s.bytes]
			l.pos += 8 + s.bytes
		}
	}
	for key, s := range l.storages {
		if s.data == nil {
			return fmt.Errorf("does not have the storage %q of one of its tensors", clip(key))
		}
	}
	if rest := len(l.data) - l.pos; rest > 0 {
		return fmt.Errorf("has %d bytes behind its last storage, which belong to nothing", rest)
	}
	return nil
}
