package data_test

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/data"
)

// TestRefusedFilesAreNamed: an error on opening begins with the room and names the file, for arrays and archives too.
func TestRefusedFilesAreNamed(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("empty.npy", "")
	write("cut.npz", "PK\x03\x04")
	header := "{'descr': '|u1', 'fortran_order': False, 'shape': (96, 80, 3), }"
	header += strings.Repeat(" ", 117-len(header)) + "\n"
	write("picture.npy", "\x93NUMPY\x01\x00\x76\x00"+header+strings.Repeat("x", 96*80*3))

	packed, err := os.Create(filepath.Join(dir, "lzma.zip"))
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(packed)
	w, err := z.CreateRaw(&zip.FileHeader{Name: "a.jpg", Method: 14, CompressedSize64: 3, UncompressedSize64: 9})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	packed.Close()

	for name, want := range map[string]string{
		"empty.npy": "npy", "cut.npz": "npz", "picture.npy": "single picture", "lzma.zip": "a.jpg is packed by method 14, which is not read",
	} {
		path := filepath.Join(dir, name)
		_, opened := data.Open(path)
		_, parts := data.Splits(path)
		for _, err := range []error{opened, parts} {
			if err == nil || !strings.HasPrefix(err.Error(), "data: "+path+" ") || !strings.Contains(err.Error(), want) {
				if err == nil && name == "picture.npy" { // its parts are none, which is no error
					continue
				}
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
