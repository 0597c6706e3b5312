package eval

import (
	"fmt"
	"math"

	"ibot/imaging"
)

// Transform is how evaluation brings an image to the network: the shorter side resized to Resize
// pixels (bicubic), the middle Crop x Crop pixels cut out, each channel normalised by its Mean and
// Std for values in [0, 1]. The image must have as many channels as there are means.
type Transform struct {
	Resize, Crop int
	Mean, Std    []float32

	// Multiple, where it is not 0, leaves images whole: the shorter side is resized to Crop, and of
	// either side only what is over a multiple of Multiple pixels, a patch as a rule, is cut off.
	Multiple int
	// Longest, where it is not 0, leaves images whole as well: they are shrunk until no side is longer
	// (Pillow's thumbnail), and neither enlarged nor cut.
	Longest int
	// Square brings images to Crop x Crop pixels whatever their proportions; nothing is cut off.
	Square bool
}

// wholeBelow is the side of a crop below which images are not resized larger than the crop.
const wholeBelow = 64

// DefaultTransform is the reference's transform for RGB images and a network that was trained on
// crops of imgSize pixels a side: for 224, Resize 256 and Crop 224, and the same proportion for
// other sizes.
//
// Below 64 pixels nothing is cut off a square image (Resize is Crop): sets of such images, CIFAR
// among them, show the object up to the border.
func DefaultTransform(imgSize int) Transform {
	t := Transform{
		Resize: imgSize, Crop: imgSize,
		Mean: []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225},
	}
	if imgSize >= wholeBelow {
		t.Resize = int(math.Round(float64(imgSize) * 256 / 224))
	}
	return t
}

// maxSize is the largest side of a crop, that of img_size in the settings of training.
const maxSize = 8192

// Validate reports the first setting that no image could be transformed with.
func (t Transform) Validate() error {
	switch {
	case t.Crop < 1 || t.Crop > maxSize || t.Resize < t.Crop || t.Resize > 2*maxSize:
		return fmt.Errorf("eval: resize %d and crop %d pixels; want 1 <= crop <= %d and crop <= resize <= %d",
			t.Resize, t.Crop, maxSize, 2*maxSize)
	case t.Longest < 0 || t.Longest > maxSize:
		return fmt.Errorf("eval: images of at most %d pixels a side; want from 1 to %d", t.Longest, maxSize)
	case t.Multiple < 0 || t.Multiple > t.Crop:
		return fmt.Errorf("eval: images cut to multiples of %d pixels; want from 1 to %d", t.Multiple, t.Crop)
	case len(t.Mean) == 0 || len(t.Mean) != len(t.Std):
		return fmt.Errorf("eval: %d means and %d standard deviations; want one of each for every channel", len(t.Mean), len(t.Std))
	}
	for c, s := range t.Std {
		if !(s > 0) {
			return fmt.Errorf("eval: the standard deviation of channel %d is %v; want more than 0", c, s)
		}
	}
	return nil
}

// maxAspect is how many times longer one side of an image may be before its ends, which no crop
// shows, are cut off: resized whole, a line of 1 x 100,000 pixels would take 20 GB.
const maxAspect = 64

// maxWholeAspect is the same for images that are left whole: the network sees all of their patches.
const maxWholeAspect = 8

// Pixels returns the pixels of im that the network sees, Crop x Crop of them unless images are left
// whole, before they are normalised. The result may be im itself.
func (t Transform) Pixels(im *imaging.Image) *imaging.Image {
	switch {
	case t.Multiple > 0:
		return t.whole(im)
	case t.Longest > 0:
		return middle(im, maxAspect).Thumbnail(t.Longest)
	case t.Square:
		return im.Resize(t.Crop, t.Crop, imaging.Bicubic)
	}
	if im.W == t.Crop && im.H == t.Crop && t.Resize == t.Crop {
		return im
	}
	return middle(im, maxAspect).ResizeShorter(t.Resize, imaging.Bicubic).CenterCrop(t.Crop)
}

// middle is im without the ends that make it more than aspect times longer than wide.
func middle(im *imaging.Image, aspect int) *imaging.Image {
	return centre(im, min(im.W, aspect*im.H), min(im.H, aspect*im.W))
}

// centre is the middle w x h pixels of im.
func centre(im *imaging.Image, w, h int) *imaging.Image {
	if w == im.W && h == im.H {
		return im
	}
	return im.Crop(imaging.Box{Left: (im.W - w) / 2, Top: (im.H - h) / 2, Width: w, Height: h})
}

// whole is im with the shorter side resized to Crop, and both sides cut to multiples of Multiple.
func (t Transform) whole(im *imaging.Image) *imaging.Image {
	im = middle(im, maxWholeAspect).ResizeShorter(t.Crop, imaging.Bicubic)
	return centre(im, im.W/t.Multiple*t.Multiple, im.H/t.Multiple*t.Multiple)
}
