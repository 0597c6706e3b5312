package ckpt_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestOpeningALargeFileTakesLittleMemory opens 2 GiB, which lie on the disk as a hole, and reads an
// array of it: the numbers stay in the file.
func TestOpeningALargeFileTakesLittleMemory(t *testing.T) {
	const size, arrays = 2 << 30, 256
	header := "{"
	for i := range arrays {
		if i > 0 {
			header += ","
		}
		header += fmt.Sprintf(`"blocks.%d.weight":{"dtype":"F32","shape":[%d],"data_offsets":[%d,%d]}`,
			i, size/arrays/4, i*(size/arrays), (i+1)*(size/arrays))
	}
	header += "}"
	path := filepath.Join(t.TempDir(), "large.safetensors")
	head := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	if err := os.WriteFile(path, head, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(head))+size); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := open(t, path)
	a, err := c.Array("blocks.7.weight")
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if a.Len() != size/arrays/4 || c.Len() != arrays {
		t.Errorf("got %d arrays, the eighth of %d elements", c.Len(), a.Len())
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 10<<20 {
		t.Errorf("opening took %d bytes", grown)
	}
}
