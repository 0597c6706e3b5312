package imaging

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// testdata/operations.npz holds what Pillow 9.4 makes of its images; the keys say how.
func TestOperationsEqualPillow(t *testing.T) {
	arrays := loadNPZ(t, "testdata/operations.npz")
	fill := []uint8{124, 116, 104}
	filters := map[string]Filter{"nearest": Nearest, "bilinear": Bilinear, "bicubic": Bicubic}
	tried := 0
	for key, want := range arrays {
		source := arrays["image"]
		op := key
		for _, prefix := range []string{"gray/", "square_", "flat_"} {
			if rest, ok := strings.CutPrefix(key, prefix); ok {
				op = rest
				source = arrays[strings.Trim(prefix, "_")]
				if prefix == "gray/" {
					source = arrays["gray/image"]
				}
			}
		}
		if slices.Contains([]string{"image", "square", "flat"}, op) {
			continue
		}
		tried++
		t.Run(key, func(t *testing.T) {
			parts := strings.Split(op, "_")
			var value float64
			if len(parts) > 1 {
				var err error
				if value, err = strconv.ParseFloat(parts[len(parts)-1], 64); err != nil {
					t.Fatal(err)
				}
			}
			var filter Filter
			if len(parts) == 3 {
				filter = filters[parts[1]]
			}
			names := map[string]string{
				"invert": "Invert", "autocontrast": "AutoContrast", "equalize": "Equalize", "posterize": "Posterize",
				"solarizeadd": "SolarizeAdd", "sharpness": "Sharpness", "shearx": "ShearX", "sheary": "ShearY",
				"translatex": "TranslateXRel", "translatey": "TranslateYRel", "rotate": "Rotate",
			}
			im := source.image(t).Clone()
			got := AugmentOp{names[parts[0]], value}.Apply(im, filter, fill[:im.C])
			wantEqual(t, got, want.image(t))
		})
	}
	if tried < 90 {
		t.Errorf("%d operations in the file, want 90 at least", tried)
	}
}

func TestParseRandAugment(t *testing.T) {
	for s, want := range map[string]RandAugment{
		"rand-m9-mstd0.5-inc1":      {Magnitude: 9, MagnitudeStd: 0.5, MagnitudeMax: 10, Layers: 2, Increasing: true, Prob: 0.5},
		"rand":                      {Magnitude: 10, MagnitudeMax: 10, Layers: 2, Prob: 0.5},
		"rand-n3-m7-mmax15-p1":      {Magnitude: 7, MagnitudeMax: 15, Layers: 3, Prob: 1},
		"rand-m5-mstd101-inc0-p0.2": {Magnitude: 5, MagnitudeStd: math.Inf(1), MagnitudeMax: 10, Layers: 2, Prob: 0.2},
	} {
		if got, err := ParseRandAugment(s); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "augmix-m3", "rand-m", "rand-q7", "rand-m1.2.3", "rand--m9"} {
		if _, err := ParseRandAugment(s); err == nil || !strings.HasPrefix(err.Error(), "imaging: ") {
			t.Errorf("%q: error %v", s, err)
		}
	}
}

// The parameters at given magnitudes, worked out from timm's tables.
func TestRandAugmentValues(t *testing.T) {
	increasing := RandAugment{Increasing: true}
	for _, c := range []struct {
		ra    RandAugment
		name  string
		level float64
		sign  float64
		want  float64
	}{
		{increasing, "Rotate", 0.9, -1, -27},
		{increasing, "ShearX", 0.5, 1, 0.15},
		{increasing, "TranslateYRel", 1, -1, -0.45},
		{increasing, "Posterize", 0.9, 1, 1},
		{RandAugment{}, "Posterize", 0.9, 1, 3},
		{increasing, "Solarize", 0.9, 1, 26},
		{RandAugment{}, "Solarize", 0.9, 1, 230},
		{increasing, "SolarizeAdd", 0.9, 1, 99},
		{increasing, "Color", 0.9, 1, 1.81},
		{increasing, "Color", 0.9, -1, 0.19},
		{increasing, "Sharpness", 1, -1, 0.1},
		{RandAugment{}, "Brightness", 0.5, 1, 1},
		{increasing, "Invert", 1, 1, 0},
	} {
		if got := c.ra.value(c.name, c.level, c.sign); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s at %v: got %v, want %v", c.name, c.level, got, c.want)
		}
	}
}

func TestRandAugmentDraws(t *testing.T) {
	ra, err := ParseRandAugment("rand-m9-mstd0.5-inc1")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	const n = 30000
	counts, negative := map[string]int{}, 0
	var degrees []float64
	for range n {
		ops := ra.Draw(r)
		if len(ops) > 2 {
			t.Fatalf("%d operations", len(ops))
		}
		for _, op := range ops {
			counts[op.Name]++
			if op.Name == "Rotate" {
				degrees = append(degrees, math.Abs(op.Value))
				if op.Value < 0 {
					negative++
				}
			}
		}
	}
	for _, name := range RandAugmentOps { // each a fifteenth of 30,000 on average, with a deviation of 43
		if math.Abs(float64(counts[name])-n/15) > 200 {
			t.Errorf("%s drawn %d times, want about %d", name, counts[name], n/15)
		}
	}
	if share := float64(negative) / float64(len(degrees)); math.Abs(share-0.5) > 0.05 {
		t.Errorf("%.3f of rotations are negative, want half", share)
	}
	// Magnitude 9±0.5, cut off at 10: the mean is 8.995, in degrees three times as much.
	sum := 0.
	for _, d := range degrees {
		sum += d
	}
	if mean := sum / float64(len(degrees)); math.Abs(mean-26.985) > 0.15 || slices.Max(degrees) > 30 {
		t.Errorf("rotations of %.2f degrees on average and %.2f at most, want 26.99 and 30", mean, slices.Max(degrees))
	}
	for _, op := range RandAugmentOps { // every one can be applied, to any number of channels
		for _, c := range []int{1, 3, 5} {
			im := noise(r, 9, 7, c, false)
			if got := (AugmentOp{op, 0.4}).Apply(im, Bicubic, make([]uint8, c)); got.W != 9 || got.H != 7 || got.C != c {
				t.Errorf("%s: %dx%dx%d", op, got.W, got.H, got.C)
			}
		}
	}
}

