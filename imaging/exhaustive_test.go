package imaging

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The kernels compute with integers, tables and reciprocals what Pillow and torchvision compute with
// float and double. Here their formulas stand as they are written there, and every input there is goes
// through both.

// eachColour calls f with all 2^24 colours, in images of 2^16; of every step-th blue where that
// is not 1. For all blues f runs with the widest instruction set, for every 32nd with the others too.
func eachColour(step int, f func(im *Image)) {
	best := isa
	defer func() { isa = best }()
	im := New(256, 256, 3)
	for blue := 0; blue < 256; blue += step {
		for i := range 1 << 16 {
			im.Pix[3*i], im.Pix[3*i+1], im.Pix[3*i+2] = uint8(i), uint8(i>>8), uint8(blue)
		}
		for isa = best; isa >= 0; isa-- {
			if isa == best || blue%32 == 0 {
				f(im)
			}
		}
		isa = best
	}
}

// pillowHSV is rgb2hsv_row of Convert.c.
func pillowHSV(r, g, b uint8) (h, s, v uint8) {
	maxc, minc := max(r, g, b), min(r, g, b)
	if minc == maxc {
		return 0, 0, maxc
	}
	cr := float32(maxc - minc)
	rc, gc, bc := float32(maxc-r)/cr, float32(maxc-g)/cr, float32(maxc-b)/cr
	var hue float32
	switch maxc {
	case r:
		hue = bc - gc
	case g:
		hue = float32(2 + float64(rc) - float64(bc))
	default:
		hue = float32(4 + float64(gc) - float64(rc))
	}
	turns := float64(hue)/6 + 1 // and fmod by 1
	if turns >= 1 {
		turns--
	}
	hue = float32(turns)
	return uint8(int(float64(hue) * 255)), uint8(int(float64(cr/float32(maxc)) * 255)), maxc
}

// pillowRGB is hsv2rgb of Convert.c.
func pillowRGB(h, s, v uint8) [3]uint8 {
	if s == 0 {
		return [3]uint8{v, v, v}
	}
	i := int(h) * 6 / 255
	f := float32(int(h)*6-255*i) / 255
	fs := float32(s) / 255
	round := func(x float64) uint8 { return uint8(int(x + 0.5)) }
	p := round(float64(v) * (1 - float64(fs)))
	q := round(float64(v) * (1 - float64(float32(fs*f))))
	t := round(float64(v) * (1 - float64(float64(fs)*(1-float64(f)))))
	return [][3]uint8{{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}}[i%6]
}

// All colours turned by a tenth of the circle, and some by other shifts.
func TestHueOfEveryColour(t *testing.T) {
	want := New(256, 256, 3)
	for shift, step := range map[float64]int{0.1: 1, 0: 37, -0.37: 41, 0.5: 43} {
		turn := uint8(int(shift * 255))
		eachColour(step, func(im *Image) {
			for i := 0; i < len(im.Pix); i += 3 {
				h, s, v := pillowHSV(im.Pix[i], im.Pix[i+1], im.Pix[i+2])
				rgb := pillowRGB(h+turn, s, v)
				want.Pix[i], want.Pix[i+1], want.Pix[i+2] = rgb[0], rgb[1], rgb[2]
			}
			if got := edited(im, func(im *Image) { im.AdjustHue(shift) }); !slices.Equal(got.Pix, want.Pix) {
				wantEqual(t, got, want)
				t.Fatalf("shift %v, %s, blue %d", shift, InstructionSet(), im.Pix[2])
			}
		})
	}
}

// The way back from all hues, saturations and values, most of which 8-bit colours do not reach without
// a shift, is that of the integers that the kernels divide: none lies where Pillow's float rounds.
func TestHueOfEveryTriple(t *testing.T) {
	for h := range 256 {
		k, n := 6*h/255, 6*h%255
		if k%2 == 0 {
			n = 255 - n
		}
		for i := range 1 << 16 {
			s, v := i>>8, i&255
			low, middle := (v*(255-s)+127)/255, (v*(65025-s*n)+32512)/65025
			want := [][3]int{{v, middle, low}, {middle, v, low}, {low, v, middle}, {low, middle, v}, {middle, low, v}, {v, low, middle}}[k%6]
			got := pillowRGB(uint8(h), uint8(s), uint8(v))
			if want != [3]int{int(got[0]), int(got[1]), int(got[2])} {
				t.Fatalf("hue %d, saturation %d, value %d: %v by integers, %v by floats", h, s, v, want, got)
			}
		}
	}
}

