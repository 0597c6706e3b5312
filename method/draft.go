package method

import "ibot/imaging"

// Draft is an image with its drawn views, ready to be rendered on a device: pixels, and the weights by which
// they are cropped, resized, flipped and blurred. Whoever loads the image makes it, beside the step.
type Draft struct {
	pictures []*imaging.Image // one for all views, or one for each
	views    []draftView
}

type draftView struct {
	View
	across, down taps // from the box to the view
	blur         taps // of a pass; no weights for no blur
}

// NewDraft prepares the views of src for [Views.RenderOn]. It keeps src, whose pixels must stay as they are
// until then.
//
// An image of more bytes than its finished views have, as float32, is cropped and resized at once. So
// a batch of drafts takes no more memory, nor time on its way to the device, than a batch of rendered views,
// however large the images are.
func NewDraft(src *imaging.Image, views []View) Draft {
	const bytesOfFloat = 4
	finished, inside := 0, true
	for _, v := range views {
		finished += bytesOfFloat * v.Size * v.Size
		b := v.Box
		inside = inside && b.Left >= 0 && b.Top >= 0 && b.Left+b.Width <= src.W && b.Top+b.Height <= src.H
	}
	whole := inside && src.W*src.H <= finished

	var d Draft
	if whole {
		d.pictures = []*imaging.Image{src}
	}
	for _, v := range views {
		if !whole {
			d.pictures = append(d.pictures, src.CropResize(v.Box, v.Size, v.Size, imaging.Bicubic))
			v.Box = imaging.Box{Width: v.Size, Height: v.Size} // which bicubicTaps leaves as it is
		}
		w := draftView{View: v, across: bicubicTaps(v.Box.Width, v.Size, v.Flip), down: bicubicTaps(v.Box.Height, v.Size, false)}
		if v.BlurRadius > 0 {
			w.blur = blurTaps(v.BlurRadius, v.Size)
		}
		d.views = append(d.views, w)
	}
	return d
}

// channels of the image.
func (d Draft) channels() int { return d.pictures[0].C }
