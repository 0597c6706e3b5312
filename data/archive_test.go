package data_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pair is a member of an archive.
type pair struct{ name, content string }

// picture is a PNG file of w x h pixels; another shade gives other bytes.
func picture(t testing.TB, w, h, shade int) string {
	t.Helper()
	im := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		im.Set(i%w, i/w, color.RGBA{uint8(i), uint8(shade), 200, 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, im); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// classPairs are six images in two class folders, below top, in an order that is not theirs.
func classPairs(t testing.TB, top string) []pair {
	var all []pair
	for i := 2; i >= 0; i-- {
		all = append(all,
			pair{fmt.Sprintf("%sb/%d.png", top, i), picture(t, 2, 3, i)},
			pair{fmt.Sprintf("%sa/%d.png", top, i), picture(t, 3, 2, i)})
	}
	return all
}

func create(t testing.TB, path string, write func(w io.Writer) error) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := write(f); err != nil {
		t.Fatal(err)
	}
	return path
}

// zipOf writes members, every other one deflated.
func zipOf(members []pair) func(io.Writer) error {
	return func(w io.Writer) error {
		z := zip.NewWriter(w)
		for i, m := range members {
			f, err := z.CreateHeader(&zip.FileHeader{Name: m.name, Method: []uint16{zip.Store, zip.Deflate}[i%2]})
			if err != nil {
				return err
			}
			if _, err := io.WriteString(f, m.content); err != nil {
				return err
			}
		}
		return z.Close()
	}
}

func tarOf(members []pair) func(io.Writer) error {
	return func(w io.Writer) error {
		a := tar.NewWriter(w)
		for _, m := range members {
			if err := a.WriteHeader(&tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.content))}); err != nil {
				return err
			}
			if _, err := io.WriteString(a, m.content); err != nil {
				return err
			}
		}
		return a.Close()
	}
}

// npyOf is an npy file of elements of one byte or of little endian numbers.
func npyOf(descr, shape string, elements any) string {
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape)
	head += strings.Repeat(" ", 63-(len(head)+10)%64) + "\n"
	var b bytes.Buffer
	fmt.Fprintf(&b, "\x93NUMPY\x01\x00%c%c%s", len(head)%256, len(head)/256, head)
	if err := binary.Write(&b, binary.LittleEndian, elements); err != nil {
		panic(err)
	}
	return b.String()
}

// pixelsOf are n images of 2x3 RGB pixels, every byte of image i being i+1.
func pixelsOf(n int) []byte {
	var b []byte
	for i := range n {
		b = append(b, bytes.Repeat([]byte{byte(i + 1)}, 18)...)
	}
	return b
}

func letters(text string) (runes []uint32) {
	for _, r := range text {
		runes = append(runes, uint32(r))
	}
	return runes
}

func init() {
	fixtures["zip"] = func(t testing.TB, dir string) string {
		return create(t, filepath.Join(dir, "set.zip"), zipOf(classPairs(t, "set/")))
	}
	fixtures["tar"] = func(t testing.TB, dir string) string {
		return create(t, filepath.Join(dir, "set.tar"), tarOf(classPairs(t, "./")))
	}
	fixtures["webdataset"] = func(t testing.TB, dir string) string {
		for shard := range 2 {
			var members []pair
			for i := range 4 {
				key := fmt.Sprintf("%04d", 4*shard+i)
				members = append(members,
					pair{key + ".cls", string("ab"[i%2])},
					pair{key + ".png", picture(t, 3-i%2, 2+i%2, i)},
					pair{key + ".json", `{"width": 3}`})
			}
			create(t, filepath.Join(dir, fmt.Sprintf("set-%03d.tar", shard)), tarOf(members))
		}
		return filepath.Join(dir, "set-{000..001}.tar")
	}
	fixtures["parquet"] = func(t testing.TB, dir string) string {
		b, err := os.ReadFile("internal/parquet/testdata/hub-snappy.parquet")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "data", "train-00000-of-00001.parquet")
		writeText(t, path, string(b))
		writeText(t, filepath.Join(dir, "README.md"), "# A set")
		return dir
	}
	fixtures["array"] = func(t testing.TB, dir string) string {
		return create(t, filepath.Join(dir, "set.npz"), zipOf([]pair{
			{"images.npy", npyOf("|u1", "(6, 2, 3, 3)", pixelsOf(6))},
			{"labels.npy", npyOf("<U1", "(6,)", letters("ababab"))},
		}))
	}
}
