package imaging

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// noise returns an image of evenly drawn bytes, or of black and white alone, where overshoots clip.
func noise(r *rand.Rand, w, h, c int, extreme bool) *Image {
	im := New(w, h, c)
	for i := range im.Pix {
		im.Pix[i] = uint8(r.IntN(256))
		if extreme {
			im.Pix[i] = uint8(255 * r.IntN(2))
		}
	}
	return im
}

// Every instruction set gives the bytes of the portable loops, at sizes around the widths of
// vectors.
func TestInstructionSetsAgree(t *testing.T) {
	best := isa
	defer func() { isa = best }()
	sizes := []int{1, 2, 3, 5, 10, 11, 16, 21, 22, 31, 43, 64, 85, 171, 200, 301}
	r := rand.New(rand.NewPCG(1, 1))
	pick := func() int { return sizes[r.IntN(len(sizes))] }
	for trial := range 150 {
		w, h, c := pick(), pick(), []int{3, 3, 3, 1, 4}[r.IntN(5)]
		im := noise(r, w, h, c, trial%3 == 0)
		ow, oh, filter := pick(), pick(), []Filter{BoxFilter, Bilinear, Bicubic, Lanczos}[r.IntN(4)]
		box := Box{Left: r.IntN(w), Top: r.IntN(h)}
		box.Width, box.Height = 1+r.IntN(w-box.Left), 1+r.IntN(h-box.Top)
		radius := []float64{0.2, 1, 2, 2.7, 4, 30}[r.IntN(6)]
		jitter := DrawJitter(r, 0.9, 0.9, 0.9, 0.5)
		mean, std := []float32{0.4, 0.5, 0.6, 0.1}[:c], []float32{0.3, 0.2, 0.1, 0.7}[:c]
		ops := []struct {
			name string
			f    func() *Image
		}{
			{fmt.Sprintf("%v of %v to %dx%d", filter, box, ow, oh), func() *Image { return im.CropResize(box, ow, oh, filter) }},
			{fmt.Sprintf("%v of %v to %dx%d, mirrored", filter, box, ow, oh), func() *Image {
				out := New(ow, oh, c)
				out.CropResizeFrom(im, box, filter, true)
				return out
			}},
			{fmt.Sprint("blur ", radius), func() *Image { return edited(im, func(im *Image) { im.GaussianBlur(radius) }) }},
			{fmt.Sprint("jitter ", jitter), func() *Image { return edited(im, jitter.Apply) }},
			{"grayscale", func() *Image { return edited(im, (*Image).Grayscale) }},
			{"solarize", func() *Image { return edited(im, func(im *Image) { im.Solarize(100) }) }},
			{"floats", func() *Image {
				floats := make([]float32, len(im.Pix))
				im.ToCHW(floats, mean, std)
				out := New(w, h, 4*c)
				for i, f := range floats {
					bits := math.Float32bits(f)
					copy(out.Pix[4*i:], []uint8{uint8(bits), uint8(bits >> 8), uint8(bits >> 16), uint8(bits >> 24)})
				}
				return out
			}},
		}
		for _, op := range ops {
			isa = 0
			want := op.f()
			for isa = 1; isa <= best; isa++ {
				got := op.f()
				if !slices.Equal(got.Pix, want.Pix) {
					t.Errorf("%s differs from portable: %dx%dx%d, %s", InstructionSet(), w, h, c, op.name)
					wantEqual(t, got, want)
				}
			}
		}
	}
}

func TestIdentities(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, c := range []int{1, 3, 4} {
		im := noise(r, 37, 23, c, false)
		for name, f := range map[string]func() *Image{
			"resize to the same size": func() *Image { return im.Resize(37, 23, Bicubic) },
			"crop of everything":      func() *Image { return im.Crop(Box{0, 0, 37, 23}) },
			"flipped twice":           func() *Image { return edited(edited(im, (*Image).FlipH), (*Image).FlipH) },
			"solarized above white":   func() *Image { return edited(im, func(im *Image) { im.Solarize(256) }) },
			"brightness 1":            func() *Image { return edited(im, func(im *Image) { im.AdjustBrightness(1) }) },
			"contrast 1":              func() *Image { return edited(im, func(im *Image) { im.AdjustContrast(1) }) },
			"saturation 1":            func() *Image { return edited(im, func(im *Image) { im.AdjustSaturation(1) }) },
			"no blur":                 func() *Image { return edited(im, func(im *Image) { im.GaussianBlur(0) }) },
			"blur of no number":       func() *Image { return edited(im, func(im *Image) { im.GaussianBlur(math.NaN()) }) },
		} {
			t.Run(fmt.Sprint(name, ", channels ", c), func(t *testing.T) { wantEqual(t, f(), im) })
		}
	}
}

