package chart

import (
	"fmt"
	"image"
	"image/color"

	"golang.org/x/image/draw"
	xfont "golang.org/x/image/font"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/font"
)

// Sheet is a grid of pictures with captions, such as the views of a batch or an image beside its
// attention heads.
type Sheet struct {
	Title   string
	Columns []string        // captions above the columns
	Rows    []string        // captions to the left of the rows
	Cells   [][]image.Image // row by row; nil leaves a place empty
	Cell    int             // pixels of the longer side of a picture; 0 for 160
}

const (
	sheetGap    = 8        // pixels between pictures
	sheetRim    = 20       // and around all
	captionSize = 9        // points, of 2.67 pixels each
	titleSize   = 13       // points
	maxCaption  = 24       // characters of a caption beside something; more are cut off
	maxPixels   = 64 << 20 // of a sheet
)

// WriteFile draws the sheet into a PNG at path.
func (s Sheet) WriteFile(path string) error {
	img, err := s.Image()
	if err != nil {
		return fmt.Errorf("%w (for %s)", err, path)
	}
	return WritePNG(path, img)
}

// Image draws the sheet. Pictures keep their shape; small ones are enlarged to blocks, so that
// their pixels can be seen, large ones are reduced smoothly.
//
// It fails where there is no picture, one has no pixels, or the sheet would have more than 2^26 pixels.
func (s Sheet) Image() (*image.NRGBA, error) {
	lay, err := s.layout()
	if err != nil {
		return nil, err
	}
	img := image.NewNRGBA(image.Rect(0, 0, lay.width, lay.height))
	draw.Draw(img, img.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)

	write(img, lay.title, s.Title, sheetRim, sheetRim+lay.title.Metrics().Ascent.Ceil(), ink)
	for c, caption := range s.Columns[:min(len(s.Columns), lay.columns)] {
		x := lay.left + c*(lay.cell.X+sheetGap)
		caption = fit(lay.caption, caption, lay.cell.X)
		x += (lay.cell.X - textWidth(lay.caption, caption)) / 2
		write(img, lay.caption, caption, x, lay.top-sheetGap-lay.caption.Metrics().Descent.Ceil(), quiet)
	}
	for r, row := range s.Cells {
		y := lay.top + r*(lay.cell.Y+sheetGap)
		if r < len(s.Rows) {
			m := lay.caption.Metrics()
			middle := y + lay.cell.Y/2 + (m.Ascent.Ceil()-m.Descent.Ceil())/2
			caption := shorten(s.Rows[r])
			write(img, lay.caption, caption, lay.left-sheetGap-textWidth(lay.caption, caption), middle, quiet)
		}
		for c, picture := range row {
			if picture == nil {
				continue
			}
			size := s.scaled(picture)
			corner := image.Pt(lay.left+c*(lay.cell.X+sheetGap), y).Add(lay.cell.Sub(size).Div(2))
			place(img, image.Rectangle{corner, corner.Add(size)}, picture)
		}
	}
	return img, nil
}

// layout is where things are on a sheet, in pixels.
type layout struct {
	title, caption xfont.Face
	columns        int
	cell           image.Point // room for one picture
	left, top      int         // of the first picture
	width, height  int
}

func (s Sheet) layout() (layout, error) {
	l := layout{title: face(true, titleSize), caption: face(false, captionSize)}
	for r, row := range s.Cells {
		l.columns = max(l.columns, len(row))
		for c, picture := range row {
			if picture == nil {
				continue
			}
			if picture.Bounds().Empty() {
				return layout{}, fmt.Errorf("chart: the picture in row %d, column %d of the sheet has no pixels", r, c)
			}
			size := s.scaled(picture)
			l.cell = image.Pt(max(l.cell.X, size.X), max(l.cell.Y, size.Y))
		}
	}
	if l.cell == (image.Point{}) {
		return layout{}, fmt.Errorf("chart: the sheet %q has no pictures", s.Title)
	}
	l.left, l.top = sheetRim, sheetRim
	if s.Title != "" {
		l.top += l.title.Metrics().Height.Ceil() + sheetGap
	}
	if len(s.Columns) > 0 {
		l.top += l.caption.Metrics().Height.Ceil() + sheetGap
	}
	for _, caption := range s.Rows {
		l.left = max(l.left, sheetRim+textWidth(l.caption, shorten(caption))+sheetGap)
	}
	// Counted in floats, which do not wrap round.
	width := float64(l.left) + float64(l.columns)*float64(l.cell.X+sheetGap) - sheetGap + sheetRim
	height := float64(l.top) + float64(len(s.Cells))*float64(l.cell.Y+sheetGap) - sheetGap + sheetRim
	if width*height > maxPixels {
		return layout{}, fmt.Errorf("chart: the sheet %q of %d x %d pictures would have %.0f x %.0f pixels, more than %d in all; "+
			"show fewer or smaller ones", s.Title, len(s.Cells), l.columns, width, height, maxPixels)
	}
	// A long title widens the sheet rather than being cut, within reason.
	l.width, l.height = int(width), int(height)
	if need := textWidth(l.title, s.Title) + 2*sheetRim; need > l.width && need*l.height <= maxPixels {
		l.width = need
	}
	return l, nil
}

// scaled is the size at which a picture is drawn.
func (s Sheet) scaled(picture image.Image) image.Point {
	cell := s.Cell
	if cell <= 0 {
		cell = 160
	}
	size := picture.Bounds().Size()
	longer := float64(max(size.X, size.Y))
	side := func(n int) int { return max(1, int(float64(n)/longer*float64(cell)+0.5)) }
	return image.Pt(side(size.X), side(size.Y))
}

// place draws a picture into a rectangle of img.
func place(img draw.Image, at image.Rectangle, picture image.Image) {
	var how draw.Scaler = draw.CatmullRom
	if picture.Bounds().Dx() < at.Dx() {
		how = draw.NearestNeighbor
	}
	how.Scale(img, at, picture, picture.Bounds(), draw.Over, nil)
}

// face is a face of sans for pictures made of pixels.
func face(bold bool, size float64) xfont.Face {
	f := font.DefaultCache.Lookup(sans(bold, font.Length(size)), font.Length(size))
	return f.FontFace(dpi)
}

// write draws text from x on, on the base line y.
func write(img draw.Image, f xfont.Face, s string, x, y int, c color.Color) {
	d := xfont.Drawer{Dst: img, Src: image.NewUniform(c), Face: f, Dot: fixed.P(x, y)}
	d.DrawString(s)
}

func textWidth(f xfont.Face, s string) int { return xfont.MeasureString(f, s).Ceil() }

// fit cuts text off, with an ellipsis, where it is wider than `width` pixels.
func fit(f xfont.Face, s string, width int) string {
	if textWidth(f, s) <= width {
		return s
	}
	runes := []rune(s)
	runes = runes[:min(len(runes), width)] // no character is narrower than a pixel
	for len(runes) > 0 && textWidth(f, string(runes)+"…") > width {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

// shorten cuts off a caption that would leave no room for what it stands beside.
func shorten(s string) string {
	if runes := []rune(s); len(runes) > maxCaption {
		return string(runes[:maxCaption-1]) + "…"
	}
	return s
}
