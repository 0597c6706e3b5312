package ckpt

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"ibot/internal/npy"
)

// npyArray is what an npy file says about its array.
type npyArray struct {
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
		head, err := a.head(f, npy.HeaderSize)
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
	h, err := parseNpyHeader(data[:min(len(data), npy.HeaderSize)])
	if err != nil {
		return fmt.Errorf("is an npy file that %w", err)
	}
	if got := int64(len(data) - h.start); got != h.bytes {
		return fmt.Errorf("is an npy file with %d bytes of numbers where its header needs %d; it was %s",
			got, h.bytes, map[bool]string{true: "cut off", false: "extended"}[got < h.bytes])
	}
	return c.add(Spec{rootName, h.dtype, h.shape, h.bytes}, func() ([]byte, error) { return h.decode(data) })
}

// parseNpyHeader reads the header at the start of b, and refuses elements that no checkpoint has.
func parseNpyHeader(b []byte) (npyArray, error) {
	header, err := npy.ParseHeader(b)
	if err != nil {
		return npyArray{}, err
	}
	h := npyArray{fortran: header.Fortran, shape: header.Shape, start: header.Start}
	if err := h.setType(header.Descr); err != nil {
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

// setType reads a type string of the array interface, such as "<f4", ">i8", "|b1" or "<U12".
func (h *npyArray) setType(descr string) error {
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
func (h npyArray) decode(file []byte) ([]byte, error) {
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
