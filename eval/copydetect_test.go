package eval

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/data"
	"ibot/imaging"
	"ibot/internal/golden"
	"ibot/torch"
)

func init() { fixtures["copydetect"] = copyFolder }

// copyFolder writes six originals, the same at less contrast, and shrunk ones without their borders,
// named as those of Copydays.
func copyFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 6 {
		im := imaging.New(64, 56, 3)
		for at := range im.Pix {
			x, y := at/3%64, at/3/64
			im.Pix[at] = uint8(float64(40+170*(i>>(at%3)&1)) + 30*math.Sin(float64(x*(i+1)+y*(9-i))/24))
		}
		writeImage(t, filepath.Join(dir, "original", fmt.Sprintf("20%02d00.png", i)), im)
		pale := im.Clone()
		pale.AdjustContrast(0.7)
		writeImage(t, filepath.Join(dir, "strong", fmt.Sprintf("20%02d01.png", i)), pale)
		for _, percent := range []int{5, 10} {
			cut := im.Crop(imaging.Box{Left: percent / 2, Top: percent / 2, Width: 64 - percent, Height: 56 - percent})
			writeImage(t, filepath.Join(dir, "crops", fmt.Sprint(percent), fmt.Sprintf("20%02d00.png", i)), cut.Resize(32, 30, imaging.Bicubic))
		}
	}
	return dir
}

func TestCopyDetection(t *testing.T) {
	checkLive(t)
	dir := copyFolder(t)
	for _, whitening := range []string{"", filepath.Join(dir, "crops", "5")} {
		p := &copyProtocol{Distractors: filepath.Join(labelledFolder(t), "val"), Whitening: whitening}
		report, err := Evaluate(t.Context(), p, dir, goldenRun(t))
		if err != nil {
			t.Fatal(err)
		}
		r := report.(*CopyReport)
		var names []string
		for _, b := range r.Blocks {
			names = append(names, b.Name)
			// Six images tell little of 128 directions, so that a whitening learnt from them may harm.
			if b.Copies != 6 || b.MAP < 80 && whitening == "" {
				t.Errorf("%+v", b)
			}
		}
		if !slices.Equal(names, []string{"original", "crops/5", "crops/10", "strong"}) || r.Originals != 6 || r.Distractors != 8 ||
			r.Blocks[0].MAP != 100 || r.Whitened > 0 != (whitening != "") {
			t.Errorf("got %+v", r)
		}
		if scores := r.Scores(); len(scores) != 3 || scores[0].Name != "mAP, strong" {
			t.Errorf("scores %+v", scores)
		}
	}
}

func TestWhiteningEqualsReference(t *testing.T) {
	checkLive(t)
	f := arrays(t, "copies.npz")
	torch.Scope(func() {
		tensor := func(name string) *torch.Tensor {
			v, shape := readFloats(t, f, name)
			return torch.New(v, shape...)
		}
		w, err := learnWhitening(tensor("learnt"))
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		y := normalise(w.apply(tensor("x")))
		// The directions of components are arbitrary; similarities are not.
		golden.Equal(t, "similarity", y.MM(y.Transpose(0, 1)), tensor("similarity"), golden.Tolerance{Abs: 2e-4})
		golden.Equal(t, "GeM", gem(tensor("tokens"), 4), tensor("gem"), golden.Tolerance{Abs: 1e-6})
	})
}

func TestMatcher(t *testing.T) {
	for _, c := range []struct {
		name, rule string
		originals  []string
		copies     map[string][]int
	}{
		{"names that begin alike", "", []string{"cat.jpg", "cat-two.jpg", "dög.png"}, map[string][]int{
			"cat.png": {0}, "cat_small.jpg": {0}, "cat-two (1).jpg": {1}, "cat-twofold.jpg": {0}, "cats.jpg": nil, "dög.2.png": {2}, "a cat.jpg": nil,
		}},
		{"Copydays", "", []string{"200000.jpg", "200100.jpg"}, map[string][]int{"200001.jpg": {0}, "200100.jpg": {1}, "200203.jpg": nil, "x.jpg": nil}},
		{"a rule with a group", "^([a-z]+)-", []string{"cat-1.jpg", "dog-1.jpg", "cat-2.jpg"}, map[string][]int{"cat-77.jpg": {0, 2}, "77.jpg": nil}},
		{"a rule without", "^.{3}", []string{"cat1.jpg"}, map[string][]int{"cat2.jpg": {0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			originals, err := data.Options{}.Files("", c.originals)
			if err != nil {
				t.Fatal(err)
			}
			m, err := newMatcher(originals, c.rule)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.copies {
				if got := m.originalsOf(name); !slices.Equal(got, want) {
					t.Errorf("%s: got %v, want %v", name, got, want)
				}
			}
		})
	}
}

func TestCopyErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(dir string, p *copyProtocol) error
		want string
	}{
		{"no originals", func(dir string, _ *copyProtocol) error { return os.RemoveAll(filepath.Join(dir, "original")) }, "holds no folder original"},
		{"no copies", func(dir string, _ *copyProtocol) error {
			os.RemoveAll(filepath.Join(dir, "crops"))
			return os.RemoveAll(filepath.Join(dir, "strong"))
		}, "no folder of copies"},
		{"a broken rule", func(_ string, p *copyProtocol) error { p.Rule = "("; return nil }, "regular expression"},
		{"a rule for others", func(_ string, p *copyProtocol) error { p.Rule = "^[a-z]"; return nil }, "does not match the original"},
		{"a rule too strict", func(_ string, p *copyProtocol) error { p.Rule = "^20..00$"; return nil }, ""},
		{"no copy is known", func(dir string, _ *copyProtocol) error {
			os.RemoveAll(filepath.Join(dir, "crops"))
			os.RemoveAll(filepath.Join(dir, "strong"))
			os.Mkdir(filepath.Join(dir, "edited"), 0o755)
			return os.Rename(filepath.Join(dir, "original", "200500.png"), filepath.Join(dir, "edited", "other.png"))
		}, "no copy is named as an original"},
		{"no such distractors", func(dir string, p *copyProtocol) error { p.Distractors = filepath.Join(dir, "none"); return nil }, "none does not exist"},
		{"a patch too large", func(_ string, p *copyProtocol) error { p.ImSize = 4; return nil }, "smaller than a patch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkLive(t)
			dir, p := copyFolder(t), &copyProtocol{}
			if err := c.edit(dir, p); err != nil {
				t.Fatal(err)
			}
			report, err := Evaluate(t.Context(), p, dir, goldenRun(t))
			if c.want == "" { // copies that it does not match are left out, with a note
				if err != nil || len(report.(*CopyReport).Notes) != 1 {
					t.Errorf("got %+v, %v", report, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
