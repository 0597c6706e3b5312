package imaging

import (
	"bytes"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"testing"
)

// scene draws a picture with smooth areas, edges and some noise, so that a JPEG of it has about the
// size of a photograph's.
func scene(w, h int) *Image {
	r := rand.New(rand.NewPCG(1, 2))
	im := New(w, h, 3)
	for y := range h {
		for x := range w {
			for c := range 3 {
				v := 128 + 60*math.Sin(float64(x)/(17+7*float64(c)))*math.Cos(float64(y)/23) + 12*r.NormFloat64()
				if (x/40+y/50)%3 == c {
					v += 50
				}
				im.Pix[(y*w+x)*3+c] = uint8(min(max(v, 0), 255))
			}
		}
	}
	return im
}

func encodeJPEG(b testing.TB, im *Image, quality int) []byte {
	b.Helper()
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, im.ToImage(), &jpeg.Options{Quality: quality}); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes()
}

func BenchmarkDecodeJPEG(b *testing.B) {
	data := encodeJPEG(b, scene(500, 375), 80)
	b.Logf("%d bytes, %s", len(data), JPEGDecoder())
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOperations(b *testing.B) {
	im := scene(500, 375)
	view := im.Resize(224, 224, Bicubic)
	floats := make([]float32, len(view.Pix))
	mean, std := []float32{0.485, 0.456, 0.406}, []float32{0.229, 0.224, 0.225}
	jitter := Jitter{Brightness: 1.2, Contrast: 0.9, Saturation: 1.1, Hue: 0.05, Order: [4]int{0, 1, 2, 3}}
	for _, op := range []struct {
		name string
		f    func()
	}{
		{"CropResize224", func() { im.CropResize(Box{60, 40, 350, 280}, 224, 224, Bicubic) }},
		{"CropResize96", func() { im.CropResize(Box{60, 40, 200, 150}, 96, 96, Bicubic) }},
		{"CropResizeFrom224", func() { view.CropResizeFrom(im, Box{60, 40, 350, 280}, Bicubic, true) }},
		{"Resize224", func() { im.Resize(224, 224, Bicubic) }},
		{"Jitter224", func() { jitter.Apply(view) }},
		{"Brightness224", func() { view.AdjustBrightness(1.01) }},
		{"Contrast224", func() { view.AdjustContrast(1.01) }},
		{"Saturation224", func() { view.AdjustSaturation(1.01) }},
		{"Hue224", func() { view.AdjustHue(0.05) }},
		{"Grayscale224", func() { view.Grayscale() }},
		{"Blur224", func() { view.GaussianBlur(1) }},
		{"FlipH224", func() { view.FlipH() }},
		{"ToCHW224", func() { view.ToCHW(floats, mean, std) }},
	} {
		b.Run(op.name, func(b *testing.B) {
			for b.Loop() {
				op.f()
			}
		})
	}
}

// BenchmarkTwelveViews decodes a 500x375 JPEG and makes 2 global and 10 local views of it, as
// normalised floats, with the probabilities of iBOT's augmentation.
func BenchmarkTwelveViews(b *testing.B) {
	data := encodeJPEG(b, scene(500, 375), 80)
	mean, std := []float32{0.485, 0.456, 0.406}, []float32{0.229, 0.224, 0.225}
	floats := make([]float32, 3*224*224)
	r := rand.New(rand.NewPCG(3, 4))
	for b.Loop() {
		im, err := Decode(data)
		if err != nil {
			b.Fatal(err)
		}
		for i := range 12 {
			size, scale, blur := 224, [2]float64{0.25, 1}, 1.0
			if i == 1 {
				blur = 0.1
			} else if i > 1 {
				size, scale, blur = 96, [2]float64{0.05, 0.25}, 0.5
			}
			view := im.CropResize(DrawResizedCrop(r, im.W, im.H, scale, [2]float64{3. / 4, 4. / 3}), size, size, Bicubic)
			if r.Float64() < 0.5 {
				view.FlipH()
			}
			if r.Float64() < 0.8 {
				DrawJitter(r, 0.4, 0.4, 0.2, 0.1).Apply(view)
			}
			if r.Float64() < 0.2 {
				view.Grayscale()
			}
			if r.Float64() < blur {
				view.GaussianBlur(uniform(r, 0.1, 2))
			}
			if i == 1 && r.Float64() < 0.2 {
				view.Solarize(128)
			}
			view.ToCHW(floats[:len(view.Pix)], mean, std)
		}
	}
}
