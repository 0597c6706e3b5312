package drawn

import (
	"math"
	"testing"

	"ibot/rng"
)

// silhouette samples a shape on a grid over its square, and a little beyond.
func silhouette(shape field) []bool {
	const side = 40
	var inside []bool
	for j := range side {
		for i := range side {
			inside = append(inside, shape(2.2*(float64(i)+0.5)/side-1.1, 2.2*(float64(j)+0.5)/side-1.1) < 0)
		}
	}
	return inside
}

// overlap is the intersection of two silhouettes over their union, the second mirrored on wish.
func overlap(a, b []bool, mirrored bool) float64 {
	side := int(math.Sqrt(float64(len(a))))
	both, any := 0, 0
	for at := range a {
		other := at
		if mirrored {
			other = at/side*side + side - 1 - at%side
		}
		if a[at] || b[other] {
			any++
		}
		if a[at] && b[other] {
			both++
		}
	}
	return float64(both) / float64(any)
}

func TestShapesFillTheirSquare(t *testing.T) {
	for _, c := range catalogue {
		for i := range 10 {
			shape := c.shape(rng.Seed(0).Stream("shape", i))
			area := 0
			for _, in := range silhouette(shape) {
				if in {
					area++
				}
			}
			if share := float64(area) / 1600; share < 0.12 || share > 0.75 {
				t.Errorf("%s %d fills %.0f %% of its square, want 12 to 75", c.name, i, 100*share)
			}
			for k := range 200 {
				sin, cos := math.Sincos(float64(k) / 200 * 2 * math.Pi)
				far := 1.06 / max(math.Abs(sin), math.Abs(cos))
				if shape(far*cos, far*sin) < 0 {
					t.Errorf("%s %d sticks out of its square", c.name, i)
					break
				}
			}
		}
	}
}

// A field that rises faster than distance does would give edges that are too hard, and one
// that rises much slower edges that are blurred.
func TestFieldsAreDistancesNearTheOutline(t *testing.T) {
	for _, c := range catalogue {
		shape := c.shape(rng.Seed(0).Stream("shape", 0))
		r := rng.Seed(0).Stream("points")
		near, slow := 0, 0
		for range 20000 {
			x, y := r.Uniform(-1.1, 1.1), r.Uniform(-1.1, 1.1)
			if math.Abs(shape(x, y)) > 0.03 {
				continue
			}
			const h = 1e-4
			slope := math.Hypot(shape(x+h, y)-shape(x-h, y), shape(x, y+h)-shape(x, y-h)) / (2 * h)
			near++
			if slope > 1.3 {
				t.Errorf("%s rises with slope %.2f at (%.2f, %.2f), want at most 1.3", c.name, slope, x, y)
				break
			}
			if slope < 0.6 {
				slow++
			}
		}
		if near == 0 || float64(slow) > 0.1*float64(near) {
			t.Errorf("%s is no distance at %d of %d points near its outline", c.name, slow, near)
		}
	}
}

// Each shape's nearest neighbour among shapes of other proportions is of its own class, and no
// class looks like another in the mirror.
func TestClassesAreDistinct(t *testing.T) {
	const each = 8
	var shapes [][]bool
	for i := range each {
		for _, c := range catalogue {
			shapes = append(shapes, silhouette(c.shape(rng.Seed(0).Stream("shape", i))))
		}
	}
	for i, a := range shapes {
		best, nearest := 0.0, -1
		for j, b := range shapes {
			if i == j {
				continue
			}
			for _, mirrored := range []bool{false, true} {
				if v := overlap(a, b, mirrored); v > best {
					best, nearest = v, j
				}
			}
		}
		if got, want := catalogue[nearest%MaxClasses].name, catalogue[i%MaxClasses].name; got != want {
			t.Errorf("a %s looks most like a %s", want, got)
		}
	}
}

func TestColourHasTheLumaAskedFor(t *testing.T) {
	for hue := 0.0; hue < 1; hue += 0.05 {
		for _, saturation := range []float64{0, 0.3, 0.9, 1} {
			for _, luma := range []float64{0.03, 0.2, 0.5, 0.8, 0.97} {
				c := colour(hue, saturation, luma)
				if math.Abs(c.luma()-luma) > 1e-9 {
					t.Errorf("colour(%.2f, %.1f, %.2f) has luma %.3f", hue, saturation, luma, c.luma())
				}
				if min(c.r, c.g, c.b) < 0 || max(c.r, c.g, c.b) > 1 {
					t.Errorf("colour(%.2f, %.1f, %.2f) is %v, outside of 0 to 1", hue, saturation, luma, c)
				}
			}
		}
	}
}