// A plain image stays plain under everything that averages.
func TestPlainStaysPlain(t *testing.T) {
	im := New(50, 40, 3)
	for i := range im.Pix {
		im.Pix[i] = []uint8{200, 3, 90}[i%3]
	}
	for _, f := range []Filter{BoxFilter, Bilinear, Bicubic, Lanczos} {
		for _, size := range [][2]int{{1, 1}, {7, 90}, {224, 3}} {
			got := im.Resize(size[0], size[1], f)
			for i, v := range got.Pix {
				if v != im.Pix[i%3] {
					t.Fatalf("%v to %v: value %d is %d", f, size, i, v)
				}
			}
		}
	}
	for _, radius := range []float64{0.3, 2, 9, 1e3, 1e12, math.Inf(1)} {
		got := edited(im, func(im *Image) { im.GaussianBlur(radius) })
		for i, v := range got.Pix { // truncated weights fall short of one
			if d := int(v) - int(im.Pix[i]); d > 0 || d < -30 {
				t.Fatalf("radius %v: value %d is %d", radius, i, v)
			}
		}
	}
}

func TestCropResizeIsCropThenResize(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	im := noise(r, 90, 70, 3, false)
	for range 60 {
		box := Box{r.IntN(120) - 30, r.IntN(100) - 30, 1 + r.IntN(80), 1 + r.IntN(80)} // also beyond the edges
		w, h := 1+r.IntN(60), 1+r.IntN(60)
		wantEqual(t, im.CropResize(box, w, h, Bicubic), im.Crop(box).Resize(w, h, Bicubic))
	}
}

// Mirrored is flipped afterwards, also where no pass goes across, over whatever was there.
func TestCropResizeFromMirrors(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	im := noise(r, 300, 40, 3, false)
	eachISA(t, func(t *testing.T) {
		for range 60 {
			box := Box{r.IntN(320) - 10, r.IntN(40) - 10, 1 + r.IntN(290), 1 + r.IntN(40)}
			want := im.CropResize(box, []int{box.Width, 1 + r.IntN(60)}[r.IntN(2)], 1+r.IntN(60), Bicubic)
			got := noise(r, want.W, want.H, 3, false)
			got.CropResizeFrom(im, box, Bicubic, true)
			wantEqual(t, got, edited(want, (*Image).FlipH))
		}
	})
}

func TestCropBeyondTheEdgeIsBlack(t *testing.T) {
	im := &Image{W: 2, H: 2, C: 1, Pix: []uint8{1, 2, 3, 4}}
	wantEqual(t, im.Crop(Box{-1, -1, 4, 3}), &Image{W: 4, H: 3, C: 1, Pix: []uint8{0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0}})
	wantEqual(t, im.Crop(Box{5, 0, 1, 1}), New(1, 1, 1))
	wantEqual(t, im.CenterCrop(4), &Image{W: 4, H: 4, C: 1, Pix: []uint8{0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0}})
}

