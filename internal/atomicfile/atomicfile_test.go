package atomicfile_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ibot/internal/atomicfile"
)

func ExampleWriteBytes() {
	dir, err := os.MkdirTemp("", "atomicfile")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "summary.json")
	if err := atomicfile.WriteBytes(path, []byte(`{"knn": 0.75}`)); err != nil {
		fmt.Println(err)
		return
	}
	b, err := os.ReadFile(path)
	fmt.Println(string(b), err)
	// Output: {"knn": 0.75} <nil>
}

// onlyFiles fails the test unless dir holds exactly the named files, hidden ones included.
func onlyFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the folder holds %v, want %v", got, want)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWriteCreatesAndReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.bin")
	large := strings.Repeat("0123456789", 300_000) // passes the buffer
	for _, want := range []string{"first", large, "", "shorter"} {
		if err := atomicfile.WriteBytes(path, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != want {
			t.Fatalf("read %d bytes, want %d", len(got), len(want))
		}
	}
	onlyFiles(t, dir, "a.bin")
}

func TestWriterThatFailsHalfWayLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.bin")
	if err := atomicfile.WriteBytes(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the encoder gave up")
	err := atomicfile.Write(path, func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 3<<20)); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got error %v, want the writer's own", err)
	}
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not name %s", err, path)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("the old file holds %d bytes, want it untouched", len(got))
	}
	onlyFiles(t, dir, "a.bin")
}

func TestWriterThatPanicsLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.bin")
	if err := atomicfile.WriteBytes(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		atomicfile.Write(path, func(io.Writer) error { panic("bug") })
	}()
	if got := content(t, path); got != "old" {
		t.Errorf("the file holds %q, want the old one", got)
	}
	onlyFiles(t, dir, "a.bin")
}

// A full disk is played by a writer that gives its errno after two megabytes.
func TestFullDiskIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.bin")
	err := atomicfile.Write(path, func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 2<<20)); err != nil {
			return err
		}
		return &os.PathError{Op: "write", Path: "tmp", Err: syscall.ENOSPC}
	})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want ENOSPC within", err)
	}
	for _, want := range []string{path, "2097152 bytes", "disk is full", "free some space"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	onlyFiles(t, filepath.Dir(path))
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := atomicfile.WriteBytes(file, nil); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"missing folder": filepath.Join(dir, "none", "a.bin"),
		"a folder":       dir,
		"below a file":   filepath.Join(file, "a.bin"),
	} {
		t.Run(name, func(t *testing.T) {
			for _, err := range []error{atomicfile.WriteBytes(path, []byte("x")), atomicfile.Check(path)} {
				if err == nil || !strings.HasPrefix(err.Error(), "atomicfile: ") || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), ".tmp-") {
					t.Errorf("got %v, want an error that names %s and no temporary file", err, path)
				}
			}
		})
	}
	for _, path := range []string{file, filepath.Join(dir, "new")} {
		if err := atomicfile.Check(path); err != nil {
			t.Errorf("%s can be written, and got %v", path, err)
		}
	}
	onlyFiles(t, dir, "file")
}

func TestPermissionsAndLinksAreKept(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "a.bin"), filepath.Join(dir, "link")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.bin", link); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.WriteBytes(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path); got != "new" {
		t.Errorf("the file behind the link holds %q, want new", got)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v (%v), want a link still", info.Mode(), err)
	}
	info, err = os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode is %v (%v), want 0640", info.Mode(), err)
	}
	onlyFiles(t, dir, "a.bin", "link")
}

// Readers that look while writers replace the file see one whole version each time.
func TestReadersSeeWholeVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.bin")
	version := func(c byte) []byte { return []byte(strings.Repeat(string(c), 10_000)) }
	if err := atomicfile.WriteBytes(path, version('a')); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for _, c := range []byte("abcd") {
		writers.Go(func() {
			for range 10 {
				if err := atomicfile.WriteBytes(path, version(c)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		b, err := os.ReadFile(path)
		if err != nil || len(b) != 10_000 || strings.Count(string(b), string(b[0])) != len(b) {
			t.Fatalf("read a mixed or partial version of %d bytes (%v)", len(b), err)
		}
	}
}

func TestSweepRemovesOnlyWhatAKilledWriterLeft(t *testing.T) {
	dir := t.TempDir()
	killed := filepath.Join(dir, ".a.bin.tmp-1-0")
	for _, path := range []string{killed, filepath.Join(dir, ".hidden"), filepath.Join(dir, "b.tmp-1-0")} {
		if err := os.WriteFile(path, []byte("part"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := atomicfile.Sweep(dir); err != nil {
		t.Fatal(err)
	}
	onlyFiles(t, dir, ".hidden", "b.tmp-1-0")
	if err := atomicfile.Sweep(filepath.Join(dir, "none")); err == nil {
		t.Error("sweeping a missing folder gave no error")
	}
}
