package analysis

import (
	"bytes"
	"encoding/base64"
	"html/template"
	"image"
	"image/jpeg"
	"image/png"
	"math"

	"golang.org/x/image/draw"

	"ibot/data"
)

// tile is a picture of a page, inside of it.
type tile struct {
	Source        template.URL
	Width, Height int
	Pixels        bool // few pixels, which are to be seen
	Caption, Alt  string

	img  image.Image
	cell int // pixels of the longer side that it is shown with
}

// encode makes the source of the picture: at most twice as many pixels as are shown, for dense screens, and as PNG
// unless JPEG is much smaller.
func (t *tile) encode(quality int) error {
	img := t.img
	size := img.Bounds().Size()
	if most := 2 * max(t.cell, 160); max(size.X, size.Y) > most {
		img = reduced(img, most)
		size = img.Bounds().Size()
	}
	t.Width, t.Height, t.Pixels = size.X, size.Y, 2*max(size.X, size.Y) <= t.cell
	source, err := dataURL(img, quality)
	t.Source = source
	return err
}

// reduced is an image with a longer side of the given number of pixels.
func reduced(img image.Image, longer int) image.Image {
	size := img.Bounds().Size()
	scale := float64(longer) / float64(max(size.X, size.Y))
	out := image.NewNRGBA(image.Rect(0, 0, max(1, int(float64(size.X)*scale+.5)), max(1, int(float64(size.Y)*scale+.5))))
	draw.CatmullRom.Scale(out, out.Rect, img, img.Bounds(), draw.Src, nil)
	return out
}

// dataURL is an image as part of a page: PNG where that is hardly larger than JPEG, for it is exact.
func dataURL(img image.Image, quality int) (template.URL, error) {
	var exact, small bytes.Buffer
	if err := png.Encode(&exact, img); err != nil {
		return "", err
	}
	if err := jpeg.Encode(&small, img, &jpeg.Options{Quality: quality}); err != nil {
		return "", err
	}
	kind, b := "image/jpeg", small.Bytes()
	if 10*exact.Len() < 12*small.Len() {
		kind, b = "image/png", exact.Bytes()
	}
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b)), nil
}

// pointMap is the map of images for the script of the page.
type pointMap struct {
	Points  [][3]float64 `json:"points"` // x and y from 0 to 1, and the class; -1 for none
	Names   []string     `json:"names"`
	Classes []string     `json:"classes"`
	Columns int          `json:"columns"` // of the sheet
	Sheet   string       `json:"sheet"`   // all images in one, row by row

	images *image.NRGBA
}

const sheetThumb = 64 // pixels a side

// addMap adds the map of images. Thumbnails of all of them lie in one picture.
func (p *page) addMap(m *placed) error {
	at := m.unit()
	points := &pointMap{Names: m.names, Classes: m.classes, Columns: int(math.Ceil(math.Sqrt(float64(len(at)))))}
	if points.Classes == nil {
		points.Classes = []string{}
	}
	rows := (len(at) + points.Columns - 1) / points.Columns
	points.images = image.NewNRGBA(image.Rect(0, 0, points.Columns*sheetThumb, rows*sheetThumb))
	for i, place := range at {
		points.Points = append(points.Points, [3]float64{round(place[0]), round(place[1]), float64(m.labels[i])})
		drawThumb(points.images, m.set, i, image.Pt(i%points.Columns*sheetThumb, i/points.Columns*sheetThumb))
	}
	p.Sections = append(p.Sections, section{
		ID: "map", Short: "Map", Title: "Which images are alike", Notes: []string{m.caption() + " Point at a dot to see its image."}, Map: points,
	})
	return nil
}

// drawThumb draws the middle of an image into a square. One that cannot be read any more leaves it empty.
func drawThumb(to *image.NRGBA, ds data.Dataset, i int, corner image.Point) {
	im, err := ds.Load(i)
	if err != nil {
		return
	}
	side := min(im.W, im.H)
	square := im.CenterCrop(side).ToImage()
	var how draw.Scaler = draw.CatmullRom
	if side < sheetThumb {
		how = draw.NearestNeighbor
	}
	how.Scale(to, image.Rectangle{corner, corner.Add(image.Pt(sheetThumb, sheetThumb))}, square, square.Bounds(), draw.Src, nil)
}

// encode makes the sheet of the thumbnails.
func (m *pointMap) encode(quality int) error {
	source, err := dataURL(m.images, quality)
	m.Sheet = string(source)
	return err
}

func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }
