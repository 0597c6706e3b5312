package drawn

import (
	"math"

	"ibot/rng"
)

// scene is all that an image shows: objects of one kind on a ground, lit from one side. Lengths
// are in shares of the image's side; x and y go from 0 to 1.
type scene struct {
	objects        []object
	ground         paint
	lightX, lightY float64 // towards the light, a unit vector in the image plane
	glow           float64 // how much brighter the image is towards the light
	shadow         shadow
}

// object is one thing of the scene's kind.
type object struct {
	shape   field
	cx, cy  float64    // the middle
	half    float64    // of the side of its square
	axes    [4]float64 // from the image's directions to its own
	surface paint
	bevel   float64 // width of the rounded rim, in shares of half
	gloss   float64
}

// shadow is how objects darken the ground beside them.
type shadow struct {
	x, y        float64 // where it falls
	soft, depth float64
}

// newScene draws a scene with objects of the given class.
func newScene(seed rng.Seed, number int, c class) *scene {
	r := seed.Stream("drawn scene", number)
	groundLuma := r.Uniform(minGround, maxGround)
	s := &scene{ground: newPaint(r, groundLuma, r.Uniform(0, maxGroundColour))}
	n := r.IntRange(minObjects, maxObjects)
	const tries = 200 // a place may be full before it holds n objects
	for try := 0; try < tries && len(s.objects) < n; try++ {
		o := object{half: r.Uniform(minObject, maxObject) / 2}
		o.cx, o.cy = r.Uniform(margin, 1-margin), r.Uniform(margin, 1-margin)
		if !s.hasRoomFor(o) {
			continue
		}
		o.shape = c.shape(seed.Stream("drawn shape", number, len(s.objects)))
		o.turn(r)
		o.dress(r, groundLuma)
		s.objects = append(s.objects, o)
	}
	s.lightY, s.lightX = math.Sincos(r.Uniform(0, 2*math.Pi))
	s.glow = r.Uniform(0, maxGlow)
	reach := r.Uniform(0.02, 0.04)
	s.shadow = shadow{x: reach * s.lightX, y: reach * s.lightY, soft: r.Uniform(0.03, 0.05), depth: r.Uniform(0.1, 0.3)}
	return s
}

// hasRoomFor reports whether an object would keep its distance from those that are there.
func (s *scene) hasRoomFor(o object) bool {
	for _, p := range s.objects {
		if math.Hypot(o.cx-p.cx, o.cy-p.cy) < minGap*(o.half+p.half) {
			return false
		}
	}
	return true
}

// turn gives an object its rotation and proportions; every other one is mirrored.
func (o *object) turn(r *rng.Stream) {
	sin, cos := math.Sincos(r.Uniform(-maxRotation, maxRotation))
	stretch := 1 + r.Uniform(-maxStretch, maxStretch)
	o.axes = [4]float64{cos / stretch, sin / stretch, -sin * stretch, cos * stretch}
	if r.Bernoulli(0.5) {
		o.axes[0], o.axes[1] = -o.axes[0], -o.axes[1]
	}
}

// dress gives an object its surface, lighter or darker than the ground.
func (o *object) dress(r *rng.Stream, groundLuma float64) {
	contrast := r.Uniform(minContrast, maxContrast)
	if r.Bernoulli(0.5) {
		contrast = -contrast
	}
	o.surface = newPaint(r, groundLuma+contrast, r.Uniform(minColour, maxColour))
	o.bevel, o.gloss = r.Uniform(0.15, 0.35), r.Uniform(0, 0.3)
}

// local gives the coordinates of an image point in the object's square, from -1 to 1.
func (o *object) local(x, y float64) (u, v float64) {
	x, y = (x-o.cx)/o.half, (y-o.cy)/o.half
	return o.axes[0]*x + o.axes[1]*y, o.axes[2]*x + o.axes[3]*y
}

// distance is that of an image point to the object's outline, negative inside.
func (o *object) distance(x, y float64) float64 { return o.half * o.shape(o.local(x, y)) }

// near reports whether a point may be on the object or in its shadow.
func (o *object) near(x, y float64) bool {
	dx, dy := x-o.cx, y-o.cy
	return dx*dx+dy*dy < 4*o.half*o.half
}
