package data

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"math"
)

// An index file is, in this order: the magic, the key, the stamps, the shards, the classes, the
// parts, what was skipped and the other files; the lengths of the columns, the columns; and a checksum of all before it.
// Numbers are little endian; texts stand behind their length.
const indexMagic = "ibot index 2\n"

var errIndex = errors.New("data: this is no index of this version, or a damaged one")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// indexBlock is how many bytes of a column are turned at a time.
const indexBlock = 1 << 16

// encoder writes an index file.
type encoder struct {
	key    string
	x      *index
	stamps []stamp

	w   io.Writer
	buf []byte
	err error
}

func newEncoder(key string, x *index, stamps []stamp) *encoder {
	return &encoder{key: key, x: x, stamps: stamps}
}

// encode writes the file.
func (e *encoder) encode(w io.Writer) error {
	sum := crc32.New(castagnoli)
	e.w = io.MultiWriter(w, sum)
	e.buf = append(e.buf, indexMagic...)
	e.text(e.key)
	e.number(len(e.stamps))
	for _, s := range e.stamps {
		e.text(s.path)
		e.number(int(s.size))
		e.number(int(s.time))
	}
	e.texts(e.x.shards)
	e.texts(e.x.classes)
	e.texts(e.x.parts)
	e.number(len(e.x.skipped))
	for _, s := range e.x.skipped {
		e.text(s.Path)
		e.text(s.Error)
	}
	e.number(e.x.others.Count)
	e.texts(e.x.others.First)
	e.number(len(e.x.names))
	e.number(len(e.x.ends))
	e.number(len(e.x.labels))
	e.number(len(e.x.places))
	e.flush(0)
	e.write(e.x.names)
	for _, v := range e.x.ends {
		e.buf = binary.LittleEndian.AppendUint32(e.buf, v)
		e.flush(indexBlock)
	}
	for _, v := range e.x.labels {
		e.buf = binary.LittleEndian.AppendUint32(e.buf, uint32(v))
		e.flush(indexBlock)
	}
	for _, p := range e.x.places {
		e.buf = p.append(e.buf)
		e.flush(indexBlock)
	}
	e.flush(0)
	e.w = w
	e.write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	return e.err
}

