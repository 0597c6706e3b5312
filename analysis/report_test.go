package analysis

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ibot/data"
	"ibot/imaging"
)

// learningRun is the folder of a run of 600 steps that learns.
func learningRun(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprintln(&b, `{"kind":"baseline","step":0,"epoch":0,"knn_pixels":31.2,"knn_untrained":24.3}`)
	for step := 1; step <= 600; step++ {
		fmt.Fprintf(&b, `{"kind":"step","step":%d,"epoch":%d,"loss":%g,"cls":%g,"patch":1,"acc":0.5,"entropy":"NaN","grad_norm":1.5,"lr":0.001,"img_s":321}`+"\n",
			step, step/100, 6-float64(step)/300, 5-float64(step)/300)
		if step%100 == 0 {
			fmt.Fprintf(&b, `{"kind":"epoch","step":%d,"epoch":%d,"nmi":0.2,"knn":%d,"knn_top5":90}`+"\n", step, step/100-1, 30+step/20)
		}
	}
	write(t, filepath.Join(dir, "metrics.jsonl"), b.String())
	write(t, filepath.Join(dir, "config.yaml"), "# command ibot pretrain\nout_dim: 128\nlr: 0.004\n")
	write(t, filepath.Join(dir, "summary.json"), `{"images": 4321, "steps": 600, "steps_of": 700, "epochs": 6, "seconds": 75, "bad_images": 3}`)
	write(t, filepath.Join(dir, "eval", "knn.json"), `{"protocol": "knn of <b>", "data": "D", "results": [{"features": "trained", "scores": [{"k": 20, "top1": 61.25, "top5": 90}]}]}`)
	write(t, filepath.Join(dir, "eval", "broken.json"), `{`)
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// page runs the study and returns the page.
func pageOf(t *testing.T, in Input) string {
	t.Helper()
	r, err := (&reportStudy{Images: 4, Patterns: 30, Map: 20}).Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Files[0].Write(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len() > mostBytes {
		t.Errorf("the page has %d bytes", b.Len())
	}
	return b.String()
}

func TestReport(t *testing.T) {
	in := studied(t, 40)
	in.Run = learningRun(t)
	text := pageOf(t, in)
	for _, want := range []string{
		"<dd>4321</dd>", "<dd>600 of 700</dd>", "<dd>1m15s</dd>", "<dd>321 images/s</dd>", "<dd>128</dd>",
		"<strong>learning</strong>", "beat the untrained network (24.3 %) and raw pixels (31.2 %)",
		`"title":"Loss"`, `"title":"k-NN on frozen features"`, `"title":"Learning rate"`, `"title":"Gradient"`,
		"knn of &lt;b&gt;", "trained, k = 20, top1", "61.25", "broken.json is no JSON object",
		"<code>embed_dim</code>", "# command ibot pretrain",
		`id="attention"`, `id="components"`, `id="similar"`, `id="views"`, `id="patterns"`, `id="clusters"`, `"columns":`, "Clusters of patches",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	// Nothing is fetched: the only address is the name of SVG.
	for _, address := range regexp.MustCompile(`https?://[^"' <>]*`).FindAllString(text, -1) {
		if address != "http://www.w3.org/2000/svg" {
			t.Errorf("the page names %s", address)
		}
	}
	for _, source := range regexp.MustCompile(`(?:src|href)="([^"]{1,20})`).FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(source[1], "data:image/") && !strings.HasPrefix(source[1], "#") {
			t.Errorf("the page links to %s", source[1])
		}
	}
	if n := strings.Count(text, "<img "); n < 50 {
		t.Errorf("the page has %d pictures", n)
	}
}

// The data of charts are JSON, thinned, with gaps where nothing was measured.
func TestReportCharts(t *testing.T) {
	h, outputs, err := readRun(learningRun(t))
	if err != nil {
		t.Fatal(err)
	}
	charts := lineCharts(h, outputs)
	for _, c := range charts {
		b, err := json.Marshal(c)
		if err != nil || !json.Valid(b) {
			t.Errorf("%s: %v", c.Title, err)
		}
		for _, s := range c.Series {
			if len(s.Points) == 0 || len(s.Points) > mostPoints {
				t.Errorf("%s, %s: %d points", c.Title, s.Name, len(s.Points))
			}
			if s.Name == "entropy" {
				t.Error("a curve of NaN alone is drawn")
			}
		}
	}
	if charts[0].Title != "Loss" || len(charts[0].Series) != 3 || *charts[0].Series[0].Points[0][0] != 2 || math.Abs(*charts[0].Series[0].Points[0][1]-5.995) > 1e-9 {
		t.Errorf("the first point of the loss is the mean of steps 1 and 2: got %+v", charts[0])
	}
	if knn := charts[1]; len(knn.Series) != 4 || !knn.Series[2].Level || len(knn.Series[0].Points) != 6 {
		t.Errorf("k-NN: got %+v", knn)
	}
}

func TestThinned(t *testing.T) {
	nan := math.NaN()
	if got := thinned([]float64{1, 2}, []float64{nan, nan}); got != nil {
		t.Errorf("without values: got %v", got)
	}
	got := thinned([]float64{1, 2, 3}, []float64{5, nan, math.Inf(1)})
	if len(got) != 3 || *got[0][1] != 5 || got[1][1] != nil || got[2][1] != nil {
		t.Errorf("with gaps: got %v", got)
	}
}

// Names that others chose stay text.
func TestReportEscapes(t *testing.T) {
	in := studied(t, 20)
	in.Images = hostile{in.Images}
	text := pageOf(t, in)
	if strings.Contains(text, "<script>alert") || strings.Contains(text, "</script>x") {
		t.Error("a class name became part of the page")
	}
	if !strings.Contains(text, "&lt;script&gt;alert(1)") {
		t.Error("the class name is not on the page")
	}
}

// hostile has classes and files with HTML for names.
type hostile struct{ data.Dataset }

func (h hostile) Classes() []string {
	names := append([]string(nil), h.Dataset.Classes()...)
	for i := range names {
		names[i] = "<script>alert(1)</script>x"
	}
	return names
}
func (h hostile) Name(i int) string { return fmt.Sprintf("</script>x%d.png", i) }

// Without images, or with a network that has neither head nor attention, the page says what is missing.
func TestReportWithoutPictures(t *testing.T) {
	in := studied(t, 20)
	in.Run = learningRun(t)
	in.Images = nil
	if text := pageOf(t, in); !strings.Contains(text, "Pictures: no images were given") || !strings.Contains(text, "<strong>learning</strong>") {
		t.Error("without images: the page does not say so")
	}
	in = studied(t, 20)
	in.Net.Head, in.Net.Centers = nil, [2][]float32{}
	in.Net.Backbone = windowed{in.Net.Backbone}
	text := pageOf(t, in)
	for _, want := range []string{"the checkpoint has no projection head", "Where it looks: ", "the architecture has no such map", `id="components"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(text, `class="verdict`) {
		t.Error("a checkpoint without records has a verdict")
	}
}

// A picture that is too large for a screen is reduced, and photographs are JPEG.
func TestTile(t *testing.T) {
	noise := imaging.New(900, 300, 3)
	for i := range noise.Pix {
		noise.Pix[i] = uint8(i * i * 31 >> 3)
	}
	large := &tile{img: noise.ToImage(), cell: 200}
	if err := large.encode(80); err != nil {
		t.Fatal(err)
	}
	if large.Width != 400 || large.Height != 133 || large.Pixels || !strings.HasPrefix(string(large.Source), "data:image/jpeg;base64,") {
		t.Errorf("got %d x %d, %.40s", large.Width, large.Height, large.Source)
	}
	small := &tile{img: imaging.New(32, 32, 3).ToImage(), cell: 160}
	if err := small.encode(80); err != nil {
		t.Fatal(err)
	}
	if small.Width != 32 || !small.Pixels || !strings.HasPrefix(string(small.Source), "data:image/png;base64,") {
		t.Errorf("got %d pixels, %.40s", small.Width, small.Source)
	}
}
