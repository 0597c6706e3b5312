package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/imaging"
	"ibot/internal/golden"
	"ibot/nn"
	"ibot/torch"
)

func init() { fixtures["retrieval"] = truthFolder }

// truthFolder writes eight images of several sizes and two queries, in the layout of Revisited
// Oxford. A query is the shrunk copy of its one easy image.
func truthFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	g := groundTruth{Queries: []string{"q0", "q1"}, Relevant: []relevantTo{
		{Easy: []int{2}, Hard: []int{5}, Junk: []int{0}},
		{Easy: []int{7}, Hard: []int{}, Junk: []int{1, 3}},
	}}
	for i := range 8 {
		im := imaging.New(40+3*i, 52-2*i, 3)
		for at := range im.Pix {
			x, y := at/3%im.W, at/3/im.W
			im.Pix[at] = uint8(float64(40+170*(i>>(at%3)&1)) + 30*math.Sin(float64(x*(i+1)+y*(9-i))/24))
		}
		g.Database = append(g.Database, fmt.Sprintf("image%d", i))
		writeImage(t, filepath.Join(dir, "jpg", g.Database[i]+".png"), im)
		if q := slices.Index([]int{2, 7}, i); q >= 0 {
			writeImage(t, filepath.Join(dir, "jpg", g.Queries[q]+".png"), im.Resize(im.W-4, im.H-3, imaging.Bicubic))
		}
	}
	b, err := json.Marshal(g)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "gnd_toy.json"), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func newRetrieval() *retrievalProtocol {
	return &retrievalProtocol{K: []float64{1, 5}, ImSize: 48, Multiscale: true, Feature: "cls", LastBlocks: 1}
}

func TestRetrieval(t *testing.T) {
	checkLive(t)
	report, err := Evaluate(t.Context(), newRetrieval(), truthFolder(t), goldenRun(t))
	if err != nil {
		t.Fatal(err)
	}
	r := report.(*RetrievalReport)
	if r.Database != 8 || r.Queries != 2 || len(r.Results) != 2 || r.Results[0].Queries != 2 || r.Results[1].Queries != 1 {
		t.Fatalf("got %+v", r)
	}
	// Both copies are found first; one of the two queries has another image to find.
	if m := r.Results[0]; m.MAP < 55 || m.PrecisionAt[0].K != 1 || m.PrecisionAt[0].Percent != 100 {
		t.Errorf("medium: %+v", m)
	}
	if !slices.ContainsFunc(r.Notes, func(s string) bool { return strings.HasPrefix(s, "hard: 1 queries") }) {
		t.Errorf("notes %q", r.Notes)
	}
}

// In class folders every image is a query, and only the others of its class are relevant.
func TestRetrievalOfClasses(t *testing.T) {
	checkLive(t)
	dir := labelledFolder(t)
	run := func(dir string) *RetrievalReport {
		report, err := Evaluate(t.Context(), newRetrieval(), dir, goldenRun(t))
		if err != nil {
			t.Fatal(err)
		}
		return report.(*RetrievalReport)
	}
	val := run(dir)
	if val.Database != 8 || val.Queries != 8 || len(val.Results) != 1 || val.Results[0].Level != "class" || val.Results[0].Queries != 8 {
		t.Errorf("val: %+v", val)
	}
	if again := run(filepath.Join(dir, "val")); again.Results[0].MAP != val.Results[0].MAP {
		t.Errorf("val by itself: mAP %v, want %v", again.Results[0].MAP, val.Results[0].MAP)
	}
	// A class with one image cannot be searched for, and a broken image is left out.
	classes, err := filepath.Glob(filepath.Join(dir, "val", "*", "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(classes[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(classes[7], []byte("none"), 0o644); err != nil {
		t.Fatal(err)
	}
	less := run(dir)
	if less.Queries != 6 || less.Results[0].Queries != 5 && less.Results[0].Queries != 4 || len(less.Bad) != 1 || len(less.Notes) != 1 {
		t.Errorf("less: %+v", less)
	}
}

// The mean of the features at three sizes, of length 1; each size floored as in PyTorch.
func TestMultiScale(t *testing.T) {
	checkLive(t)
	vit := goldenViT(t)
	torch.Scope(func() {
		torch.NoGrad(func() {
			pixels := make([]float32, 3*45*38)
			for i := range pixels {
				pixels[i] = float32(math.Sin(float64(i) / 17))
			}
			x := torch.New(pixels, 1, 3, 45, 38)
			got, err := Choice{Feature: "cls", LastBlocks: 1, Scales: retrievalScales}.of(vit, x)
			if err != nil {
				t.Fatal(err)
			}
			cls := func(x *torch.Tensor) *torch.Tensor { return vit.Forward(nn.Eval, x, nil).Select(1, 0) }
			third := func(h, w int, s float64) *torch.Tensor { return cls(x.Bilinear(h, w, s, s)).DivScalar(3) }
			want := cls(x).DivScalar(3).Add(third(31, 26, 1/math.Sqrt2)).Add(third(22, 19, 0.5))
			golden.Equal(t, "feature", got, want.Div(want.Norm(1)), golden.Tolerance{Abs: 1e-5})
		})
	})
}

func TestRetrievalErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(dir string, p *retrievalProtocol) error
		want string
	}{
		{"an image is missing", func(dir string, _ *retrievalProtocol) error {
			return os.Remove(filepath.Join(dir, "jpg", "image3.png"))
		}, "names 8 images, of which 1 are not in"},
		{"a query is missing", func(dir string, _ *retrievalProtocol) error { return os.Remove(filepath.Join(dir, "jpg", "q1.png")) }, "such as q1"},
		{"a query is no image", func(dir string, _ *retrievalProtocol) error {
			return os.WriteFile(filepath.Join(dir, "jpg", "q1.png"), []byte("none"), 0o644)
		}, ""},
		{"no truth", func(dir string, _ *retrievalProtocol) error { return os.Remove(filepath.Join(dir, "gnd_toy.json")) }, "want the layout of Revisited Oxford"},
		{"k", func(_ string, p *retrievalProtocol) error { p.K = []float64{1.5}; return nil }, "whole numbers"},
		{"too small", func(_ string, p *retrievalProtocol) error { p.ImSize = 16; return nil }, "whose patches need 16 a side"},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkLive(t)
			dir, p := truthFolder(t), newRetrieval()
			if err := c.edit(dir, p); err != nil {
				t.Fatal(err)
			}
			report, err := Evaluate(t.Context(), p, dir, goldenRun(t))
			if c.want == "" { // one bad query is left out
				if err != nil || report.(*RetrievalReport).Queries != 1 {
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
