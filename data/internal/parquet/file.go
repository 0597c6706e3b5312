package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Type is the physical type of a column.
type Type int

// The physical types; those without a name here are carried but not read.
const (
	Int32     Type = 1
	Int64     Type = 2
	ByteArray Type = 6
)

// Codec is how the pages of a column chunk are compressed.
type Codec int

// The codecs that are read.
const (
	Uncompressed Codec = 0
	Snappy       Codec = 1
	Gzip         Codec = 2
	Zstd         Codec = 6
)

var codecNames = []string{"none", "Snappy", "gzip", "LZO", "Brotli", "LZ4", "Zstandard", "LZ4_RAW"}

func (c Codec) String() string {
	if c >= 0 && int(c) < len(codecNames) {
		return codecNames[c]
	}
	return fmt.Sprintf("codec %d", int(c))
}

// Column is a leaf of the schema.
type Column struct {
	Path     []string // from the top, such as image, bytes
	Type     Type
	MaxDef   int  // how many fields on its path are optional
	Repeated bool // a field on its path is a list; such columns are not read
}

// Name is the path with dots.
func (c Column) Name() string { return strings.Join(c.Path, ".") }

// chunk is a column's part of a row group.
type chunk struct {
	codec  Codec
	values int64
	start  int64 // of its first page, the dictionary's where it has one
	size   int64 // of all its pages
}

// group is a row group.
type group struct {
	rows   int64
	chunks []chunk // by column
}

// File is what the footer of a file tells.
type File struct {
	Rows    int64
	Columns []Column
	Meta    map[string]string // key-value metadata of the writer

	r      io.ReaderAt
	size   int64
	groups []group
}

const (
	magic = "PAR1"
	// largestFooter is far above what writers make: a thousand row groups of ten columns have 1 MB.
	largestFooter = 256 << 20
	mostColumns   = 1 << 16
)

