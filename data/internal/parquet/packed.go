package parquet

import "encoding/binary"

// hybrid reads the mix of repeated and bit-packed numbers of which levels and dictionary indices
// are made: a run is its length shifted by one and a value, or its number of groups of eight
// shifted by one, plus one, and the packed values.
type hybrid struct {
	b      []byte
	width  int // bits of a number
	left   uint64
	value  uint32
	packed []byte // of the run under way; nil: value is repeated
	bit    int
}

// next returns the next number, and false when there is none.
func (h *hybrid) next() (uint32, bool) {
	if h.width == 0 {
		return 0, true
	}
	for h.left == 0 {
		if !h.run() {
			return 0, false
		}
	}
	h.left--
	if h.packed == nil {
		return h.value, true
	}
	v := unpack(h.packed, h.bit, h.width)
	h.bit += h.width
	return uint32(v), true
}

// run begins the next run.
func (h *hybrid) run() bool {
	head, n := binary.Uvarint(h.b)
	if n <= 0 {
		return false
	}
	h.b = h.b[n:]
	if head&1 == 0 {
		size := (h.width + 7) / 8
		if len(h.b) < size {
			return false
		}
		var value [4]byte
		copy(value[:], h.b[:size])
		h.left, h.value, h.packed = head>>1, binary.LittleEndian.Uint32(value[:]), nil
		h.b = h.b[size:]
		return true
	}
	groups := head >> 1
	size := groups * uint64(h.width)
	if groups > uint64(len(h.b)) || size > uint64(len(h.b)) {
		// The last run may leave out what pads it to eight.
		size = uint64(len(h.b))
		groups = 0
	}
	h.left = groups * 8
	if groups == 0 {
		h.left = size * 8 / uint64(h.width)
	}
	h.packed, h.bit, h.b = h.b[:size:size], 0, h.b[size:]
	return h.left > 0
}

// unpack returns the number of width bits that begins at a bit of b, lowest bits first. Bytes
// past the end count as 0.
func unpack(b []byte, bit, width int) uint64 {
	var v uint64
	for got := 0; got < width; {
		at, shift := (bit+got)/8, (bit+got)%8
		if at >= len(b) {
			break
		}
		v |= uint64(b[at]>>shift) << got
		got += 8 - shift
	}
	if width < 64 {
		v &= 1<<width - 1
	}
	return v
}

// deltaInts reads n numbers of DELTA_BINARY_PACKED, and returns what follows them: a first value,
// then blocks of differences, each block with a least difference and miniblocks of their own
// width.
func deltaInts(data []byte, n int) (values []int64, rest []byte, err error) {
	t := &thrift{b: data} // its numbers are the same
	block, minis, total, first := t.uvarint(), t.uvarint(), t.uvarint(), t.int()
	if t.err != nil || minis == 0 || minis > 1<<10 || block == 0 || block > 1<<20 || block%minis != 0 || total != uint64(n) {
		return nil, nil, errCut
	}
	perMini := int(block / minis)
	if n == 0 {
		return nil, data[t.at:], nil
	}
	values = append(values, first)
	for len(values) < n {
		least := t.int()
		if t.err != nil || len(data)-t.at < int(minis) {
			return nil, nil, errCut
		}
		widths := data[t.at : t.at+int(minis)]
		t.at += int(minis)
		for _, width := range widths {
			if len(values) == n {
				break
			}
			size := (perMini*int(width) + 7) / 8
			if width > 64 || size > len(data)-t.at {
				return nil, nil, errCut
			}
			packed := data[t.at : t.at+size]
			t.at += size
			for i := 0; i < perMini && len(values) < n; i++ {
				first += least + int64(unpack(packed, i*int(width), int(width)))
				values = append(values, first)
			}
		}
	}
	return values, data[t.at:], nil
}
