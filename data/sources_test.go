package data_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ibot/data"
)

// A set is the same in a folder, a zip and a tar file: names, order, labels and pixels. So are the
// batches of a seed.
func TestTheSameSetInEverySource(t *testing.T) {
	for name, members := range map[string][]pair{
		"class folders": append(classPairs(t, ""), pair{"a-b/s/1.png", picture(t, 2, 2, 7)}, pair{"a/s-t/1.png", picture(t, 2, 2, 8)},
			pair{"a/s/u/1.png", picture(t, 2, 2, 9)}, pair{"readme.txt", "a text"}, pair{"a/._0.png", "hidden"}, pair{"__MACOSX/a/1.png", "hidden"}),
		"flat":          {{"b.png", picture(t, 3, 2, 1)}, {"a.png", picture(t, 3, 2, 2)}, {"B.PNG", picture(t, 3, 2, 3)}},
		"flat and more": {{"b.png", picture(t, 3, 2, 1)}, {"-/a.png", picture(t, 3, 2, 2)}, {"z/a.png", picture(t, 3, 2, 2)}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, m := range members {
				writeText(t, filepath.Join(dir, "folder", m.name), m.content)
			}
			var wrapped []pair
			for _, m := range members {
				wrapped = append(wrapped, pair{"./my set/" + m.name, m.content})
			}
			want := open(t, filepath.Join(dir, "folder"))
			for _, path := range []string{
				create(t, filepath.Join(dir, "1.zip"), zipOf(members)),
				create(t, filepath.Join(dir, "2.zip"), zipOf(wrapped)),
				create(t, filepath.Join(dir, "3.tar"), tarOf(members)),
				create(t, filepath.Join(dir, "4.tar"), tarOf(wrapped)),
			} {
				got := open(t, path)
				if describe(got) != describe(want) || !slices.Equal(got.Classes(), want.Classes()) {
					t.Errorf("%s holds\n%s %v\nwant\n%s %v", filepath.Base(path), describe(got), got.Classes(), describe(want), want.Classes())
					continue
				}
				for i := range want.Len() {
					a, errA := got.Load(i)
					b, errB := want.Load(i)
					if errA != nil || errB != nil || !slices.Equal(a.Pix, b.Pix) {
						t.Errorf("%s: image %d differs: %v, %v", filepath.Base(path), i, errA, errB)
					}
				}
			}
		})
	}
}

func TestArchivesWithParts(t *testing.T) {
	members := append(classPairs(t, "set/train/"), classPairs(t, "set/test/")[:4]...)
	dir := t.TempDir()
	for _, path := range []string{
		create(t, filepath.Join(dir, "set.zip"), zipOf(members)),
		create(t, filepath.Join(dir, "set.tar"), tarOf(members)),
		create(t, filepath.Join(dir, "set.npz"), zipOf([]pair{
			{"train_images.npy", npyOf("|u1", "(6, 2, 3, 3)", pixelsOf(6))}, {"test_images.npy", npyOf("|u1", "(4, 2, 3, 3)", pixelsOf(4))},
		})),
	} {
		splits, err := data.Splits(path)
		if err != nil || !slices.Equal(splits, []string{"train", "test"}) {
			t.Errorf("%s: the parts are %v, %v", path, splits, err)
		}
		val, err := data.OpenSplit(path, "val")
		if err != nil || val.Len() != 4 {
			t.Fatalf("%s: val has %v, %v, want 4 images", path, val, err)
		}
		if train := open(t, path); train.Len() != 6 {
			t.Errorf("%s: without a word it has %d images, want the 6 of train", path, train.Len())
		}
		if _, err := data.OpenSplit(path, "dev"); err == nil || !strings.Contains(err.Error(), "no part dev; it has train, test") {
			t.Errorf("%s: got error %v", path, err)
		}
	}
	hub := filepath.Join(dir, "hub")
	file, err := os.ReadFile("internal/parquet/testdata/hub-snappy.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001"} {
		writeText(t, filepath.Join(hub, name+".parquet"), string(file))
	}
	val, err := data.OpenSplit(hub, "val")
	if err != nil || val.Len() != 12 || open(t, hub).Len() != 24 {
		t.Errorf("Parquet files by part: %v, %v", val, err)
	}
}

