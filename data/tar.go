package data

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

func init() {
	Register(Kind{
		Name: "tar",
		Doc:  "a .tar file with images laid out as in a folder, or as a WebDataset shard",
		Claims: func(path string, info fs.FileInfo) bool {
			return info != nil && info.Mode().IsRegular() && strings.EqualFold(filepath.Ext(path), ".tar")
		},
		Open:   openTar,
		Splits: func(path string, o Options) ([]string, error) { return archiveParts(openTar(path, o)) },
	})
}

func openTar(path string, o Options) (Dataset, error) {
	return openTars("tar", path, []string{path}, nil, o)
}

// openTars opens tar files as one set. One pass over the headers says where each member lies, so
// that an image is read alone.
//
// Images with a label beside them, as WebDataset has them, are taken in the order of the files
// and members: see tarScan. Else a single file is laid out as a folder is.
func openTars(kind, path string, shards, folders []string, o Options) (Dataset, error) {
	x, err := o.indexed(kind, path, func() (*index, []stamp, error) {
		var stamps []stamp
		for _, path := range append(folders, shards...) {
			s, err := stampOf(path)
			if err != nil {
				return nil, nil, fmt.Errorf("data: %w", err)
			}
			stamps = append(stamps, s)
		}
		x, err := indexTars(shards, o.part)
		if err != nil {
			return nil, nil, err
		}
		x.shards = shards
		return x, stamps, nil
	})
	if err != nil {
		return nil, err
	}
	set := &packed{index: x, shards: newShards(x.shards), o: o}
	set.read = func(p place) ([]byte, error) { return set.shards.read(p.shard, p.offset, p.size) }
	return set, nil
}

func indexTars(shards []string, part string) (*index, error) {
	scan := tarScan{x: &index{}, many: len(shards) > 1, known: map[string]string{}}
	for i, path := range shards {
		err := scan.shard(int32(i), path)
		if err != nil && !scan.many {
			return nil, fmt.Errorf("data: %s %w", path, err)
		}
		if err != nil {
			scan.x.skip(path, err)
		}
	}
	if len(scan.members) == 0 && scan.many {
		return nil, fmt.Errorf("data: %s and %d other files hold no images (looked for %s)%s",
			shards[0], len(shards)-1, strings.Join(imageExtensions, " "), firstReason(scan.x))
	}
	if !scan.many && !scan.labelled() {
		x, err := layOut(scan.members, part)
		if err != nil {
			return nil, fmt.Errorf("data: %s %w (looked for %s)", shards[0], err, strings.Join(imageExtensions, " "))
		}
		x.skipped = scan.x.skipped
		return x, nil
	}
	return scan.index(shards)
}

func firstReason(x *index) string {
	if len(x.skipped) == 0 {
		return ""
	}
	return "; " + x.skipped[0].Path + " " + x.skipped[0].Error
}

// tarScan goes through the headers of tar files. In a WebDataset the members whose names agree up
// to the first dot of the last part are one sample, and follow one another. The label of its
// images is, of what there is, the text of its .cls, the value of label, cls or class in its
// .json, or the text of its .txt. Texts that differ from image to image are captions, and no
// labels.
type tarScan struct {
	x       *index
	many    bool // name the shard before the member
	members []member
	labels  []string
	known   map[string]string

	key    string // of the sample under way
	began  int    // its first image
	label  string
	rank   int // of what gave the label: 3 .cls, 2 .json, 1 .txt
	ranked int // the best of all samples
}

// largestLabel bounds the files that labels are read from.
const largestLabel = 64 << 10

// shard adds a file.
func (s *tarScan) shard(number int32, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return errors.Join(errors.New("cannot be read: it is no file"), err)
	}
	defer s.finish()
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = s.member(number, name, f, info.Size(), r, h)
		}
		if err != nil {
			at, _ := f.Seek(0, io.SeekCurrent)
			return fmt.Errorf("is damaged or was cut off, at byte %d of %d: %w", min(at, info.Size()), info.Size(), err)
		}
	}
}

// member adds one member. The reader of headers reads nothing ahead, so the file stands at the
// member's content.
func (s *tarScan) member(number int32, shard string, f *os.File, size int64, r io.Reader, h *tar.Header) error {
	name, isImage := memberName(h.Name)
	dir, base := path.Split(name)
	stem, ending, _ := strings.Cut(base, ".")
	if key := dir + stem; key != s.key {
		s.finish()
		s.key = key
	}
	if isImage && s.many {
		name = filepath.Base(shard) + "/" + name
	}
	switch {
	case isImage && h.Typeflag == tar.TypeReg && !sparse(h):
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if h.Size > size-offset {
			return io.ErrUnexpectedEOF
		}
		s.members = append(s.members, member{name, place{shard: number, offset: offset, size: h.Size}})
		s.labels = append(s.labels, "")
	case isImage && h.Typeflag != tar.TypeDir:
		s.x.skip(name, errors.New("is a link or a sparse file within a tar file; write it with the files themselves (tar --dereference --hard-dereference)"))
	case h.Typeflag == tar.TypeReg && h.Size <= largestLabel:
		return s.text(ending, r)
	}
	return nil
}

// sparse says whether holes are left out of a member's content.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

// text takes a label from a member that is no image.
func (s *tarScan) text(ending string, r io.Reader) error {
	rank := map[string]int{"cls": 3, "json": 2, "txt": 1}[strings.ToLower(ending)]
	if rank <= s.rank {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(r, largestLabel))
	if err != nil {
		return err
	}
	label := strings.TrimSpace(string(b))
	if rank == 2 {
		label = jsonLabel(b)
	}
	if label != "" && len(label) <= 256 {
		s.label, s.rank = label, rank
	}
	return nil
}

// jsonLabel is the label in a sample's JSON object, "" for none.
func jsonLabel(b []byte) string {
	var object map[string]json.RawMessage
	if json.Unmarshal(b, &object) != nil {
		return ""
	}
	for _, key := range []string{"label", "cls", "class"} {
		var text string
		var number json.Number
		if json.Unmarshal(object[key], &text) == nil {
			return strings.TrimSpace(text)
		}
		if json.Unmarshal(object[key], &number) == nil {
			return number.String()
		}
	}
	return ""
}

// finish gives the sample's label to its images.
func (s *tarScan) finish() {
	if s.rank > 0 && s.began < len(s.members) {
		if s.known == nil {
			s.known = map[string]string{}
		}
		for i := s.began; i < len(s.labels); i++ {
			s.labels[i] = intern(s.known, s.label)
		}
		s.ranked = max(s.ranked, s.rank)
	}
	s.began, s.label, s.rank, s.key = len(s.members), "", 0, ""
}

// labelled says whether labels were found that are no captions.
func (s *tarScan) labelled() bool {
	return s.ranked > 1 || s.ranked == 1 && len(s.known) <= len(s.members)/2
}

// index is the index of what was found, in the order in which it was.
func (s *tarScan) index(shards []string) (*index, error) {
	x := s.x
	x.places = make([]place, 0, len(s.members))
	for _, m := range s.members {
		if err := x.add(m.name); err != nil {
			return nil, err
		}
		x.places = append(x.places, m.place)
	}
	if !s.labelled() {
		return x, nil
	}
	var err error
	if x.labels, x.classes, err = numberLabels(s.labels); err != nil {
		return nil, fmt.Errorf("data: %s %w", shards[0], err)
	}
	return x, nil
}
