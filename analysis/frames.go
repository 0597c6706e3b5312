package analysis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/image/draw"

	"ibot/data"
	"ibot/imaging"
)

// videoExtensions are the endings of files that ffmpeg is asked to take apart.
var videoExtensions = []string{".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ogv", ".wmv", ".flv"}

// Open opens a video, an animated GIF, or anything else that holds images, as [data.Options.OpenPaths].
// Close removes what was unpacked.
func (s *attentionStudy) Open(ctx context.Context, o data.Options, paths ...string) (ds data.Dataset, close func(), err error) {
	if s.Animate && len(paths) == 1 {
		switch ext := strings.ToLower(filepath.Ext(paths[0])); {
		case slices.Contains(videoExtensions, ext):
			return s.openVideo(ctx, o, paths[0])
		case ext == ".gif":
			ds, err = openGIF(paths[0], s.Frames)
			return ds, func() {}, err
		}
	}
	ds, err = o.OpenPaths(paths...)
	return ds, func() {}, err
}

// openVideo lets ffmpeg write the frames of a video into a folder of their own.
func (s *attentionStudy) openVideo(ctx context.Context, o data.Options, path string) (data.Dataset, func(), error) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil, nil, fmt.Errorf("analysis: %s is a video, and taking it apart needs the program ffmpeg, which is not installed; install it, or give a folder of frames", path)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, nil, fmt.Errorf("analysis: %w", err)
	}
	dir, err := os.MkdirTemp("", "ibot-frames-")
	if err != nil {
		return nil, nil, fmt.Errorf("analysis: %w", err)
	}
	remove := func() { os.RemoveAll(dir) }
	cmd := exec.CommandContext(ctx, ffmpeg, "-nostdin", "-v", "error", "-i", "file:"+path,
		"-vf", fmt.Sprintf("fps=%g", s.FPS), "-frames:v", fmt.Sprint(s.Frames), filepath.Join(dir, "%06d.png"))
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		remove()
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		first, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return nil, nil, fmt.Errorf("analysis: ffmpeg cannot read %s: %w: %s", path, err, first)
	}
	ds, err := o.Open(dir)
	if err != nil {
		remove()
		return nil, nil, fmt.Errorf("%w (the frames of %s)", err, path)
	}
	return ds, remove, nil
}

// mostGIFPixels bounds the memory that the frames of a GIF take.
const mostGIFPixels = 1 << 28

// openGIF decodes the first frames of an animated GIF, each as it is shown: over what earlier ones left.
func openGIF(path string, most int) (data.Dataset, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	defer file.Close()
	config, err := gif.DecodeConfig(file)
	if err != nil {
		return nil, fmt.Errorf("analysis: %s: %w", path, err)
	}
	info, err := file.Stat()
	if err != nil || info.Size() > imaging.MaxFileBytes || config.Width*config.Height > mostGIFPixels/16 {
		return nil, errors.Join(fmt.Errorf("analysis: %s is too large to be an animation of %d x %d pixels in memory", path, config.Width, config.Height), err)
	}
	if _, err := file.Seek(0, 0); err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	g, err := gif.DecodeAll(file)
	if err != nil {
		return nil, fmt.Errorf("analysis: %s: %w", path, err)
	}
	most = min(most, len(g.Image), max(1, mostGIFPixels/(config.Width*config.Height)))
	f := &frames{name: filepath.Base(path)}
	canvas := image.NewNRGBA(image.Rect(0, 0, g.Config.Width, g.Config.Height))
	for i, frame := range g.Image[:most] {
		var before *image.NRGBA
		if g.Disposal[i] == gif.DisposalPrevious {
			before = &image.NRGBA{Pix: slices.Clone(canvas.Pix), Stride: canvas.Stride, Rect: canvas.Rect}
		}
		draw.Draw(canvas, frame.Rect, frame, frame.Rect.Min, draw.Over)
		f.images = append(f.images, imaging.FromImage(canvas))
		switch g.Disposal[i] {
		case gif.DisposalBackground:
			draw.Draw(canvas, frame.Rect, image.Transparent, image.Point{}, draw.Src)
		case gif.DisposalPrevious:
			canvas = before
		}
	}
	return f, nil
}

// frames is a set of images in memory.
type frames struct {
	name   string
	images []*imaging.Image
}

func (f *frames) Len() int                           { return len(f.images) }
func (f *frames) Name(i int) string                  { return fmt.Sprintf("%s#%d", f.name, i) }
func (f *frames) Label(int) int                      { return -1 }
func (f *frames) Classes() []string                  { return nil }
func (f *frames) Load(i int) (*imaging.Image, error) { return f.images[i].Clone(), nil }