func TestWebDatasetLabels(t *testing.T) {
	image := func(i int) string { return picture(t, 3, 2, i) }
	for name, c := range map[string]struct {
		members []pair
		want    string
		classes string
	}{
		"cls, numbers":    {[]pair{{"1.png", image(1)}, {"1.cls", "1\n"}, {"0.cls", "0"}, {"0.png", image(2)}}, "1.png:1 0.png:0", "0 1"},
		"cls before json": {[]pair{{"x/1.a.png", image(1)}, {"x/1.json", `{"label": 7}`}, {"x/1.cls", "dog"}, {"x/2.png", image(2)}, {"x/2.cls", "cat"}}, "x/1.a.png:1 x/2.png:0", "cat dog"},
		"json":            {[]pair{{"1.png", image(1)}, {"1.json", `{"label": "dog"}`}, {"2.png", image(2)}, {"2.json", `{"caption": "x"}`}}, "1.png:0 2.png:-1", "dog"},
		"text as labels": {
			[]pair{{"1.png", image(1)}, {"1.txt", "dog"}, {"2.png", image(2)}, {"2.txt", "dog"}, {"3.png", image(2)}, {"3.txt", "cat"}, {"4.png", image(1)}, {"4.txt", "cat"}},
			"1.png:1 2.png:1 3.png:0 4.png:0", "cat dog",
		},
		"captions":            {[]pair{{"1.png", image(1)}, {"1.txt", "a dog"}, {"2.png", image(2)}, {"2.txt", "a cat"}}, "1.png:-1 2.png:-1", ""},
		"two images a sample": {[]pair{{"1.left.png", image(1)}, {"1.cls", "5"}, {"1.right.png", image(2)}}, "1.left.png:5 1.right.png:5", "0 1 2 3 4 5"},
		"an image without":    {[]pair{{"1.png", image(1)}, {"2.cls", "3"}, {"3.png", image(3)}, {"3.cls", "0"}}, "1.png:-1 3.png:0", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			ds := open(t, create(t, filepath.Join(t.TempDir(), "x.tar"), tarOf(c.members)))
			if got := describe(ds); got != c.want || strings.Join(ds.Classes(), " ") != c.classes {
				t.Errorf("got  %s of %v\nwant %s of %s", got, ds.Classes(), c.want, c.classes)
			}
		})
	}
}

func TestShardsOfAFolderOrPattern(t *testing.T) {
	dir := t.TempDir()
	pattern := fixtures["webdataset"](t, dir)
	want := describe(open(t, pattern))
	for _, path := range []string{dir, filepath.Join(dir, "*.tar"), filepath.Join(dir, "set-00[01].tar"), filepath.Join(dir, "set-{000,001}.tar")} {
		if got := describe(open(t, path)); got != want {
			t.Errorf("%s holds\n%s\nwant\n%s", path, got, want)
		}
	}
	if got := open(t, pattern).(data.Sharded).Shards(); !slices.Equal(got, []int{4, 8}) {
		t.Errorf("the shards end at %v, want 4 and 8", got)
	}
	for path, want := range map[string]string{
		"set-{000..002}.tar": "stands for 3 files, of which", "none-*.tar": "matches no file", "set-{000..tar": "brace is not closed",
		"set-{5..1}.tar": "no range", "set-{0..99999999}.tar": "no range", "{0..9999}{0..9999}.tar": "more than",
	} {
		if _, err := data.Open(filepath.Join(dir, path)); err == nil || !strings.HasPrefix(err.Error(), "data: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one that says %q", path, err, want)
		}
	}
	// One shard of several that was cut off gives what is whole in it, and is noted.
	first := filepath.Join(dir, "set-000.tar")
	info, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(first, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	cut := open(t, dir)
	list := filepath.Join(t.TempDir(), "bad.jsonl")
	openBad(t, list, cut)
	openBad(t, list, cut)
	if notes := readList(t, list); cut.Len() >= 8 || cut.Len() < 5 || len(notes) != 1 || !strings.Contains(notes[0].Error, "cut off") || notes[0].Index != -1 {
		t.Errorf("%d images and the notes %v, want fewer than 8 and one note", cut.Len(), notes)
	}
}

