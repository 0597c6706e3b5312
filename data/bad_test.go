package data_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ibot/data"
	"ibot/imaging"
)

// numbered is a set of n images in memory, image i of width i+1, of which some cannot be read.
type numbered struct {
	n      int
	labels []int
	names  []string
	broken map[int]error
}

func (d *numbered) Len() int          { return d.n }
func (d *numbered) Name(i int) string { return fmt.Sprintf("%d.png", i) }
func (d *numbered) Classes() []string { return d.names }

func (d *numbered) Label(i int) int {
	if d.labels == nil {
		return -1
	}
	return d.labels[i]
}

func (d *numbered) Load(i int) (*imaging.Image, error) {
	if err := d.broken[i]; err != nil {
		return nil, err
	}
	return imaging.New(i+1, 1, 3), nil
}

func broken(images ...int) map[int]error {
	all := map[int]error{}
	for _, i := range images {
		all[i] = fmt.Errorf("imaging: image %d is truncated", i)
	}
	return all
}

func openBad(t testing.TB, path string, ds data.Dataset) *data.BadImages {
	t.Helper()
	b, err := data.OpenBadImages(path, ds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func readList(t testing.TB, path string) []data.BadImage {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []data.BadImage
	for line := range strings.Lines(string(text)) {
		var image data.BadImage
		if err := json.Unmarshal([]byte(line), &image); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, image)
	}
	return all
}

func TestBadImagesAreReplacedAndListedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad_images.jsonl")
	b := openBad(t, path, &numbered{n: 100, broken: broken(3, 4, 99)})
	want := map[int]int{0: 0, 2: 2, 3: 5, 4: 5, 5: 5, 98: 98, 99: 0}
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for i := range 100 {
				im, index, err := b.Load(i)
				if err != nil {
					t.Error(err)
					return
				}
				if w, ok := want[i]; (ok && index != w) || im.W != index+1 {
					t.Errorf("image %d gave image %d of width %d, want %d", i, index, im.W, w)
				}
			}
		})
	}
	workers.Wait()
	if b.Count() != 3 {
		t.Errorf("counted %d bad images, want 3", b.Count())
	}
	found := map[int]data.BadImage{}
	list := readList(t, path)
	for _, image := range list {
		found[image.Index] = image
	}
	if len(list) != 3 || len(found) != 3 {
		t.Fatalf("the list is %v, want 3, 4 and 99 once each", list)
	}
	if got, want := found[3], (data.BadImage{Path: "3.png", Error: "imaging: image 3 is truncated", Index: 3}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTooManyBadImagesStop(t *testing.T) {
	for _, c := range []struct {
		n    int
		bad  []int
		stop bool
	}{
		{1, []int{0}, true},
		{2, []int{0}, false},
		{19, []int{5}, false},
		{19, []int{5, 6}, true},
		{40, []int{1, 2}, false},
		{40, []int{1, 2, 3}, true},
		{200, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, false},
		{200, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, true},
	} {
		t.Run(fmt.Sprintf("%d of %d", len(c.bad), c.n), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad_images.jsonl")
			b := openBad(t, path, &numbered{n: c.n, broken: broken(c.bad...)})
			var err error
			for i := 0; i < c.n && err == nil; i++ {
				_, _, err = b.Load(i)
			}
			if !c.stop {
				if err != nil {
					t.Errorf("got error %v, want the next image", err)
				}
				return
			}
			tooMany, ok := errors.AsType[*data.TooManyBad](err)
			if !ok {
				t.Fatalf("got error %v, want *TooManyBad", err)
			}
			if tooMany.Count != len(c.bad) || tooMany.Of != c.n || len(tooMany.First) != min(5, len(c.bad)) {
				t.Errorf("got %+v, want %d of %d", tooMany, len(c.bad), c.n)
			}
			if got := len(readList(t, path)); got != len(c.bad) {
				t.Errorf("the list has %d lines, want %d", got, len(c.bad))
			}
			first := fmt.Sprintf("%d.png (imaging: image %d is truncated)", c.bad[0], c.bad[0])
			for _, want := range []string{path, first, fmt.Sprintf("%d of %d images", len(c.bad), c.n)} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestTheListGoesOnAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad_images.jsonl")
	b := openBad(t, path, &numbered{n: 100, broken: broken(3, 4)})
	for i := range 5 {
		if _, _, err := b.Load(i); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	file.WriteString(`{"path":"9.png","err`) // killed in the midst of a line
	file.Close()

	// Image 3 has been repaired, 7 has gone bad.
	b = openBad(t, path, &numbered{n: 100, broken: broken(4, 7)})
	for i := range 10 {
		if _, _, err := b.Load(i); err != nil {
			t.Fatal(err)
		}
	}
	if b.Count() != 2 {
		t.Errorf("counted %d bad images, want 2", b.Count())
	}
	var indices []int
	for _, image := range readList(t, path) {
		indices = append(indices, image.Index)
	}
	if fmt.Sprint(indices) != "[3 4 7]" {
		t.Errorf("the list names %v, want 3, 4 and 7", indices)
	}
}

func TestBadImagesWithoutAList(t *testing.T) {
	b := openBad(t, "", &numbered{n: 10, broken: broken(3)})
	if _, index, err := b.Load(3); err != nil || index != 4 {
		t.Errorf("got image %d and error %v, want image 4", index, err)
	}
}

func TestListsThatCannotBeKept(t *testing.T) {
	dir := t.TempDir()
	writeText(t, filepath.Join(dir, "foreign"), "no JSON\n")
	for name, path := range map[string]string{
		"a folder": dir, "a missing folder": filepath.Join(dir, "none", "x"), "a foreign file": filepath.Join(dir, "foreign"),
	} {
		if _, err := data.OpenBadImages(path, &numbered{n: 1}); err == nil || !strings.HasPrefix(err.Error(), "data: cannot") {
			t.Errorf("%s: got error %v, want one from data", name, err)
		}
	}
	closed := openBad(t, filepath.Join(dir, "full"), &numbered{n: 100, broken: broken(1)})
	closed.Close()
	if _, _, err := closed.Load(1); err != nil {
		t.Errorf("after Close the account goes on without a list; got %v", err)
	}
	if _, err := os.Stat("/dev/full"); err == nil {
		full := openBad(t, "/dev/full", &numbered{n: 100, broken: broken(1)})
		if _, _, err := full.Load(1); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("on a full disk: got error %v, want ENOSPC within", err)
		}
	}
}

// A machine that has run out of files or memory makes no image bad.
func TestAnExhaustedMachineIsNoBadImage(t *testing.T) {
	out := &os.PathError{Op: "open", Path: "3.png", Err: syscall.EMFILE}
	b := openBad(t, "", &numbered{n: 100, broken: map[int]error{3: out}})
	if _, _, err := b.Load(3); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("got error %v, want EMFILE within", err)
	}
	if b.Count() != 0 {
		t.Errorf("counted %d bad images, want none", b.Count())
	}
}
