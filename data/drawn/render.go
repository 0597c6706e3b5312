package drawn

import (
	"ibot/imaging"
	"ibot/rng"
)

// render draws the scene as an RGB image of size x size pixels. Edges are antialiased by the
// distance to them; noise gives the grain.
func (s *scene) render(size int, noise *rng.Stream) *imaging.Image {
	im := imaging.New(size, size, 3)
	for j := range size {
		for i := range size {
			x, y := (float64(i)+0.5)/float64(size), (float64(j)+0.5)/float64(size)
			c := s.at(x, y, 1/float64(size)).scale(1 + s.glow*((x-0.5)*s.lightX+(y-0.5)*s.lightY))
			pixel := im.Pix[3*(j*size+i):][:3]
			for k, value := range [3]float64{c.r, c.g, c.b} {
				pixel[k] = uint8(clamp(value+grain*noise.NormFloat64(), 0, 1)*255 + 0.5)
			}
		}
	}
	return im
}

// at is the colour at a point: the ground, the shadows on it, and the objects above both. A
// pixel is so wide.
func (s *scene) at(x, y, width float64) rgb {
	c := s.ground.at(x, y)
	for k := range s.objects {
		if o := &s.objects[k]; o.near(x, y) {
			d := o.distance(x+s.shadow.x, y+s.shadow.y)
			c = c.scale(1 - s.shadow.depth*smoothstep(s.shadow.soft, -s.shadow.soft, d))
		}
	}
	for k := range s.objects {
		if o := &s.objects[k]; o.near(x, y) {
			if cover := clamp(0.5-o.distance(x, y)/width, 0, 1); cover > 0 {
				c = c.mix(s.surfaceAt(o, x, y, width), cover)
			}
		}
	}
	return c
}

// surfaceAt is the colour of an object at an image point: its paint, lit on a rim that is rounded
// off and shining where the rim faces the light.
func (s *scene) surfaceAt(o *object, x, y, width float64) rgb {
	u, v := o.local(x, y)
	rim := clamp(1+o.shape(u, v)/o.bevel, 0, 1) // 1 at the outline, 0 where the top is flat
	slopeX := (o.distance(x+width, y) - o.distance(x-width, y)) / (2 * width)
	slopeY := (o.distance(x, y+width) - o.distance(x, y-width)) / (2 * width)
	facing := rim * (slopeX*s.lightX + slopeY*s.lightY)
	c := o.surface.at(0.5*u, 0.5*v).scale(1 + 0.4*facing)
	return c.mix(rgb{1, 1, 1}, o.gloss*smoothstep(0.5, 1, facing))
}