// What cannot be read of an archive is named.
func TestSourcesRefuse(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		writeText(t, filepath.Join(dir, name), content)
		return filepath.Join(dir, name)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, "tar")
	z.Close()
	pixels := pixelsOf(4)
	npy := func(descr, shape string) string { return npyOf(descr, shape, pixels) }
	for path, want := range map[string]string{
		write("empty.zip", ""):                                                                                 "without its table of contents",
		write("text.zip", "no archive"):                                                                        "without its table of contents",
		write("text.tar", strings.Repeat("no archive ", 200)):                                                  "damaged or was cut off",
		write("x.tar.gz", packed.String()):                                                                     "run gunzip on it",
		write("text.parquet", "no such thing"):                                                                 "does not end as Parquet files do",
		write("text.npy", "no such thing"):                                                                     "does not begin as npy files do",
		write("text.npz", "no such thing"):                                                                     "is no npz file",
		create(t, filepath.Join(dir, "none.zip"), zipOf([]pair{{"a.txt", "x"}})):                               "holds no images (looked for",
		create(t, filepath.Join(dir, "none.tar"), tarOf([]pair{{"a.txt", "x"}})):                               "holds no images (looked for",
		write("floats.npy", npy("<f4", "(1, 2, 3, 3)")):                                                        `elements of type "<f4"`,
		write("planes.npy", npy("|u1", "(1, 3, 1, 80)")):                                                       "channels come last",
		write("line.npy", npy("|u1", "(72,)")):                                                                 "wanted images x height x width",
		write("short.npy", npy("|u1", "(100, 2, 3, 3)")):                                                       "of which 72 are there; it was cut off",
		write("huge.npy", npy("|u1", "(9000000000000, 100, 100, 3)")):                                          "of which 72 are there",
		write("none.npy", npy("|u1", "(0, 2, 3, 3)")):                                                          "has the shape [0 2 3 3]",
		create(t, filepath.Join(dir, "other.npz"), zipOf([]pair{{"weights.npy", npy("|u1", "(4, 2, 3, 3)")}})): "has no array named images; it has weights",
		create(t, filepath.Join(dir, "labels.npz"), zipOf([]pair{
			{"images.npy", npy("|u1", "(4, 2, 3, 3)")}, {"labels.npy", npyOf("<i4", "(3,)", []int32{1, 2, 3})},
		})): "has 3 labels for 4 images",
	} {
		_, err := data.Open(path)
		if err == nil || !strings.HasPrefix(err.Error(), "data: "+path) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got error %v, want one line that says %q", filepath.Base(path), err, want)
		}
	}
}

func TestArrays(t *testing.T) {
	dir := t.TempDir()
	gray := filepath.Join(dir, "gray.npy")
	writeText(t, gray, npyOf("|u1", "(4, 3, 6)", pixelsOf(4)))
	for channels, want := range map[int]int{0: 3, 3: 3, 1: 1} {
		o := data.Options{}
		o.Decode.Channels = channels
		ds, err := o.Open(gray)
		if err != nil {
			t.Fatal(err)
		}
		im, err := ds.Load(2)
		if err != nil || im.C != want || im.W != 6 || im.H != 3 || im.Pix[0] != 3 || len(im.Pix) != 18*want {
			t.Errorf("channels %d: got %v, %v, want %d channels of value 3", channels, im, err, want)
		}
	}
	// Numbers of every size as labels, with names for them; compressed and not.
	for descr, labels := range map[string]any{
		"<i8": []int64{1, 0, 1, 1}, ">i2": []byte{0, 1, 0, 0, 0, 1, 0, 1}, "|u1": []uint8{1, 0, 1, 1}, "|b1": []bool{true, false, true, true},
	} {
		path := create(t, filepath.Join(dir, "x.npz"), zipOf([]pair{ // the second is deflated
			{"y_train.npy", npyOf(descr, "(4, 1)", labels)}, {"x_train.npy", npyOf("|u1", "(4, 2, 3, 3)", pixelsOf(4))}, {"classes.npy", npyOf("<U3", "(2,)", letters("catdog"))},
		}))
		ds := open(t, path)
		if got := describe(ds); got != "x.npz#0:1 x.npz#1:0 x.npz#2:1 x.npz#3:1" || !slices.Equal(ds.Classes(), []string{"cat", "dog"}) {
			t.Errorf("labels of type %s: got %s of %v", descr, got, ds.Classes())
		}
		if im, err := ds.Load(3); err != nil || im.Pix[17] != 4 {
			t.Errorf("got %v, %v", im, err)
		}
	}
}

