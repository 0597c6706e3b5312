package parquet_test

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"

	"ibot/data/internal/parquet"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// column reads a whole column as text; a row without a value is "null".
func column(f *parquet.File, file []byte, name string) (rows []string, err error) {
	for i, c := range f.Columns {
		if c.Name() != name {
			continue
		}
		pages, err := f.Pages(i)
		if err != nil {
			return nil, err
		}
		for _, p := range pages {
			v, err := p.Read(bytes.NewReader(file))
			if err != nil {
				return nil, err
			}
			for row := range p.Rows {
				switch {
				case v.Null != nil && v.Null[row]:
					rows = append(rows, "null")
				case c.Type == parquet.ByteArray:
					rows = append(rows, string(v.Bytes[row]))
				default:
					rows = append(rows, fmt.Sprint(v.Ints[row]))
				}
			}
		}
		return rows, nil
	}
	return nil, fmt.Errorf("no column %s", name)
}

// The files that pyarrow wrote hold what testdata/README.md says.
func TestFilesOfPyarrow(t *testing.T) {
	for name, nulls := range map[string]map[int]bool{
		"hub-snappy": nil, "hub-zstd-v2": nil, "hub-gzip-plain": nil, "hub-none-delta": nil, "hub-nulls": {3: true, 7: true},
	} {
		t.Run(name, func(t *testing.T) {
			file := read(t, name+".parquet")
			f, err := parquet.Open(bytes.NewReader(file), int64(len(file)))
			if err != nil {
				t.Fatal(err)
			}
			if f.Rows != 12 || !strings.Contains(f.Meta["huggingface"], `"names": ["a", "b"]`) {
				t.Errorf("%d rows, metadata %v", f.Rows, f.Meta)
			}
			columns := map[string][]string{}
			for _, name := range []string{"image.bytes", "image.path", "label"} {
				if columns[name], err = column(f, file, name); err != nil || len(columns[name]) != 12 {
					t.Fatalf("column %s: %d rows, %v", name, len(columns[name]), err)
				}
			}
			for i := range 12 {
				label := i % 2
				if got, want := columns["label"][i], fmt.Sprint(label); got != want {
					t.Errorf("label %d is %s, want %s", i, got, want)
				}
				if nulls[i] {
					if columns["image.bytes"][i] != "null" || columns["image.path"][i] != "null" {
						t.Errorf("image %d is %q, want none", i, columns["image.path"][i])
					}
					continue
				}
				if got, want := columns["image.path"][i], fmt.Sprintf("%c/%d.png", "ab"[label], i); got != want {
					t.Errorf("path %d is %s, want %s", i, got, want)
				}
				im, err := png.Decode(strings.NewReader(columns["image.bytes"][i]))
				if err != nil {
					t.Fatal(err)
				}
				r, g, b, _ := im.At(1, 1).RGBA()
				k := im.Bounds().Dx() + 1
				if got, want := [4]int{int(r >> 8), int(g >> 8), int(b >> 8), im.Bounds().Dx()}, [4]int{16*i%256 + k, 100, 200, 3 - label}; got != want {
					t.Errorf("image %d has the pixel and width %v, want %v", i, got, want)
				}
			}
		})
	}
}

func TestOtherCodecsAreNamed(t *testing.T) {
	file := read(t, "hub-brotli.parquet")
	f, err := parquet.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := column(f, file, "label"); err == nil || !strings.Contains(err.Error(), "Brotli") {
		t.Errorf("got error %v, want one that names Brotli", err)
	}
}

// readAll reads all that there is, and reports what cannot be.
func readAll(file []byte) error {
	f, err := parquet.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return err
	}
	for _, c := range f.Columns {
		if _, err := column(f, file, c.Name()); err != nil {
			return err
		}
	}
	return nil
}

// A file that was cut off anywhere is an error.
func TestFilesThatWereCutOff(t *testing.T) {
	file := read(t, "hub-zstd-v2.parquet")
	for n := range file {
		if err := readAll(file[:n]); err == nil {
			t.Fatalf("%d of %d bytes were read without an error", n, len(file))
		}
	}
}

// A file with any one byte changed ends in values or an error, not in a panic or much memory.
func TestFilesWithOneByteChanged(t *testing.T) {
	for _, name := range []string{"hub-snappy", "hub-zstd-v2", "hub-gzip-plain", "hub-none-delta", "hub-nulls"} {
		file := read(t, name+".parquet")
		allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
		for i := range file {
			for _, flip := range []byte{0x01, 0xff} {
				changed := bytes.Clone(file)
				changed[i] ^= flip
				metrics.Read(allocated)
				before := allocated[0].Value.Uint64()
				readAll(changed)
				metrics.Read(allocated)
				if took := allocated[0].Value.Uint64() - before; took > 64<<20 {
					t.Fatalf("%s with byte %d changed by %#x took %d bytes", name, i, flip, took)
				}
			}
		}
	}
}

func FuzzFile(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		f.Add(read(f, filepath.Base(path)))
	}
	f.Fuzz(func(_ *testing.T, file []byte) { readAll(file) })
}

func Example() {
	file, err := os.ReadFile("testdata/hub-snappy.parquet")
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := parquet.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range f.Columns {
		fmt.Println(c.Name())
	}
	// Output:
	// image.bytes
	// image.path
	// label
}
