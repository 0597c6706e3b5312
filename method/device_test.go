package method_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"ibot/imaging"
	"ibot/method"
	"ibot/rng"
	"ibot/torch"
)

func ExampleViews_RenderOn() {
	v := method.DefaultViews()
	v.GlobalSize, v.LocalSize, v.LocalNumber = 32, 16, 4
	var drafts []method.Draft
	for i := range 3 {
		src := imaging.New(50+i, 40, 3) // images of a batch differ in size
		drafts = append(drafts, method.NewDraft(src, v.Draw(rng.Seed(0), 0, i, src.W, src.H)))
	}
	torch.Scope(func() {
		global, local := v.RenderOn(torch.CPU, drafts)
		fmt.Println(global.Shape(), local.Shape())
	})
	// Output: [6 3 32 32] [12 3 16 16]
}

// sources bring out different roundings.
var sources = []struct {
	name string
	make func(w, h, c int) *imaging.Image
}{
	{"noise", texture},
	{"waves", waves},
	{"nearly gray", func(w, h, c int) *imaging.Image { // where hues leap
		im := texture(w, h, c)
		for i, v := range im.Pix {
			im.Pix[i] = uint8(i/c*7)&^3 + v&3
		}
		return im
	}},
	{"black and white", func(w, h, c int) *imaging.Image { // where resizing overshoots
		im := texture(w, h, c)
		for i, v := range im.Pix {
			im.Pix[i] = v >> 7 * 255
		}
		return im
	}},
}

// waves is a smooth image.
func waves(w, h, c int) *imaging.Image {
	im := imaging.New(w, h, c)
	for i := range im.Pix {
		x, y, ch := float64(i/c%w), float64(i/c/w), float64(i%c)
		im.Pix[i] = uint8(127.5 + 127.5*math.Sin(x*(0.05+0.02*ch)+y*0.03*(ch+1)))
	}
	return im
}

// sameAsCPU renders the views of src on the device and by the CPU, and fails where they differ in a single value.
func sameAsCPU(t *testing.T, src *imaging.Image, views []method.View) {
	t.Helper()
	v := method.DefaultViews()
	v.GlobalNumber = len(views)
	v.Mean, v.Std = make([]float32, src.C), make([]float32, src.C)
	for c := range src.C {
		v.Mean[c], v.Std[c] = 0.485-0.03*float32(c), 0.229+0.01*float32(c)
	}
	torch.Scope(func() {
		global, _ := v.RenderOn(torch.CPU, []method.Draft{method.NewDraft(src, views)})
		got, want := global.Floats(), make([]float32, src.C*views[0].Size*views[0].Size)
		for i, view := range views {
			view.RenderCHW(want, src, v.Mean, v.Std)
			reportDifference(t, fmt.Sprintf("view %d, %+v", i, view), got[i*len(want):(i+1)*len(want)], want, v.Std)
		}
	})
}

// reportDifference tells how far two views are from each other, in levels of 255.
func reportDifference(t *testing.T, name string, got, want, std []float32) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	greatest, sum := 0.0, 0.0
	for i := range want {
		levels := 255 * math.Abs(float64(got[i]-want[i])) * float64(std[i/(len(want)/len(std))])
		greatest, sum = max(greatest, levels), sum+levels
	}
	t.Errorf("%s: differs from the CPU's by up to %.3g levels, by %.3g on average", name, greatest, sum/float64(len(want)))
}

// noLeak fails the test if it leaves tensors alive.
func noLeak(t *testing.T) {
	t.Helper()
	before := torch.Live()
	t.Cleanup(func() {
		if after := torch.Live(); after != before {
			t.Errorf("%d tensors alive after the test, %d before", after, before)
		}
	})
}

