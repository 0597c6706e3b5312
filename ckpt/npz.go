package ckpt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The npy format, versions 1 to 3 (numpy.lib.format): magic, version, length of the header, the
// header (a Python dict literal padded with spaces, ended by a newline), the numbers.
const (
	npyMagic = "\x93NUMPY"

	// maxNpyHeader is far above NumPy's own limit of 10,000 characters.
	maxNpyHeader = 64 << 10
)

// npyHeader is what an npy file says about its array.
type npyHeader struct {
	dtype     DType
	itemSize  int // bytes of an element
	bigEndian bool
	fortran   bool
	shape     []int
	start     int   // where the numbers begin
	bytes     int64 // and how many bytes they are
}

// openNpz lists the members of an archive of npy files, which numpy.savez names after its
// keywords with ".npy" appended.
func openNpz(a *archive, c *Checkpoint) error {
	c.Format = "npz"
	for _, f := range a.files {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok {
			return fmt.Errorf("is an npz file with a member %q, which is no .npy", clip(f.Name))
		}
		head, err := a.head(f, maxNpyHeader+12)
		if err != nil {
			return err
		}
		h, err := parseNpyHeader(head)
		if err != nil {
			return fmt.Errorf("has an array %q that %w", clip(name), err)
		}
		if got := int64(f.UncompressedSize64) - int64(h.start); got != h.bytes { // bounded by openArchive
			return fmt.Errorf("has an array %q of %d bytes, its header needs %d", clip(name), got, h.bytes)
		}
		load := func() ([]byte, error) {
			content, err := a.bytes(f)
			if err != nil {
				return nil, err
			}
			return h.decode(content)
		}
		if err := c.add(Spec{name, h.dtype, h.shape, h.bytes}, load); err != nil {
			return fmt.Errorf("has two arrays named %q", clip(name))
		}
	}
	return nil
}

// openNpy takes a single npy file, whose array has no name of its own.
func openNpy(data []byte, c *Checkpoint) error {
	c.Format = "npy"
	h, err := parseNpyHeader(data[:min(len(data), maxNpyHeader+12)])
	if err != nil {
		return fmt.Errorf("is an npy file that %w", err)
	}
	if got := int64(len(data) - h.start); got != h.bytes {
		return fmt.Errorf("is an npy file with %d bytes of numbers where its header needs %d; it was %s",
			got, h.bytes, map[bool]string{true: "cut off", false: "extended"}[got < h.bytes])
	}
	return c.add(Spec{rootName, h.dtype, h.shape, h.bytes}, func() ([]byte, error) { return h.decode(data) })
}

// parseNpyHeader reads the header at the start of b.
func parseNpyHeader(b []byte) (npyHeader, error) {
	var h npyHeader
	if len(b) < 10 || string(b[:6]) != npyMagic {
		return h, errors.New("does not begin as npy files do")
	}
	var length, start int
	switch b[6] {
	case 1:
		length, start = int(binary.LittleEndian.Uint16(b[8:])), 10
	case 2, 3: // 3 allows UTF-8 in the names of record fields, which are refused anyway
		if len(b) < 12 {
			return h, errors.New("ends in the middle of its header")
		}
		n := binary.LittleEndian.Uint32(b[8:])
		if n > maxNpyHeader {
			return h, fmt.Errorf("claims a header of %d bytes, at most %d are read", n, maxNpyHeader)
		}
		length, start = int(n), 12
	default:
		return h, fmt.Errorf("is of npy version %d, versions 1 to 3 are known", b[6])
	}
	if len(b)-start < length {
		return h, errors.New("ends in the middle of its header")
	}
	h.start = start + length
	if err := h.parseDict(string(b[start:h.start])); err != nil {
		return h, err
	}
	n, err := elements(h.shape)
	if err != nil {
		return h, err
	}
	h.bytes = int64(n) * int64(h.itemSize)
	if n > 0 && h.bytes/int64(n) != int64(h.itemSize) {
		return h, fmt.Errorf("claims %d elements of %d bytes", n, h.itemSize)
	}
	return h, nil
}