// Every prefix of an archive ends in a set or in an error, and what the set still promises can be
// loaded or is an error too.
func TestArchivesThatWereCutOff(t *testing.T) {
	for name, write := range fixtures {
		if name == "folder" || name == "list" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := write(t, dir)
			file := path
			if info, err := os.Stat(path); err != nil || info.IsDir() {
				file = largest(t, dir)
			}
			whole, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			images := open(t, path).Len()
			for n := whole.Size() - 1; n >= 0; n -= max(1, whole.Size()/1000) {
				if err := os.Truncate(file, n); err != nil {
					t.Fatal(err)
				}
				ds, err := data.Open(path)
				if err != nil {
					if !strings.HasPrefix(err.Error(), "data: ") {
						t.Fatalf("%d bytes: error %q does not name its package", n, err)
					}
					continue
				}
				if ds.Len() > images {
					t.Fatalf("%d bytes: %d images, more than there were", n, ds.Len())
				}
				for i := range ds.Len() {
					ds.Load(i)
				}
			}
		})
	}
}

func largest(t *testing.T, dir string) (path string) {
	t.Helper()
	size := int64(-1)
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Size() > size {
			path, size = p, info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A file that shrinks, or is gone, after the set was opened makes its images unreadable, no more.
func TestArchivesThatVanishWhileRunning(t *testing.T) {
	for name, write := range fixtures {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := write(t, dir)
			ds := open(t, path)
			if name == "folder" || name == "list" {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			} else if err := os.Truncate(largest(t, dir), 10); err != nil {
				t.Fatal(err)
			}
			if name == "array" {
				return // small ones are in memory, and stay readable
			}
			failed := 0
			for i := range ds.Len() {
				if _, err := ds.Load(i); err != nil {
					failed++
				}
			}
			if failed == 0 {
				t.Error("no image failed")
			}
		})
	}
}

// However many shards there are, few are open at a time.
func TestManyShardsTakeFewFiles(t *testing.T) {
	const many = 200
	dir := t.TempDir()
	for i := range many {
		create(t, filepath.Join(dir, fmt.Sprintf("%03d.tar", i)), tarOf([]pair{{"1.png", picture(t, 3, 2, i)}}))
	}
	ds := open(t, dir)
	openFiles := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return 0 // a system without such a count; what is loaded is checked in any case
		}
		return len(entries)
	}
	before := openFiles()
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := worker; i < 3*many; i += 4 {
				if im, err := ds.Load(i % many); err != nil || int(im.Pix[1]) != i%many {
					t.Errorf("image %d: %v, %v", i%many, im, err)
				}
			}
		})
	}
	all.Wait()
	if grown := openFiles() - before; grown > 70 {
		t.Errorf("%d more files are open than before", grown)
	}
}

