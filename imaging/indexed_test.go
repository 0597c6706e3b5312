package imaging

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// size reads WxH.
func size(t *testing.T, s string) (w, h int) {
	t.Helper()
	a, b, _ := strings.Cut(s, "x")
	w, err := strconv.Atoi(a)
	if err == nil {
		h, err = strconv.Atoi(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w, h
}

// testdata/masks.npz holds what Pillow and OpenCV make of its images; the keys say how.
func TestResizesEqualPillowAndOpenCV(t *testing.T) {
	arrays := loadNPZ(t, "testdata/masks.npz")
	im, tried := arrays["image"].image(t), 0
	for key, want := range arrays {
		op, arg, ok := strings.Cut(key, "_")
		if !ok || op == "png" || op == "pixels" || op == "palette" {
			continue
		}
		tried++
		t.Run(key, func(t *testing.T) {
			switch op {
			case "thumbnail", "tallthumbnail":
				side, err := strconv.Atoi(arg)
				if err != nil {
					t.Fatal(err)
				}
				source := im
				if op == "tallthumbnail" {
					source = arrays["tall"].image(t)
				}
				wantEqual(t, source.Thumbnail(side), want.image(t))
			case "lanczos":
				w, h := size(t, arg)
				wantEqual(t, im.Resize(w, h, Lanczos), want.image(t))
			case "opencv":
				w, h := size(t, arg)
				wantEqual(t, im.ResizeOpenCV(w, h), want.image(t))
			case "evenopencv":
				wantEqual(t, arrays["even"].image(t).ResizeOpenCV(size(t, arg)), want.image(t))
			case "nearest":
				w, h := size(t, arg)
				mask := &Indexed{W: im.W, H: im.H, Pix: arrays["mask"].data}
				if got := mask.Resize(w, h); got.W != w || got.H != h || !slices.Equal(got.Pix, want.data) {
					t.Errorf("got %v, want %v", got.Pix, want.data)
				}
			default:
				t.Errorf("what is %s?", key)
			}
		})
	}
	if tried != 25 {
		t.Errorf("%d results in the file, want 25", tried)
	}
}

func TestIndexedEqualsPillow(t *testing.T) {
	arrays := loadNPZ(t, "testdata/masks.npz")
	for _, name := range []string{"two", "four", "sixteen", "all", "gray"} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeIndexed(arrays["png_"+name].data)
			if err != nil {
				t.Fatal(err)
			}
			if want := arrays["pixels_"+name]; got.H != want.shape[0] || got.W != want.shape[1] || !slices.Equal(got.Pix, want.data) {
				t.Errorf("got %dx%d %v, want %v %v", got.W, got.H, got.Pix, want.shape, want.data)
			}
			if name == "gray" {
				if len(got.Palette) != 256 || got.Palette[7] != [3]uint8{7, 7, 7} {
					t.Errorf("palette %v", got.Palette)
				}
				return
			}
			var palette []uint8
			for _, c := range got.Palette {
				palette = append(palette, c[:]...)
			}
			if !slices.Equal(palette, arrays["palette_"+name].data) {
				t.Errorf("got palette %v, want %v", palette, arrays["palette_"+name].data)
			}
		})
	}
}

// What is written is read again, by us and by Go's decoder, with its palette.
func TestIndexedRoundTrip(t *testing.T) {
	for _, colours := range []int{0, 1, 2, 3, 5, 17, 200, 256} {
		m := &Indexed{W: 13, H: 7, Pix: make([]uint8, 91), Palette: ObjectColours()[:colours]}
		for i := range m.Pix {
			m.Pix[i] = uint8(i * 5 % max(colours, 9))
		}
		path := filepath.Join(t.TempDir(), "mask.png")
		if err := m.Write(path); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeIndexed(b)
		if err != nil {
			t.Fatal(err)
		}
		if got.W != 13 || got.H != 7 || !slices.Equal(got.Pix, m.Pix) || !slices.Equal(got.Palette[:colours], m.Palette) {
			t.Errorf("%d colours: got %+v, want %+v", colours, got, m)
		}
		decoded, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		p, ok := decoded.(*image.Paletted)
		if !ok || !slices.Equal(p.Pix, m.Pix) {
			t.Errorf("%d colours: Go reads %T", colours, decoded)
		}
	}
}

// The first colours, as in the devkit of PASCAL VOC.
func TestObjectColours(t *testing.T) {
	want := [][3]uint8{{0, 0, 0}, {128, 0, 0}, {0, 128, 0}, {128, 128, 0}, {0, 0, 128}, {128, 0, 128}, {0, 128, 128}, {128, 128, 128}, {64, 0, 0}}
	if got := ObjectColours(); len(got) != 256 || !slices.Equal(got[:9], want) || got[255] != [3]uint8{224, 224, 192} {
		t.Errorf("got %v and last %v, want %v", got[:9], got[255], want)
	}
}

func TestIndexedBadInput(t *testing.T) {
	arrays := loadNPZ(t, "testdata/masks.npz")
	good := arrays["png_all"].data
	var rgb bytes.Buffer
	picture := image.NewRGBA(image.Rect(0, 0, 4, 4))
	picture.Set(1, 1, color.White)
	if err := png.Encode(&rgb, picture); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"nothing": nil, "JPEG": []byte("\xff\xd8\xff"), "colours": rgb.Bytes(), "truncated": good[:len(good)/2]} {
		if _, err := DecodeIndexed(b); err == nil || !strings.HasPrefix(err.Error(), "imaging: ") {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

func FuzzIndexed(f *testing.F) {
	arrays := loadNPZ(f, "testdata/masks.npz")
	for _, name := range []string{"two", "four", "sixteen", "all", "gray"} {
		f.Add(arrays["png_"+name].data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := DecodeIndexed(b); err == nil && (m.W < 1 || m.H < 1 || len(m.Pix) != m.W*m.H || len(m.Palette) > 256) {
			t.Errorf("%dx%d with %d numbers and %d colours", m.W, m.H, len(m.Pix), len(m.Palette))
		}
	})
}
