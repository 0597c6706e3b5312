package analysis

import (
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The colours of the first three curves of a chart, and of its levels.
var (
	firstColour  = color.NRGBA{0x00, 0x72, 0xb2, 0xff}
	secondColour = color.NRGBA{0xd5, 0x5e, 0x00, 0xff}
	thirdColour  = color.NRGBA{0x00, 0x9e, 0x73, 0xff}
	levelColour  = color.NRGBA{0x66, 0x66, 0x66, 0xff}
)

// runFolder makes a folder with a metrics.jsonl, and with a config.yaml unless that is "".
func runFolder(t *testing.T, metrics, config string) string {
	t.Helper()
	run := t.TempDir()
	files := map[string]string{"metrics.jsonl": metrics}
	if config != "" {
		files["config.yaml"] = config
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(run, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return run
}

// course is the metrics.jsonl of a run that learns for 200 steps in four epochs.
func course(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	write := func(line map[string]any) {
		if err := json.NewEncoder(&b).Encode(line); err != nil {
			t.Fatal(err)
		}
	}
	write(map[string]any{"kind": "baseline", "step": 0, "epoch": 0, "knn_pixels": 23.1, "knn_untrained": 28.0})
	for step := 1; step <= 200; step++ {
		done := float64(step) / 200
		if step == 100 {
			write(map[string]any{"kind": "skipped", "step": step, "epoch": 1, "reason": "the loss is NaN", "loss": "NaN"})
			continue
		}
		write(map[string]any{
			"kind": "step", "step": step, "epoch": (step - 1) / 50,
			"loss": 9 - 3*done, "cls": 5 - 2*done, "patch": 4 - done, "lr": 1e-3,
			"acc": 0.2 + 0.6*done, "entropy": math.Log(512) * (1 - 0.5*done),
		})
		if step%50 == 0 {
			write(map[string]any{
				"kind": "epoch", "step": step, "epoch": (step - 1) / 50, "loss": 9 - 3*done,
				"nmi": 0.1 + 0.3*done, "knn": 30 + 40*done, "knn_top5": 60 + 30*done,
			})
		}
	}
	return b.String()
}

func TestCurves(t *testing.T) {
	run := runFolder(t, course(t)+`{"kind":"step","step":201,"lo`, "arch: vit_tiny\nout_dim: 512\n")
	if err := Curves(run); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file   string
		colour []color.NRGBA
	}{
		{LossCurves, []color.NRGBA{firstColour, secondColour, thirdColour}},
		{KNNCurves, []color.NRGBA{firstColour, secondColour, levelColour}},
		{HealthCurves, []color.NRGBA{firstColour, secondColour, thirdColour, levelColour}},
	} {
		img := readPNG(t, filepath.Join(run, c.file))
		if got, want := img.Bounds().Size(), image.Pt(1280, 800); got != want {
			t.Errorf("%s: got %v pixels, want %v", c.file, got, want)
		}
		// Each curve goes across: it has pixels in the left third of the picture and near its middle.
		for i, colour := range c.colour {
			for _, area := range []image.Rectangle{image.Rect(90, 120, 380, 700), image.Rect(600, 120, 800, 700)} {
				if n, _ := pixels(img, area, colour); n < 80 {
					t.Errorf("%s: got %d pixels of curve %d in %v, want 80 or more", c.file, n, i, area)
				}
			}
		}
	}

	again := runFolder(t, course(t), "out_dim: 512\n")
	if err := Curves(again); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{LossCurves, KNNCurves, HealthCurves} {
		wantSameFile(t, filepath.Join(run, file), filepath.Join(again, file))
	}
}

// A curve falls where its values do, in the units of its axis.
func TestCurvesHeight(t *testing.T) {
	run := runFolder(t, course(t), "out_dim: 512\n")
	if err := Curves(run); err != nil {
		t.Fatal(err)
	}
	img := readPNG(t, filepath.Join(run, HealthCurves))
	_, top := pixels(img, image.Rect(90, 120, 900, 200), levelColour) // at 1
	height := func(x int, c color.NRGBA) float64 {
		n, box := pixels(img, image.Rect(x, 120, x+1, 710), c)
		if n == 0 {
			t.Fatalf("no pixel of %v in column %d", c, x)
		}
		return float64(box.Min.Y+box.Max.Y) / 2
	}
	// The axis below, at 0, is at the bottom of the grid; entropy starts at 1 and ends at 0.5.
	one, start, end := float64(top.Min.Y), height(100, thirdColour), height(900, thirdColour)
	if start < one || start > one+40 {
		t.Errorf("the entropy starts %v pixels below its maximum, want 0 to 40", start-one)
	}
	if fall := end - start; fall < 200 || fall > 290 {
		t.Errorf("the entropy falls by %v pixels of about 570 for the whole axis, want about half of that", fall)
	}
	if height(100, firstColour) < height(900, firstColour)+200 {
		t.Error("agreement does not rise")
	}
}

func TestCurvesOfLittle(t *testing.T) {
	step := `{"kind":"step","step":10,"epoch":0,"loss":9.5,"cls":5,"patch":4.5}` + "\n"
	for _, c := range []struct {
		name, metrics, config string
		want                  []string
	}{
		{"empty", "", "", nil},
		{"half of a line", `{"kind":"step","st`, "", nil},
		{"baseline alone", `{"kind":"baseline","knn_pixels":23.1,"knn_untrained":28.0}` + "\n", "", nil},
		{"one step", step, "", []string{LossCurves}},
		{"skipped steps alone", `{"kind":"skipped","step":1,"reason":"x"}` + "\n", "", nil},
		{"not finite", `{"kind":"step","step":10,"loss":"NaN","cls":"+Inf","patch":null}` + "\n", "", nil},
		{"no labels", step + `{"kind":"step","step":20,"acc":0.5}` + "\n", "", []string{LossCurves, HealthCurves}},
		{"entropy of unknown range", `{"kind":"step","step":20,"entropy":5}` + "\n", "", nil},
		{"entropy of other settings", `{"kind":"step","step":20,"entropy":5}` + "\n", "arch: vit_tiny\n", nil},
		{"entropy", `{"kind":"step","step":20,"entropy":5}` + "\n", "out_dim: 512\n", []string{HealthCurves}},
		{"one score", `{"kind":"epoch","epoch":0,"step":9,"knn":31.5}` + "\n", "", []string{KNNCurves}},
		{"a foreign line", "what?\n" + step, "", []string{LossCurves}},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := runFolder(t, c.metrics, c.config)
			if err := Curves(run); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{LossCurves, KNNCurves, HealthCurves} {
				_, err := os.Stat(filepath.Join(run, file))
				if got, want := err == nil, slices.Contains(c.want, file); got != want {
					t.Errorf("%s: got %v, want %v", file, got, want)
				}
			}
		})
	}
}

func TestCurvesErrors(t *testing.T) {
	if err := Curves(t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "analysis: want a run's folder") {
		t.Errorf("no metrics.jsonl: got %v, want an error of analysis about a missing file", err)
	}
	for _, c := range []struct{ name, metrics, config, want string }{
		{"text", "step loss\n1 2\n", "", "none of the 2 lines is one"},
		{"one long line", `{"kind":"step","step":1,"loss":1}` + "\n" + strings.Repeat("x", maxLine+1), "", "token too long"},
		{"settings", "", "out_dim: many\n", "no YAML with a whole number out_dim"},
	} {
		err := Curves(runFolder(t, c.metrics, c.config))
		if err == nil || !strings.HasPrefix(err.Error(), "analysis: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error of analysis with %q", c.name, err, c.want)
		}
	}
	run := runFolder(t, course(t), "")
	if err := os.Mkdir(filepath.Join(run, LossCurves), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Curves(run); err == nil || !strings.Contains(err.Error(), LossCurves) {
		t.Errorf("a folder in place of a picture: got %v, want an error that names it", err)
	}
}
