package data_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"ibot/data"
	"ibot/imaging"
)

// cached opens a set with an index in cache.
func cached(t testing.TB, cache, path string) data.Dataset {
	t.Helper()
	ds, err := data.Options{Cache: cache}.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// indexFiles are the indexes in a cache.
func indexFiles(t testing.TB, cache string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Whatever changes in a set, the index of before is not used.
func TestAnIndexThatIsOutOfDate(t *testing.T) {
	for name, change := range map[string]func(dir string) error{
		"a new image":      func(dir string) error { return os.WriteFile(filepath.Join(dir, "a/x/9.png"), nil, 0o644) },
		"one less":         func(dir string) error { return os.Remove(filepath.Join(dir, "b/1.png")) },
		"another name":     func(dir string) error { return os.Rename(filepath.Join(dir, "b/1.png"), filepath.Join(dir, "b/0.png")) },
		"a new class":      func(dir string) error { return os.CopyFS(filepath.Join(dir, "c"), os.DirFS(filepath.Join(dir, "b"))) },
		"one class less":   func(dir string) error { return os.RemoveAll(filepath.Join(dir, "b")) },
		"an image on top":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "9.png"), nil, 0o644) },
		"a folder renamed": func(dir string) error { return os.Rename(filepath.Join(dir, "a/x"), filepath.Join(dir, "a/y")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, cache := fixtures["folder"](t, t.TempDir()), t.TempDir()
			age(t, dir)
			before := describe(cached(t, cache, dir))
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
			if got, want := describe(cached(t, cache, dir)), describe(open(t, dir)); got != want || got == before {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	for _, name := range []string{"zip", "tar", "webdataset", "list"} {
		t.Run(name, func(t *testing.T) {
			dir, cache := t.TempDir(), t.TempDir()
			path := fixtures[name](t, dir)
			age(t, dir)
			cached(t, cache, path)
			if name == "list" {
				writeText(t, path, "images/0.png a\nimages/1.png b\n")
			} else {
				create(t, largest(t, dir), map[bool]func([]pair) func(io.Writer) error{true: zipOf, false: tarOf}[name == "zip"]([]pair{{"z/7.png", picture(t, 3, 2, 1)}}))
			}
			if got, want := describe(cached(t, cache, path)), describe(open(t, path)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// A set that changed a moment ago may change again within the same tick of the clock, so no index
// of it is kept.
func TestNoIndexOfWhatHasJustChanged(t *testing.T) {
	dir, cache := fixtures["folder"](t, t.TempDir()), t.TempDir()
	age(t, dir)
	if err := os.Chtimes(filepath.Join(dir, "a"), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	cached(t, cache, dir)
	if kept := indexFiles(t, cache); len(kept) != 0 {
		t.Errorf("kept %v", kept)
	}
}

// An index that is damaged anywhere is not used, and is written anew.
func TestADamagedIndex(t *testing.T) {
	for _, name := range []string{"folder", "zip"} {
		dir, cache := t.TempDir(), t.TempDir()
		path := fixtures[name](t, dir)
		age(t, dir)
		want := describe(cached(t, cache, path))
		file := indexFiles(t, cache)[0]
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := range whole {
			damaged := bytes.Clone(whole)
			damaged[i] ^= 0x55
			if _, err := data.DecodeIndex(damaged); err == nil {
				t.Errorf("%s: with a damaged byte %d it was read", name, i)
			}
			if _, err := data.DecodeIndex(whole[:i]); err == nil {
				t.Errorf("%s: %d of %d bytes were read", name, i, len(whole))
			}
		}
		for i := 0; i < len(whole); i += len(whole)/15 + 1 {
			damaged := bytes.Clone(whole)
			damaged[i] ^= 0x55
			if err := os.WriteFile(file, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			if got := describe(cached(t, cache, path)); got != want {
				t.Fatalf("%s: with a damaged byte %d it holds %s", name, i, got)
			}
			if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, whole) {
				t.Fatalf("%s: with a damaged byte %d it was not written anew (%v)", name, i, err)
			}
		}
	}
}

func FuzzIndex(f *testing.F) {
	for _, name := range []string{"folder", "webdataset"} {
		dir, cache := f.TempDir(), f.TempDir()
		path := fixtures[name](f, dir)
		age(f, dir)
		cached(f, cache, path)
		file, err := os.ReadFile(indexFiles(f, cache)[0])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file[:len(file)-4])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		sum := crc32.Checksum(file, crc32.MakeTable(crc32.Castagnoli)) // or nothing would get past it
		ds, err := data.DecodeIndex(binary.LittleEndian.AppendUint32(file, sum))
		if err != nil {
			return
		}
		for i := range ds.Len() {
			if label := ds.Label(i); label < -1 || label >= len(ds.Classes()) {
				t.Errorf("label %d of %d classes", label, len(ds.Classes()))
			}
			_ = ds.Name(i)
		}
	})
}

// A cache that cannot be written is no reason to stop.
func TestACacheThatCannotBeWritten(t *testing.T) {
	dir := fixtures["folder"](t, t.TempDir())
	age(t, dir)
	if ds := cached(t, "/proc/nowhere", dir); ds.Len() != 6 {
		t.Errorf("%d images, want 6", ds.Len())
	}
	file := filepath.Join(dir, "a", "1.png")
	if ds := cached(t, file, dir); ds.Len() != 6 {
		t.Errorf("%d images, want 6", ds.Len())
	}
}

// What a folder can hold beside images does no harm, and what is passed over is noted.
func TestFoldersThatAreHardToRead(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/1.png", "b/2.png", "b/\xff\xfe.png", "locked/3.png"} {
		writePNG(t, filepath.Join(dir, name), 3, 2)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "a", "pipe.png"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "a", "target"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"a/link.png": "target", "a/loop": "loop", "b/loop.png": "loop.png"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	locked := filepath.Join(dir, "locked")
	if err := os.Chmod(locked, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(locked, 0o755)
	ds := open(t, dir)
	want := "a/1.png:0 a/link.png:0 b/2.png:1 b/loop.png:1 b/\xff\xfe.png:1"
	skipped := ds.(interface{ Skipped() []data.BadImage }).Skipped()
	noted := map[string]string{"a/loop": "too many levels", "a/pipe.png": "is a named pipe", "a/target": "is a named pipe"}
	if os.Geteuid() == 0 { // to whom no folder is locked
		want += " locked/3.png:2"
	} else {
		noted["locked"] = "permission denied"
	}
	for _, s := range skipped {
		if reason, ok := noted[s.Path]; !ok || !strings.Contains(s.Error, reason) {
			t.Errorf("passed over was %v", s)
		}
	}
	if len(skipped) != len(noted) {
		t.Errorf("passed over were %v, want %v", skipped, noted)
	}
	if got := describe(ds); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for i, name := range []string{"", "is a named pipe", "", "too many levels", ""} {
		_, err := ds.Load(i)
		if (err == nil) != (name == "") || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got error %v, want %q", ds.Name(i), err, name)
		}
	}
	list := filepath.Join(t.TempDir(), "bad.jsonl")
	broken := filepath.Join(dir, "b", "\xff\xfe.png")
	if err := os.WriteFile(broken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second process finds the name in the list of the first
		bad := openBad(t, list, data.Subset(ds, []int{0, 2, 4}))
		if _, _, err := bad.Load(2); err != nil {
			t.Fatal(err)
		}
	}
	if all := readList(t, list); len(all) != 1 || all[0].Path != `b/\xff\xfe.png` {
		t.Errorf("the list is %v, want the one file, its name in ASCII", all)
	}
}

// What lies beside images is in the account of a run and in the report, also where the index is
// kept: pipes and loops one by one, files with other endings as a number.
func TestWhatLiesBesideImages(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	for _, part := range []string{"train", "val"} {
		writePNG(t, filepath.Join(dir, part, "1.jfif"), 40, 40)
	}
	for _, name := range []string{"a.txt", "b.TXT", "c.pdf", "sub/d"} {
		writeText(t, filepath.Join(dir, "train", name), "")
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "train", "p.jpg"), 0o644); err != nil {
		t.Fatal(err)
	}
	age(t, dir) // which a loop has no times for
	if err := os.Symlink("loop", filepath.Join(dir, "train", "loop")); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "train"), before, before); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from the index
		set := cached(t, cache, dir)
		list := filepath.Join(t.TempDir(), "bad.jsonl")
		openBad(t, list, set)
		if all := readList(t, list); len(all) != 2 || all[0].Path != "loop" || all[1].Path != "p.jpg" || all[1].Index != -1 {
			t.Errorf("the list is %v, want loop and p.jpg", all)
		}
		report, err := data.Check(t.Context(), []data.Part{{Name: "train", Set: set}}, data.CheckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		report.WriteText(&text)
		for _, want := range []string{
			"4 files with other endings, such as train/a.txt and train/c.pdf\n", "\nPassed over\n  train/loop: ",
			"  train/p.jpg: is a named pipe", "2 entries were passed over",
		} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("the report does not say %q:\n%s", want, &text)
			}
		}
	}
	if n := len(indexFiles(t, cache)); n != 1 {
		t.Errorf("%d indexes are kept, want 1", n)
	}
}

// million is a synthetic set whose index is written and read back.
const million = 1_000_000

// A million images take 50 bytes each, in a handful of allocations, and loading tiny images
// through the loader does not add to that.
func TestAMillionImagesTakeLittleMemory(t *testing.T) {
	dir := t.TempDir()
	list, cache := filepath.Join(dir, "list.txt"), filepath.Join(dir, "cache")
	writePNG(t, filepath.Join(dir, "n01440764", "x.png"), 1, 1)
	writePNG(t, filepath.Join(dir, "n01440765", "x.png"), 1, 1)
	line := "n01440764/x.png 0\nn01440765/x.png 1\n"
	writeText(t, list, strings.Repeat(line, million/2))
	age(t, list)
	cached(t, cache, list)

	before := heap()
	ds := cached(t, cache, list)
	held := heap() - before
	if held > 30*million {
		t.Errorf("an index of a million images holds %d bytes, want at most 30 an image", held)
	}
	if ds.Len() != million || ds.Name(million-1) != "n01440765/x.png" || ds.Label(million-1) != 1 {
		t.Errorf("image %d is %s of %d", ds.Len(), ds.Name(million-1), ds.Label(million-1))
	}

	const batch, steps = 500, 24
	sampler := newSampler(t, million, batch, 0, 1)
	bad := openBad(t, "", ds)
	loader := &data.Loader[[]*imaging.Image]{
		Workers: 4, Ahead: 2,
		New: func() []*imaging.Image { return make([]*imaging.Image, batch) },
		Fill: func(_ context.Context, b []*imaging.Image, slot, image int) (err error) {
			b[slot], _, err = bad.Load(image)
			return err
		},
	}
	var early, late int64
	step := 0
	for _, err := range loader.Run(t.Context(), 0, steps, sampler.Batch) {
		if err != nil {
			t.Fatal(err)
		}
		if step++; step == 4 {
			early = heap()
		}
		late = heap()
	}
	if late-early > 4<<20 {
		t.Errorf("memory grew by %d bytes between step 4 and %d", late-early, steps)
	}
	runtime.KeepAlive(ds)
}

// heap is what is alive.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkIndex opens 1.3 million class-folder names from the cache, as many as ImageNet has.
func BenchmarkIndex(b *testing.B) {
	dir := b.TempDir()
	var lines strings.Builder
	for i := range 1_300_000 {
		fmt.Fprintf(&lines, "n%08d/n%08d_%d.JPEG %d\n", i/1300, i/1300, i%1300, i/1300)
	}
	for i := range 1_300_000 / 1300 { // the first of each class, which the check of the list looks up
		writeText(b, filepath.Join(dir, fmt.Sprintf("n%08d/n%08d_0.JPEG", i, i)), "")
	}
	list := filepath.Join(dir, "list.txt")
	writeText(b, list, lines.String())
	age(b, list)
	cache := filepath.Join(dir, "cache")
	cached(b, cache, list)
	before := heap()
	for b.Loop() {
		ds := cached(b, cache, list)
		b.ReportMetric(float64(heap()-before)/1e6, "MB-held")
		runtime.KeepAlive(ds)
	}
}
