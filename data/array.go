package data

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ibot/imaging"
	"ibot/internal/npy"
)

func init() {
	Register(Kind{
		Name: "array",
		Doc:  "a .npy or .npz file with images as bytes, N x H x W or N x H x W x C",
		Claims: func(path string, info fs.FileInfo) bool {
			ending := strings.ToLower(filepath.Ext(path))
			return info != nil && info.Mode().IsRegular() && (ending == ".npy" || ending == ".npz")
		},
		Open: openArray,
		Splits: func(path string, _ Options) (parts []string, err error) {
			err = withArrays(path, func(a arrays) error {
				parts = partsAmong(func(part string) bool { return a.find(part, imageArrays) != nil })
				return nil
			})
			if err != nil {
				return nil, fmt.Errorf("data: %s %w", path, err)
			}
			return parts, nil
		},
	})
}

// The names by which the images, labels and class names of an npz file go, behind the part and an
// underscore ("train_images", as MedMNIST has them) or before it ("x_train", as Keras).
var (
	imageArrays = []string{"images", "image", "x", "data", "arr_0"}
	labelArrays = []string{"labels", "label", "y", "targets", "arr_1"}
	classArrays = []string{"classes", "class_names", "label_names"}
)

// largestUnpacked bounds a compressed array, which has to be in memory as a whole.
const largestUnpacked = 2 << 30

// array is a Dataset of images as they are, all of one size.
type array struct {
	path    string
	h, w, c int
	n       int
	labels  []int32
	classes []string
	o       Options
	pixels  io.ReaderAt // from the first image on
}