// Gray is Pillow's L for every colour, and saturation moves away from it in float32.
func TestGrayAndSaturationOfEveryColour(t *testing.T) {
	gray, want := New(256, 256, 3), New(256, 256, 3)
	for factor, step := range map[float64]int{1.2: 2, 0: 37, 0.8123: 5, 300: 41} {
		f := float32(factor)
		eachColour(step, func(im *Image) {
			for i := 0; i < len(im.Pix); i += 3 {
				l := uint8((19595*uint32(im.Pix[i]) + 38470*uint32(im.Pix[i+1]) + 7471*uint32(im.Pix[i+2]) + 1<<15) >> 16)
				for c := i; c < i+3; c++ {
					gray.Pix[c] = l
					x := float32(l) + float32(f*float32(int(im.Pix[c])-int(l)))
					want.Pix[c] = uint8(min(max(x, 0), 255))
				}
			}
			wantEqual(t, edited(im, (*Image).Grayscale), gray)
			wantEqual(t, edited(im, func(im *Image) { im.AdjustSaturation(factor) }), want)
			if t.Failed() {
				t.Fatalf("factor %v, %s, blue %d", factor, InstructionSet(), im.Pix[2])
			}
		})
	}
}

// Every byte becomes the float of torchvision's divisions, whatever the mean and the deviation.
func TestFloatsOfEveryByte(t *testing.T) {
	best := isa
	defer func() { isa = best }()
	im := New(256, 1, 3)
	for i := range im.Pix {
		im.Pix[i] = uint8(i / 3)
	}
	r := rand.New(rand.NewPCG(8, 8))
	got := make([]float32, len(im.Pix))
	for range 3000 {
		var mean, std [3]float32
		for c := range 3 {
			mean[c], std[c] = r.Float32(), max(r.Float32(), 1e-6)
			if r.IntN(8) == 0 { // the longest mantissa, where reciprocals are at their worst
				std[c] = math.Float32frombits(math.Float32bits(std[c]) | 0x7fffff)
			}
			if r.IntN(8) == 0 {
				std[c] *= 1e-35 // quotients at the end of the range
			}
		}
		for isa = 0; isa <= best; isa++ {
			im.ToCHW(got, mean[:], std[:])
			for i, g := range got {
				c := i / 256
				want := (float32(float32(i%256)/255) - mean[c]) / std[c]
				if math.Float32bits(g) != math.Float32bits(want) {
					t.Fatalf("%s: %d with mean %v and deviation %v: got %v, want %v", InstructionSet(), i%256, mean[c], std[c], g, want)
				}
			}
		}
	}
}

// The blur is its formula, pass by pass, for many neighbours and all sizes of windows that the vector loops
// know.
func TestBlurIsItsFormula(t *testing.T) {
	best := isa
	defer func() { isa = best }()
	for _, radius := range []float64{0.1, 0.7, 1.3, 2, 2.6} {
		whole, inner, outer := ExtendedBox(radius)
		at := func(row []uint8, x int) uint32 { return uint32(row[min(max(x, 0), len(row)-1)]) }
		pass := func(row []uint8) []uint8 {
			out := make([]uint8, len(row))
			for x := range out {
				var near uint32
				for i := x - whole; i <= x+whole; i++ {
					near += at(row, i)
				}
				far := at(row, x-whole-1) + at(row, x+whole+1)
				out[x] = uint8((near*inner + far*outer + 1<<23) >> 24)
			}
			return out
		}
		im, want := New(3, 1, 1), New(3, 1, 1)
		for pair := 0; pair < 1<<16; pair += 1 + pair%31 {
			im.Pix[0], im.Pix[1], im.Pix[2] = uint8(pair), uint8(pair>>8), uint8(pair*7>>4)
			row := im.Pix
			for range BlurPasses {
				row = pass(row)
			}
			for i, v := range row { // three passes down a single row
				for range BlurPasses {
					v = pass([]uint8{v})[0]
				}
				want.Pix[i] = v
			}
			for isa = 0; isa <= best; isa++ {
				wantEqual(t, edited(im, func(im *Image) { im.GaussianBlur(radius) }), want)
			}
			if t.Failed() {
				t.Fatalf("radius %v, row %v", radius, im.Pix)
			}
		}
	}
}