// parseDict reads the header's dict, such as
// {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
func (h *npyHeader) parseDict(text string) error {
	bad := fmt.Errorf("has a header that is not understood: %q", clip(strings.TrimSpace(text)))
	s := strings.TrimSpace(text)
	if len(s) < 2 || s[0] != '{' || s[len(s)-1] != '}' {
		return bad
	}
	s = s[1 : len(s)-1]
	seen := map[string]bool{}
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		key, rest, ok := cutQuoted(s)
		if rest, ok = cutAfter(rest, ":", ok); !ok || seen[key] {
			return bad
		}
		seen[key] = true
		switch key {
		case "descr":
			if strings.HasPrefix(rest, "[") {
				return errors.New("holds records of several fields, which are not read")
			}
			descr, after, ok := cutQuoted(rest)
			if !ok {
				return bad
			}
			if err := h.setType(descr); err != nil {
				return err
			}
			rest = after
		case "fortran_order":
			if rest, h.fortran = strings.CutPrefix(rest, "True"); !h.fortran {
				if rest, ok = strings.CutPrefix(rest, "False"); !ok {
					return bad
				}
			}
		case "shape":
			inside, after, ok := strings.Cut(rest, ")")
			if inside, ok = cutAfter(inside, "(", ok); !ok {
				return bad
			}
			h.shape = []int{}
			for number := range strings.SplitSeq(inside, ",") {
				// Python 2 wrote long integers with an L behind them.
				if number = strings.TrimSuffix(strings.TrimSpace(number), "L"); number == "" {
					continue
				}
				d, err := strconv.Atoi(number)
				if err != nil {
					return bad
				}
				h.shape = append(h.shape, d)
			}
			rest = after
		default:
			return bad
		}
		rest = strings.TrimSpace(rest)
		if s, ok = strings.CutPrefix(rest, ","); !ok && rest != "" {
			return bad
		}
	}
	if !seen["descr"] || !seen["fortran_order"] || !seen["shape"] {
		return bad
	}
	return nil
}

// setType reads a type string of the array interface, such as "<f4", ">i8", "|b1" or "<U12".
func (h *npyHeader) setType(descr string) error {
	unread := fmt.Errorf("has elements of NumPy type %q, which are not read", clip(descr))
	if len(descr) < 3 {
		if descr == "|O" || descr == "O" {
			return errors.New("holds pickled Python objects, which are not read")
		}
		return unread
	}
	switch descr[0] {
	case '<', '|':
	case '>':
		h.bigEndian = true
	default:
		return unread
	}
	if width, isText := strings.CutPrefix(descr[1:], "U"); isText {
		n, err := strconv.Atoi(width)
		if err != nil || n < 0 || n > 1<<20 {
			return unread
		}
		h.dtype, h.itemSize = Unicode, 4*n
		return nil
	}
	d, ok := dtypeBy(descr[1:], func(d DType) string { return dtypes[d].numpy })
	if !ok {
		return unread
	}
	h.dtype, h.itemSize = d, d.Size()
	return nil
}

// decode returns the numbers of a whole npy file in this package's order, in place where they
// are so already.
func (h npyHeader) decode(file []byte) ([]byte, error) {
	if int64(len(file)-h.start) != h.bytes {
		return nil, fmt.Errorf("holds %d bytes of numbers, its header needs %d", len(file)-h.start, h.bytes)
	}
	data := file[h.start:]
	strides := rowMajor(h.shape)
	if h.fortran {
		strides = columnMajor(h.shape)
	}
	if contiguous(h.shape, strides) && !h.bigEndian {
		return data, nil
	}
	data = gather(data, h.itemSize, h.shape, strides)
	if h.bigEndian {
		swapBytes(data, h.dtype.swapUnit())
	}
	return data, nil
}

// cutQuoted splits s after a leading text in single or double quotes. Escapes do not occur in
// headers that NumPy writes.
func cutQuoted(s string) (quoted, rest string, ok bool) {
	if s == "" || s[0] != '\'' && s[0] != '"' {
		return "", s, false
	}
	quoted, rest, ok = strings.Cut(s[1:], s[:1])
	return quoted, rest, ok
}

// cutAfter removes a leading token and the blanks around it, if all went well before.
func cutAfter(s, token string, ok bool) (string, bool) {
	if !ok {
		return s, false
	}
	s, ok = strings.CutPrefix(strings.TrimSpace(s), token)
	return strings.TrimSpace(s), ok
}
