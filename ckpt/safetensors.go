package ckpt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"ibot/internal/atomicfile"
)

// The safetensors format (github.com/huggingface/safetensors): the length of the header as a
// little-endian uint64, the header, the numbers. The header is a JSON object of one entry an
// array, {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, and perhaps of
// "__metadata__", an object of strings. The arrays must cover the bytes behind the header
// without gap or overlap.
const (
	// maxSafetensorsHeader is the limit of the format's own library.
	maxSafetensorsHeader = 100_000_000

	safetensorsMeta = "__metadata__"
)

// looksLikeSafetensors reports whether the file begins with a plausible length and an object.
func looksLikeSafetensors(data []byte) bool {
	return len(data) > 8 && data[8] == '{' && binary.LittleEndian.Uint64(data) <= maxSafetensorsHeader
}

// safetensorsEntry is an array as the header describes it.
type safetensorsEntry struct {
	name    string
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets []uint64 `json:"data_offsets"`
}

// openSafetensors checks the header against the file and lists the arrays in the order of their
// bytes, which is the order they were written in; the header's own order may be any.
func openSafetensors(data []byte, c *Checkpoint) error {
	c.Format = "safetensors"
	length := binary.LittleEndian.Uint64(data)
	if length > uint64(len(data)-8) {
		return fmt.Errorf("is a safetensors file cut off in its header: %d bytes of %d are there; "+
			"it was half written or half downloaded", len(data)-8, length)
	}
	header, body := data[8:8+length], data[8+length:]
	entries, err := parseSafetensorsHeader(header, c.Meta)
	if err != nil {
		return fmt.Errorf("has a broken safetensors header: %w", err)
	}
	// Empty arrays begin where their neighbour does; the stable sort keeps them in the header's
	// order among themselves, and before an array with content.
	slices.SortStableFunc(entries, func(a, b safetensorsEntry) int {
		return cmp.Or(cmp.Compare(a.Offsets[0], b.Offsets[0]), cmp.Compare(a.Offsets[1], b.Offsets[1]))
	})
	end := uint64(0)
	for _, e := range entries {
		spec, err := e.spec()
		if err != nil {
			return fmt.Errorf("has a broken safetensors header: array %q %w", clip(e.name), err)
		}
		switch from := e.Offsets[0]; {
		case from < end:
			return fmt.Errorf("has a broken safetensors header: array %q overlaps the one before it by %d bytes", clip(e.name), end-from)
		case from > end:
			return fmt.Errorf("has a broken safetensors header: %d bytes before array %q belong to nothing", from-end, clip(e.name))
		}
		end = e.Offsets[1]
		if end > uint64(len(body)) {
			return fmt.Errorf("is a safetensors file cut off in array %q: it has %d bytes of numbers, its header needs at least %d; "+
				"it was half written or half downloaded", clip(e.name), len(body), end)
		}
		from, to := 8+length+e.Offsets[0], 8+length+end
		read := func() ([]byte, error) {
			expect(data, from, to)
			return data[from:to:to], nil
		}
		if err := c.add(spec, read); err != nil {
			return fmt.Errorf("has a broken safetensors header: two arrays are named %q", clip(e.name))
		}
	}
	if end != uint64(len(body)) {
		return fmt.Errorf("has %d bytes behind its last array, which belong to nothing", uint64(len(body))-end)
	}
	return nil
}

