package eval

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/data"
	"ibot/data/drawn"
)

func TestSomeOfEach(t *testing.T) {
	set := photos{n: 41} // 21 even, 20 odd
	ten := someOfEach(set, 1, .25)
	counts := [2]int{}
	for _, i := range ten {
		counts[set.Label(i)]++
	}
	if counts != [2]int{5, 5} || !slices.IsSorted(ten) {
		t.Errorf("%v: %v", ten, counts)
	}
	if !slices.Equal(ten, someOfEach(set, 1, .25)) || slices.Equal(ten, someOfEach(set, 2, .25)) {
		t.Error("the seed does not decide")
	}
	if few := someOfEach(set, 1, .001); len(few) != 2 {
		t.Errorf("%v, want one of each class", few)
	}
	if all := someOfEach(set, 1, 1); len(all) != 41 {
		t.Errorf("%d of 41", len(all))
	}
}

// TestNamed reads lists as SimCLR publishes them: file names without folders.
func TestNamed(t *testing.T) {
	numbered, err := drawn.New(1, 4, 24, 32)
	if err != nil {
		t.Fatal(err)
	}
	set := unique{numbered}
	dir := t.TempDir()
	write := func(text string) string {
		path := filepath.Join(dir, "1percent.txt")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	base := func(i int) string { return filepath.Base(set.Name(i)) }
	got, err := named(set, write(base(7)+"\n"+base(2)+"\r\n\n"+base(7)+"\n"+set.Name(20)))
	if err != nil || !slices.Equal(got, []int{2, 7, 20}) {
		t.Errorf("got %v, %v", got, err)
	}
	twice := twins{set}
	for text, want := range map[string]string{
		"a.JPEG\nb.JPEG\n" + base(1): "names 2 images that are not in train: a.JPEG, b.JPEG; want names such as " + base(0),
		"\n\n":                       "names no image",
	} {
		if _, err := named(set, write(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, err := named(twice, write("x.png\n")); err == nil || !strings.Contains(err.Error(), "several folders have such a file; write CLASS/NAME") {
		t.Errorf("ambiguous: %v", err)
	}
	if _, err := named(set, filepath.Join(dir, "missing.txt")); err == nil || !strings.Contains(err.Error(), "missing.txt") {
		t.Errorf("missing: %v", err)
	}
}

// unique is a set whose files have the names of their classes in front, as those of ImageNet do.
type unique struct{ data.Dataset }

func (u unique) Name(i int) string {
	dir, file := filepath.Split(u.Dataset.Name(i))
	return dir + filepath.Base(dir) + "_" + file
}

// twins is a set in which every folder has a file of the same name.
type twins struct{ data.Dataset }

func (t twins) Name(i int) string { return filepath.Dir(t.Dataset.Name(i)) + "/" + "x.png" }

// TestSemiUsesTheListAlone: the other images of train have no say.
func TestSemiUsesTheListAlone(t *testing.T) {
	checkLive(t)
	dir := labelledFolder(t)
	set, err := data.OpenSplit(dir, "train")
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "list.txt")
	var text string
	chosen := map[int]bool{}
	for i := range set.Len() { // the first of each class
		if !chosen[set.Label(i)] {
			text += set.Name(i) + "\n" // the file names are the same in all classes
		}
		chosen[set.Label(i)] = true
	}
	if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := Protocol(nil)
	for _, kind := range Protocols() {
		if kind.Name == "semi" {
			p = kind.New()
		}
	}
	ease["semi"](p)
	s := p.(*semiProtocol)
	s.List, s.K = list, []float64{10}
	report, err := Evaluate(t.Context(), p, dir, goldenRun(t))
	if err != nil {
		t.Fatal(err)
	}
	got := report.(*SemiReport)
	if got.Train != 4 || got.Of != 16 || got.Percent != 25 || got.Results[0].KNN[0].K != 4 || len(got.Notes) < 1 || !strings.Contains(got.Notes[0], "k of the k-NN is 4") {
		t.Errorf("%+v", got)
	}
	if scores := report.Scores(); scores[0].Name != "k-NN, 25 % of the labels" {
		t.Errorf("%+v", scores)
	}
}
