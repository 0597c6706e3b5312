package drawn

import (
	"math"

	"ibot/rng"
)

// field gives the signed distance from a point to the outline of a shape, negative inside. The
// shape lies within the square from -1 to 1, with y pointing down. Distances are exact near the
// outline, where they matter, and may be too small elsewhere.
type field func(x, y float64) float64

// class is a kind of object.
type class struct {
	name string
	// shape makes one such object, of random proportions.
	shape func(r *rng.Stream) field
}

// catalogue holds the classes; a set of n classes has the first n of them.
var catalogue = [MaxClasses]class{
	{"star", star},
	{"ring", ring},
	{"crescent", crescent},
	{"heart", heart},
	{"tree", tree},
	{"fish", fish},
	{"key", key},
	{"gear", gear},
	{"bolt", bolt},
	{"hourglass", hourglass},
	{"cross", cross},
	{"house", house},
	{"mug", mug},
	{"arrow", arrow},
	{"mushroom", mushroom},
	{"flower", flower},
}

// MaxClasses is the number of classes that there are.
const MaxClasses = 16

func star(r *rng.Stream) field {
	inner := r.Uniform(0.38, 0.46)
	var outline []point
	for i := range 10 {
		radius := 1.0
		if i%2 == 1 {
			radius = inner
		}
		sin, cos := math.Sincos(float64(i) * math.Pi / 5)
		outline = append(outline, point{radius * sin, -radius * cos})
	}
	return polygon(outline...)
}

func ring(r *rng.Stream) field {
	thick := r.Uniform(0.17, 0.25)
	return func(x, y float64) float64 { return math.Abs(math.Hypot(x, y)-(1-thick)) - thick }
}

func cross(r *rng.Stream) field {
	half := r.Uniform(0.24, 0.33)
	return union(box(0, 0, 0.97, half, 0.05), box(0, 0, half, 0.97, 0.05))
}

func crescent(r *rng.Stream) field {
	bite := r.Uniform(0.42, 0.52)
	return without(disc(-0.05, 0, 1), disc(bite, 0, 0.82))
}

func house(r *rng.Stream) field {
	eaves := r.Uniform(-0.15, 0)
	walls := polygon(point{-0.72, 1}, point{-0.72, eaves}, point{-1, eaves}, point{0, -0.95}, point{1, eaves}, point{0.72, eaves}, point{0.72, 1})
	chimney := box(0.52, -0.62, 0.13, 0.3, 0)
	door := box(r.Uniform(-0.25, 0.25), 0.72, 0.19, 0.36, 0.02)
	return without(union(walls, chimney), door)
}

// heart is two discs over a rounded wedge.
func heart(r *rng.Stream) field {
	lobe := r.Uniform(0.5, 0.54)
	wedge := polygon(point{-0.87, -0.16}, point{0, -0.55}, point{0.87, -0.16}, point{0, 0.97})
	return union(disc(-0.48, -0.4, lobe), disc(0.48, -0.4, lobe), wedge)
}

func tree(r *rng.Stream) field {
	spread := r.Uniform(0.7, 0.85)
	return union(
		polygon(point{0, -1}, point{spread * 0.62, -0.35}, point{-spread * 0.62, -0.35}),
		polygon(point{0, -0.68}, point{spread * 0.82, 0.12}, point{-spread * 0.82, 0.12}),
		polygon(point{0, -0.3}, point{spread, 0.62}, point{-spread, 0.62}),
		box(0, 0.8, 0.14, 0.22, 0))
}

func fish(r *rng.Stream) field {
	fat := r.Uniform(0.5, 0.6)
	tail := polygon(point{0.15, 0}, point{1, -0.62}, point{0.84, 0}, point{1, 0.62})
	fin := polygon(point{-0.35, -0.3}, point{0.05, -0.78}, point{0.2, -0.3})
	return without(union(ellipse(-0.25, 0, 0.75, fat), tail, fin), disc(-0.62, -0.12, 0.12))
}

func key(r *rng.Stream) field {
	bow := r.Uniform(0.4, 0.46)
	return without(
		union(disc(-0.55, 0, bow), box(0.35, 0, 0.64, 0.13, 0.02), box(0.86, 0.26, 0.11, 0.24, 0.02), box(0.5, 0.22, 0.1, 0.2, 0.02)),
		disc(-0.6, 0, bow-0.22))
}

func mug(r *rng.Stream) field {
	tall := r.Uniform(0.72, 0.85)
	handle := without(ellipse(0.42, 0, 0.56, tall*0.66), ellipse(0.42, 0, 0.34, tall*0.66-0.22))
	return union(box(-0.25, 0, 0.7, tall, 0.14), handle)
}

