package ckpt

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// archive is a zip file in memory. Both npz and pth are one.
type archive struct {
	data      []byte
	files     []*zip.File
	unchecked bool // the checksums of stored members mean nothing
}

const (
	// maxMembers bounds the table of contents. A ViT-L checkpoint with optimizer state has 2,000.
	maxMembers = 1 << 20

	// A deflated member of n bytes can become 1,032 n. Arrays of zeros really do, so members are
	// not refused for their own ratio, but all together may not exceed these bounds.
	inflateFree  = 256 << 20
	inflateRatio = 100
)

// openArchive reads the table of contents, which stands at the end of a zip file: without it the
// file has been cut off.
func openArchive(data []byte) (*archive, error) {
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	switch {
	case errors.Is(err, zip.ErrFormat):
		return nil, errors.New("is a zip file without its table of contents: " +
			"it was cut off or only half written; copy or download it again")
	case err != nil:
		return nil, fmt.Errorf("is a damaged zip file: %w", err)
	case len(r.File) > maxMembers:
		return nil, fmt.Errorf("is a zip file of %d members, at most %d are read", len(r.File), maxMembers)
	}
	limit := inflateFree + inflateRatio*uint64(len(data))
	budget := limit
	for _, f := range r.File {
		if f.UncompressedSize64 > budget {
			return nil, fmt.Errorf("would grow from %d bytes to more than %d when unpacked, at member %q; "+
				"unpack it yourself if you trust it", len(data), limit, clip(f.Name))
		}
		budget -= f.UncompressedSize64
	}
	return &archive{data: data, files: r.File}, nil
}

// stored returns the bytes of a member that lies in the archive as it is.
func (a *archive) stored(f *zip.File) ([]byte, error) {
	offset, err := f.DataOffset()
	if err != nil {
		return nil, fmt.Errorf("zip member %q: %w", clip(f.Name), err)
	}
	size := f.UncompressedSize64
	if f.CompressedSize64 != size || offset < 0 || offset > int64(len(a.data)) || size > uint64(len(a.data))-uint64(offset) {
		return nil, fmt.Errorf("zip member %q claims %d bytes at %d of a file of %d", clip(f.Name), size, offset, len(a.data))
	}
	return a.data[offset : uint64(offset)+size : uint64(offset)+size], nil
}

// bytes returns the content of a member, in place if it is stored and in fresh memory if it is
// compressed.
func (a *archive) bytes(f *zip.File) ([]byte, error) {
	if f.Method == zip.Store {
		content, err := a.stored(f)
		if offset, err := f.DataOffset(); err == nil && len(content) > 0 {
			expect(a.data, uint64(offset), uint64(offset)+uint64(len(content)))
		}
		if err == nil && !a.unchecked && crc32.ChecksumIEEE(content) != f.CRC32 {
			return nil, fmt.Errorf("zip member %q is damaged: its checksum is wrong", clip(f.Name))
		}
		return content, err
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("zip member %q: %w", clip(f.Name), err)
	}
	defer r.Close()
	if f.UncompressedSize64 > math.MaxInt64-1 {
		return nil, fmt.Errorf("zip member %q claims %d bytes", clip(f.Name), f.UncompressedSize64)
	}
	// The buffer grows with what is really there, not with what the file claims.
	var content bytes.Buffer
	content.Grow(int(min(f.UncompressedSize64, 1<<20)))
	if _, err := io.Copy(&content, io.LimitReader(r, int64(f.UncompressedSize64)+1)); err != nil {
		return nil, fmt.Errorf("zip member %q: %w", clip(f.Name), err)
	}
	if uint64(content.Len()) != f.UncompressedSize64 {
		return nil, fmt.Errorf("zip member %q is not of the %d bytes it claims", clip(f.Name), f.UncompressedSize64)
	}
	return content.Bytes(), nil
}

// head returns at most the first n bytes of a member.
func (a *archive) head(f *zip.File, n int) ([]byte, error) {
	if f.Method == zip.Store {
		content, err := a.stored(f)
		return content[:min(n, len(content))], err
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("zip member %q: %w", clip(f.Name), err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return nil, fmt.Errorf("zip member %q: %w", clip(f.Name), err)
	}
	return b, nil
}

// clip shortens a name from a file for a message.
func clip(name string) string {
	if len(name) > 120 {
		return name[:117] + "..."
	}
	return name
}
