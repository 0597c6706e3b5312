package chart

import (
	"errors"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Series is one curve of Lines.
type Series struct {
	Name  string
	X     []float64 // as many as Y, rising; nil for 0, 1, 2, ...
	Y     []float64 // NaN and infinities leave a gap
	Level bool      // a horizontal dashed line at Y[0], to compare curves with; X is not used
}

// Options say how Lines looks.
type Options struct {
	Title          string
	XLabel, YLabel string
	Width, Height  int     // points of 1/72 inch, each 2.67 pixels; 0 for 480 and 300, at most 4000
	YMin, YMax     float64 // ends of the y axis; equal for those of the data with a margin
}

// palette is that of Okabe and Ito (2008) without its yellow, which white paper swallows.
var palette = []color.NRGBA{
	{0x00, 0x72, 0xb2, 0xff}, // blue
	{0xd5, 0x5e, 0x00, 0xff}, // vermillion
	{0x00, 0x9e, 0x73, 0xff}, // bluish green
	{0xcc, 0x79, 0xa7, 0xff}, // reddish purple
	{0xe6, 0x9f, 0x00, 0xff}, // orange
	{0x56, 0xb4, 0xe9, 0xff}, // sky blue
	{0x00, 0x00, 0x00, 0xff}, // black
}

const (
	margin   = vg.Length(10)
	labelGap = vg.Length(14) // from the end of a curve to its label, bridged by a thin line
	bodySize = vg.Length(9)
	headSize = vg.Length(13)

	// middle sets text so that the middle of its digits, not of its line, is at the point.
	middle = text.YAlignment(-0.38)
)

// Lines draws curves into a PNG at path. Each curve is labelled at its right end with its name and its
// last value, so there is no legend to look up and none over the data. Curves of very many points are
// drawn as their mean and, faintly, the range around it.
//
// It fails where no series has a finite point, where X and Y differ in length, or the file cannot be
// written.
func Lines(path string, o Options, series ...Series) error {
	curves, err := newCurves(series)
	if err != nil {
		return fmt.Errorf("chart: cannot draw %s: %w", path, err)
	}
	width, height := vg.Length(480), vg.Length(300)
	if o.Width > 0 {
		width = vg.Length(min(o.Width, 4000))
	}
	if o.Height > 0 {
		height = vg.Length(min(o.Height, 4000))
	}
	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi), vgimg.UseBackgroundColor(paper))
	dc := draw.Crop(draw.New(canvas), margin, -margin, margin, -margin)

	top := dc.Max.Y
	for _, line := range []struct {
		text string
		sty  text.Style
	}{
		{o.Title, style(sans(true, headSize), ink, draw.XLeft, draw.YTop)},
		{o.YLabel, style(sans(false, bodySize), quiet, draw.XLeft, draw.YTop)},
	} {
		if line.text != "" {
			dc.FillText(line.sty, vg.Point{X: dc.Min.X, Y: top}, line.text)
			top -= line.sty.Height(line.text) + 5
		}
	}

	p := newPlot(o, curves)
	labels := endLabels(curves)
	body := draw.Crop(dc, 0, -labels.width-labelGap, 0, top-dc.Max.Y-2)
	p.Draw(body)
	data := p.DataCanvas(body)
	_, y := p.Transforms(&data)
	labels.draw(dc, data.Max.X, data.Min.Y, data.Max.Y, y)
	return WritePNG(path, canvas.Image())
}

// newPlot puts the curves between axes that fit them.
func newPlot(o Options, curves []curve) *plot.Plot {
	p := plot.New()
	setStyle(p)
	p.X.Label.Text = o.XLabel
	p.Add(grid{})
	whole := true
	for _, c := range curves {
		if c.banded {
			p.Add(band(c))
		}
		whole = whole && (c.level || c.whole)
	}
	for _, c := range curves {
		p.Add(c)
	}

	x, y := extent(curves)
	p.X.Tick.Marker = roundTicks{count: 6, whole: whole}
	p.Y.Tick.Marker = roundTicks{count: 5}
	if x.narrow() {
		p.X.Tick.Marker = plot.ConstantTicks{{Value: x.lo, Label: fmt.Sprintf("%.6g", x.lo)}}
		x = x.wider(max(0.5, 0.1*math.Abs(x.lo)))
	}
	switch {
	case o.YMin < o.YMax && drawable(o.YMin) && drawable(o.YMax) && !(span{o.YMin, o.YMax}).narrow():
		y = span{o.YMin, o.YMax}
	case !y.narrow():
		y = y.wider(0.05 * (y.hi - y.lo))
	case math.Abs(y.lo) > 1e-9:
		y = y.wider(0.5 * math.Abs(y.lo))
	default:
		y = y.wider(0.5)
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = x.lo, x.hi, y.lo, y.hi
	return p
}

// setStyle gives a plot a line below and a light grid across, and no frame.
func setStyle(p *plot.Plot) {
	p.X.Label.TextStyle = style(sans(false, bodySize), quiet, draw.XCenter, draw.YCenter)
	p.X.LineStyle.Color, p.X.LineStyle.Width = quiet, 0.5
	p.Y.LineStyle.Width = 0
	p.X.Padding, p.Y.Padding = 0, 4
	p.X.Tick.Label = style(sans(false, bodySize), quiet, draw.XCenter, draw.YTop)
	p.Y.Tick.Label = style(sans(false, bodySize), quiet, draw.XRight, draw.YCenter)
	p.X.Tick.LineStyle = p.X.LineStyle
	p.X.Tick.Length, p.Y.Tick.Length = 3, 0
}

// roundTicks places about `count` ticks at multiples of 1, 2 or 5 times a power of ten, and at whole
// numbers alone if it is told so.
type roundTicks struct {
	count int
	whole bool
}

// Ticks implements plot.Ticker.
func (r roundTicks) Ticks(lo, hi float64) []plot.Tick {
	rough := (hi - lo) / float64(r.count)
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	step := 10 * power
	for _, m := range []float64{1, 2, 5} {
		if m*power >= rough {
			step = m * power
			break
		}
	}
	if r.whole {
		step = max(step, 1)
	}
	decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	var ticks []plot.Tick
	first := math.Ceil(lo/step - 1e-9)
	for i := range 2*r.count + 2 {
		v := (first + float64(i)) * step
		if v > hi+1e-9*step {
			break
		}
		label := fmt.Sprintf("%.*f", decimals, v+0) // + 0 turns -0 into 0
		if math.Abs(v) >= 1e6 || decimals > 5 {
			label = fmt.Sprintf("%.4g", v)
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: label})
	}
	return ticks
}

// grid draws a faint line at each tick of the y axis.
type grid struct{}

// Plot implements plot.Plotter.
func (grid) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if at := y(t.Value); c.ContainsY(at) {
			c.StrokeLine2(draw.LineStyle{Color: faint, Width: 0.5}, c.Min.X, at, c.Max.X, at)
		}
	}
}

// newCurves checks the series and gives them their colours.
func newCurves(series []Series) ([]curve, error) {
	var curves []curve
	for i, s := range series {
		if s.X != nil && len(s.X) != len(s.Y) && !s.Level {
			return nil, fmt.Errorf("series %q has %d x and %d y; want as many of one as of the other", s.Name, len(s.X), len(s.Y))
		}
		c := newCurve(s)
		if len(c.points) == 0 {
			continue
		}
		c.color = palette[i%len(palette)]
		if s.Level {
			c.color = quiet
		}
		curves = append(curves, c)
	}
	if len(curves) == 0 {
		return nil, errors.New("no series has a finite point")
	}
	return curves, nil
}