func TestErasing(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	e := DefaultErasing(0.25)
	const w, h, n = 64, 48, 20000
	boxes, area, tall := 0, 0., 0
	for range n {
		for _, b := range e.Draw(r, w, h) {
			boxes++
			if !b.inside(New(w, h, 1)) {
				t.Fatalf("%+v leaves the image", b)
			}
			share := float64(b.Width*b.Height) / (w * h)
			if area += share; share > 0.36 || share < 0.015 {
				t.Fatalf("%+v takes %.3f of the image", b, share)
			}
			if b.Height > b.Width {
				tall++
			}
		}
	}
	// Of the area drawn evenly from 2 to 33 %, little is lost to boxes that do not fit.
	if share := float64(boxes) / n; math.Abs(share-0.25) > 0.02 {
		t.Errorf("%.3f of the images are erased, want 0.25", share)
	}
	if mean := area / float64(boxes); math.Abs(mean-0.17) > 0.02 {
		t.Errorf("boxes take %.3f on average, want about 0.17", mean)
	}
	if share := float64(tall) / float64(boxes); share < 0.3 || share > 0.6 {
		t.Errorf("%.2f of the boxes are higher than wide", share)
	}
	e = Erasing{Prob: 1, Area: [2]float64{0.3, 0.3}, Aspect: [2]float64{1, 1}, MaxBoxes: 3}
	seen := map[int]bool{}
	for range 100 {
		seen[len(e.Draw(r, w, h))] = true
	}
	if len(seen) != 3 || seen[0] {
		t.Errorf("numbers of boxes %v, want 1 to 3", seen)
	}

	floats := make([]float32, 2*h*w)
	box := Box{Left: 3, Top: 5, Width: 40, Height: 30}
	EraseCHW(floats, 2, h, w, box, r)
	var sum, squares float64
	for i, v := range floats {
		x, y := i%w, i/w%h
		in := x >= 3 && x < 43 && y >= 5 && y < 35
		if in == (v == 0) {
			t.Fatalf("value %v at %d, %d", v, x, y)
		}
		sum, squares = sum+float64(v), squares+float64(v)*float64(v)
	}
	if mean, variance := sum/2400, squares/2400; math.Abs(mean) > 0.08 || math.Abs(variance-1) > 0.12 {
		t.Errorf("noise of mean %.3f and variance %.3f", mean, variance)
	}
}

func TestMixup(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	const w, h, n = 32, 24, 40000
	m := Mixup{MixupAlpha: 0.8, CutmixAlpha: 1, Prob: 0.9, SwitchProb: 0.5}
	var none, cuts int
	var lambdas []float64
	for range n {
		mix := m.Draw(r, w, h)
		switch {
		case mix.Cut:
			cuts++
			b := mix.Box
			if b.Left < 0 || b.Top < 0 || b.Width < 0 || b.Height < 0 || b.Left+b.Width > w || b.Top+b.Height > h {
				t.Fatalf("%+v leaves the image", b)
			}
			if want := 1 - float64(b.Width*b.Height)/(w*h); mix.Lambda != want {
				t.Fatalf("lambda %v of %+v, want %v", mix.Lambda, b, want)
			}
		case mix.Lambda == 1:
			none++
		default:
			lambdas = append(lambdas, mix.Lambda)
		}
	}
	if share := float64(none) / n; math.Abs(share-0.1) > 0.01 {
		t.Errorf("%.3f are not mixed, want 0.1", share)
	}
	if share := float64(cuts) / n; math.Abs(share-0.45) > 0.01 {
		t.Errorf("%.3f are cut, want 0.45", share)
	}
	// A beta distribution with both parameters a has mean 1/2 and variance 1/(4(2a+1)).
	var sum, squares float64
	for _, l := range lambdas {
		sum, squares = sum+l, squares+(l-0.5)*(l-0.5)
	}
	k := float64(len(lambdas))
	if math.Abs(sum/k-0.5) > 0.01 || math.Abs(squares/k-1/(4*2.6)) > 0.003 {
		t.Errorf("lambda has mean %.4f and variance %.4f, want 0.5 and %.4f", sum/k, squares/k, 1/(4*2.6))
	}
	if got := (Mixup{Prob: 1}).Draw(r, w, h); got != (Mix{Lambda: 1}) {
		t.Errorf("with both off: %+v", got)
	}
	if got := (Mixup{CutmixAlpha: 1, Prob: 1}).Draw(r, w, h); !got.Cut {
		t.Errorf("with cutmix alone: %+v", got)
	}
	for _, alpha := range []float64{1e-4, 0.1, 1, 30} {
		for range 1000 {
			if v := symmetricBeta(r, alpha); !(v >= 0 && v <= 1) {
				t.Fatalf("beta(%v) gave %v", alpha, v)
			}
		}
	}
}
