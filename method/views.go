package method

import (
	"fmt"
	"slices"
	"sync"

	"ibot/imaging"
	"ibot/rng"
)

// Views is the multi-crop augmentation of pre-training (the reference's DataAugmentationiBOT): a few
// large random crops of an image, the global views, and many small ones, the local views.
//
// Every view is a random resized crop (bicubic, aspect ratio 3/4 to 4/3), flipped with probability
// 0.5, its colours jittered with probability 0.8 and made gray with 0.2. Then
//
//	view           blur (radius 0.1 to 2)   solarize (threshold 128)
//	first global   always                   never
//	other global   0.1                      0.2
//	local          0.5                      never
type Views struct {
	GlobalSize, LocalSize     int        // pixels a side
	GlobalNumber, LocalNumber int        // views of each kind
	GlobalScale, LocalScale   [2]float64 // share of the image's area, smallest and largest
	ColorJitter               [4]float64 // greatest change of brightness, contrast, saturation and hue
	BlurRadius                [2]float64 // standard deviation in pixels, smallest and largest
	Mean, Std                 []float32  // of each channel, for values in [0, 1]
}

// DefaultViews returns the reference's defaults: two global views of 224 pixels, no local ones
// (they would have 96), normalised with ImageNet's statistics.
func DefaultViews() Views {
	return Views{
		GlobalSize: 224, LocalSize: 96,
		GlobalNumber: 2, LocalNumber: 0,
		GlobalScale: [2]float64{0.14, 1}, LocalScale: [2]float64{0.05, 0.4},
		ColorJitter: [4]float64{0.4, 0.4, 0.2, 0.1}, BlurRadius: [2]float64{0.1, 2},
		Mean: []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225},
	}
}

// Probabilities and strengths that the reference writes into its code.
const (
	flipProbability      = 0.5
	jitterProbability    = 0.8
	grayProbability      = 0.2
	solarizeProbability  = 0.2 // global views but the first
	solarizeThreshold    = 128
	firstBlurProbability = 1.0
	otherBlurProbability = 0.1
	localBlurProbability = 0.5
)

var cropRatio = [2]float64{3. / 4, 4. / 3}

// Validate reports the first setting that no view could be drawn with.
func (v Views) Validate() error {
	switch {
	case v.GlobalNumber < 1:
		return fmt.Errorf("method: global_crops_number is %d, want at least 1", v.GlobalNumber)
	case v.LocalNumber < 0:
		return fmt.Errorf("method: local_crops_number is %d, want 0 or more", v.LocalNumber)
	case v.GlobalSize < 1:
		return fmt.Errorf("method: the size of global crops is %d, want at least 1 pixel", v.GlobalSize)
	case v.LocalNumber > 0 && v.LocalSize < 1:
		return fmt.Errorf("method: the size of local crops is %d, want at least 1 pixel", v.LocalSize)
	case !(0 <= v.BlurRadius[0] && v.BlurRadius[0] <= v.BlurRadius[1]):
		return fmt.Errorf("method: blur_radius is %v %v, want 0 <= first <= second", v.BlurRadius[0], v.BlurRadius[1])
	case len(v.Mean) == 0 || len(v.Mean) != len(v.Std):
		return fmt.Errorf("method: %d means and %d standard deviations, want one of each for every channel",
			len(v.Mean), len(v.Std))
	}
	for _, s := range v.Std {
		if !(s > 0) {
			return fmt.Errorf("method: a standard deviation of %v, want more than 0", s)
		}
	}
	if err := validScale("global_crops_scale", v.GlobalScale); err != nil {
		return err
	}
	if v.LocalNumber > 0 {
		return validScale("local_crops_scale", v.LocalScale)
	}
	return nil
}

func validScale(name string, s [2]float64) error {
	if !(0 < s[0] && s[0] <= s[1] && s[1] <= 1) {
		return fmt.Errorf("method: %s is %v %v, want two shares of the area with 0 < first <= second <= 1",
			name, s[0], s[1])
	}
	return nil
}

