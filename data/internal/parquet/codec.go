package parquet

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// unpack returns the n bytes that packed was made from. The memory it takes grows with what is
// really there, not with what the page claims.
func (c Codec) unpack(packed []byte, n int) ([]byte, error) {
	var raw []byte
	var err error
	switch c {
	case Snappy:
		raw, err = unsnappy(packed, n)
	case Gzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(packed)); err == nil {
			raw, err = readUpTo(r, n)
		}
	case Zstd:
		var r *zstd.Decoder
		r, err = zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(64<<20))
		if err == nil {
			raw, err = readUpTo(r, n)
			r.Close()
		}
	default:
		return nil, fmt.Errorf("is packed with %v, which is not read; write it with Snappy, Zstandard or gzip", c)
	}
	if err != nil {
		return nil, fmt.Errorf("has a damaged page: %w", err)
	}
	if len(raw) != n {
		return nil, fmt.Errorf("has a page of %d bytes that claims %d", len(raw), n)
	}
	return raw, nil
}

// unsnappy checks the claimed size before it unpacks: Snappy's densest code gives 64 bytes for
// three.
func unsnappy(packed []byte, n int) ([]byte, error) {
	claimed, err := snappy.DecodedLen(packed)
	if err != nil {
		return nil, err
	}
	if claimed != n || claimed > 32*len(packed)+64 {
		return nil, fmt.Errorf("%d bytes of Snappy claim to become %d, their page %d", len(packed), claimed, n)
	}
	return snappy.Decode(nil, packed)
}

// readUpTo reads r to its end, but at most one byte more than n.
func readUpTo(r io.Reader, n int) ([]byte, error) {
	var raw bytes.Buffer
	raw.Grow(min(n, 1<<20) + 512)
	_, err := raw.ReadFrom(io.LimitReader(r, int64(n)+1))
	return raw.Bytes(), err
}
