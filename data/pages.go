package data

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"ibot/data/internal/parquet"
)

// pages keeps the pages of Parquet files that were read last. Images of a page that are asked for
// while it is read wait for that one reading.
type pages struct {
	shards *shards
	limit  int64 // bytes

	mu   sync.Mutex
	held map[pageKey]*heldPage
	size int64
	tick int64
}

type pageKey struct {
	shard  int32
	offset int64
}

// heldPage is a page, there or on its way.
type heldPage struct {
	read   sync.Once
	values *parquet.Values
	err    error
	used   int64 // when last
	size   int64 // 0 as long as it is on its way
}

const defaultPageMemory = 256 << 20

func newPages(s *shards, limit int64) *pages {
	if limit <= 0 {
		limit = defaultPageMemory
	}
	return &pages{shards: s, limit: limit, held: map[pageKey]*heldPage{}}
}

// image returns the bytes of an image. They are shared with the page and must not be changed.
func (c *pages) image(p place) ([]byte, error) {
	h := c.hold(pageKey{p.shard, p.offset})
	h.read.Do(func() {
		h.values, h.err = c.load(p)
		c.keep(pageKey{p.shard, p.offset}, h)
	})
	v, row := h.values, int(p.detail)
	switch {
	case h.err != nil:
		return nil, h.err
	case row >= len(v.Bytes) || v.Null != nil && v.Null[row]:
		return nil, errors.New("has no bytes; files that are named only are not read")
	}
	return v.Bytes[row], nil
}

// hold returns the page under a key, which may still have to be read.
func (c *pages) hold(key pageKey) *heldPage {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick++
	h := c.held[key]
	if h == nil {
		h = &heldPage{}
		c.held[key] = h
	}
	h.used = c.tick
	return h
}

// load reads the page that an image lies in. How many rows it has stands in its header.
func (c *pages) load(p place) (v *parquet.Values, err error) {
	page := parquet.Page{
		Offset: p.offset, Size: p.size, Dict: p.aux,
		Codec: parquet.Codec(p.method), Type: parquet.ByteArray, MaxDef: int(p.levels),
	}
	err = c.shards.with(p.shard, func(r io.ReaderAt) (err error) {
		v, err = page.Read(r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lies in a file that %w", err)
	}
	return v, nil
}

// keep accounts for a page that was read, and lets go of those that were not used for longest. A
// page that could not be read is let go of at once: the file may be repaired.
func (c *pages) keep(key pageKey, h *heldPage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.err != nil {
		delete(c.held, key)
		return
	}
	h.size = max(1, h.values.Size)
	c.size += h.size
	for c.size > c.limit {
		var oldest pageKey
		found := false
		for key, other := range c.held {
			if other.size > 0 && other != h && (!found || other.used < c.held[oldest].used) {
				oldest, found = key, true
			}
		}
		if !found {
			return // this one alone is larger than the limit
		}
		c.size -= c.held[oldest].size
		delete(c.held, oldest)
	}
}
