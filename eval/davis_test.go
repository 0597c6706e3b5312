package eval

import (
	"context"
	"errors"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/imaging"
)

func init() {
	fixtures["davis"] = func(t *testing.T) string { return videoFolder(t, "480p") }
	ease["davis"] = func(p Protocol) { p.(*davisProtocol).ShortSide = 48 }
}

// videoFolder writes two videos of seven frames, in which a red and a green square move over noise.
func videoFolder(t *testing.T, resolution string) string {
	t.Helper()
	dir := t.TempDir()
	for v, name := range []string{"ant", "bee"} {
		for frame := range 7 {
			im := imaging.New(96, 72, 3)
			mask := &imaging.Indexed{W: 96, H: 72, Pix: make([]uint8, 96*72), Palette: imaging.ObjectColours()[:5]}
			for i := range mask.Pix {
				x, y := i%96, i/96
				grain := uint8((x*31 + y*17 + x*y) % 40)
				im.Pix[3*i], im.Pix[3*i+1], im.Pix[3*i+2] = grain, grain, 90+grain
				for object := range 1 + v {
					left, top := 8+frame*3+object*40, 16+frame*2-object*frame
					if x >= left && x < left+24 && y >= top && y < top+24 {
						mask.Pix[i] = uint8(object + 1)
						im.Pix[3*i+object] = 200 + grain
					}
				}
			}
			file := string(rune('0'+frame)) + "0"
			writeImage(t, filepath.Join(dir, "JPEGImages", resolution, name, file+".png"), im)
			path := filepath.Join(dir, "Annotations", resolution, name, file+".png")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := mask.Write(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// writeImage writes a PNG and the folders above it.
func writeImage(t *testing.T, path string, im *imaging.Image) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(png.Encode(f, im.ToImage()), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDavis(t *testing.T) {
	checkLive(t)
	dir, out := videoFolder(t, ""), t.TempDir()
	report, err := Evaluate(t.Context(), &davisProtocol{Out: out, ShortSide: 72, Frames: 7, Radius: 12, TopK: 5, Temperature: 0.1}, dir, goldenRun(t))
	if err != nil {
		t.Fatal(err)
	}
	r := report.(*DavisReport)
	if r.Frames != 14 || r.Objects != 3 || len(r.Videos) != 2 || r.Videos[1].Scored != 5 || len(r.Videos[1].Objects) != 2 {
		t.Errorf("got %+v", r)
	}
	var j float64
	for _, v := range r.Videos {
		for _, o := range v.Objects {
			j += o.J / 3
		}
	}
	if r.J.Mean < 50 || math.Abs(j-r.J.Mean) > 1e-9 || math.Abs(*r.JF-(r.J.Mean+r.F.Mean)/2) > 1e-9 {
		t.Errorf("squares on noise: J %v, of which objects %v, J&F %v", r.J.Mean, j, *r.JF)
	}
	for frame := range 7 {
		b, err := os.ReadFile(filepath.Join(out, "bee", string(rune('0'+frame))+"0.png"))
		if err != nil {
			t.Fatal(err)
		}
		mask, err := imaging.DecodeIndexed(b)
		if err != nil {
			t.Fatal(err)
		}
		if mask.W != 96 || mask.H != 72 || slices.Max(mask.Pix) != 2 || !slices.Equal(mask.Palette[:5], imaging.ObjectColours()[:5]) {
			t.Errorf("frame %d: %dx%d with objects up to %d and palette %v", frame, mask.W, mask.H, slices.Max(mask.Pix), mask.Palette)
		}
	}
}

// Black and white masks have one object, and only those of the first frame give no score.
func TestDavisOfPlainMasks(t *testing.T) {
	checkLive(t)
	dir := videoFolder(t, "")
	masks, err := filepath.Glob(filepath.Join(dir, "Annotations", "*", "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range masks {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		mask, err := imaging.DecodeIndexed(b)
		if err != nil {
			t.Fatal(err)
		}
		gray := imaging.New(mask.W, mask.H, 1)
		for i, object := range mask.Pix {
			gray.Pix[i] = 255 * min(object, 1)
		}
		white := &imaging.Indexed{W: mask.W, H: mask.H, Pix: gray.Pix}
		if err := white.Write(path); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(path, "bee") && filepath.Base(path) != "00.png" {
			os.Remove(path)
		}
	}
	report, err := Evaluate(t.Context(), &davisProtocol{ShortSide: 48, Frames: 2, TopK: 5, Temperature: 0.1}, dir, goldenRun(t))
	if err != nil {
		t.Fatal(err)
	}
	r := report.(*DavisReport)
	if r.Objects != 1 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "bee") || r.J.Mean < 30 {
		t.Errorf("got %+v, J %+v", r, r.J)
	}
}

func TestDavisErrors(t *testing.T) {
	good := func(t *testing.T) string { return videoFolder(t, "480p") }
	first := func(dir string) string { return filepath.Join(dir, "Annotations", "480p", "ant", "00.png") }
	for _, c := range []struct {
		name string
		edit func(t *testing.T, dir string, p *davisProtocol)
		want string
	}{
		{"no masks", func(_ *testing.T, dir string, _ *davisProtocol) { os.RemoveAll(filepath.Join(dir, "Annotations")) }, "want the layout of DAVIS"},
		{"no first mask", func(_ *testing.T, dir string, _ *davisProtocol) { os.Remove(first(dir)) }, "the first frame of ant, 00.png, has no mask"},
		{"a list of others", func(t *testing.T, dir string, p *davisProtocol) {
			p.List = filepath.Join(dir, "list.txt")
			if err := os.WriteFile(p.List, []byte("cat\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "cannot list the frames of cat"},
		{"a list that leads out", func(t *testing.T, dir string, p *davisProtocol) {
			p.List = filepath.Join(dir, "list.txt")
			if err := os.WriteFile(p.List, []byte("../../etc\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "no folder below"},
		{"no such list", func(_ *testing.T, dir string, p *davisProtocol) { p.List = "nowhere.txt" }, "nowhere.txt"},
		{"over the true masks", func(_ *testing.T, dir string, p *davisProtocol) { p.Out = filepath.Join(dir, "Annotations", "480p") }, "overwritten"},
		{"colours", func(t *testing.T, dir string, _ *davisProtocol) { writeImage(t, first(dir), imaging.New(96, 72, 3)) }, "numbers of objects"},
		{"no object", func(t *testing.T, dir string, _ *davisProtocol) {
			empty := &imaging.Indexed{W: 96, H: 72, Pix: make([]uint8, 96*72)}
			if err := empty.Write(first(dir)); err != nil {
				t.Fatal(err)
			}
		}, "shows no object"},
		{"another size", func(t *testing.T, dir string, _ *davisProtocol) {
			writeImage(t, filepath.Join(dir, "JPEGImages", "480p", "bee", "20.png"), imaging.New(72, 96, 3))
		}, "one size"},
		{"a broken frame", func(t *testing.T, dir string, _ *davisProtocol) {
			if err := os.WriteFile(filepath.Join(dir, "JPEGImages", "480p", "bee", "20.png"), []byte("none"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "20.png: not a picture"},
		{"temperature", func(_ *testing.T, _ string, p *davisProtocol) { p.Temperature = 0.001 }, "0.025 or more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkLive(t)
			dir := good(t)
			p := &davisProtocol{ShortSide: 48, Frames: 7, Radius: 12, TopK: 5, Temperature: 0.1}
			c.edit(t, dir, p)
			if _, err := Evaluate(t.Context(), p, dir, goldenRun(t)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// What was done when a run is interrupted stays.
func TestDavisInterrupted(t *testing.T) {
	checkLive(t)
	dir, out := videoFolder(t, ""), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	p := &davisProtocol{Out: out, ShortSide: 48, Frames: 7, Radius: 12, TopK: 5, Temperature: 0.1}
	if err := p.Open(dir, goldenRun(t).Net.Config.Sets()); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "gone.png")
	p.videos[1].frames[3] = broken // the second video cannot be finished
	r := goldenRun(t)
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(ctx, r); err == nil || !strings.Contains(err.Error(), "in video bee") {
		t.Errorf("got %v", err)
	}
	masks, err := filepath.Glob(filepath.Join(out, "*", "*.png"))
	if err != nil || len(masks) != 7+3 {
		t.Errorf("%d masks (%v), want those of all frames before", len(masks), err)
	}
	cancel()
	if _, err := p.Run(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
