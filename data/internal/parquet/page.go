package parquet

import (
	"errors"
	"fmt"
	"io"
)

// The kinds of pages.
const (
	dataPage       = 0
	dictionaryPage = 2
	dataPageV2     = 3
)

// header is struct PageHeader.
type header struct {
	kind          int64
	raw, stored   int64 // bytes after the header, before and after compression
	values        int64
	encoding      int64
	defBytes      int64 // version 2: levels that stand before the values, not compressed
	repBytes      int64
	notCompressed bool
	length        int64 // of the header itself
}

// Page says where a data page lies and how it is read. It holds everything that is needed to
// read it without the file's footer.
type Page struct {
	Offset int64 // of its header
	Size   int64 // of header and data
	Rows   int
	Dict   int64 // offset of its chunk's dictionary; 0: none
	Codec  Codec
	Type   Type
	MaxDef int
}

const (
	// headerGuess is read to find a header. Statistics of long byte strings can make it longer.
	headerGuess   = 512
	largestHeader = 1 << 20
	// LargestPage bounds the bytes of a page, before and after compression.
	LargestPage = 1 << 30
)

// Pages lists the data pages of a column in the order of their rows. It reads the headers only.
func (f *File) Pages(column int) ([]Page, error) {
	c := f.Columns[column]
	if c.Repeated {
		return nil, fmt.Errorf("has lists in column %s, which are not read", c.Name())
	}
	var pages []Page
	for _, g := range f.groups {
		chunk := g.chunks[column]
		rows, dictionary := int64(0), int64(0)
		for at, end := chunk.start, chunk.start+chunk.size; at < end && rows < g.rows; {
			h, err := readHeader(f.r, at, end)
			if err != nil {
				return nil, fmt.Errorf("%w (column %s, at byte %d)", err, c.Name(), at)
			}
			switch h.kind {
			case dictionaryPage:
				dictionary = at
			case dataPage, dataPageV2:
				if h.values > g.rows-rows {
					return nil, fmt.Errorf("has more values in column %s than the %d rows of their group", c.Name(), g.rows)
				}
				if rows += h.values; h.values == 0 {
					break
				}
				pages = append(pages, Page{
					Offset: at, Size: h.length + h.stored, Rows: int(h.values), Dict: dictionary,
					Codec: chunk.codec, Type: c.Type, MaxDef: c.MaxDef,
				})
			}
			at += h.length + h.stored
		}
		if rows != g.rows {
			return nil, fmt.Errorf("has %d values in column %s of a group of %d rows", rows, c.Name(), g.rows)
		}
	}
	return pages, nil
}

// readHeader reads the page header at offset, of a page that ends before end.
func readHeader(r io.ReaderAt, offset, end int64) (header, error) {
	for n := int64(headerGuess); ; n *= 8 {
		b := make([]byte, min(n, end-offset))
		if _, err := r.ReadAt(b, offset); err != nil {
			return header{}, fmt.Errorf("cannot be read: %w", err)
		}
		t := &thrift{b: b}
		h := t.header()
		switch {
		case t.err == nil:
			h.length = int64(t.at)
			return h, h.check(end - offset)
		case n >= end-offset || n >= largestHeader:
			return header{}, t.err
		}
	}
}

// check bounds what a header claims. room is what its chunk still has.
func (h header) check(room int64) error {
	switch {
	case h.stored < 0 || h.raw < 0 || h.values < 0 || h.stored > room-h.length:
		return fmt.Errorf("has a page that claims %d bytes where %d are left", h.stored, room-h.length)
	case h.raw > LargestPage || h.stored > LargestPage:
		return fmt.Errorf("has a page of %d bytes, at most %d are read; write it with smaller row groups", max(h.raw, h.stored), LargestPage)
	case h.defBytes < 0 || h.repBytes < 0 || h.defBytes > h.stored || h.repBytes > h.stored-h.defBytes || h.defBytes+h.repBytes > h.raw:
		return errors.New("has a page whose levels are longer than itself")
	case h.values > 1<<31-1:
		return fmt.Errorf("has a page that claims %d values", h.values)
	}
	return nil
}

// header reads struct PageHeader.
func (t *thrift) header() (h header) {
	t.fields(func(id int16, kind byte) bool {
		switch {
		case id == 1 && kind == thriftI32:
			h.kind = t.int()
		case id == 2 && kind == thriftI32:
			h.raw = t.int()
		case id == 3 && kind == thriftI32:
			h.stored = t.int()
		case (id == 5 || id == 7) && kind == thriftStruct: // DataPageHeader, DictionaryPageHeader
			t.fields(func(id int16, kind byte) bool {
				if kind != thriftI32 || id > 2 {
					return false
				}
				if v := t.int(); id == 1 {
					h.values = v
				} else {
					h.encoding = v
				}
				return true
			})
		case id == 8 && kind == thriftStruct:
			t.headerV2(&h)
		default:
			return false
		}
		return true
	})
	return h
}

// headerV2 reads struct DataPageHeaderV2.
func (t *thrift) headerV2(h *header) {
	t.fields(func(id int16, kind byte) bool {
		if id == 7 && (kind == thriftTrue || kind == thriftFalse) {
			h.notCompressed = kind == thriftFalse
			return true
		}
		if kind != thriftI32 {
			return false
		}
		switch id {
		case 1:
			h.values = t.int()
		case 4:
			h.encoding = t.int()
		case 5:
			h.defBytes = t.int()
		case 6:
			h.repBytes = t.int()
		default:
			return false
		}
		return true
	})
}
