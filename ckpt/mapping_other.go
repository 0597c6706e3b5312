//go:build !unix

package ckpt

import (
	"fmt"
	"os"
)

// mapping is a whole file in memory. Where there is no mmap it is simply read.
type mapping struct{ data []byte }

func mapFile(path string) (*mapping, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("ckpt: %w", err)
	}
	if err := regular(path, info); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ckpt: %w", err)
	}
	return &mapping{data}, nil
}

func (m *mapping) Close() error {
	m.data = nil
	return nil
}

// expect is for systems with mmap.
func expect([]byte, uint64, uint64) {}