// Each operation for itself, over its range.
func TestRenderOnEqualsRender(t *testing.T) {
	noLeak(t)
	box := imaging.Box{Left: 7, Top: 5, Width: 61, Height: 44}
	plain := method.View{Box: box, Size: 32}
	with := func(edit func(*method.View)) method.View {
		v := plain
		edit(&v)
		return v
	}
	jitter := func(b, c, s, h float64, order ...int) method.View {
		return with(func(v *method.View) {
			v.Jitter = &imaging.Jitter{Brightness: b, Contrast: c, Saturation: s, Hue: h, Order: [4]int(order)}
		})
	}
	blurred := func(radius float64) method.View { return with(func(v *method.View) { v.BlurRadius = radius }) }
	cases := []struct {
		name  string
		views []method.View
	}{
		{"crop", []method.View{
			plain,
			with(func(v *method.View) { v.Box = imaging.Box{Width: 80, Height: 60} }),
			with(func(v *method.View) { v.Box = imaging.Box{Left: 79, Top: 59, Width: 1, Height: 1} }),
			with(func(v *method.View) { v.Box = imaging.Box{Left: 20, Top: 3, Width: 2, Height: 57} }),
			with(func(v *method.View) { v.Box = imaging.Box{Left: 20, Top: 3, Width: 32, Height: 32} }),
		}},
		{"enlarge", []method.View{{Box: box, Size: 150}, {Box: box, Size: 150, Flip: true}}},
		{"flip", []method.View{with(func(v *method.View) { v.Flip = true }), plain}},
		{"brightness", []method.View{jitter(0, 1, 1, 0, 0, 1, 2, 3), jitter(0.6, 1, 1, 0, 0, 1, 2, 3), jitter(1.7, 1, 1, 0, 0, 1, 2, 3)}},
		{"contrast", []method.View{jitter(1, 0, 1, 0, 0, 1, 2, 3), jitter(1, 0.6, 1, 0, 0, 1, 2, 3), jitter(1, 1.7, 1, 0, 0, 1, 2, 3)}},
		{"saturation", []method.View{jitter(1, 1, 0, 0, 0, 1, 2, 3), jitter(1, 1, 0.8, 0, 0, 1, 2, 3), jitter(1, 1, 1.9, 0, 0, 1, 2, 3)}},
		{"orders", []method.View{jitter(1.3, 0.7, 1.2, 0.08, 3, 2, 1, 0), plain, jitter(1.3, 0.7, 1.2, 0.08, 1, 3, 0, 2), jitter(1.3, 0.7, 1.2, 0.08, 2, 0, 3, 1)}},
		{"gray", []method.View{plain, with(func(v *method.View) { v.Gray = true })}},
		{"solarize", []method.View{with(func(v *method.View) { v.Solarize = true }), plain}},
	}
	hues := make([]method.View, 0, 21)
	for i := range 21 {
		hues = append(hues, jitter(1, 1, 1, float64(i-10)/20, 0, 1, 2, 3))
	}
	blurs := []method.View{plain}
	for _, radius := range []float64{1e-9, 0.1, 0.3, 0.57, 1, 1.4, 2, 2.7, 5, 31, 32, 33, 500, 1e9} {
		blurs = append(blurs, blurred(radius))
	}
	cases = append(cases, struct {
		name  string
		views []method.View
	}{"hue", hues}, struct {
		name  string
		views []method.View
	}{"blur", blurs})
	for _, source := range sources {
		for _, c := range cases {
			t.Run(source.name+"/"+c.name, func(t *testing.T) { sameAsCPU(t, source.make(80, 60, 3), c.views) })
		}
	}
}

// Colours from all over the cube, their hues turned as far as the published jitter does.
func TestRenderOnTurnsHuesOfAllColours(t *testing.T) {
	src := imaging.New(256, 192, 3)
	for i := range src.W * src.H {
		copy(src.Pix[3*i:], []uint8{uint8(i), uint8(i * 167 >> 6), uint8(i * 31 >> 3)})
	}
	box := imaging.Box{Width: 192, Height: 192}
	var views []method.View
	for i := range 8 {
		j := imaging.Jitter{Brightness: 1, Contrast: 1, Saturation: 1, Hue: -0.1 + 0.2*float64(i)/7, Order: [4]int{3, 0, 1, 2}}
		box.Left = 8 * i
		views = append(views, method.View{Box: box, Size: 192, Jitter: &j})
	}
	sameAsCPU(t, src, views)
}