func TestMisusePanics(t *testing.T) {
	im := New(4, 4, 3)
	for name, f := range map[string]func(){
		"no width":      func() { New(0, 1, 3) },
		"no height":     func() { im.Resize(3, 0, Bicubic) },
		"filter":        func() { im.Resize(3, 3, Filter(9)) },
		"channels":      func() { New(3, 3, 1).CropResizeFrom(im, Box{0, 0, 4, 4}, Bicubic, false) },
		"short floats":  func() { im.ToCHW(make([]float32, 47), make([]float32, 3), make([]float32, 3)) },
		"too few means": func() { im.ToCHW(make([]float32, 48), make([]float32, 1), make([]float32, 3)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// Ten thousand boxes agree with torchvision's, each statistic within 5 standard errors of the
// difference of two samples of that size.
func TestDrawResizedCropEqualsTorchvision(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(goldens, "i_crop_box_stats.json"))
	if err != nil {
		t.Fatal(err)
	}
	type stats struct {
		Area         float64   `json:"area_mean"`
		AreaStd      float64   `json:"area_std"`
		Quantiles    []float64 `json:"area_quantiles"`
		Aspect       float64   `json:"aspect_log_mean"`
		AspectStd    float64   `json:"aspect_log_std"`
		Top          float64   `json:"top_mean"`
		Left         float64   `json:"left_mean"`
		N            int
		WidthxHeight [2]int `json:"image"`
	}
	var want map[string]stats
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	scales := map[string][2]float64{"global_025_1": {0.25, 1}, "global_014_1": {0.14, 1}, "local_005_025": {0.05, 0.25}}
	for key, scale := range scales {
		t.Run(key, func(t *testing.T) {
			want := want[key]
			w, h := want.WidthxHeight[0], want.WidthxHeight[1]
			r := rand.New(rand.NewPCG(4, 4))
			var area, aspect, top, left []float64
			for range want.N {
				box := DrawResizedCrop(r, w, h, scale, [2]float64{3. / 4, 4. / 3})
				area = append(area, float64(box.Width*box.Height)/float64(w*h))
				aspect = append(aspect, math.Log(float64(box.Width)/float64(box.Height)))
				top = append(top, float64(box.Top))
				left = append(left, float64(box.Left))
			}
			root := math.Sqrt(float64(want.N) / 2)
			check := func(name string, got, want, standardError float64) {
				t.Helper()
				if math.Abs(got-want) > 5*standardError {
					t.Errorf("%s: got %.5f, want %.5f within %.5f", name, got, want, 5*standardError)
				}
			}
			mean, std := meanStd(area)
			check("mean area", mean, want.Area, std/root)
			check("std of area", std, want.AreaStd, std/root) // generous: no sample has heavier tails than a normal one
			mean, std = meanStd(aspect)
			check("mean aspect", mean, want.Aspect, std/root)
			check("std of aspect", std, want.AspectStd, std/root)
			mean, std = meanStd(top)
			check("mean top", mean, want.Top, std/root)
			mean, std = meanStd(left)
			check("mean left", mean, want.Left, std/root)
			for i, p := range []float64{0.05, 0.25, 0.5, 0.75, 0.95} {
				below := 0
				for _, a := range area {
					if a <= want.Quantiles[i] {
						below++
					}
				}
				check(fmt.Sprint("share below the quantile ", p), float64(below)/float64(want.N), p, math.Sqrt(p*(1-p))/root)
			}
		})
	}
}

func meanStd(x []float64) (mean, std float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		std += (v - mean) * (v - mean) / float64(len(x))
	}
	return mean, math.Sqrt(std)
}

// Where no box of the wanted ratio fits, the largest central one is taken, as torchvision does.
func TestDrawResizedCropFallsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	ratio := [2]float64{3. / 4, 4. / 3}
	for _, c := range []struct {
		w, h int
		want Box
	}{
		{1000, 10, Box{Left: 493, Top: 0, Width: 13, Height: 10}},
		{9, 900, Box{Left: 0, Top: 444, Width: 9, Height: 12}},
	} {
		if got := DrawResizedCrop(r, c.w, c.h, [2]float64{1, 1}, ratio); got != c.want {
			t.Errorf("%dx%d: got %+v, want %+v", c.w, c.h, got, c.want)
		}
	}
	for range 1000 {
		w, h := 1+r.IntN(5), 1+r.IntN(5)
		box := DrawResizedCrop(r, w, h, [2]float64{0.05, 0.25}, ratio)
		if !box.inside(New(w, h, 1)) {
			t.Fatalf("%+v leaves an image of %dx%d", box, w, h)
		}
	}
}

func TestDrawJitterRanges(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	orders := map[[4]int]int{}
	var brightness, hue []float64
	const n = 12000
	for range n {
		j := DrawJitter(r, 0.4, 2, 0.2, 0.1)
		if j.Contrast < 0 || j.Contrast > 3 || j.Saturation < 0.8 || j.Saturation > 1.2 {
			t.Fatalf("%+v", j)
		}
		orders[j.Order]++
		brightness, hue = append(brightness, j.Brightness), append(hue, j.Hue)
	}
	for order, count := range orders { // 500 each, with a standard deviation of 22
		if math.Abs(float64(count)-n/24) > 110 {
			t.Errorf("order %v drawn %d times of %d", order, count, n)
		}
	}
	if len(orders) != 24 {
		t.Errorf("%d orders, want 24", len(orders))
	}
	if lo, hi := slices.Min(brightness), slices.Max(brightness); lo < 0.6 || lo > 0.601 || hi > 1.4 || hi < 1.399 {
		t.Errorf("brightness from %v to %v, want 0.6 to 1.4", lo, hi)
	}
	if lo, hi := slices.Min(hue), slices.Max(hue); lo < -0.1 || lo > -0.0999 || hi > 0.1 || hi < 0.0999 {
		t.Errorf("hue from %v to %v, want -0.1 to 0.1", lo, hi)
	}
}
