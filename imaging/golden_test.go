package imaging

import (
	"archive/zip"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const goldens = "../testdata/goldens"

// array is one member of an .npz file: little-endian bytes in C order.
type array struct {
	dtype string
	shape []int
	data  []byte
}

var npyHeader = regexp.MustCompile(`'descr': '([^']+)', 'fortran_order': False, 'shape': \(([^)]*)\)`)

// loadNPZ reads the arrays of an .npz file.
func loadNPZ(t testing.TB, path string) map[string]array {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	arrays := map[string]array{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil || len(b) < 10 || string(b[:6]) != "\x93NUMPY" || b[6] != 1 {
			t.Fatalf("%s: not a version 1 .npy file (%v)", f.Name, err)
		}
		end := 10 + int(binary.LittleEndian.Uint16(b[8:]))
		m := npyHeader.FindStringSubmatch(string(b[10:end]))
		if m == nil {
			t.Fatalf("%s: header %q", f.Name, b[10:end])
		}
		a := array{dtype: m[1], data: b[end:]}
		for _, s := range strings.Split(strings.Trim(m[2], ", "), ",") {
			n, err := strconv.Atoi(strings.TrimSpace(s))
			if err != nil {
				t.Fatalf("%s: shape %q", f.Name, m[2])
			}
			a.shape = append(a.shape, n)
		}
		arrays[strings.TrimSuffix(f.Name, ".npy")] = a
	}
	return arrays
}

// image returns a uint8 HWC array as an Image.
func (a array) image(t testing.TB) *Image {
	t.Helper()
	if a.dtype != "|u1" || len(a.shape) != 3 {
		t.Fatalf("golden of type %q and shape %v is not an image", a.dtype, a.shape)
	}
	return &Image{H: a.shape[0], W: a.shape[1], C: a.shape[2], Pix: a.data}
}

// wantEqual compares two images and names the worst pixel.
func wantEqual(t testing.TB, got, want *Image) {
	t.Helper()
	if got.W != want.W || got.H != want.H || got.C != want.C {
		t.Errorf("got %dx%dx%d, want %dx%dx%d", got.W, got.H, got.C, want.W, want.H, want.C)
		return
	}
	wrong, worst, at := 0, 0, 0
	for i := range want.Pix {
		d := int(got.Pix[i]) - int(want.Pix[i])
		if d != 0 {
			wrong++
		}
		if d = max(d, -d); d > worst {
			worst, at = d, i
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d values differ, worst at x=%d y=%d c=%d: got %d, want %d", wrong, len(want.Pix),
			at/want.C%want.W, at/want.C/want.W, at%want.C, got.Pix[at], want.Pix[at])
	}
}

// edited returns a copy of im after f.
func edited(im *Image, f func(*Image)) *Image {
	out := im.Clone()
	f(out)
	return out
}

// eachISA runs f as a subtest with every instruction set of this processor.
func eachISA(t *testing.T, f func(t *testing.T)) {
	best := isa
	defer func() { isa = best }()
	for isa = 0; isa <= best; isa++ {
		t.Run(InstructionSet(), f)
	}
}

func factorOf(t *testing.T, key string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(key[strings.LastIndex(key, "_")+1:], 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Every image of the golden file is made again from its inputs, and equals Pillow's to the byte.
func TestPillowGoldens(t *testing.T) {
	arrays := loadNPZ(t, filepath.Join(goldens, "i_image_ops.npz"))
	image, small := arrays["image"].image(t), arrays["small"].image(t)
	box := func(i int) Box {
		row := arrays["boxes"].data[32*i:]
		at := func(j int) int { return int(binary.LittleEndian.Uint64(row[8*j:])) }
		return Box{Top: at(0), Left: at(1), Height: at(2), Width: at(3)}
	}
	crop96 := func() *Image { return image.CropResize(box(0), 96, 96, Bicubic) }
	inputs := map[string]bool{"image": true, "small": true, "boxes": true, "normalized_small": true}
	crop := regexp.MustCompile(`^crop(\d)_(\d+)$`)

	remake := func(t *testing.T, key string) *Image {
		if m := crop.FindStringSubmatch(key); m != nil {
			i, _ := strconv.Atoi(m[1])
			size, _ := strconv.Atoi(m[2])
			return image.CropResize(box(i), size, size, Bicubic)
		}
		name, _, _ := strings.Cut(key, "_")
		switch {
		case key == "crop0_96_flip":
			return edited(crop96(), (*Image).FlipH)
		case key == "crop0_96_bilinear":
			return image.CropResize(box(0), 96, 96, Bilinear)
		case key == "eval_resize80":
			return image.ResizeShorter(80, Bicubic)
		case key == "eval_resize80_center64":
			return image.ResizeShorter(80, Bicubic).CenterCrop(64)
		case key == "eval_resize48":
			return image.ResizeShorter(48, Bicubic)
		case key == "eval_resize48_center40":
			return image.ResizeShorter(48, Bicubic).CenterCrop(40)
		case name == "brightness":
			return edited(small, func(im *Image) { im.AdjustBrightness(factorOf(t, key)) })
		case name == "contrast":
			return edited(small, func(im *Image) { im.AdjustContrast(factorOf(t, key)) })
		case name == "saturation":
			return edited(small, func(im *Image) { im.AdjustSaturation(factorOf(t, key)) })
		case name == "hue":
			return edited(small, func(im *Image) { im.AdjustHue(factorOf(t, key)) })
		case name == "jitter":
			j := Jitter{Brightness: 1.3, Contrast: 0.7, Saturation: 1.15, Hue: 0.07}
			for i, digit := range strings.TrimPrefix(key, "jitter_") {
				j.Order[i] = int(digit - '0')
			}
			return edited(small, j.Apply)
		case name == "grayscale":
			return edited(small, (*Image).Grayscale)
		case name == "solarize":
			return edited(small, func(im *Image) { im.Solarize(128) })
		case name == "blur":
			return edited(small, func(im *Image) { im.GaussianBlur(factorOf(t, key)) })
		case key == "blur96_1.7":
			return edited(crop96(), func(im *Image) { im.GaussianBlur(1.7) })
		}
		file := map[string]string{
			"jpeg_q88_decoded": "i_image_q88.jpg", "jpeg_gray_decoded": "i_gray_q90.jpg", "png_decoded": "i_image.png",
			"jpeg_prog444_decoded": "i_prog_444.jpg", "jpeg_cmyk_decoded": "i_cmyk.jpg",
		}[key]
		if file == "" {
			t.Fatalf("no operation is known for golden %q", key)
		}
		im, err := DecodeFile(filepath.Join(goldens, file))
		if err != nil {
			t.Fatal(err)
		}
		return im
	}

	eachISA(t, func(t *testing.T) {
		for key, a := range arrays {
			if inputs[key] {
				continue
			}
			t.Run(key, func(t *testing.T) {
				if strings.HasPrefix(key, "jpeg") && turbo() == "" {
					closeToJPEG(t, remake(t, key), a.image(t))
					return
				}
				wantEqual(t, remake(t, key), a.image(t))
			})
		}
	})
}

// closeToJPEG is the looser demand on image/jpeg, where libjpeg-turbo is missing: it repeats chroma
// samples instead of interpolating them.
func closeToJPEG(t *testing.T, got, want *Image) {
	t.Helper()
	if got.W != want.W || got.H != want.H {
		t.Fatalf("got %dx%d, want %dx%d", got.W, got.H, want.W, want.H)
	}
	sum := 0
	for i := range want.Pix {
		d := int(got.Pix[i]) - int(want.Pix[i])
		sum += max(d, -d)
	}
	if mean := float64(sum) / float64(len(want.Pix)); mean > 4 {
		t.Errorf("mean difference %.2f, want at most 4", mean)
	}
}

func TestPlainJPEGIsClose(t *testing.T) {
	defer func(found func() string) { turbo = found }(turbo)
	turbo = func() string { return "" }
	arrays := loadNPZ(t, filepath.Join(goldens, "i_image_ops.npz"))
	for key, file := range map[string]string{
		"jpeg_q88_decoded": "i_image_q88.jpg", "jpeg_gray_decoded": "i_gray_q90.jpg",
		"jpeg_prog444_decoded": "i_prog_444.jpg", "jpeg_cmyk_decoded": "i_cmyk.jpg",
	} {
		t.Run(key, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(goldens, file))
			if err != nil {
				t.Fatal(err)
			}
			im, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			closeToJPEG(t, im, arrays[key].image(t))
		})
	}
}

// The floats that a network takes equal torchvision's in every bit.
func TestNormalizedGolden(t *testing.T) {
	arrays := loadNPZ(t, filepath.Join(goldens, "i_image_ops.npz"))
	small, want := arrays["small"].image(t), arrays["normalized_small"]
	mean, std := []float32{0.485, 0.456, 0.406}, []float32{0.229, 0.224, 0.225}
	eachISA(t, func(t *testing.T) {
		got := make([]float32, len(small.Pix))
		small.ToCHW(got, mean, std)
		for i, g := range got {
			if w := binary.LittleEndian.Uint32(want.data[4*i:]); math.Float32bits(g) != w {
				t.Fatalf("value %d: got %v, want %v", i, g, math.Float32frombits(w))
			}
		}
	})
}
