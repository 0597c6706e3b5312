package data

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"ibot/imaging"
)

func init() {
	Register(Kind{
		Name: "zip",
		Doc:  "a .zip file with images laid out as in a folder",
		Claims: func(path string, info fs.FileInfo) bool {
			return info != nil && info.Mode().IsRegular() && strings.EqualFold(filepath.Ext(path), ".zip")
		},
		Open:   openZip,
		Splits: func(path string, o Options) ([]string, error) { return archiveParts(openZip(path, o)) },
	})
}

// openZip opens a zip archive. Its table of contents says where each member lies, so that an
// image in it is read alone. The place of an image has the checksum as aux, the size when unpacked
// as detail, and the method.
func openZip(path string, o Options) (Dataset, error) {
	x, err := o.indexed("zip", path, func() (*index, []stamp, error) {
		s, err := stampOf(path)
		if err != nil {
			return nil, nil, fmt.Errorf("data: %w", err)
		}
		notes := &index{}
		members, err := scanZip(path, notes)
		if err != nil {
			return nil, nil, fmt.Errorf("data: %s %w", path, err)
		}
		x, err := layOut(members, o.part)
		if err != nil {
			return nil, nil, fmt.Errorf("data: %s %w (looked for %s)", path, err, strings.Join(imageExtensions, " "))
		}
		x.shards, x.skipped = []string{path}, notes.skipped
		return x, []stamp{s}, nil
	})
	if err != nil {
		return nil, err
	}
	set := &packed{index: x, shards: newShards(x.shards), o: o}
	set.read = set.shards.readZipped
	return set, nil
}

// scanZip lists the images of an archive, and notes members that cannot be read.
func scanZip(path string, notes *index) ([]member, error) {
	r, err := zip.OpenReader(path)
	switch {
	case errors.Is(err, zip.ErrFormat):
		return nil, errors.New("is a zip file without its table of contents: " +
			"it was cut off or only half written, or is none; copy or download it again")
	case err != nil:
		return nil, fmt.Errorf("is a damaged zip file: %w", err)
	}
	defer r.Close()
	var members []member
	var first string // of those that are not read, with the reason
	for _, f := range r.File {
		name, isImage := memberName(f.Name)
		if !isImage || f.Mode().IsDir() {
			continue
		}
		offset, err := f.DataOffset()
		switch {
		case f.Flags&1 != 0:
			err = errors.New("is encrypted")
		case !f.Mode().IsRegular():
			err = errors.New("is a link or the like within a zip file; write it with the files themselves")
		case f.Method != zip.Store && f.Method != zip.Deflate:
			err = fmt.Errorf("is packed with %s, which is not read; pack it with deflate or stored", zipMethod(f.Method))
		case f.CompressedSize64 > imaging.MaxFileBytes || f.UncompressedSize64 > imaging.MaxFileBytes:
			err = fmt.Errorf("has %d bytes, at most %d are read", f.UncompressedSize64, imaging.MaxFileBytes)
		}
		if err != nil {
			notes.skip(name, err)
			first = cmp.Or(first, printable(name)+" "+err.Error())
			continue
		}
		members = append(members, member{name, place{
			offset: offset, size: int64(f.CompressedSize64), aux: int64(f.CRC32),
			detail: int32(f.UncompressedSize64), method: uint8(f.Method),
		}})
	}
	if len(members) == 0 && first != "" {
		return nil, errors.New("has no image that is read: " + first)
	}
	return members, nil
}

// zipMethod is how zip's manual calls a way of packing.
func zipMethod(method uint16) string {
	names := map[uint16]string{9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
	return cmp.Or(names[method], fmt.Sprintf("method %d", method))
}

// readZipped reads a member and checks it against its checksum.
func (s *shards) readZipped(p place) ([]byte, error) {
	b, err := s.read(p.shard, p.offset, p.size)
	if err != nil {
		return nil, err
	}
	if p.method == uint8(zip.Deflate) {
		// The buffer grows with what is really there, up to what the archive claims.
		var content bytes.Buffer
		content.Grow(min(int(p.detail), 8*len(b)) + 512)
		if _, err := content.ReadFrom(io.LimitReader(flate.NewReader(bytes.NewReader(b)), int64(p.detail)+1)); err != nil {
			return nil, fmt.Errorf("is damaged: %w", err)
		}
		b = content.Bytes()
	}
	if len(b) != int(p.detail) {
		return nil, fmt.Errorf("is damaged: it is not of the %d bytes that the archive claims", p.detail)
	}
	if int64(crc32.ChecksumIEEE(b)) != p.aux {
		return nil, errors.New("is damaged: its checksum is wrong")
	}
	return b, nil
}
