// Package npy reads the headers of NumPy's array files, versions 1 to 3 (numpy.lib.format): a
// magic, the length of the header, and a header that is a Python dict literal such as
//
//	{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
package npy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Magic is how npy files begin.
const Magic = "\x93NUMPY"

// HeaderSize is how much of a file ParseHeader needs to see at most. It is far above NumPy's own
// limit of 10,000 characters.
const HeaderSize = 12 + maxDict

const maxDict = 64 << 10

// Header is what a file says about its array.
type Header struct {
	Descr   string // type of an element, such as "|u1", "<i8" or "<U12"
	Fortran bool   // the first axis is the fastest
	Shape   []int
	Start   int   // offset of the first element
	Count   int64 // elements in all
}

// ParseHeader reads the header at the start of b, which holds HeaderSize bytes or all that the
// file has. Errors follow a name: "is ...", "has ...".
func ParseHeader(b []byte) (*Header, error) {
	if len(b) < 10 || string(b[:6]) != Magic {
		return nil, errors.New("does not begin as npy files do")
	}
	var length, start int
	switch b[6] {
	case 1:
		length, start = int(binary.LittleEndian.Uint16(b[8:])), 10
	case 2, 3: // 3 allows UTF-8 in the names of record fields
		if len(b) < 12 {
			return nil, errors.New("ends in the midst of its header")
		}
		n := binary.LittleEndian.Uint32(b[8:])
		if n > maxDict {
			return nil, fmt.Errorf("claims a header of %d bytes, at most %d are read", n, maxDict)
		}
		length, start = int(n), 12
	default:
		return nil, fmt.Errorf("is of npy version %d, versions 1 to 3 are known", b[6])
	}
	if len(b)-start < length {
		return nil, errors.New("ends in the midst of its header")
	}
	h := &Header{Start: start + length, Count: 1}
	if err := h.dict(string(b[start:h.Start])); err != nil {
		return nil, err
	}
	for _, n := range h.Shape {
		if n < 0 {
			return nil, fmt.Errorf("claims the shape %.80s, which has a negative size", fmt.Sprint(h.Shape))
		}
		if n > 0 && h.Count > math.MaxInt64/int64(n) {
			return nil, fmt.Errorf("claims the shape %.80s, which has more elements than any memory", fmt.Sprint(h.Shape))
		}
		h.Count *= int64(n)
	}
	return h, nil
}

// dict reads the dict literal.
func (h *Header) dict(text string) error {
	text = strings.TrimSpace(text)
	bad := fmt.Errorf("has a header that is not understood: %.80q", text)
	s, ok := strings.CutPrefix(text, "{")
	if s, ok = cutSuffix(s, "}", ok); !ok {
		return bad
	}
	seen := map[string]bool{}
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		key, rest, ok := quoted(s)
		if rest, ok = cutPrefix(rest, ":", ok); !ok || seen[key] {
			return bad
		}
		seen[key] = true
		if rest, ok = h.value(key, rest); !ok {
			if key == "descr" && strings.HasPrefix(rest, "[") {
				return errors.New("holds records of several fields, which are not read")
			}
			return bad
		}
		if s, ok = cutPrefix(rest, ",", true); !ok && s != "" {
			return bad
		}
	}
	if !seen["descr"] || !seen["fortran_order"] || !seen["shape"] {
		return bad
	}
	return nil
}

// value reads the value of a key and returns what follows it.
func (h *Header) value(key, s string) (rest string, ok bool) {
	switch key {
	case "descr":
		h.Descr, rest, ok = quoted(s)
		return rest, ok
	case "fortran_order":
		if rest, h.Fortran = strings.CutPrefix(s, "True"); h.Fortran {
			return rest, true
		}
		return strings.CutPrefix(s, "False")
	case "shape":
		inside, rest, ok := strings.Cut(s, ")")
		if inside, ok = cutPrefix(inside, "(", ok); !ok {
			return s, false
		}
		h.Shape = []int{} // a scalar has no axes
		for number := range strings.SplitSeq(inside, ",") {
			// Python 2 wrote long integers with an L behind them.
			if number = strings.TrimSuffix(strings.TrimSpace(number), "L"); number == "" {
				continue
			}
			n, err := strconv.Atoi(number)
			if err != nil {
				return s, false
			}
			h.Shape = append(h.Shape, n)
		}
		return rest, true
	}
	return s, false
}

// quoted splits s after a leading text in quotes. Headers that NumPy writes have no escapes.
func quoted(s string) (text, rest string, ok bool) {
	if s == "" || s[0] != '\'' && s[0] != '"' {
		return "", s, false
	}
	return strings.Cut(s[1:], s[:1])
}

// cutPrefix removes a leading token and the blanks around it, if all went well before.
func cutPrefix(s, token string, ok bool) (string, bool) {
	if !ok {
		return s, false
	}
	s, ok = strings.CutPrefix(strings.TrimSpace(s), token)
	return strings.TrimSpace(s), ok
}

func cutSuffix(s, token string, ok bool) (string, bool) {
	if !ok {
		return s, false
	}
	return strings.CutSuffix(s, token)
}
