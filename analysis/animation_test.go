package analysis

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/data"
)

// Frames of several sizes become one animation, bright where the attention is.
func TestAnimation(t *testing.T) {
	a := newAnimation(20)
	for at := range 3 {
		w := make([]float64, 16)
		w[5*at] = 1 // along the diagonal
		im := uniform(64, 64, color.NRGBA{100, 100, 100, 255})
		if at == 2 {
			im = uniform(32, 32, color.NRGBA{100, 100, 100, 255})
		}
		if err := a.add(im, AttentionMap{Rows: 4, Cols: 4, Width: im.W, Height: im.H, Heads: [][]float64{w}}); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := a.encode(&b); err != nil {
		t.Fatal(err)
	}
	g, err := gif.DecodeAll(&b)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Image) != 3 || g.Delay[0] != 5 || g.LoopCount != 0 || g.Config.Width != 64 || a.fps() != 20 {
		t.Errorf("got %d frames of %d pixels, delays %v, repeated %d times", len(g.Image), g.Config.Width, g.Delay, g.LoopCount)
	}
	mean := func(img image.Image, corner image.Point) (sum int) {
		for y := range 6 {
			for x := range 6 {
				sum += int(color.GrayModel.Convert(img.At(corner.X+x, corner.Y+y)).(color.Gray).Y)
			}
		}
		return sum / 36
	}
	for i, frame := range g.Image {
		if on, off := mean(frame, image.Pt(16*i+5, 16*i+5)), mean(frame, image.Pt(53, 5)); on < off+40 {
			t.Errorf("frame %d: lightness %d where the attention is, %d elsewhere", i, on, off)
		}
	}
}

// A GIF gives its frames as they are shown.
func TestOpenGIF(t *testing.T) {
	palette := color.Palette{color.RGBA{255, 0, 0, 255}, color.RGBA{0, 0, 255, 255}}
	frame := func(r image.Rectangle, c uint8) *image.Paletted {
		p := image.NewPaletted(r, palette)
		for i := range p.Pix {
			p.Pix[i] = c
		}
		return p
	}
	g := &gif.GIF{
		Image:    []*image.Paletted{frame(image.Rect(0, 0, 16, 16), 0), frame(image.Rect(8, 8, 16, 16), 1), frame(image.Rect(0, 0, 4, 4), 1)},
		Delay:    []int{5, 5, 5},
		Disposal: []byte{gif.DisposalNone, gif.DisposalPrevious, gif.DisposalNone},
	}
	path := filepath.Join(t.TempDir(), "a.gif")
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &attentionStudy{Animate: true, Frames: 10, FPS: 10}
	ds, done, err := s.Open(t.Context(), data.Options{}, path)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if ds.Len() != 3 || ds.Name(1) != "a.gif#1" {
		t.Fatalf("got %d frames, the second is %s", ds.Len(), ds.Name(1))
	}
	blueAt := func(i, x, y int) bool {
		im, err := ds.Load(i)
		if err != nil {
			t.Fatal(err)
		}
		return im.Pix[(y*16+x)*3+2] > 200
	}
	for _, c := range []struct {
		frame, x, y int
		want        bool
	}{{0, 12, 12, false}, {1, 12, 12, true}, {1, 2, 2, false}, {2, 12, 12, false}, {2, 2, 2, true}} {
		if got := blueAt(c.frame, c.x, c.y); got != c.want {
			t.Errorf("frame %d at %d, %d is blue: %v, want %v", c.frame, c.x, c.y, got, c.want)
		}
	}
	if s.Frames = 2; true {
		if ds, _, err := s.Open(t.Context(), data.Options{}, path); err != nil || ds.Len() != 2 {
			t.Errorf("two frames asked for: %d, %v", ds.Len(), err)
		}
	}
	if err := os.WriteFile(path, b.Bytes()[:40], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Open(t.Context(), data.Options{}, path); err == nil || !strings.HasPrefix(err.Error(), "analysis: "+path) {
		t.Errorf("cut off: got %v", err)
	}
}

// Without ffmpeg a video is refused with what to do; with it, a file that is none.
func TestOpenVideoErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.mp4")
	if err := os.WriteFile(path, []byte("no video"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &attentionStudy{Animate: true, Frames: 10, FPS: 10}
	if _, _, err := s.Open(t.Context(), data.Options{}, path); err == nil || !strings.Contains(err.Error(), "ffmpeg") {
		t.Errorf("got %v, want an error that names ffmpeg", err)
	}
	t.Setenv("PATH", "")
	if _, _, err := s.Open(t.Context(), data.Options{}, path); err == nil || !strings.Contains(err.Error(), "give a folder of frames") {
		t.Errorf("without ffmpeg: got %v", err)
	}
}

// The frames of the study are in the order of the set; a larger step of the delay is told.
func TestAttentionAnimate(t *testing.T) {
	in := studied(t, 12)
	s := &attentionStudy{Animate: true, Frames: 5, FPS: 30, Mass: .6}
	r, err := s.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Files) != 1 || r.Files[0].Name != "attention.gif" || r.Values["frames"] != 5 || len(r.Lines) != 2 {
		t.Errorf("got %+v", r)
	}
}

func TestBlockWeights(t *testing.T) {
	in := studied(t, 10)
	for block, want := range map[int]string{0: "in the last block", 2: "in block 2 of 3"} {
		if _, title, err := blockWeights(in.Net.Backbone, block); err != nil || !strings.HasSuffix(title, want) {
			t.Errorf("block %d: %q, %v; want %q", block, title, err, want)
		}
	}
	if _, _, err := blockWeights(in.Net.Backbone, 4); err == nil || !strings.Contains(err.Error(), "the network has 3") {
		t.Errorf("block 4: got %v", err)
	}
	if _, _, err := blockWeights(windowed{in.Net.Backbone}, 1); err == nil || !strings.Contains(err.Error(), "leave out --block") {
		t.Errorf("another architecture: got %v", err)
	}
}
