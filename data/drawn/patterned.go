package drawn

import (
	"math"

	"ibot/rng"
)

// Objects made of parts that repeat: what they are shows in any piece of them. A network that has
// seen few images learns them first.

func bullseye(r *rng.Stream) field {
	rings := r.IntRange(2, 3)
	pitch := 1 / (float64(rings) + 0.25)
	return func(x, y float64) float64 {
		d := math.Hypot(x, y)
		k := min(math.Round(d/pitch), float64(rings))
		return math.Abs(d-k*pitch) - 0.25*pitch
	}
}

func checkerboard(r *rng.Stream) field {
	n := float64(r.IntRange(3, 4))
	half := 0.9 / n // of a square's side
	first := float64(r.IntN(2))
	return func(x, y float64) float64 {
		// The nearest two squares of each direction suffice.
		best := math.Inf(1)
		for _, i := range near(x, half, n) {
			for _, j := range near(y, half, n) {
				if math.Mod(i+j+first, 2) == 0 {
					best = min(best, box(-0.9+(2*i+1)*half, -0.9+(2*j+1)*half, half, half, 0)(x, y))
				}
			}
		}
		return best
	}
}

// near lists the cells of a row of n, each 2*half wide and centred together, that a coordinate lies in or beside.
func near(x, half, n float64) []float64 {
	at := math.Floor((x + half*n) / (2 * half))
	var cells []float64
	for i := max(0, at-1); i <= min(n-1, at+1); i++ {
		cells = append(cells, i)
	}
	if cells == nil {
		cells = append(cells, clamp(at, 0, n-1))
	}
	return cells
}

func fern(r *rng.Stream) field {
	lean, pairs := r.Uniform(0.5, 0.7), 4
	parts := []field{capsule(0, -0.95, 0, 0.95, 0.07)}
	for i := range pairs {
		y := -0.55 + 1.35*float64(i)/float64(pairs-1)
		reach := 0.5 + 0.35*float64(i)/float64(pairs-1)
		parts = append(parts, capsule(0, y, reach, y-lean*reach, 0.1), capsule(0, y, -reach, y-lean*reach, 0.1))
	}
	return union(parts...)
}

func grapes(r *rng.Stream) field {
	radius := r.Uniform(0.19, 0.22)
	var parts []field
	for row := range 4 {
		n := 4 - row
		for i := range n {
			parts = append(parts, disc(0.5*(float64(i)-float64(n-1)/2), -0.55+0.44*float64(row), radius))
		}
	}
	return union(append(parts, capsule(0, -0.95, 0, -0.6, 0.06))...)
}

func honeycomb(r *rng.Stream) field {
	cell, wall := 0.38, r.Uniform(0.055, 0.075)
	var parts []field
	for ring := range 7 {
		var cx, cy float64
		if ring > 0 {
			sin, cos := math.Sincos(float64(ring) * math.Pi / 3)
			cx, cy = cell*math.Sqrt(3)*sin, cell*math.Sqrt(3)*cos
		}
		parts = append(parts, hexagon(cx, cy, cell, wall))
	}
	return union(parts...)
}

// hexagon is the outline of a hexagon with a corner to the right, walls 2*wall thick.
func hexagon(cx, cy, radius, wall float64) field {
	var sides []field
	for i := range 6 {
		s0, c0 := math.Sincos(float64(i) * math.Pi / 3)
		s1, c1 := math.Sincos(float64(i+1) * math.Pi / 3)
		sides = append(sides, capsule(cx+radius*c0, cy+radius*s0, cx+radius*c1, cy+radius*s1, wall))
	}
	return union(sides...)
}

func ladder(r *rng.Stream) field {
	apart, rungs := r.Uniform(0.38, 0.5), r.IntRange(4, 5)
	parts := []field{capsule(-apart, -0.92, -apart, 0.92, 0.08), capsule(apart, -0.92, apart, 0.92, 0.08)}
	for i := range rungs {
		y := -0.72 + 1.44*float64(i)/float64(rungs-1)
		parts = append(parts, capsule(-apart, y, apart, y, 0.07))
	}
	return union(parts...)
}

// rings is a chain of four rings.
func rings(r *rng.Stream) field {
	radius, thick := r.Uniform(0.36, 0.4), 0.075
	var parts []field
	for _, c := range []point{{-0.5, -0.5}, {0.5, -0.45}, {-0.45, 0.5}, {0.5, 0.5}} {
		parts = append(parts, func(x, y float64) float64 { return math.Abs(math.Hypot(x-c.x, y-c.y)-radius) - thick })
	}
	return union(parts...)
}

func spring(r *rng.Stream) field {
	turns, wide := r.IntRange(5, 6), r.Uniform(0.5, 0.65)
	var parts []field
	for i := range turns {
		y0, y1 := -0.9+1.8*float64(i)/float64(turns), -0.9+1.8*float64(i+1)/float64(turns)
		x := wide
		if i%2 == 1 {
			x = -wide
		}
		parts = append(parts, capsule(-x, y0, x, y1, 0.08))
	}
	return union(parts...)
}

func sun(r *rng.Stream) field {
	const rays = 10
	core := r.Uniform(0.38, 0.45)
	parts := []field{disc(0, 0, core)}
	for i := range rays {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / rays)
		parts = append(parts, capsule((core+0.16)*sin, (core+0.16)*cos, 0.93*sin, 0.93*cos, 0.06))
	}
	return union(parts...)
}

func wall(r *rng.Stream) field {
	rows, gap := r.IntRange(4, 5), 0.05
	high := 1.8 / float64(rows)
	var parts []field
	for row := range rows {
		y := -0.9 + (float64(row)+0.5)*high
		edges := []float64{-0.95, 0, 0.95}
		if row%2 == 1 {
			edges = []float64{-0.95, -0.48, 0.48, 0.95}
		}
		for i := range len(edges) - 1 {
			parts = append(parts, box((edges[i]+edges[i+1])/2, y, (edges[i+1]-edges[i])/2-gap, high/2-gap, 0.02))
		}
	}
	return union(parts...)
}

// capsule is a line of the given half width with round ends.
func capsule(x0, y0, x1, y1, half float64) field {
	ex, ey := x1-x0, y1-y0
	return func(x, y float64) float64 {
		t := clamp(((x-x0)*ex+(y-y0)*ey)/(ex*ex+ey*ey), 0, 1)
		return math.Hypot(x-x0-t*ex, y-y0-t*ey) - half
	}
}
