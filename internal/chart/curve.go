package chart

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// buckets is how many points a curve is drawn with at most; more could not be told apart.
const buckets = 300

// curve is a series made ready to be drawn.
type curve struct {
	name   string
	color  color.NRGBA
	level  bool
	banded bool // the points are means of several values
	points []mark
	x      span // of the values
	whole  bool // all x are whole numbers, as epochs and steps are
}

// mark is a point of a curve: the mean of a bucket of values and their range.
type mark struct {
	x, y   float64
	span   span
	breaks bool // there is a gap before it
}

type span struct{ lo, hi float64 }

func (s span) with(v float64) span { return span{min(s.lo, v), max(s.hi, v)} }

func (s span) wider(by float64) span { return span{s.lo - by, s.hi + by} }

// narrow reports whether the ends are too close for ticks between them to differ.
func (s span) narrow() bool {
	return s.hi-s.lo <= 1e-12*max(math.Abs(s.lo), math.Abs(s.hi), 1e-90)
}

// drawable tells numbers from what has no place on an axis. Beyond 1e100 the arithmetic of axes overflows.
func drawable(v float64) bool { return math.Abs(v) <= 1e100 }

// newCurve puts the values of s into at most `buckets` marks. Without any finite value it has none.
func newCurve(s Series) curve {
	c := curve{name: s.Name, level: s.Level, whole: true, x: span{math.Inf(1), math.Inf(-1)}}
	values := s.Y
	if s.Level {
		values = values[:min(len(values), 1)]
	}
	size := 1
	if len(values) > 2*buckets {
		size = (len(values) + buckets - 1) / buckets
		c.banded = true
	}
	gap := false
	for start := 0; start < len(values); start += size {
		var m mark
		n := 0.0
		for i := start; i < min(start+size, len(values)); i++ {
			x, y := float64(i), values[i]
			if s.X != nil && !s.Level {
				x = s.X[i]
			}
			if !drawable(x) || !drawable(y) {
				continue
			}
			if n == 0 {
				m.span = span{y, y}
			}
			n++
			m.x, m.y = m.x+x, m.y+y
			m.span = m.span.with(y)
			c.x = c.x.with(x)
			c.whole = c.whole && x == math.Trunc(x)
		}
		if n == 0 {
			gap = true
			continue
		}
		m.x, m.y, m.breaks = m.x/n, m.y/n, gap
		gap = false
		c.points = append(c.points, m)
	}
	return c
}

// extent is the rectangle that holds all curves and, up and down, their ranges and the levels.
func extent(curves []curve) (x, y span) {
	x, y = span{math.Inf(1), math.Inf(-1)}, span{math.Inf(1), math.Inf(-1)}
	for _, c := range curves {
		if !c.level {
			x = x.with(c.x.lo).with(c.x.hi)
		}
		for _, m := range c.points {
			y = y.with(m.span.lo).with(m.span.hi)
		}
	}
	if x.lo > x.hi { // levels alone
		x = span{0, 1}
	}
	return x, y
}

// Plot implements plot.Plotter.
func (c curve) Plot(dc draw.Canvas, p *plot.Plot) {
	line := draw.LineStyle{Color: c.color, Width: 1.5}
	x, y := p.Transforms(&dc)
	if c.level {
		if at := y(c.points[0].y); dc.ContainsY(at) {
			line.Width, line.Dashes = 1, []vg.Length{4, 3}
			dc.StrokeLine2(line, dc.Min.X, at, dc.Max.X, at)
		}
		return
	}
	for _, run := range c.runs() {
		if len(run) == 1 { // a line of one point would not show
			dot := draw.GlyphStyle{Color: c.color, Radius: 2.5, Shape: draw.CircleGlyph{}}
			dc.DrawGlyph(dot, vg.Point{X: x(run[0].x), Y: y(run[0].y)})
			continue
		}
		var points []vg.Point
		for _, m := range run {
			points = append(points, vg.Point{X: x(m.x), Y: y(m.y)})
		}
		dc.StrokeLines(line, dc.ClipLinesXY(points)...)
	}
}

// band is the range around a curve of means. It is drawn before all curves, or it would tint them.
type band curve

// Plot implements plot.Plotter.
func (b band) Plot(dc draw.Canvas, p *plot.Plot) {
	pale := b.color
	pale.A = 0x38
	x, y := p.Transforms(&dc)
	for _, run := range curve(b).runs() {
		var outline []vg.Point // along the upper ends and back along the lower
		for _, m := range run {
			outline = append(outline, vg.Point{X: x(m.x), Y: y(m.span.hi)})
		}
		for i := len(run) - 1; i >= 0; i-- {
			outline = append(outline, vg.Point{X: x(run[i].x), Y: y(run[i].span.lo)})
		}
		if clipped := dc.ClipPolygonXY(outline); len(clipped) > 2 {
			dc.FillPolygon(pale, clipped)
		}
	}
}

// runs cuts the points at the gaps.
func (c curve) runs() [][]mark {
	var runs [][]mark
	for i, m := range c.points {
		if i == 0 || m.breaks {
			runs = append(runs, nil)
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], m)
	}
	return runs
}