// By shard, the loader reads a set nearly from front to back: with a cache four times as deep as the buffer
// each block is fetched about once, as a disk's read-ahead or a Parquet page is. The whole set mixed
// fetches a block for almost every image.
func TestByShardReadsNearlyFromFrontToBack(t *testing.T) {
	const many, each, depth, perBlock = 16, 32, 16, 4
	dir := t.TempDir()
	for i := range many {
		var pairs []pair
		for k := range each {
			pairs = append(pairs, pair{fmt.Sprintf("%02d.png", k), picture(t, 3, 2, i)})
		}
		create(t, filepath.Join(dir, fmt.Sprintf("%03d.tar", i)), tarOf(pairs))
	}
	first, err := os.Stat(filepath.Join(dir, "000.tar"))
	if err != nil {
		t.Fatal(err)
	}
	fetches := func(byShard bool) (n int) {
		ds := open(t, dir)
		sampler := newSampler(t, ds.Len(), 8, 0, 1)
		if byShard {
			if err := sampler.ByShard(ds.(data.Sharded).Shards(), depth); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		var cache []string // of blocks, the one used last at the end
		data.NoteReads(ds, func(shard int32, offset, _ int64) {
			mu.Lock()
			defer mu.Unlock()
			block := fmt.Sprint(shard, offset*each/perBlock/first.Size())
			if at := slices.Index(cache, block); at >= 0 {
				cache = slices.Delete(cache, at, at+1)
			} else {
				n++
			}
			cache = append(cache, block)
			cache = cache[max(0, len(cache)-4*depth/perBlock):]
		})
		loader := newLoader(4, 2)
		loader.Fill = func(_ context.Context, _ *buffer, _, image int) error {
			_, err := ds.Load(image)
			return err
		}
		for _, err := range loader.Run(t.Context(), 0, sampler.StepsPerEpoch(), sampler.Batch) {
			if err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	const images, blocks = many * each, many * each / perBlock
	if n := fetches(true); n < blocks || n > blocks*3/2 {
		t.Errorf("by shard %d blocks were fetched, want hardly more than the %d that there are", n, blocks)
	}
	if n := fetches(false); n < 3*blocks {
		t.Errorf("of the whole set mixed %d blocks were fetched for %d images, want several times the %d that there are", n, images, blocks)
	}
}

// With next to no memory for pages, each image costs the read of its page, and is the same.
func TestParquetWithLittleMemory(t *testing.T) {
	path := "internal/parquet/testdata/hub-snappy.parquet"
	want := open(t, path)
	ds, err := data.Options{Memory: 1}.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 5 * ds.Len() {
				i = (i*7 + worker) % ds.Len()
				got, errGot := ds.Load(i)
				im, errWant := want.Load(i)
				if errGot != nil || errWant != nil || !slices.Equal(got.Pix, im.Pix) {
					t.Errorf("image %d differs: %v, %v", i, errGot, errWant)
				}
			}
		})
	}
	all.Wait()
}

// Rows without an image count as images that cannot be read.
func TestParquetWithNulls(t *testing.T) {
	ds := open(t, "internal/parquet/testdata/hub-nulls.parquet")
	if got, want := describe(ds), "a/0.png:0 b/1.png:1 a/2.png:0 hub-nulls.parquet#3:1"; !strings.HasPrefix(got, want) {
		t.Errorf("it begins with %s, want %s", got, want)
	}
	for i := range ds.Len() {
		if _, err := ds.Load(i); (err != nil) != (i == 3 || i == 7) || err != nil && !strings.Contains(err.Error(), "has no bytes") {
			t.Errorf("image %d: %v", i, err)
		}
	}
	if _, err := data.Open("internal/parquet/testdata/hub-brotli.parquet"); err == nil || !strings.Contains(err.Error(), "Brotli") {
		t.Errorf("got error %v, want one that names Brotli", err)
	}
}

