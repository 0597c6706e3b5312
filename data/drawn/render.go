package drawn

import (
	"math"

	"ibot/imaging"
	"ibot/rng"
)

// scene is all that an image shows, in shares of its side: x and y go from 0 to 1.
type scene struct {
	object      field
	cx, cy      float64 // of the object's middle
	half        float64 // of the side of its square
	axes        [4]float64
	surface     paint
	ground      paint
	clutter     []thing
	lightX      float64 // towards the light, a unit vector in the image plane
	lightY      float64
	bevel       float64 // width of the rounded rim, in shares of half
	gloss       float64
	glow        float64 // how much brighter the image is towards the light
	shadowX     float64
	shadowY     float64
	shadowSoft  float64
	shadowDepth float64
}

// thing is a small shape that lies about on the ground.
type thing struct {
	shape field // in the image's coordinates
	tint  rgb
}

// newScene draws a scene with an object of the given class.
func newScene(seed rng.Seed, number int, c class) *scene {
	r := seed.Stream("drawn scene", number)
	s := &scene{object: c.shape(seed.Stream("drawn shape", number))}

	s.half = r.Uniform(minObject, maxObject) / 2
	s.cx, s.cy = 0.5+r.Uniform(-maxShift, maxShift), 0.5+r.Uniform(-maxShift, maxShift)
	sin, cos := math.Sincos(r.Uniform(-maxRotation, maxRotation))
	stretch := 1 + r.Uniform(-maxStretch, maxStretch)
	s.axes = [4]float64{cos / stretch, sin / stretch, -sin * stretch, cos * stretch}
	if r.Bernoulli(0.5) { // mirrored
		s.axes[0], s.axes[1] = -s.axes[0], -s.axes[1]
	}

	contrast := r.Uniform(minContrast, maxContrast)
	dark := r.Uniform(0.12, 0.88-contrast)
	objectLuma, groundLuma := dark+contrast, dark
	if r.Bernoulli(0.5) {
		objectLuma, groundLuma = groundLuma, objectLuma
	}
	s.surface, s.ground = newPaint(r, objectLuma), newPaint(r, groundLuma)
	for range r.IntRange(minClutter, maxClutter) {
		s.clutter = append(s.clutter, newThing(r, groundLuma))
	}

	s.lightY, s.lightX = math.Sincos(r.Uniform(0, 2*math.Pi))
	s.bevel, s.gloss = r.Uniform(0.15, 0.35), r.Uniform(0, 0.3)
	s.glow = r.Uniform(0.05, 0.3)
	reach := r.Uniform(0.02, 0.06)
	s.shadowX, s.shadowY = -reach*s.lightX, -reach*s.lightY
	s.shadowSoft, s.shadowDepth = r.Uniform(0.03, 0.07), r.Uniform(0.15, 0.4)
	return s
}

// newThing draws a disc, a wedge, a bar or a tile anywhere on the ground.
func newThing(r *rng.Stream, groundLuma float64) thing {
	luma := clamp(groundLuma+r.Uniform(-maxClutterContrast, maxClutterContrast), 0.05, 0.95)
	t := thing{tint: colour(r.Float64(), r.Uniform(0.25, 0.9), luma)}
	kind, x, y, size := r.IntN(4), r.Float64(), r.Float64(), r.Uniform(0.05, 0.15)
	sin, cos := math.Sincos(r.Uniform(0, math.Pi))
	var shape field
	switch kind {
	case 0:
		shape = disc(0, 0, size)
	case 1:
		shape = polygon(point{0, -size}, point{0.9 * size, 0.7 * size}, point{-0.9 * size, 0.5 * size})
	case 2:
		shape = box(0, 0, 2.5*size, 0.25*size, 0)
	case 3:
		shape = box(0, 0, size, 0.8*size, 0.2*size)
	}
	t.shape = func(px, py float64) float64 {
		px, py = px-x, py-y
		return shape(cos*px+sin*py, cos*py-sin*px)
	}
	return t
}

// objectAt gives the coordinates of an image point in the object's square.
func (s *scene) objectAt(x, y float64) (u, v float64) {
	x, y = (x-s.cx)/s.half, (y-s.cy)/s.half
	return s.axes[0]*x + s.axes[1]*y, s.axes[2]*x + s.axes[3]*y
}

// render draws the scene as an RGB image of size x size pixels. Edges are antialiased by the
// distance to them; noise gives the grain.
func (s *scene) render(size int, noise *rng.Stream) *imaging.Image {
	const margin = 1 // for slopes at the border
	side := size + 2*margin
	distance := make([]float64, side*side) // to the object, in shares of half
	for j := range side {
		for i := range side {
			x, y := (float64(i-margin)+0.5)/float64(size), (float64(j-margin)+0.5)/float64(size)
			distance[j*side+i] = s.object(s.objectAt(x, y))
		}
	}
	im := imaging.New(size, size, 3)
	for j := range size {
		for i := range size {
			x, y := (float64(i)+0.5)/float64(size), (float64(j)+0.5)/float64(size)
			at := (j+margin)*side + i + margin
			c := s.groundAt(x, y, size)
			if cover := coverage(distance[at]*s.half, size); cover > 0 {
				u, v := s.objectAt(x, y)
				c = c.mix(s.surfaceAt(u, v, distance, at, side, size), cover)
			}
			c = c.scale(1 + s.glow*((x-0.5)*s.lightX+(y-0.5)*s.lightY))
			pixel := im.Pix[3*(j*size+i):][:3]
			for k, value := range [3]float64{c.r, c.g, c.b} {
				pixel[k] = uint8(clamp(value+grain*noise.NormFloat64(), 0, 1)*255 + 0.5)
			}
		}
	}
	return im
}

// groundAt is the colour of the ground with what lies on it, in the object's shadow.
func (s *scene) groundAt(x, y float64, size int) rgb {
	c := s.ground.at(x, y)
	for _, t := range s.clutter {
		if cover := coverage(t.shape(x, y), size); cover > 0 {
			c = c.mix(t.tint, cover)
		}
	}
	d := s.half * s.object(s.objectAt(x-s.shadowX, y-s.shadowY))
	return c.scale(1 - s.shadowDepth*smoothstep(s.shadowSoft, -s.shadowSoft, d))
}

// surfaceAt is the colour of the object at the point (u, v) of its square: its paint, lit on a
// rim that is rounded off and shining where the rim faces the light.
func (s *scene) surfaceAt(u, v float64, distance []float64, at, side, size int) rgb {
	c := s.surface.at(0.5*u, 0.5*v)
	rim := clamp(1+distance[at]/s.bevel, 0, 1) // 1 at the outline, 0 where the top is flat
	step := 2 / (s.half * float64(size))
	slopeX, slopeY := (distance[at+1]-distance[at-1])/step, (distance[at+side]-distance[at-side])/step
	facing := rim * (slopeX*s.lightX + slopeY*s.lightY)
	c = c.scale(1 + 0.4*facing)
	return c.mix(rgb{1, 1, 1}, s.gloss*smoothstep(0.5, 1, facing))
}

// coverage is the share of a pixel that lies within an outline at the given distance, which is
// in shares of the image's side.
func coverage(distance float64, size int) float64 {
	return clamp(0.5-distance*float64(size), 0, 1)
}