func arrow(r *rng.Stream) field {
	neck, half := r.Uniform(-0.2, 0.05), r.Uniform(0.2, 0.28)
	return polygon(point{0, -1}, point{0.82, neck}, point{half, neck}, point{half, 1}, point{-half, 1}, point{-half, neck}, point{-0.82, neck})
}

func gear(r *rng.Stream) field {
	const teeth = 8
	hole, root := r.Uniform(0.26, 0.36), r.Uniform(0.7, 0.76)
	var outline []point
	for i := range 4 * teeth {
		radius, shift := 0.98, -0.2 // of a tooth's flat top
		if i%4 >= 2 {
			radius, shift = root, -0.25 // the gap after it: the flanks slope
		}
		if i%2 == 1 {
			shift = -shift
		}
		sin, cos := math.Sincos((float64(i) + shift) * math.Pi / (2 * teeth))
		outline = append(outline, point{radius * cos, radius * sin})
	}
	return without(polygon(outline...), disc(0, 0, hole))
}

func bolt(r *rng.Stream) field {
	lean := r.Uniform(-0.08, 0.08)
	return polygon(point{0.25 + lean, -1}, point{-0.6, 0.15}, point{-0.08, 0.15}, point{-0.3 - lean, 1}, point{0.62, -0.25}, point{0.1, -0.25}, point{0.6 + lean, -1})
}

func mushroom(r *rng.Stream) field {
	brim, stem := r.Uniform(0, 0.14), r.Uniform(0.24, 0.33)
	dome := ellipse(0, brim, 1, 0.95)
	cap := func(x, y float64) float64 { return max(dome(x, y), y-brim) }
	return union(cap, box(0, 0.5, stem, 0.47, 0.12))
}

func hourglass(r *rng.Stream) field {
	waist := r.Uniform(0.08, 0.14)
	return union(
		polygon(point{-0.62, -0.85}, point{0.62, -0.85}, point{waist, 0}, point{0.62, 0.85}, point{-0.62, 0.85}, point{-waist, 0}),
		box(0, -0.87, 0.8, 0.12, 0.04), box(0, 0.87, 0.8, 0.12, 0.04))
}

func flower(r *rng.Stream) field {
	const petals = 5
	radius := r.Uniform(0.32, 0.37)
	parts := []field{disc(0, 0, 0.45)}
	for i := range petals {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / petals)
		parts = append(parts, disc(0.62*sin, -0.62*cos, radius))
	}
	return without(union(parts...), disc(0, 0, 0.22))
}

// The primitives below follow the distance functions that Inigo Quilez collected
// (https://iquilezles.org/articles/distfunctions2d).

type point struct{ x, y float64 }

func disc(cx, cy, radius float64) field {
	return func(x, y float64) float64 { return math.Hypot(x-cx, y-cy) - radius }
}

// ellipse has the half axes a and b. Its distance is exact to first order at the outline.
func ellipse(cx, cy, a, b float64) field {
	return func(x, y float64) float64 {
		u, v := (x-cx)/a, (y-cy)/b
		k := math.Hypot(u, v)
		slope := math.Hypot(u/a, v/b)
		if slope < 1e-9 {
			return -min(a, b)
		}
		return k * (k - 1) / slope
	}
}

// box has the half sides w and h and corners rounded by radius.
func box(cx, cy, w, h, radius float64) field {
	return func(x, y float64) float64 {
		dx, dy := math.Abs(x-cx)-w+radius, math.Abs(y-cy)-h+radius
		return math.Hypot(max(dx, 0), max(dy, 0)) + min(max(dx, dy), 0) - radius
	}
}

func polygon(outline ...point) field {
	return func(x, y float64) float64 {
		nearest, inside := math.Inf(1), false
		from := outline[len(outline)-1]
		for _, to := range outline {
			ex, ey := to.x-from.x, to.y-from.y
			wx, wy := x-from.x, y-from.y
			t := clamp((wx*ex+wy*ey)/(ex*ex+ey*ey), 0, 1)
			dx, dy := wx-t*ex, wy-t*ey
			nearest = min(nearest, dx*dx+dy*dy)
			if (from.y > y) != (to.y > y) && wx < ex*wy/ey {
				inside = !inside
			}
			from = to
		}
		if inside {
			return -math.Sqrt(nearest)
		}
		return math.Sqrt(nearest)
	}
}

func union(parts ...field) field {
	return func(x, y float64) float64 {
		d := math.Inf(1)
		for _, part := range parts {
			d = min(d, part(x, y))
		}
		return d
	}
}

// without is the part of a that is not in b.
func without(a, b field) field {
	return func(x, y float64) float64 { return max(a(x, y), -b(x, y)) }
}

func clamp(v, lo, hi float64) float64 { return min(max(v, lo), hi) }
