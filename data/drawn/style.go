package drawn

import (
	"math"

	"ibot/rng"
)

// How widely the images vary. All are drawn evenly between the two ends, in shares of the
// image's side where they are lengths, and in the same way for every class.
//
// What differs from object to object within an image (place, size, rotation, proportions, colour,
// whether it is lighter or darker than the ground) is the same in no two crops of it; the kind of
// object is. That leaves the kind as what a network can learn from crops alone.
const (
	minObjects, maxObjects   = 6, 9
	minObject, maxObject     = 0.27, 0.33 // the side of the square that an object lies in
	minGap                   = 0.85       // between the middles of two objects, in shares of the sum of their half sides
	margin                   = 0.08       // of the objects' middles from the border
	maxRotation              = 0.3        // radians, to both sides
	maxStretch               = 0.12       // of one axis against the other
	minGround, maxGround     = 0.45, 0.55 // luma of the ground
	minContrast, maxContrast = 0.30, 0.40 // between the luma of object and ground
	minColour, maxColour     = 0.25, 0.90 // saturation of objects
	maxGroundColour          = 0.30       // saturation of the ground
	minPattern, maxPattern   = 0, 0.02    // change of luma between the two colours of a pattern
	minPeriod, maxPeriod     = 0.14, 0.34 // of patterns
	maxGlow                  = 0.1        // how much brighter the image is at the end towards the light
	grain                    = 0.012      // standard deviation of the noise
)

// rgb is a colour with components from 0 to 1, in the values that files hold.
type rgb struct{ r, g, b float64 }

func (c rgb) scale(k float64) rgb { return rgb{c.r * k, c.g * k, c.b * k} }

func (c rgb) mix(d rgb, t float64) rgb {
	return rgb{c.r + (d.r-c.r)*t, c.g + (d.g-c.g)*t, c.b + (d.b-c.b)*t}
}

func (c rgb) luma() float64 { return 0.299*c.r + 0.587*c.g + 0.114*c.b }

// colour has the hue (0 to 1, around the circle), the saturation before it is lightened, and
// the luma.
func colour(hue, saturation, luma float64) rgb {
	wave := func(shift float64) float64 {
		k := math.Mod(hue*6+shift, 6)
		return 1 - saturation*clamp(min(k, 4-k), 0, 1)
	}
	c := rgb{wave(5), wave(3), wave(1)}
	if y := c.luma(); y > luma {
		return c.scale(luma / y)
	} else if y < 1 {
		return c.mix(rgb{1, 1, 1}, (luma-y)/(1-y))
	}
	return c
}

// paint is a colour that changes from place to place between two.
type paint struct {
	a, b    rgb
	pattern func(x, y float64) float64 // 0 for a, 1 for b
}

func newPaint(r *rng.Stream, luma, saturation float64) paint {
	hue, change := r.Float64(), r.Uniform(minPattern, maxPattern)
	return paint{
		a:       colour(hue, saturation, clamp(luma-change, 0.03, 0.97)),
		b:       colour(math.Mod(hue+r.Uniform(-0.08, 0.08)+1, 1), saturation, clamp(luma+change, 0.03, 0.97)),
		pattern: newPattern(r),
	}
}

func (p paint) at(x, y float64) rgb { return p.a.mix(p.b, p.pattern(x, y)) }

// newPattern draws a pattern of unit contrast: stripes, waves, dots, checks, clouds, or none.
func newPattern(r *rng.Stream) func(x, y float64) float64 {
	kind := r.IntN(6)
	sin, cos := math.Sincos(r.Uniform(0, math.Pi))
	k := 2 * math.Pi / r.Uniform(minPeriod, maxPeriod)
	phase := r.Uniform(0, 2*math.Pi)
	clouds := newClouds(r)
	// turned are the coordinates along and across the pattern, in radians of its period.
	turned := func(x, y float64) (u, v float64) { return k*(cos*x+sin*y) + phase, k * (cos*y - sin*x) }
	switch kind {
	case 0: // stripes
		return func(x, y float64) float64 {
			u, _ := turned(x, y)
			return edge(math.Sin(u))
		}
	case 1: // waves
		return func(x, y float64) float64 {
			u, v := turned(x, y)
			return 0.5 + 0.5*math.Sin(u+0.8*math.Sin(0.7*v))
		}
	case 2: // dots
		return func(x, y float64) float64 {
			u, v := turned(x, y)
			return edge(math.Sin(u) + math.Sin(v) - 0.9)
		}
	case 3: // checks
		return func(x, y float64) float64 {
			u, v := turned(x, y)
			return edge(1.5 * math.Sin(u/1.5) * math.Sin(v/1.5))
		}
	case 4:
		return clouds
	}
	return func(x, y float64) float64 { return 0.5 }
}

// edge steps from 0 to 1 around 0, softly enough for small images.
func edge(v float64) float64 { return smoothstep(-0.35, 0.35, v) }

func smoothstep(lo, hi, v float64) float64 {
	t := clamp((v-lo)/(hi-lo), 0, 1)
	return t * t * (3 - 2*t)
}

// newClouds draws value noise: random numbers on a lattice that repeats, smoothly joined, in
// two octaves.
func newClouds(r *rng.Stream) func(x, y float64) float64 {
	const side = 8
	var lattice [side][side]float64
	for i := range lattice {
		for j := range lattice[i] {
			lattice[i][j] = r.Float64()
		}
	}
	octave := func(x, y float64) float64 {
		fx, fy := math.Floor(x), math.Floor(y)
		i, j := int(fx)&(side-1), int(fy)&(side-1)
		k, l := (i+1)&(side-1), (j+1)&(side-1)
		u, v := smoothstep(0, 1, x-fx), smoothstep(0, 1, y-fy)
		top := lattice[j][i] + (lattice[j][k]-lattice[j][i])*u
		bottom := lattice[l][i] + (lattice[l][k]-lattice[l][i])*u
		return top + (bottom-top)*v
	}
	return func(x, y float64) float64 {
		return clamp(0.5+0.9*(octave(4*x+4, 4*y+4)-0.5)+0.5*(octave(9*x+2, 9*y+5)-0.5), 0, 1)
	}
}
