package analysis

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"

	"ibot/imaging"
	"ibot/internal/chart"
	"ibot/method"
)

// Sample is one image of a batch with all that was drawn for it.
type Sample struct {
	Name   string // caption; may be empty
	Source *imaging.Image
	Views  []method.View // as method.Views.Draw returns them, the global ones first
	Masks  [][]bool      // a mask for each global view, row by row; nil where nothing is masked
}

const (
	viewCell  = 160 // pixels of the longer side of a picture
	viewFrame = 4   // width of the frame around a view
)

// Colours of crops, from the palette of Okabe and Ito (2008): each global view has its own, the
// local ones share one.
var (
	globalColours = []color.NRGBA{
		{0x00, 0x72, 0xb2, 0xff}, // blue
		{0xd5, 0x5e, 0x00, 0xff}, // vermillion
		{0x00, 0x9e, 0x73, 0xff}, // bluish green
		{0xcc, 0x79, 0xa7, 0xff}, // reddish purple
	}
	localColour = color.NRGBA{0xe6, 0x9f, 0x00, 0xff} // orange
)

// ViewsSheet draws the views of some images of a batch into a PNG at path, a row per image: the
// image with the boxes of its crops; each global view as the teacher sees it and, with the masked
// patches greyed out, as the student does; and the local views, which only the student sees. Views
// are framed in the colour of their boxes. Every image has the given number of global views, whose
// masks have gridH x gridW patches.
//
// It errs where there are no samples, one has fewer views or another number of masks than global
// views, a mask has another size than the grid, the sheet would have more than 2^26 pixels, or the
// file cannot be written.
func ViewsSheet(path string, samples []Sample, globals, gridH, gridW int) error {
	if globals < 1 {
		return fmt.Errorf("analysis: want 1 global view or more for %s, found %d", path, globals)
	}
	masked, locals, named := false, 0, false
	for i, s := range samples {
		if len(s.Views) < globals || s.Masks != nil && len(s.Masks) != globals {
			return fmt.Errorf("analysis: image %d of %s has %d views and %d masks; want %d global views or more, and a mask for each of them or none",
				i, path, len(s.Views), len(s.Masks), globals)
		}
		masked = masked || s.Masks != nil
		locals = max(locals, len(s.Views)-globals)
		named = named || s.Name != ""
	}
	sheet := chart.Sheet{
		Title:   "Views: the teacher sees the global ones, the student all",
		Columns: viewCaptions(globals, locals, masked),
		Cell:    viewCell + 2*viewFrame,
	}
	for i, s := range samples {
		row, err := viewRow(s, globals, gridH, gridW, masked)
		if err != nil {
			return fmt.Errorf("analysis: image %d of %s: %w", i, path, err)
		}
		sheet.Cells = append(sheet.Cells, row)
		if named {
			sheet.Rows = append(sheet.Rows, s.Name)
		}
	}
	if err := sheet.WriteFile(path); err != nil {
		return fmt.Errorf("analysis: %w", err)
	}
	return nil
}

func viewCaptions(globals, locals int, masked bool) []string {
	captions := []string{"crops"}
	for g := range globals {
		captions = append(captions, fmt.Sprint("global ", g+1))
		if masked {
			captions = append(captions, fmt.Sprint("masked ", g+1))
		}
	}
	for l := range locals {
		captions = append(captions, fmt.Sprint("local ", l+1))
	}
	return captions
}

// viewRow draws the pictures of one image. masked is whether there are places for masked views.
func viewRow(s Sample, globals, gridH, gridW int, masked bool) ([]image.Image, error) {
	row := []image.Image{cropBoxes(s.Source, s.Views, globals, viewCell+2*viewFrame)}
	for v, view := range s.Views {
		seen, colour := shown(view.Render(s.Source), viewCell), cropColour(v, globals)
		row = append(row, framed(seen, colour))
		switch {
		case v >= globals || !masked:
		case s.Masks == nil:
			row = append(row, nil)
		default:
			hidden, err := chart.MaskOverlay(seen, s.Masks[v], gridH, gridW)
			if err != nil {
				return nil, fmt.Errorf("view %d: %w", v, err)
			}
			row = append(row, framed(hidden, colour))
		}
	}
	return row, nil
}

func cropColour(view, globals int) color.NRGBA {
	if view >= globals {
		return localColour
	}
	return globalColours[view%len(globalColours)]
}

// cropBoxes is the image with the boxes of its views; its longer side has the given number of pixels. Global
// boxes lie over local ones, which are smaller and many.
func cropBoxes(src *imaging.Image, views []method.View, globals, longer int) image.Image {
	img := shown(src, longer)
	to := func(n, of, size int) int { return (n*size + of/2) / of }
	for v := len(views) - 1; v >= 0; v-- {
		b, size := views[v].Box, img.Bounds().Size()
		box := image.Rect(
			to(b.Left, src.W, size.X), to(b.Top, src.H, size.Y),
			to(b.Left+b.Width, src.W, size.X), to(b.Top+b.Height, src.H, size.Y),
		)
		width := viewFrame / 2
		if v < globals {
			width = viewFrame
		}
		outline(img, box, width, cropColour(v, globals))
	}
	return img
}

// framed is a view in a frame of the given colour.
func framed(view image.Image, c color.NRGBA) image.Image {
	img := image.NewNRGBA(view.Bounds().Inset(-viewFrame))
	draw.Draw(img, img.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
	draw.Draw(img, view.Bounds(), view, image.Point{}, draw.Src)
	return img
}

// shown is the image with a longer side of the given number of pixels: enlarged to blocks, so that
// its own pixels can be seen, or reduced smoothly.
func shown(im *imaging.Image, longer int) *image.RGBA {
	scale := float64(longer) / float64(max(im.W, im.H))
	filter := imaging.Bicubic
	if scale >= 1 {
		filter = imaging.BoxFilter
	}
	side := func(n int) int { return max(1, int(float64(n)*scale+0.5)) }
	return im.Resize(side(im.W), side(im.H), filter).ToImage()
}

// outline draws the border of a box, within it, and a white line along its inner side that sets it
// off.
func outline(img draw.Image, box image.Rectangle, width int, c color.NRGBA) {
	for i := range width + 1 {
		if i == width {
			c = color.NRGBA{0xff, 0xff, 0xff, 0xff}
		}
		r := box.Inset(i)
		for _, side := range []image.Rectangle{
			{r.Min, image.Pt(r.Max.X, r.Min.Y+1)},
			{image.Pt(r.Min.X, r.Max.Y-1), r.Max},
			{r.Min, image.Pt(r.Min.X+1, r.Max.Y)},
			{image.Pt(r.Max.X-1, r.Min.Y), r.Max},
		} {
			draw.Draw(img, side, image.NewUniform(c), image.Point{}, draw.Src)
		}
	}
}