// Batches as training draws them: global and local views of images of all sizes, kinds and numbers of channels.
func TestRenderOnEqualsRenderForDrawnBatches(t *testing.T) {
	noLeak(t)
	sizes := [][2]int{{80, 60}, {33, 95}, {64, 64}, {1, 1}, {200, 3}, {500, 375}, {2, 90}, {41, 40}}
	for _, c := range []int{1, 2, 3, 5} {
		v := method.DefaultViews()
		v.GlobalSize, v.LocalSize, v.GlobalNumber, v.LocalNumber = 40, 24, 3, 5
		v.Mean, v.Std = make([]float32, c), make([]float32, c)
		for ch := range c {
			v.Mean[ch], v.Std[ch] = 0.5, 0.2+0.01*float32(ch)
		}
		var images []*imaging.Image
		var drafts []method.Draft
		var drawn [][]method.View
		for i := range 32 {
			size := sizes[i%len(sizes)]
			im := sources[i/len(sizes)].make(size[0], size[1], c)
			views := v.Draw(rng.Seed(11), c, i, im.W, im.H)
			images, drawn, drafts = append(images, im), append(drawn, views), append(drafts, method.NewDraft(im, views))
		}
		torch.Scope(func() {
			global, local := v.RenderOn(torch.CPU, drafts)
			all := [2][]float32{global.Floats(), local.Floats()}
			for i, im := range images {
				for k, view := range drawn[i] {
					n, crop, from := c*view.Size*view.Size, k, all[0]
					if k >= v.GlobalNumber {
						crop, from = k-v.GlobalNumber, all[1]
					}
					want := make([]float32, n)
					view.RenderCHW(want, im, v.Mean, v.Std)
					at := (crop*len(images) + i) * n
					reportDifference(t, fmt.Sprintf("%d channels, image %d of %dx%d, view %d", c, i, im.W, im.H, k), from[at:at+n], want, v.Std)
				}
			}
		})
	}
}

// A large image is cropped beside the step, one whose crop lies beyond its edge too; a strong reduction is not exact
// by construction.
func TestRenderOnOfUnusualCrops(t *testing.T) {
	small := make([]method.View, 80) // so many that an image is not large: 8 pixels from 140
	for i := range small {
		small[i] = method.View{Box: imaging.Box{Left: i / 8, Top: i % 8, Width: 130, Height: 130}, Size: 8}
	}
	for _, c := range []struct {
		name  string
		src   *imaging.Image
		views []method.View
	}{
		{"large image", texture(700, 500, 3), []method.View{
			{Box: imaging.Box{Left: 100, Top: 50, Width: 500, Height: 400}, Size: 32, Flip: true, Gray: true},
			{Box: imaging.Box{Left: 3, Top: 4, Width: 50, Height: 40}, Size: 32, BlurRadius: 1},
		}},
		{"large image, one view", texture(300, 300, 3), []method.View{{Box: imaging.Box{Left: 100, Top: 50, Width: 30, Height: 40}, Size: 24}}},
		{"beyond the edge", texture(50, 40, 3), []method.View{{Box: imaging.Box{Left: -10, Top: 20, Width: 40, Height: 40}, Size: 32}}},
		{"strong reduction", texture(140, 140, 3), small},
	} {
		t.Run(c.name, func(t *testing.T) { sameAsCPU(t, c.src, c.views) })
	}
}

// A batch that is worked on in several portions.
func TestRenderOnInPortions(t *testing.T) {
	v := method.DefaultViews()
	v.GlobalNumber, v.GlobalSize = 120, 64
	src := waves(400, 300, 3)
	views := v.Draw(rng.Seed(2), 0, 0, src.W, src.H)
	sameAsCPU(t, src, views)
}

func BenchmarkNewDraft(b *testing.B) {
	v := method.DefaultViews()
	v.LocalNumber = 10
	src := waves(500, 375, 3)
	views := v.Draw(rng.Seed(0), 0, 0, src.W, src.H)
	for b.Loop() {
		method.NewDraft(src, views)
	}
}

// BenchmarkRender is what NewDraft and RenderOn stand in for.
func BenchmarkRender(b *testing.B) {
	v := method.DefaultViews()
	v.LocalNumber = 10
	src := waves(500, 375, 3)
	views := v.Draw(rng.Seed(0), 0, 0, src.W, src.H)
	dst := make([]float32, 3*224*224)
	for b.Loop() {
		for _, view := range views {
			view.RenderCHW(dst[:3*view.Size*view.Size], src, v.Mean, v.Std)
		}
	}
}

// BenchmarkRenderOn renders four images at a time, on the first GPU if there is one.
func BenchmarkRenderOn(b *testing.B) {
	v := method.DefaultViews()
	v.LocalNumber = 10
	d, err := torch.ParseDevice("auto")
	if err != nil {
		b.Fatal(err)
	}
	var drafts []method.Draft
	for i := range 4 {
		src := waves(500, 375, 3)
		drafts = append(drafts, method.NewDraft(src, v.Draw(rng.Seed(0), 0, i, src.W, src.H)))
	}
	for b.Loop() {
		torch.Scope(func() {
			_, local := v.RenderOn(d, drafts)
			local.MeanAll().Item() // waits for the device
		})
	}
}