func (e *encoder) write(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

// flush writes what is gathered once it is more than least bytes.
func (e *encoder) flush(least int) {
	if len(e.buf) > least {
		e.write(e.buf)
		e.buf = e.buf[:0]
	}
}

func (e *encoder) number(v int) { e.buf = binary.LittleEndian.AppendUint64(e.buf, uint64(v)) }

func (e *encoder) text(s string) {
	e.number(len(s))
	e.buf = append(e.buf, s...)
	e.flush(indexBlock)
}

func (e *encoder) texts(all []string) {
	e.number(len(all))
	for _, s := range all {
		e.text(s)
	}
}

// placeSize is the length of a place in a file.
const placeSize = 3*8 + 2*4 + 2

func (p place) append(b []byte) []byte {
	for _, v := range [3]int64{p.offset, p.size, p.aux} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	for _, v := range [2]int32{p.shard, p.detail} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return append(b, p.method, p.levels)
}

func placeFrom(b []byte) place {
	return place{
		offset: int64(binary.LittleEndian.Uint64(b)),
		size:   int64(binary.LittleEndian.Uint64(b[8:])),
		aux:    int64(binary.LittleEndian.Uint64(b[16:])),
		shard:  int32(binary.LittleEndian.Uint32(b[24:])),
		detail: int32(binary.LittleEndian.Uint32(b[28:])),
		method: b[32], levels: b[33],
	}
}

// decoder reads an index file. The first fault is kept in err. left bounds what is believed of
// a claimed length.
type decoder struct {
	r    *bufio.Reader
	sum  hash.Hash32
	left int64
	err  error
}

func newDecoder(r io.Reader, size int64) *decoder {
	d := &decoder{r: bufio.NewReaderSize(r, 1<<20), sum: crc32.New(castagnoli), left: size}
	if string(d.bytes(len(indexMagic))) != indexMagic {
		d.err = errIndex
	}
	return d
}

// fill reads len(b) bytes.
func (d *decoder) fill(b []byte) {
	if d.err != nil || int64(len(b)) > d.left {
		d.err = errIndex
		return
	}
	if _, err := io.ReadFull(d.r, b); err != nil {
		d.err = errIndex
		return
	}
	d.left -= int64(len(b))
	d.sum.Write(b)
}

func (d *decoder) bytes(n int) []byte {
	if d.err != nil || int64(n) > d.left {
		d.err = errIndex
		return nil
	}
	b := make([]byte, n)
	d.fill(b)
	return b
}

func (d *decoder) number() int {
	var b [8]byte
	d.fill(b[:])
	return int(binary.LittleEndian.Uint64(b[:]))
}

// length reads a count of things that take least bytes each.
func (d *decoder) length(least int64) int {
	n := d.number()
	if d.err != nil || n < 0 || int64(n) > d.left/least {
		d.err = errIndex
		return 0
	}
	return n
}

func (d *decoder) text() string { return string(d.bytes(d.length(1))) }

func (d *decoder) texts() []string {
	var all []string
	for range d.length(8) {
		all = append(all, d.text())
	}
	return all
}

func (d *decoder) stamps() []stamp {
	all := make([]stamp, d.length(24))
	for i := range all {
		all[i] = stamp{d.text(), int64(d.number()), int64(d.number())}
	}
	return all
}

// index reads what follows the stamps, and checks that it fits together.
func (d *decoder) index() (*index, error) {
	x := &index{shards: d.texts(), classes: d.texts(), parts: d.texts()}
	for range d.length(16) {
		x.skipped = append(x.skipped, BadImage{Path: d.text(), Error: d.text(), Index: -1})
	}
	x.others = Some{Count: d.number(), First: d.texts()}
	names, n, labels, places := d.length(1), d.length(4), d.length(4), d.length(placeSize)
	if d.err != nil || n == 0 || labels != 0 && labels != n || places != 0 && places != n || names > math.MaxUint32 {
		return nil, errIndex
	}
	x.names = d.bytes(names)
	x.ends = make([]uint32, 0, n)
	last := uint32(0)
	d.column(n, 4, func(b []byte) bool {
		end := binary.LittleEndian.Uint32(b)
		x.ends = append(x.ends, end)
		ok := end >= last
		last = end
		return ok
	})
	if labels > 0 {
		x.labels = make([]int32, 0, n)
	}
	d.column(labels, 4, func(b []byte) bool {
		x.labels = append(x.labels, int32(binary.LittleEndian.Uint32(b)))
		label := x.labels[len(x.labels)-1]
		return label >= -1 && int(label) < len(x.classes)
	})
	if places > 0 {
		x.places = make([]place, 0, n)
	}
	d.column(places, placeSize, func(b []byte) bool {
		p := placeFrom(b)
		x.places = append(x.places, p)
		return p.shard >= 0 && int(p.shard) < len(x.shards) && p.offset >= 0 && p.size >= 0
	})
	want := d.sum.Sum32()
	if sum := d.bytes(4); d.err != nil || binary.LittleEndian.Uint32(sum) != want || int(last) != names {
		return nil, errIndex
	}
	return x, nil
}

// column reads n elements of size bytes, as long as take finds them good.
func (d *decoder) column(n, size int, take func(b []byte) bool) {
	block := make([]byte, indexBlock/size*size)
	for n > 0 && d.err == nil {
		b := block[:min(len(block), n*size)]
		d.fill(b)
		n -= len(b) / size
		for ; len(b) > 0 && d.err == nil; b = b[size:] {
			if !take(b) {
				d.err = errIndex
			}
		}
	}
}