// openArray opens NumPy's arrays of images of 8 bits. A file that is not compressed is read image
// by image; one made by savez_compressed is unpacked into memory.
func openArray(path string, o Options) (Dataset, error) {
	a := &array{path: path, o: o}
	err := withArrays(path, func(all arrays) error {
		part := o.part
		if part == "" && all.find("train", imageArrays) != nil {
			part = "train"
		}
		images := all.find(part, imageArrays)
		if images == nil {
			return fmt.Errorf("has no array named images; it has %s", few(all.names(), 8))
		}
		if err := a.setImages(images); err != nil {
			return fmt.Errorf("has an array %q that %w", images.name, err)
		}
		labels := all.find(part, labelArrays)
		if labels == nil {
			return nil
		}
		if err := a.setLabels(labels, all.find("", classArrays)); err != nil {
			return fmt.Errorf("has an array %q that %w", labels.name, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("data: %s %w", path, err)
	}
	return a, nil
}

func (a *array) Len() int          { return a.n }
func (a *array) Name(i int) string { return numbered(a.path, i) }
func (a *array) Classes() []string { return a.classes }

func (a *array) Label(i int) int {
	if a.labels == nil {
		return -1
	}
	return int(a.labels[i])
}

func (a *array) Load(i int) (*imaging.Image, error) {
	im := imaging.New(a.w, a.h, a.c)
	if _, err := a.pixels.ReadAt(im.Pix, int64(i)*int64(len(im.Pix))); err != nil {
		return nil, fmt.Errorf("data: %s cannot be read: %w", a.Name(i), err)
	}
	im, err := withChannels(im, a.o.Decode.Channels)
	if err != nil {
		return nil, fmt.Errorf("data: %s %w", a.Name(i), err)
	}
	return im, nil
}

// withChannels is im with another number of channels, as imaging decodes files: gray is repeated,
// RGB mixed as Pillow's convert("L") does, alpha dropped.
func withChannels(im *imaging.Image, want int) (*imaging.Image, error) {
	if want == 0 {
		want = 3
	}
	if want == im.C {
		return im, nil
	}
	if want != 1 && want != 3 || im.C > 4 {
		return nil, fmt.Errorf("has %d channels, wanted %d; use --in_chans %d", im.C, want, im.C)
	}
	out := imaging.New(im.W, im.H, want)
	for i := range im.W * im.H {
		from, to := im.Pix[i*im.C:(i+1)*im.C], out.Pix[i*want:(i+1)*want]
		switch {
		case im.C < 3: // gray, perhaps with alpha
			for j := range to {
				to[j] = from[0]
			}
		case want == 3:
			copy(to, from)
		default:
			to[0] = uint8((19595*int(from[0]) + 38470*int(from[1]) + 7471*int(from[2]) + 1<<15) >> 16)
		}
	}
	return out, nil
}

// setImages checks the array of images.
func (a *array) setImages(m *arrayMember) error {
	shape := m.header.Shape
	switch {
	case m.header.Descr != "|u1" && m.header.Descr != "<u1" && m.header.Descr != ">u1":
		return fmt.Errorf("has elements of type %q, wanted bytes; save it with .astype(\"uint8\")", m.header.Descr)
	case m.header.Fortran:
		return errors.New("is in Fortran's order; save it with numpy.ascontiguousarray")
	case len(shape) != 3 && len(shape) != 4:
		return fmt.Errorf("has the shape %v, wanted images x height x width, or with x channels behind", shape)
	case len(shape) == 3 && (shape[2] == 3 || shape[2] == 4) && min(shape[0], shape[1]) > 4:
		return fmt.Errorf("has the shape %v, which is that of a single picture; wanted images x height x width, or with x channels behind", shape)
	case slices.Min(shape) < 1 || slices.Max(shape[1:]) > 1<<20 || shape[1]*shape[2] > imaging.MaxPixels:
		return fmt.Errorf("has the shape %v", shape)
	}
	a.n, a.h, a.w, a.c = shape[0], shape[1], shape[2], 1
	if len(shape) == 4 {
		a.c = shape[3]
	}
	if a.c > 64 {
		return fmt.Errorf("has the shape %v, so %d channels; channels come last: save it with .transpose(0, 2, 3, 1)", shape, a.c)
	}
	var err error
	a.pixels, err = m.reader()
	return err
}

// setLabels reads labels that are numbers or texts.
func (a *array) setLabels(m, classes *arrayMember) error {
	labels, err := m.texts()
	if err != nil {
		return err
	}
	if len(labels) != a.n {
		return fmt.Errorf("has %d labels for %d images", len(labels), a.n)
	}
	if a.labels, a.classes, err = numberLabels(labels); err != nil || classes == nil {
		return err
	}
	names, err := classes.texts()
	if err == nil && len(names) >= len(a.classes) && !strings.HasPrefix(m.header.Descr[1:], "U") {
		a.classes = names
	}
	return nil
}

// arrays are the arrays of a file.
type arrays []*arrayMember

// arrayMember is an npy file, alone or in an npz file.
type arrayMember struct {
	name   string
	path   string
	header *npy.Header
	offset int64     // of the first element in the file, where it is not compressed
	packed *zip.File // where it is
}

func (a arrays) names() (names []string) {
	for _, m := range a {
		names = append(names, m.name)
	}
	return names
}

// find is the array of a part by one of its names; nil for none.
func (a arrays) find(part string, names []string) *arrayMember {
	for _, name := range names {
		for _, m := range a {
			if part == "" && m.name == name || part != "" && (m.name == part+"_"+name || m.name == name+"_"+part) {
				return m
			}
		}
	}
	return nil
}

// withArrays opens a file and calls use with what it holds.
func withArrays(path string, use func(arrays) error) error {
	if strings.EqualFold(filepath.Ext(path), ".npz") {
		r, err := zip.OpenReader(path)
		if err != nil {
			return fmt.Errorf("is no npz file, or a damaged one: %w", err)
		}
		defer r.Close()
		var all arrays
		for _, f := range r.File {
			m, err := npzMember(path, f)
			if err != nil {
				return fmt.Errorf("has a member %.80q that %w", f.Name, err)
			}
			if m != nil {
				all = append(all, m)
			}
		}
		return use(all)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, npy.HeaderSize))
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	h, err := npy.ParseHeader(head)
	if err != nil {
		return err
	}
	return use(arrays{{name: "images", path: path, header: h, offset: int64(h.Start)}})
}

// npzMember is a member of an npz file, nil where it is no array.
func npzMember(path string, f *zip.File) (*arrayMember, error) {
	name, isArray := strings.CutSuffix(f.Name, ".npy")
	if !isArray {
		return nil, nil
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer r.Close()
	head, err := io.ReadAll(io.LimitReader(r, npy.HeaderSize))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	h, err := npy.ParseHeader(head)
	if err != nil {
		return nil, err
	}
	m := &arrayMember{name: name, path: path, header: h, packed: f}
	if f.Method == zip.Store {
		start, err := f.DataOffset()
		if err != nil {
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
		m.packed, m.offset = nil, start+int64(h.Start)
	}
	return m, nil
}

// itemSize is the bytes of an element; 0 for types that are not read.
func (m *arrayMember) itemSize() int64 {
	if len(m.header.Descr) < 3 {
		return 0
	}
	n, err := strconv.Atoi(m.header.Descr[2:])
	switch kind := m.header.Descr[1]; {
	case err != nil || n < 1 || n > 1<<16:
		return 0
	case kind == 'U':
		return 4 * int64(n)
	case (kind == 'u' || kind == 'i') && (n == 1 || n == 2 || n == 4 || n == 8), kind == 'b' && n == 1:
		return int64(n)
	}
	return 0
}

// reader reads the elements, once it is sure that they are there.
func (m *arrayMember) reader() (io.ReaderAt, error) {
	item := m.itemSize()
	if item == 0 || m.header.Count > largestArray/item {
		return nil, fmt.Errorf("has %d elements of type %q, which are not read", m.header.Count, m.header.Descr)
	}
	size := m.header.Count * item
	if m.packed == nil {
		f, err := os.Open(m.path)
		if err != nil {
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
		info, err := f.Stat()
		if err != nil || info.Size()-m.offset < size {
			f.Close()
			return nil, fmt.Errorf("needs %d bytes, of which %d are there; it was cut off", size, max(0, sizeOf(info)-m.offset))
		}
		return io.NewSectionReader(f, m.offset, size), nil
	}
	if size > largestUnpacked {
		return nil, fmt.Errorf("is compressed and has %d bytes, at most %d are unpacked; write it with numpy.savez", size, int64(largestUnpacked))
	}
	r, err := m.packed.Open()
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer r.Close()
	// It grows with what is really there.
	content, err := io.ReadAll(io.LimitReader(r, int64(m.header.Start)+size+1))
	if err == nil && int64(len(content)) != int64(m.header.Start)+size {
		err = fmt.Errorf("it has %d bytes and needs %d", len(content)-m.header.Start, size)
	}
	if err != nil {
		return nil, fmt.Errorf("is damaged: %w", err)
	}
	return bytes.NewReader(content[m.header.Start:]), nil
}

const largestArray = 1 << 60

func sizeOf(info fs.FileInfo) int64 {
	if info == nil {
		return 0
	}
	return info.Size()
}

// texts reads an array of one axis, or of a second of length one, as text.
func (m *arrayMember) texts() ([]string, error) {
	shape := m.header.Shape
	if len(shape) != 1 && (len(shape) != 2 || shape[1] != 1) {
		return nil, fmt.Errorf("has the shape %v, wanted one label an image", shape)
	}
	r, err := m.reader()
	if err != nil {
		return nil, err
	}
	item := m.itemSize()
	var order binary.ByteOrder = binary.LittleEndian
	if m.header.Descr[0] == '>' {
		order = binary.BigEndian
	}
	known := map[string]string{}
	texts := make([]string, 0, m.header.Count)
	b := make([]byte, item)
	buffered := bufio.NewReader(io.NewSectionReader(r, 0, m.header.Count*item))
	for range m.header.Count {
		if _, err := io.ReadFull(buffered, b); err != nil {
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
		texts = append(texts, intern(known, element(m.header.Descr[1], b, order)))
	}
	return texts, nil
}

// element is an element as text.
func element(kind byte, b []byte, order binary.ByteOrder) string {
	if kind == 'U' {
		var text []rune
		for ; len(b) > 0; b = b[4:] {
			if r := order.Uint32(b); r != 0 {
				text = append(text, rune(r))
			}
		}
		return string(text)
	}
	var v uint64
	switch len(b) {
	case 1:
		v = uint64(b[0])
	case 2:
		v = uint64(order.Uint16(b))
	case 4:
		v = uint64(order.Uint32(b))
	case 8:
		v = order.Uint64(b)
	}
	if kind == 'i' {
		shift := 64 - 8*len(b)
		return strconv.FormatInt(int64(v<<shift)>>shift, 10)
	}
	return strconv.FormatUint(v, 10)
}
