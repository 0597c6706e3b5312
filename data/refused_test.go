package data_test

import (
	"archive/zip"
	"io"
	"io/fs"
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
		"empty.npy": "npy", "cut.npz": "npz", "picture.npy": "single picture", "lzma.zip": "a.jpg is packed with LZMA, which is not read; pack it with deflate",
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

// TestZipMembersThatAreNotRead: members that are packed in another way, and links, are passed over with the reason.
func TestZipMembersThatAreNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some.zip")
	create(t, path, func(file io.Writer) error {
		z := zip.NewWriter(file)
		link := &zip.FileHeader{Name: "link.png"}
		link.SetMode(fs.ModeSymlink | 0o777)
		for _, h := range []*zip.FileHeader{{Name: "a.png"}, {Name: "b.png", Method: 12, CompressedSize64: 3}, link} {
			w, err := z.CreateRaw(h)
			if err != nil {
				return err
			}
			if _, err := io.WriteString(w, strings.Repeat("x", int(h.CompressedSize64))); err != nil {
				return err
			}
		}
		return z.Close()
	})
	set := open(t, path)
	if got, want := describe(set), "a.png:-1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	noted := map[string]string{}
	for _, s := range set.(interface{ Skipped() []data.BadImage }).Skipped() {
		noted[s.Path] = s.Error
	}
	if len(noted) != 2 || !strings.Contains(noted["b.png"], "packed with bzip2, which is not read") || !strings.Contains(noted["link.png"], "is a link") {
		t.Errorf("passed over were %v", noted)
	}
}