func TestTables(t *testing.T) {
	for name, c := range map[string]struct{ ending, text, want, classes string }{
		"header":             {"csv", "path,label\na.png,1\nb.png,0\n", "a.png:1 b.png:0", "0 1"},
		"header, no label":   {"csv", "Filename,width\na.png,3\nb.png,3\n", "a.png:-1 b.png:-1", ""},
		"columns anywhere":   {"csv", "width,Label,image_path\r\n3,dog,a.png\r\n3,cat,b.png\r\n", "a.png:1 b.png:0", "cat dog"},
		"quotes":             {"csv", "path,label\n\"my, a.png\",\"a \"\"dog\"\"\"\nb.png,cat\n", "my, a.png:0 b.png:1", `a "dog" cat`},
		"quotes, no header":  {"csv", "\"my, a.png\",dog\nb.png,cat\n", "my, a.png:1 b.png:0", "cat dog"},
		"semicolons":         {"csv", "path;label\na.png;x\nb.png;y\n", "a.png:0 b.png:1", "x y"},
		"tabs":               {"tsv", "file\ttarget\na.png\tx\nb.png\ty\n", "a.png:0 b.png:1", "x y"},
		"some without label": {"csv", "path,label\na.png,\nb.png,3\n", "a.png:-1 b.png:3", "0 1 2 3"},
		"byte order mark":    {"csv", "\ufeffpath,label\na.png,0\n", "a.png:0", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range []string{"a.png", "b.png", "my, a.png"} {
				writePNG(t, filepath.Join(dir, file), 3, 2)
			}
			list := filepath.Join(dir, "list."+c.ending)
			writeText(t, list, c.text)
			ds := open(t, list)
			if got := describe(ds); got != c.want || strings.Join(ds.Classes(), " ") != c.classes {
				t.Errorf("got  %s of %v\nwant %s of %s", got, ds.Classes(), c.want, c.classes)
			}
		})
	}
	list := filepath.Join(t.TempDir(), "list.csv")
	for text, want := range map[string]string{
		"path,label\n,1\n":        "line 2: no path in column 1",
		"x,path\na\n":             "line 2: no path in column 2",
		"path,label\n\"a.png,1\n": "is no table that can be read",
		"path,label\na" + strings.Repeat("x", 100_000): "a line is longer than",
		"path,label\n": "names no images",
	} {
		writeText(t, list, text)
		if _, err := data.Open(list); err == nil || !strings.HasPrefix(err.Error(), "data: "+list) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got error %v, want one that says %q", text, err, want)
		}
	}
}

// fuzzSource feeds files of one ending to Open.
func fuzzSource(f *testing.F, ending string, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, file []byte) {
		path := filepath.Join(dir, "set"+ending)
		writeText(t, path, string(file))
		ds, err := data.Open(path)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "data: ") {
				t.Errorf("error %q does not name its package", err)
			}
			return
		}
		for i := range min(ds.Len(), 50) {
			if label := ds.Label(i); label < -1 || label >= len(ds.Classes()) {
				t.Errorf("label %d of %d classes", label, len(ds.Classes()))
			}
			ds.Load(i)
		}
	})
}

func written(write func(io.Writer) error) string {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		panic(err)
	}
	return b.String()
}

func FuzzZip(f *testing.F) {
	fuzzSource(f, ".zip", written(zipOf(classPairs(f, ""))), written(zipOf(classPairs(f, "set/train/"))))
}

func FuzzTar(f *testing.F) {
	fuzzSource(f, ".tar", written(tarOf(classPairs(f, "")[:2])),
		written(tarOf([]pair{{"1.png", picture(f, 3, 2, 1)}, {"1.cls", "2"}, {"1.json", `{"label": "x"}`}, {"1.txt", "x"}})))
}

func FuzzNpz(f *testing.F) {
	images, labels := pair{"images.npy", npyOf("|u1", "(6, 2, 3, 3)", pixelsOf(6))}, pair{"labels.npy", npyOf("<U1", "(6,)", letters("ababab"))}
	fuzzSource(f, ".npz", written(zipOf([]pair{images, labels})), written(zipOf([]pair{labels, images})))
}

func FuzzNpy(f *testing.F) {
	fuzzSource(f, ".npy", npyOf("|u1", "(6, 2, 3, 3)", pixelsOf(6)), npyOf("|u1", "(4, 3, 6)", pixelsOf(4)))
}

func FuzzParquet(f *testing.F) {
	paths, err := filepath.Glob("internal/parquet/testdata/*.parquet")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	var seeds []string
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, string(b))
	}
	fuzzSource(f, ".parquet", seeds...)
}

func FuzzTable(f *testing.F) {
	fuzzSource(f, ".csv", "path,label\na.png,1\n", "\"a.png\";x\nb.png;y", fmt.Sprintf("\ufefffile\n%s.png", strings.Repeat("x", 300)))
}
