package imaging

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tiffWithTags writes a TIFF with the given tags, each of them values of 32 bits, before its strips, which
// all lie at the same place.
func tiffWithTags(w, h int, tags map[uint16][]uint32, strip []byte) []byte {
	all := map[uint16][]uint32{
		tiffWidth: {uint32(w)}, tiffHeight: {uint32(h)}, tiffBits: {8, 8, 8}, tiffSamples: {3}, tiffPhotometric: {tiffRGB},
	}
	maps.Copy(all, tags)
	rows := cmp.Or(int(append(all[tiffRowsPerStrip], 0)[0]), h)
	strips := (h + rows - 1) / rows
	all[tiffStripOffsets] = slices.Repeat([]uint32{8}, strips)
	all[tiffStripCounts] = slices.Repeat([]uint32{uint32(len(strip))}, strips)

	le := binary.LittleEndian
	b := append([]byte("II*\x00\x00\x00\x00\x00"), strip...)
	var directory []byte
	for _, tag := range slices.Sorted(maps.Keys(all)) {
		values := all[tag]
		directory = le.AppendUint16(le.AppendUint16(directory, tag), 4)
		directory = le.AppendUint32(directory, uint32(len(values)))
		if len(values) == 1 {
			directory = le.AppendUint32(directory, values[0])
			continue
		}
		directory = le.AppendUint32(directory, uint32(len(b)))
		for _, v := range values {
			b = le.AppendUint32(b, v)
		}
	}
	le.PutUint32(b[4:], uint32(len(b)))
	return append(le.AppendUint16(b, uint16(len(all))), directory...)
}

// plainLZW packs n zeros as TIFF's LZW without a run: the table is cleared before codes get longer.
func plainLZW(n int) []byte {
	var out []byte
	held, bits := uint32(0), 0
	write := func(code uint32) { // of 9 bits, the highest first
		for held, bits = held<<9|code, bits+9; bits >= 8; bits -= 8 {
			out = append(out, byte(held>>(bits-8)))
		}
	}
	for i := range n {
		if i%250 == 0 {
			write(256)
		}
		write(0)
	}
	write(257)
	write(0) // pushes out what is held
	return out
}

// Decoding takes the picture, the file and little more, also where each of thousands of strips leaves
// garbage behind, or a tag claims as many values as the file has bytes. Each file is read by a process
// of its own, which tells the most memory that it had.
func TestMemoryOfBombs(t *testing.T) {
	const variable = "IBOT_TEST_DECODE"
	if path := os.Getenv(variable); path != "" {
		_, err := DecodeFile(path)
		status, _ := os.ReadFile("/proc/self/status")
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		var kB int
		fmt.Sscan(peak, &kB)
		fmt.Printf("\npeak %d %v\n", kB<<10, err)
		return
	}
	const w, h = 12000, 3500
	group4 := bytes.Repeat([]byte{0xff}, w/8) // a row of changes that there are none of
	many := tiffWithTags(8, 8, map[uint16][]uint32{tiffColourMap: make([]uint32, 8<<20), tiffBits: make([]uint32, 8<<20)}, make([]byte, 3*64))
	for _, c := range []struct {
		name    string
		file    []byte
		picture int
		err     string
	}{
		{"LZW, a row a strip", tiffWithTags(w, h, map[uint16][]uint32{tiffCompression: {tiffLZW}, tiffRowsPerStrip: {1}}, plainLZW(3*w)), 3 * w * h, "<nil>"},
		{"a fax, a row a strip", tiffWithTags(w, h, map[uint16][]uint32{
			tiffCompression: {tiffGroup4}, tiffRowsPerStrip: {1}, tiffBits: {1}, tiffSamples: {1}, tiffPhotometric: {0},
		}, group4), 3 * w * h, "<nil>"},
		{"tags without end", many, 0, "samples of 0 bits"},
		{"too large to be turned", tiffWithTags(17000, 10500, map[uint16][]uint32{tiffOrientation: {6}}, nil), 0, "takes 1021 MiB to decode, the most is 992"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bomb.tif")
			if err := os.WriteFile(path, c.file, 0o644); err != nil {
				t.Fatal(err)
			}
			child := exec.Command(os.Args[0], "-test.run=^TestMemoryOfBombs$")
			child.Env = append(os.Environ(), variable+"="+path)
			out, err := child.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			_, report, _ := strings.Cut(string(out), "\npeak ")
			var peak int
			fmt.Sscan(report, &peak)
			if most := len(c.file) + c.picture + 96<<20; peak == 0 || peak > most {
				t.Errorf("took %d MiB, want at most %d MiB", peak>>20, most>>20)
			}
			if !strings.Contains(report, c.err) {
				t.Errorf("got %q, want one that says %q", report, c.err)
			}
		})
	}
}