// parseSafetensorsHeader reads the JSON object. It goes key by key, because encoding/json would
// silently let the last of two equal keys win.
func parseSafetensorsHeader(header []byte, meta map[string]string) ([]safetensorsEntry, error) {
	if !utf8.Valid(header) {
		return nil, errors.New("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(header))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	var entries []safetensorsEntry
	sawMeta := false
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := key.(string) // the decoder admits nothing else as a key
		if name == safetensorsMeta {
			if sawMeta {
				return nil, errors.New("it has two " + safetensorsMeta)
			}
			sawMeta = true
			if err := dec.Decode(&meta); err != nil {
				return nil, fmt.Errorf("%s: %w", safetensorsMeta, err)
			}
			continue
		}
		e := safetensorsEntry{name: name}
		if err := dec.Decode(&e); err != nil {
			return nil, fmt.Errorf("array %q: %w", clip(name), err)
		}
		if len(e.Offsets) != 2 || e.Offsets[0] > e.Offsets[1] {
			return nil, fmt.Errorf("array %q has data_offsets %v, want a begin and an end behind it", clip(name), e.Offsets[:min(len(e.Offsets), 4)])
		}
		entries = append(entries, e)
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return entries, nil
}

// spec checks that type and shape need exactly the bytes that the offsets enclose. Its errors
// continue a sentence that begins with the array's name.
func (e safetensorsEntry) spec() (Spec, error) {
	dtype, ok := dtypeBy(e.DType, func(d DType) string { return dtypes[d].safetensors })
	if !ok {
		return Spec{}, fmt.Errorf("has the type %q, which is not read", clip(e.DType))
	}
	if e.Shape == nil {
		return Spec{}, errors.New("has no shape")
	}
	n, err := elements(e.Shape)
	if err != nil {
		return Spec{}, fmt.Errorf("is impossible: %w", err)
	}
	need := uint64(n) * uint64(dtype.Size()) // no overflow: elements leaves room
	if got := e.Offsets[1] - e.Offsets[0]; got != need || e.Offsets[1] > math.MaxInt64 {
		return Spec{}, fmt.Errorf("has data_offsets of %d bytes, its type and shape (%v %s) need %d", got, dtype, shapeText(e.Shape), need)
	}
	return Spec{e.name, dtype, e.Shape, int64(need)}, nil
}

// Write stores a checkpoint as a safetensors file: either all of it or, when anything fails,
// nothing, in which case a file that was there stays. The arrays keep their order; each is
// asked for, written and let go before the next.
//
// Meta goes into the file as it is. Unicode and complex128 arrays have no type in this format
// and are an error.
func Write(path string, c *Checkpoint) error {
	header, err := safetensorsHeader(c)
	if err != nil {
		return err
	}
	err = atomicfile.Write(path, func(w io.Writer) error { return encode(w, header, c) })
	if err != nil {
		return fmt.Errorf("ckpt: %w", err)
	}
	return nil
}

// encode writes the header and then array by array.
func encode(w io.Writer, header []byte, c *Checkpoint) error {
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, name := range c.names {
		a, err := c.Array(name)
		if err != nil {
			return err
		}
		if _, err := w.Write(a.Data); err != nil {
			return err
		}
	}
	return nil
}

// safetensorsHeader returns all that comes before the numbers.
func safetensorsHeader(c *Checkpoint) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8)) // the length, known at the end
	b.WriteByte('{')
	if len(c.Meta) > 0 {
		meta, err := json.Marshal(c.Meta) // sorts the keys
		if err != nil {
			return nil, fmt.Errorf("ckpt: cannot write the metadata: %w", err)
		}
		fmt.Fprintf(&b, "%q:%s", safetensorsMeta, meta)
	}
	offset := int64(0)
	for i, s := range c.Specs() {
		code := dtypes[s.DType].safetensors
		if code == "" {
			return nil, fmt.Errorf("ckpt: safetensors has no type for %v, which %q is of", s.DType, s.Name)
		}
		if s.Name == safetensorsMeta || !utf8.ValidString(s.Name) {
			return nil, fmt.Errorf("ckpt: safetensors cannot hold an array named %q", s.Name)
		}
		if i > 0 || len(c.Meta) > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(s.Name)
		if err != nil {
			return nil, fmt.Errorf("ckpt: cannot write the name %q: %w", s.Name, err)
		}
		shape, err := json.Marshal(append([]int{}, s.Shape...)) // never null
		if err != nil {
			return nil, fmt.Errorf("ckpt: cannot write the shape of %q: %w", s.Name, err)
		}
		fmt.Fprintf(&b, `%s:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, code, shape, offset, offset+s.Bytes)
		offset += s.Bytes
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 { // so that the numbers begin at a multiple of eight bytes
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxSafetensorsHeader {
		return nil, fmt.Errorf("ckpt: the header would have %d bytes, safetensors allows %d", b.Len()-8, maxSafetensorsHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes(), nil
}
