package chart

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// labels are the names of curves beside their right ends.
type labels struct {
	width vg.Length // of the widest
	list  []label
}

type label struct {
	text  string
	curve curve
}

// endLabels names all curves.
func endLabels(curves []curve) labels {
	var l labels
	sty := style(sans(false, bodySize), ink, draw.XLeft, middle)
	for _, c := range curves {
		text := fmt.Sprintf("%.4g", c.points[len(c.points)-1].y)
		if c.name != "" {
			text = shorten(c.name) + " " + text
		}
		l.list = append(l.list, label{text: text, curve: c})
		l.width = max(l.width, sty.Width(text))
	}
	return l
}

// draw puts the labels to the right of x, each at the height of its curve's end as far as the others let
// it, and ties it to the end with a line in the curve's colour.
func (l labels) draw(dc draw.Canvas, x, bottom, top vg.Length, height func(float64) vg.Length) {
	sty := style(sans(false, bodySize), ink, draw.XLeft, middle)
	ends := make([]vg.Length, len(l.list))
	for i, one := range l.list {
		points := one.curve.points
		ends[i] = min(max(height(points[len(points)-1].y), bottom), top)
	}
	for i, at := range spread(ends, 1.25*bodySize, bottom, top) {
		line := draw.LineStyle{Color: l.list[i].curve.color, Width: 1}
		dc.StrokeLines(line, []vg.Point{
			{X: x + 1, Y: ends[i]}, {X: x + labelGap/2, Y: at}, {X: x + labelGap - 3, Y: at},
		})
		dc.FillText(sty, vg.Point{X: x + labelGap, Y: at}, l.list[i].text)
	}
}

// spread moves positions apart until neighbours are `gap` from each other, keeping their order and
// moving them little, and within [lo, hi] as long as there is room for all.
func spread(want []vg.Length, gap, lo, hi vg.Length) []vg.Length {
	order := make([]int, len(want))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case want[a] < want[b]:
			return -1
		case want[a] > want[b]:
			return 1
		}
		return b - a // of equal ones the first is above
	})
	// Groups of touching labels, each centred on the mean of what its members want.
	type group struct {
		sum   vg.Length // of what members want, less their offsets from the group's first
		count int
	}
	var groups []group
	first := func(g group) vg.Length {
		most := max(lo, hi-gap*vg.Length(g.count-1))
		return min(max(g.sum/vg.Length(g.count), lo), most)
	}
	for _, i := range order {
		groups = append(groups, group{want[i], 1})
		for n := len(groups); n > 1; n = len(groups) {
			below, above := groups[n-2], groups[n-1]
			offset := gap * vg.Length(below.count)
			if first(below)+offset <= first(above) {
				break
			}
			groups = append(groups[:n-2], group{
				below.sum + above.sum - offset*vg.Length(above.count), below.count + above.count,
			})
		}
	}
	at := make([]vg.Length, len(want))
	next := 0
	for _, g := range groups {
		for k := range g.count {
			at[order[next]] = first(g) + gap*vg.Length(k)
			next++
		}
	}
	return at
}
