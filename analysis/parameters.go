package analysis

import (
	"fmt"
	"image"
	"math"
	"slices"
	"strings"

	"ibot/imaging"
	"ibot/internal/chart"
	"ibot/method"
)

const (
	drawnSide    = 224 // pixels of the longer side of a view; smaller ones are enlarged by a whole number
	drawnColumns = 5   // at least
)

// ParametersSheet draws the views of some images into a PNG at path, with the parameters of each below it: what
// was cut out, whether it is flipped, the factors of the jitter in the order in which they are applied, gray, blur
// and solarize (or that these are not for so many channels), and which share of the patches is masked. Each image begins a row, with the boxes of its crops. Views
// are framed in the colour of their boxes.
//
// It errs where [ViewsSheet] does.
func ParametersSheet(path string, samples []Sample, globals, gridH, gridW int) error {
	if globals < 1 {
		return fmt.Errorf("analysis: want 1 global view or more for %s, found %d", path, globals)
	}
	sheet := chart.Sheet{Title: "Views, and what was drawn for them"}
	for i, s := range samples {
		if len(s.Views) < globals || s.Masks != nil && len(s.Masks) != globals {
			return fmt.Errorf("analysis: image %d of %s has %d views and %d masks; want %d global views or more, and a mask for each of them or none",
				i, path, len(s.Views), len(s.Masks), globals)
		}
		rows, err := parameterRows(s, globals, gridH, gridW)
		if err != nil {
			return fmt.Errorf("analysis: image %d of %s: %w", i, path, err)
		}
		sheet.Cells = append(sheet.Cells, rows...)
	}
	if len(samples) > 0 {
		size := sheet.Cells[0][0].Bounds().Size() // that of all
		sheet.Cell = max(size.X, size.Y)
	}
	if err := sheet.WriteFile(path); err != nil {
		return fmt.Errorf("analysis: %w", err)
	}
	return nil
}

// parameterRows are the annotated pictures of an image: itself and its global views, then rows of local ones.
func parameterRows(s Sample, globals, gridH, gridW int) ([][]image.Image, error) {
	const side = drawnSide + 2*viewFrame
	first := []image.Image{chart.Annotate(cropBoxes(s.Source, s.Views, globals, side), side, s.Name, []chart.Note{
		{Key: "size", Value: fmt.Sprintf("%d × %d", s.Source.W, s.Source.H)},
		{Key: "views", Value: fmt.Sprintf("%d global, %d local", globals, len(s.Views)-globals)},
		channelNote(s.Source.C),
	}, viewLines)}
	var locals []image.Image
	for v, view := range s.Views {
		seen, colour := enlarged(view.Render(s.Source)), cropColour(v, globals)
		annotate := func(picture image.Image, title string, notes []chart.Note) image.Image {
			return chart.Annotate(framed(picture, colour), side, title, notes, viewLines)
		}
		if v >= globals {
			locals = append(locals, annotate(seen, fmt.Sprint("local ", v-globals+1), viewNotes(view, s.Source)))
			continue
		}
		first = append(first, annotate(seen, fmt.Sprint("global ", v+1), viewNotes(view, s.Source)))
		if s.Masks != nil {
			hidden, err := chart.MaskOverlay(seen, s.Masks[v], gridH, gridW)
			if err != nil {
				return nil, fmt.Errorf("view %d: %w", v, err)
			}
			first = append(first, annotate(hidden, fmt.Sprintf("global %d, masked", v+1), maskNotes(s.Masks[v], gridH, gridW)))
		}
	}
	rows := [][]image.Image{first}
	return slices.AppendSeq(rows, slices.Chunk(locals, max(len(first), drawnColumns))), nil
}

// enlarged shows a small view by blocks of whole pixels; one that is too large is reduced.
func enlarged(im *imaging.Image) image.Image {
	side := max(im.W, im.H)
	return shown(im, min(side, drawnSide)*max(1, drawnSide/side))
}

// viewLines is how many notes a view has, and a line to keep rows apart.
const viewLines = 9 + 1

// viewNotes lists everything that was drawn for a view.
func viewNotes(v method.View, src *imaging.Image) []chart.Note {
	b := v.Box
	yes := func(key string, drawn bool, value string) chart.Note {
		if !drawn {
			return chart.Note{Key: key, Value: "no", Quiet: true}
		}
		return chart.Note{Key: key, Value: value}
	}
	notes := []chart.Note{
		{Key: "crop", Value: fmt.Sprintf("%d × %d at %d, %d", b.Width, b.Height, b.Left, b.Top)},
		yes("flip", v.Flip, "yes"),
	}
	if src.C != 3 { // as View.Render has it
		kept := func(key string) chart.Note {
			return chart.Note{Key: key, Value: "not with " + channelCount(src.C), Quiet: true}
		}
		return append(notes, kept("jitter"), chart.Note{}, chart.Note{}, chart.Note{},
			kept("gray"), yes("blur", v.BlurRadius > 0, fmt.Sprintf("%.2f pixels", v.BlurRadius)), kept("solarize"))
	}
	if v.Jitter == nil {
		notes = append(notes, yes("jitter", false, ""), chart.Note{}, chart.Note{}, chart.Note{})
	} else {
		for i, op := range v.Jitter.Order {
			key := ""
			if i == 0 {
				key = "jitter"
			}
			notes = append(notes, chart.Note{Key: key, Value: jitterNote(v.Jitter, op)})
		}
	}
	return append(notes,
		yes("gray", v.Gray, "yes"),
		yes("blur", v.BlurRadius > 0, fmt.Sprintf("%.2f pixels", v.BlurRadius)),
		yes("solarize", v.Solarize, "yes"))
}

func jitterNote(j *imaging.Jitter, op int) string {
	switch op {
	case 0:
		return fmt.Sprintf("brightness × %.2f", j.Brightness)
	case 1:
		return fmt.Sprintf("contrast × %.2f", j.Contrast)
	case 2:
		return fmt.Sprintf("saturation × %.2f", j.Saturation)
	}
	degrees := math.Round(360 * j.Hue)
	if degrees == 0 { // has no sign
		return "hue 0°"
	}
	return strings.Replace(fmt.Sprintf("hue %+.0f°", degrees), "-", "−", 1)
}

// channelNote says which channels are drawn, where that is not plain; see [imaging.Image.ToImage].
func channelNote(channels int) chart.Note {
	n := chart.Note{Key: "shown"}
	switch channels {
	case 1:
		n.Value = "1 channel, as gray"
	case 2:
		n.Value = "2, as red and green"
	case 3:
		return chart.Note{}
	default:
		n.Value = fmt.Sprintf("channels 1, 2, 3 of %d", channels)
	}
	return n
}

func channelCount(n int) string {
	if n == 1 {
		return "1 channel"
	}
	return fmt.Sprint(n, " channels")
}

func maskNotes(mask []bool, gridH, gridW int) []chart.Note {
	masked := 0
	for _, m := range mask {
		if m {
			masked++
		}
	}
	return []chart.Note{
		{Key: "masked", Value: fmt.Sprintf("%.0f %%", 100*float64(masked)/float64(len(mask)))},
		{Key: "patches", Value: fmt.Sprintf("%d of %d × %d", masked, gridH, gridW)},
	}
}