// Open reads the footer of a file of the given size.
func Open(r io.ReaderAt, size int64) (*File, error) {
	var tail [8]byte
	if size < 12 {
		return nil, errors.New("is no Parquet file: it is shorter than twelve bytes")
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if string(tail[4:]) == "PARE" {
		return nil, errors.New("is an encrypted Parquet file, which is not read")
	}
	if string(tail[4:]) != magic {
		return nil, errors.New("does not end as Parquet files do: it was cut off, or is none")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > largestFooter || n > size-12 {
		return nil, fmt.Errorf("claims a footer of %d bytes, of a file of %d", n, size)
	}
	footer := make([]byte, n)
	if _, err := r.ReadAt(footer, size-8-n); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	f := &File{r: r, size: size, Meta: map[string]string{}}
	if err := f.parse(footer); err != nil {
		return nil, err
	}
	return f, nil
}

// element is a node of the schema, which is stored as its depth-first walk.
type element struct {
	name       string
	kind       Type
	repetition int64 // 0 required, 1 optional, 2 repeated
	children   int64
}

// parse reads struct FileMetaData.
func (f *File) parse(footer []byte) error {
	t := &thrift{b: footer}
	var schema []element
	t.fields(func(id int16, kind byte) bool {
		switch {
		case id == 2 && kind == thriftList:
			t.list(func(byte) { schema = append(schema, t.element()) })
		case id == 3 && kind == thriftI64:
			f.Rows = t.int()
		case id == 4 && kind == thriftList:
			t.list(func(byte) { f.groups = append(f.groups, t.group()) })
		case id == 5 && kind == thriftList:
			t.list(func(byte) {
				key, value := t.keyValue()
				f.Meta[key] = value
			})
		default:
			return false
		}
		return true
	})
	if t.err != nil {
		return t.err
	}
	if len(schema) == 0 {
		return errors.New("has no schema")
	}
	rest := schema[1:]
	for i := int64(0); i < schema[0].children; i++ {
		var err error
		if rest, err = f.leaves(rest, Column{}); err != nil {
			return err
		}
	}
	return f.check()
}

// leaves adds the columns below the first of elements and returns what follows them.
func (f *File) leaves(elements []element, above Column) ([]element, error) {
	if len(elements) == 0 || len(above.Path) > deepest || len(f.Columns) >= mostColumns {
		return nil, errThrift
	}
	e, rest := elements[0], elements[1:]
	c := Column{
		Path:     append(slices.Clone(above.Path), e.name),
		Type:     e.kind,
		MaxDef:   above.MaxDef,
		Repeated: above.Repeated || e.repetition == 2,
	}
	if e.repetition != 0 {
		c.MaxDef++
	}
	if e.children == 0 {
		f.Columns = append(f.Columns, c)
		return rest, nil
	}
	for i := int64(0); i < e.children; i++ {
		var err error
		if rest, err = f.leaves(rest, c); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// check compares what the parts of the footer claim.
func (f *File) check() error {
	if f.Rows < 0 || f.Rows > f.size { // or memory would grow with the claim: runs of equal values take no room
		return fmt.Errorf("claims %d rows in %d bytes", f.Rows, f.size)
	}
	left := f.Rows
	for i, g := range f.groups {
		if len(g.chunks) != len(f.Columns) {
			return fmt.Errorf("has %d columns and a row group of %d", len(f.Columns), len(g.chunks))
		}
		if g.rows < 0 || g.rows > left {
			return fmt.Errorf("claims %d rows, of which row group %d claims %d", f.Rows, i, g.rows)
		}
		left -= g.rows
		for column, c := range g.chunks {
			if c.start < 0 || c.size < 0 || c.start > f.size || c.size > f.size-c.start {
				return fmt.Errorf("claims %d bytes at %d for column %s, of a file of %d",
					c.size, c.start, f.Columns[column].Name(), f.size)
			}
		}
	}
	if left != 0 {
		return fmt.Errorf("claims %d rows, %d more than its row groups have", f.Rows, left)
	}
	return nil
}

// element reads struct SchemaElement.
func (t *thrift) element() (e element) {
	t.fields(func(id int16, kind byte) bool {
		switch {
		case id == 1 && kind == thriftI32:
			e.kind = Type(t.int())
		case id == 3 && kind == thriftI32:
			e.repetition = t.int()
		case id == 4 && kind == thriftBinary:
			e.name = string(t.binary())
		case id == 5 && kind == thriftI32:
			e.children = t.int()
		default:
			return false
		}
		return true
	})
	return e
}

// keyValue reads struct KeyValue.
func (t *thrift) keyValue() (key, value string) {
	t.fields(func(id int16, kind byte) bool {
		if kind != thriftBinary || id > 2 {
			return false
		}
		if text := string(bytes.Clone(t.binary())); id == 1 {
			key = text
		} else {
			value = text
		}
		return true
	})
	return key, value
}

// group reads struct RowGroup and the ColumnChunks in it.
func (t *thrift) group() (g group) {
	t.fields(func(id int16, kind byte) bool {
		switch {
		case id == 1 && kind == thriftList:
			t.list(func(byte) {
				var c chunk
				t.fields(func(id int16, kind byte) bool {
					if id != 3 || kind != thriftStruct {
						return false
					}
					c = t.chunk()
					return true
				})
				g.chunks = append(g.chunks, c)
			})
		case id == 3 && kind == thriftI64:
			g.rows = t.int()
		default:
			return false
		}
		return true
	})
	return g
}

// chunk reads struct ColumnMetaData.
func (t *thrift) chunk() (c chunk) {
	var data, dictionary int64
	t.fields(func(id int16, kind byte) bool {
		if kind != thriftI32 && kind != thriftI64 {
			return false
		}
		switch id {
		case 4:
			c.codec = Codec(t.int())
		case 5:
			c.values = t.int()
		case 7:
			c.size = t.int()
		case 9:
			data = t.int()
		case 11:
			dictionary = t.int()
		default:
			return false
		}
		return true
	})
	c.start = data
	if dictionary > 0 && dictionary < data { // some writers set it to 0, or to the data's, for none
		c.start = dictionary
	}
	return c
}
