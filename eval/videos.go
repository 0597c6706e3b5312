package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ibot/data"
	"ibot/imaging"
)

// video is a folder of frames, with masks of the objects in some of them.
type video struct {
	name   string
	frames []string // paths, in the order of their names
	masks  []string // path of each frame's mask; "" for none. The first frame has one
}

// davisLayout is what a folder of videos looks like.
const davisLayout = `want the layout of DAVIS:
  DIR/JPEGImages/[480p/]VIDEO/00000.jpg 00001.jpg ...   the frames of each video
  DIR/Annotations/[480p/]VIDEO/00000.png ...            masks: PNG with a palette, a number for each object;
                                                        that of the first frame is needed, others are for the score
  DIR/ImageSets/2017/val.txt                            names of the videos, one a line; without it, all`

// openVideos finds the videos in a folder. list is a file of their names, "" for that of DAVIS where
// there is one.
func openVideos(dir, list string) ([]video, error) {
	frames, masks := filepath.Join(dir, "JPEGImages"), filepath.Join(dir, "Annotations")
	if isFolder(filepath.Join(frames, "480p")) {
		frames, masks = filepath.Join(frames, "480p"), filepath.Join(masks, "480p")
	}
	for _, needed := range []string{dir, frames, masks} {
		if !isFolder(needed) {
			return nil, fmt.Errorf("eval: there is no folder %s; %s", needed, davisLayout)
		}
	}
	names, err := videoNames(dir, frames, list)
	if err != nil {
		return nil, err
	}
	var videos []video
	for _, name := range names {
		v, err := openVideo(name, filepath.Join(frames, name), filepath.Join(masks, name))
		if err != nil {
			return nil, err
		}
		videos = append(videos, v)
	}
	return videos, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// videoNames are those of the list, or else of the folders of frames.
func videoNames(dir, frames, list string) ([]string, error) {
	given := list != ""
	if !given {
		list = filepath.Join(dir, "ImageSets", "2017", "val.txt")
	}
	text, err := os.ReadFile(list)
	switch {
	case err == nil:
		names := strings.Fields(string(text))
		if len(names) == 0 {
			return nil, fmt.Errorf("eval: %s names no video; %s", list, davisLayout)
		}
		for _, name := range names {
			if !filepath.IsLocal(name) {
				return nil, fmt.Errorf("eval: %s names %q, which is no folder below %s", list, name, frames)
			}
		}
		return names, nil
	case given || !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("eval: cannot read the names of the videos: %w", err)
	}
	entries, err := os.ReadDir(frames)
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && isFolder(filepath.Join(frames, e.Name())) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("eval: %s holds no folder of frames; %s", frames, davisLayout)
	}
	return names, nil
}

// openVideo lists the frames of a video and the masks that belong to them.
func openVideo(name, frames, masks string) (video, error) {
	v := video{name: name}
	entries, err := os.ReadDir(frames) // sorted
	if err != nil {
		return v, fmt.Errorf("eval: cannot list the frames of %s: %w", name, err)
	}
	for _, e := range entries {
		file := e.Name()
		if strings.HasPrefix(file, ".") || !data.IsImageName(file) {
			continue
		}
		v.frames = append(v.frames, filepath.Join(frames, file))
		mask := filepath.Join(masks, strings.TrimSuffix(file, filepath.Ext(file))+".png")
		if info, err := os.Stat(mask); err != nil || !info.Mode().IsRegular() {
			mask = ""
		}
		v.masks = append(v.masks, mask)
	}
	switch {
	case len(v.frames) == 0:
		return v, fmt.Errorf("eval: %s holds no frames; %s", frames, davisLayout)
	case v.masks[0] == "":
		first := filepath.Base(v.frames[0])
		return v, fmt.Errorf("eval: the first frame of %s, %s, has no mask %s; its objects are what is followed", name, first,
			filepath.Join(masks, strings.TrimSuffix(first, filepath.Ext(first))+".png"))
	}
	return v, nil
}

// annotated are the numbers of the frames that have a mask.
func (v *video) annotated() []int {
	var frames []int
	for i, mask := range v.masks {
		if mask != "" {
			frames = append(frames, i)
		}
	}
	return frames
}

// void marks pixels that count for nothing, in masks of DAVIS.
const void = 255

// readMask reads the mask of a frame. Where the only objects of a video have the number of void
// pixels, as the white ones of black and white masks do, they are one object.
func (v *video) readMask(frame int, white bool) (*imaging.Indexed, error) {
	b, err := os.ReadFile(v.masks[frame])
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	mask, err := imaging.DecodeIndexed(b)
	if err != nil {
		return nil, fmt.Errorf("eval: %s: %w", v.masks[frame], err)
	}
	for i, object := range mask.Pix {
		if object == void {
			mask.Pix[i] = 0
			if white {
				mask.Pix[i] = 1
			}
		}
	}
	return mask, nil
}

// firstMask reads the mask of the first frame, and whether the video's masks are white on black.
func (v *video) firstMask() (mask *imaging.Indexed, white bool, err error) {
	if mask, err = v.readMask(0, false); err != nil {
		return nil, false, err
	}
	if slices.Max(mask.Pix) == 0 {
		if mask, err = v.readMask(0, true); err != nil {
			return nil, false, err
		}
		white = true
	}
	if slices.Max(mask.Pix) == 0 {
		return nil, false, fmt.Errorf("eval: %s shows no object, so there is nothing to follow", v.masks[0])
	}
	return mask, white, nil
}
