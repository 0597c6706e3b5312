package method_test

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"

	"ibot/imaging"
	"ibot/method"
	"ibot/rng"
)

func ExampleViews_Draw() {
	v := method.DefaultViews()
	v.LocalNumber = 10
	src := imaging.New(500, 375, 3)
	views := v.Draw(rng.Seed(0), 0, 17, src.W, src.H)
	last := views[11].Render(src)
	fmt.Println(len(views), views[0].BlurRadius > 0, last.W, last.H)
	// Output: 12 true 96 96
}

// positionGoldens reads the float32 position_prob arrays of h_masks.npz.
func positionGoldens(t *testing.T) map[string][]float64 {
	t.Helper()
	z, err := zip.OpenReader("../testdata/goldens/h_masks.npz")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	arrays := map[string][]float64{}
	for _, f := range z.File {
		key, found := strings.CutSuffix(f.Name, "/position_prob.npy")
		if !found {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil || len(b) < 10 || !strings.Contains(string(b[:80]), "'<f4'") {
			t.Fatalf("%s: not a float32 .npy file (%v)", f.Name, err)
		}
		b = b[10+int(binary.LittleEndian.Uint16(b[8:])):]
		for ; len(b) >= 4; b = b[4:] {
			arrays[key] = append(arrays[key], float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
		}
	}
	return arrays
}

// The shares of drawn operations agree with the table within 4.5 standard errors.
func TestViewsFollowTheTable(t *testing.T) {
	v := method.DefaultViews()
	v.GlobalNumber, v.LocalNumber = 3, 2
	const n = 4000
	count := map[string]float64{}
	for image := range n {
		for i, view := range v.Draw(rng.Seed(5), 1, image, 640, 427) {
			size := v.GlobalSize
			if i >= v.GlobalNumber {
				size = v.LocalSize
			}
			b := view.Box
			if view.Size != size || b.Left < 0 || b.Top < 0 || b.Left+b.Width > 640 || b.Top+b.Height > 427 {
				t.Fatalf("view %d of image %d: %+v", i, image, view)
			}
			if view.BlurRadius != 0 && (view.BlurRadius < 0.1 || view.BlurRadius > 2) {
				t.Fatalf("blur radius %v", view.BlurRadius)
			}
			for name, drawn := range map[string]bool{
				"flip": view.Flip, "jitter": view.Jitter != nil, "gray": view.Gray,
				"blur": view.BlurRadius > 0, "solarize": view.Solarize,
			} {
				if drawn {
					count[fmt.Sprint(name, i)]++
				}
			}
		}
	}
	want := map[string][5]float64{ // views 0 to 2 are global
		"flip": {0.5, 0.5, 0.5, 0.5, 0.5}, "jitter": {0.8, 0.8, 0.8, 0.8, 0.8}, "gray": {0.2, 0.2, 0.2, 0.2, 0.2},
		"blur": {1, 0.1, 0.1, 0.5, 0.5}, "solarize": {0, 0.2, 0.2, 0, 0},
	}
	for name, row := range want {
		for i, p := range row {
			got := count[fmt.Sprint(name, i)] / n
			if math.Abs(got-p) > 4.5*math.Sqrt(p*(1-p)/n) {
				t.Errorf("%s of view %d: drawn with %.3f, want %.3f", name, i, got, p)
			}
		}
	}
}

// A view depends on its key alone: not on the number of views, nor on what was drawn before.
func TestViewsDependOnTheirKeyAlone(t *testing.T) {
	many, few := method.DefaultViews(), method.DefaultViews()
	many.LocalNumber = 8
	few.LocalNumber = 1
	a, b := many.Draw(rng.Seed(1), 2, 3, 500, 375), few.Draw(rng.Seed(1), 2, 3, 500, 375)
	if !reflect.DeepEqual(a[:3], b) {
		t.Errorf("got %+v, want %+v", b, a[:3])
	}
	if other := few.Draw(rng.Seed(1), 3, 3, 500, 375); reflect.DeepEqual(other, b) {
		t.Error("another epoch gave the same views")
	}
}

// texture returns an image in which every pixel differs from its neighbours.
func texture(w, h, c int) *imaging.Image {
	im := imaging.New(w, h, c)
	r := rng.Seed(9).Stream("texture")
	for i := range im.Pix {
		im.Pix[i] = uint8(r.IntN(256))
	}
	return im
}

// Render applies the operations in the reference's order; each is tested for itself in package
// imaging.
func TestRenderOrder(t *testing.T) {
	src := texture(80, 60, 3)
	j := imaging.Jitter{Brightness: 1.3, Contrast: 0.8, Saturation: 1.1, Hue: 0.05, Order: [4]int{2, 0, 3, 1}}
	box := imaging.Box{Left: 7, Top: 5, Width: 50, Height: 41}
	view := method.View{Box: box, Size: 32, Flip: true, Jitter: &j, Gray: true, BlurRadius: 1.2, Solarize: true}
	want := src.CropResize(box, 32, 32, imaging.Bicubic)
	want.FlipH()
	j.Apply(want)
	want.Grayscale()
	want.GaussianBlur(1.2)
	want.Solarize(128)
	got := view.Render(src)
	if !reflect.DeepEqual(got, want) {
		t.Error("the rendered view differs from its operations one by one")
	}
	mean, std := []float32{0.1, 0.2, 0.3}, []float32{1, 2, 3}
	floats := make([]float32, 3*32*32)
	view.RenderCHW(floats, src, mean, std)
	for c := range 3 {
		for i := range 32 * 32 {
			if w := (float32(want.Pix[3*i+c])/255 - mean[c]) / std[c]; floats[c*32*32+i] != w {
				t.Fatalf("channel %d pixel %d: got %v, want %v", c, i, floats[c*32*32+i], w)
			}
		}
	}
}

func TestOtherChannelsKeepTheirColours(t *testing.T) {
	for _, c := range []int{1, 2, 4} {
		src := texture(40, 30, c)
		j := imaging.Jitter{Brightness: 0.6, Contrast: 1.4, Saturation: 1, Order: [4]int{0, 1, 2, 3}}
		plain := method.View{Box: imaging.Box{Width: 40, Height: 30}, Size: 24, Flip: true, BlurRadius: 0.7}
		coloured := plain
		coloured.Jitter, coloured.Gray, coloured.Solarize = &j, true, true
		if !reflect.DeepEqual(coloured.Render(src), plain.Render(src)) {
			t.Errorf("%d channels: colour operations changed the picture", c)
		}
	}
}

func TestViewsValidate(t *testing.T) {
	for name, edit := range map[string]func(*method.Views){
		"no global view":  func(v *method.Views) { v.GlobalNumber = 0 },
		"negative locals": func(v *method.Views) { v.LocalNumber = -1 },
		"global size":     func(v *method.Views) { v.GlobalSize = 0 },
		"local size":      func(v *method.Views) { v.LocalNumber, v.LocalSize = 1, 0 },
		"scale over one":  func(v *method.Views) { v.GlobalScale = [2]float64{0.5, 1.5} },
		"scale reversed":  func(v *method.Views) { v.GlobalScale = [2]float64{0.5, 0.2} },
		"local scale":     func(v *method.Views) { v.LocalNumber, v.LocalScale = 1, [2]float64{0, 0.2} },
		"std":             func(v *method.Views) { v.Std = []float32{1, 0, 1} },
		"std missing":     func(v *method.Views) { v.Std = nil },
	} {
		v := method.DefaultViews()
		edit(&v)
		if err := v.Validate(); err == nil || !strings.HasPrefix(err.Error(), "method: ") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	if err := method.DefaultViews().Validate(); err != nil {
		t.Error(err)
	}
}