// View is one drawn augmentation: everything random about it, and no pixels.
type View struct {
	Box        imaging.Box     // crop of the source image
	Size       int             // pixels a side after the crop is resized
	Flip       bool            // left to right
	Jitter     *imaging.Jitter // nil for none
	Gray       bool
	BlurRadius float64 // standard deviation in pixels, 0 for none
	Solarize   bool
}

// Draw draws the views of an image of w x h pixels, the global ones first. View i is drawn from
// the stream ("view", epoch, image, i), so it depends on nothing else.
func (v Views) Draw(seed rng.Seed, epoch, image, w, h int) []View {
	views := make([]View, v.GlobalNumber+v.LocalNumber)
	for i := range views {
		r := seed.Stream("view", epoch, image, i)
		switch {
		case i == 0:
			views[i] = v.draw(r, w, h, v.GlobalSize, v.GlobalScale, firstBlurProbability, 0)
		case i < v.GlobalNumber:
			views[i] = v.draw(r, w, h, v.GlobalSize, v.GlobalScale, otherBlurProbability, solarizeProbability)
		default:
			views[i] = v.draw(r, w, h, v.LocalSize, v.LocalScale, localBlurProbability, 0)
		}
	}
	return views
}

// drawView draws in the order in which the reference applies.
func (v Views) draw(r *rng.Stream, w, h, size int, scale [2]float64, blur, solarize float64) View {
	view := View{Size: size, Box: imaging.DrawResizedCrop(r, w, h, scale, cropRatio)}
	view.Flip = r.Bernoulli(flipProbability)
	if r.Bernoulli(jitterProbability) {
		j := imaging.DrawJitter(r, v.ColorJitter[0], v.ColorJitter[1], v.ColorJitter[2], v.ColorJitter[3])
		view.Jitter = &j
	}
	view.Gray = r.Bernoulli(grayProbability)
	if r.Bernoulli(blur) {
		view.BlurRadius = r.Uniform(v.BlurRadius[0], v.BlurRadius[1])
	}
	view.Solarize = r.Bernoulli(solarize)
	return view
}

// Render returns the view of src, Size x Size pixels with src's channels. Of an image with other
// than three channels colours are left as they are: neither jittered, nor made gray, nor solarized.
func (v View) Render(src *imaging.Image) *imaging.Image {
	im := imaging.New(v.Size, v.Size, src.C)
	v.renderInto(im, src)
	return im
}

// renderInto renders over the pixels of im.
func (v View) renderInto(im, src *imaging.Image) {
	im.CropResizeFrom(src, v.Box, imaging.Bicubic, v.Flip)
	colour := im.C == 3
	if colour && v.Jitter != nil {
		v.Jitter.Apply(im)
	}
	if colour && v.Gray {
		im.Grayscale()
	}
	if v.BlurRadius > 0 {
		im.GaussianBlur(v.BlurRadius)
	}
	if colour && v.Solarize {
		im.Solarize(solarizeThreshold)
	}
}

// rendered keeps the bytes of views between the calls of RenderCHW.
var rendered = sync.Pool{New: func() any { return new(imaging.Image) }}

// RenderCHW renders the view of src and writes it to dst as normalised floats (C, Size, Size). It
// panics where dst, mean and std do not fit src's channels.
func (v View) RenderCHW(dst []float32, src *imaging.Image, mean, std []float32) {
	im := rendered.Get().(*imaging.Image)
	defer rendered.Put(im)
	if im.W != v.Size || im.H != v.Size || im.C != src.C {
		n := v.Size * v.Size * src.C
		*im = imaging.Image{W: v.Size, H: v.Size, C: src.C, Pix: slices.Grow(im.Pix[:0], n)[:n]}
	}
	v.renderInto(im, src)
	im.ToCHW(dst, mean, std)
}
