package chart

import (
	"fmt"
	"image"
	"image/color"
	"strings"

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
	Rows    []string        // captions to the left of the rows; a line feed begins a further line
	Cells   [][]image.Image // row by row; nil leaves a place empty
	Below   [][]string      // captions below the pictures; nil for none
	Cell    int             // pixels of the longer side of a picture; 0 for 160
	Scale   *Scale          // what the colours mean, drawn to the right; nil for none
}

const (
	sheetGap    = 8        // pixels between pictures
	sheetRim    = 20       // and around all
	captionSize = 9        // points, of 2.67 pixels each
	titleSize   = 13       // points
	maxCaption  = 24       // characters of a line of a caption beside something; of more the middle is left out
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
		y := lay.top + r*(lay.cell.Y+lay.below+sheetGap)
		if r < len(s.Rows) {
			s.writeRow(img, lay, s.Rows[r], y)
		}
		for c, picture := range row {
			if picture == nil {
				continue
			}
			size := s.scaled(picture)
			left := lay.left + c*(lay.cell.X+sheetGap)
			corner := image.Pt(left, y).Add(lay.cell.Sub(size).Div(2))
			place(img, image.Rectangle{corner, corner.Add(size)}, picture)
			if r < len(s.Below) && c < len(s.Below[r]) {
				text := fit(lay.caption, s.Below[r][c], lay.cell.X)
				write(img, lay.caption, text, left+(lay.cell.X-textWidth(lay.caption, text))/2,
					y+lay.cell.Y+lay.caption.Metrics().Ascent.Ceil(), quiet)
			}
		}
	}
	if s.Scale != nil {
		s.Scale.draw(img, lay.caption, image.Rect(lay.right, lay.top, lay.right+scaleBar, lay.top+lay.cell.Y))
	}
	return img, nil
}

// layout is where things are on a sheet, in pixels.
type layout struct {
	title, caption xfont.Face
	columns        int
	cell           image.Point // room for one picture
	below          int         // and for the caption below it
	left, top      int         // of the first picture
	right          int         // where the scale begins
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
		for line := range strings.Lines(caption) {
			l.left = max(l.left, sheetRim+textWidth(l.caption, shorten(strings.TrimSuffix(line, "\n")))+sheetGap)
		}
	}
	if s.Below != nil {
		l.below = l.caption.Metrics().Height.Ceil()
	}
	// Counted in floats, which do not wrap round.
	width := float64(l.left) + float64(l.columns)*float64(l.cell.X+sheetGap) - sheetGap + sheetRim
	height := float64(l.top) + float64(len(s.Cells))*float64(l.cell.Y+l.below+sheetGap) - sheetGap + sheetRim
	if s.Scale != nil {
		width += float64(sheetGap + s.Scale.width(l.caption))
	}
	if width*height > maxPixels {
		return layout{}, fmt.Errorf("chart: the sheet %q of %d x %d pictures would have %.0f x %.0f pixels, more than %d in all; "+
			"show fewer or smaller ones", s.Title, len(s.Cells), l.columns, width, height, maxPixels)
	}
	// A long title widens the sheet rather than being cut, within reason.
	l.width, l.height = int(width), int(height)
	l.right = l.left + l.columns*(l.cell.X+sheetGap)
	if need := textWidth(l.title, s.Title) + 2*sheetRim; need > l.width && need*l.height <= maxPixels {
		l.width = need
	}
	return l, nil
}

// writeRow writes the caption of a row, right-aligned and in the middle of the height of its pictures.
func (s Sheet) writeRow(img draw.Image, lay layout, caption string, y int) {
	m := lay.caption.Metrics()
	lines := strings.Split(caption, "\n")
	base := y + lay.cell.Y/2 + (m.Ascent.Ceil()-m.Descent.Ceil())/2 - (len(lines)-1)*m.Height.Ceil()/2
	for i, line := range lines {
		line, colour := shorten(line), ink
		if i > 0 {
			colour = quiet
		}
		write(img, lay.caption, line, lay.left-sheetGap-textWidth(lay.caption, line), base+i*m.Height.Ceil(), colour)
	}
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

// fit leaves out the middle of text that is wider than `width` pixels: names differ at their ends.
func fit(f xfont.Face, s string, width int) string {
	if textWidth(f, s) <= width {
		return s
	}
	runes := []rune(s)
	kept := min(len(runes), max(width, 0)) // no character is narrower than a pixel
	for kept > 0 && textWidth(f, ends(runes, kept)) > width {
		kept--
	}
	return ends(runes, kept)
}

// shorten leaves out the middle of a caption that would leave no room for what it stands beside.
func shorten(s string) string {
	if runes := []rune(s); len(runes) > maxCaption {
		return ends(runes, maxCaption-1)
	}
	return s
}

// ends are so many characters of the begin and the end of a text, about a third of them of the begin.
func ends(runes []rune, n int) string {
	return string(runes[:n/3]) + "…" + string(runes[len(runes)-n+n/3:])
}
