package data

import (
	"bytes"
	"fmt"
)

// DecodeIndex reads an index file without a look at what it was made from.
func DecodeIndex(file []byte) (Dataset, error) {
	d := newDecoder(bytes.NewReader(file), int64(len(file)))
	d.text()
	d.stamps()
	x, err := d.index()
	if err != nil {
		return nil, err
	}
	return &files{index: x}, nil
}

// NoteReads calls note with where each image lies that is read from a set of large files from now on.
func NoteReads(ds Dataset, note func(shard int32, offset, size int64)) {
	set := ds.(*packed)
	read := set.read
	set.read = func(p place) ([]byte, error) {
		note(p.shard, p.offset, p.size)
		return read(p)
	}
}

// Look is what the headers of a file tell: format, channels and bits.
func Look(b []byte) string {
	l := lookAt(b)
	return fmt.Sprint(l.format, " ", l.channels, " ", l.bits())
}
