package data_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/data"
	"ibot/imaging"
)

// encoded is m in a format.
func encoded(t testing.TB, format string, m image.Image) string {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch format {
	case "jpeg":
		err = jpeg.Encode(&b, m, nil)
	case "gif":
		err = gif.Encode(&b, m, nil)
	case "png":
		err = png.Encode(&b, m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// mixedSet writes a set with a bit of everything in two parts.
func mixedSet(t testing.TB) (dir string) {
	dir = t.TempDir()
	rect := image.Rect(0, 0, 40, 50)
	rgba, gray, deep := image.NewRGBA(rect), image.NewGray(rect), image.NewGray16(rect)
	for i := range rgba.Pix {
		rgba.Pix[i] = 255 // opaque, or PNG keeps the alpha
	}
	alpha := image.NewNRGBA(image.Rect(0, 0, 300, 50))
	alpha.Set(0, 0, color.NRGBA{1, 2, 3, 4})
	same := encoded(t, "jpeg", rgba)
	for name, content := range map[string]string{
		"train/cat/1.jpg": same,
		"train/cat/2.jpg": same,
		"train/cat/3.png": encoded(t, "jpeg", gray), // misnamed
		"train/cat/4.png": encoded(t, "png", rgba),
		"train/dog/1.png": encoded(t, "png", alpha), // long
		"train/dog/2.png": encoded(t, "png", deep),
		"train/dog/3.png": "not an image",
		"train/dog/4.png": "",
		"train/dog/5.gif": encoded(t, "gif", image.NewPaletted(image.Rect(0, 0, 20, 30), color.Palette{color.Black})), // small
		"val/cat/7.jpg":   same,
		"val/emu/1.png":   encoded(t, "png", gray),
	} {
		writeText(t, filepath.Join(dir, name), content)
	}
	return dir
}

func partsOf(t testing.TB, dir string) (parts []data.Part) {
	t.Helper()
	for _, name := range []string{"train", "val"} {
		set, err := data.OpenSplit(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, data.Part{Name: name, Set: set})
	}
	return parts
}

func TestCheck(t *testing.T) {
	parts := partsOf(t, mixedSet(t))
	var last int
	r, err := data.Check(t.Context(), parts, data.CheckOptions{Workers: 1, Progress: func(done, _ int) { last = done }})
	if err != nil {
		t.Fatal(err)
	}
	if last != 11 {
		t.Errorf("progress ended at %d, want 11", last)
	}
	var got bytes.Buffer
	if err := r.WriteJSON(&got); err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{2, 5} {
		again, err := data.Check(t.Context(), parts, data.CheckOptions{Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := again.WriteJSON(&b); err != nil || b.String() != got.String() {
			t.Errorf("with %d workers the report is another:\n%s\nwant\n%s", workers, b.String(), got.String())
		}
	}
	if r.Images != 11 || r.Parts[0].Unreadable != 2 || r.Parts[1].Unreadable != 0 {
		t.Errorf("images %d, unreadable %d and %d, want 11, 2, 0", r.Images, r.Parts[0].Unreadable, r.Parts[1].Unreadable)
	}
	if want := []data.ClassCount{{Name: "cat", Images: 4}, {Name: "dog", Images: 5}}; !slices.Equal(r.Parts[0].Classes, want) {
		t.Errorf("classes %v, want %v", r.Parts[0].Classes, want)
	}
	for what, c := range map[string][2]any{
		"width":      {r.Width, data.Spread{Min: 20, Median: 40, Max: 300}},
		"height":     {r.Height, data.Spread{Min: 30, Median: 50, Max: 50}},
		"formats":    {fmt.Sprint(r.Formats), "map[GIF:1 JPEG:4 PNG:4]"},
		"channels":   {fmt.Sprint(r.Channels), "map[1:3 3:5 4:1]"},
		"depths":     {fmt.Sprint(r.Depths), "map[16:1 8:8]"},
		"misnamed":   {fmt.Sprint(r.Misnamed), "{1 [train/cat/3.png]}"},
		"small":      {r.Small, 1},
		"long":       {r.Long, 1},
		"duplicates": {fmt.Sprint(r.Duplicates), "{1 3 [[train/cat/1.jpg train/cat/2.jpg val/cat/7.jpg]]}"},
		"across":     {fmt.Sprint(r.Across), "{1 3 [[train/cat/1.jpg train/cat/2.jpg val/cat/7.jpg]]}"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: got %v, want %v", what, c[0], c[1])
		}
	}
	if len(r.Unreadable) != 2 || r.Unreadable[0].Path != "train/dog/3.png" || !strings.Contains(r.Unreadable[1].Error, "empty") {
		t.Errorf("unreadable are %v", r.Unreadable)
	}
	advice := strings.Join(r.Advice, "\n")
	for _, want := range []string{
		"2 of 9 images of train cannot be read. Training stops above 1", "The class emu of val is not in train", "1 image lies in several parts",
		"2 images are exact copies", "side under 32", "four times as long", "gray", "transparency", "16 bits", "named as another format",
	} {
		if !strings.Contains(advice, want) {
			t.Errorf("the advice does not say %q:\n%s", want, advice)
		}
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "train       9 images of 2 classes, 4 (cat) to 5 (dog) each") {
		t.Errorf("the text is\n%s(%v)", text.String(), err)
	}
	for part, want := range map[string]int{
		"1 group of 3 images; 1 group across parts": 1, "train/cat/1.jpg, train/cat/2.jpg, val/cat/7.jpg\n": 1, "duplicates\n": 0, "1 images": 0, "1 groups": 0,
	} {
		if n := strings.Count(text.String(), part); n != want {
			t.Errorf("the text has %q %d times, want %d:\n%s", part, n, want, text.String())
		}
	}
	var back data.Report
	if err := json.Unmarshal(got.Bytes(), &back); err != nil || back.Images != 11 {
		t.Errorf("the JSON gives %+v, %v", back, err)
	}
}

// What the headers say, of files whose names say the same.
func TestHeaders(t *testing.T) {
	for names, want := range map[string]string{
		"gray.jpg":                  "JPEG 1 8",
		"orientation5.jpg":          "JPEG 3 8",
		"cmyk.jpg ycck.jpg":         "JPEG 4 8",
		"gray1.png gray1_adam7.png": "PNG 1 1",
		"gray4.png":                 "PNG 1 4",
		"gray8.png":                 "PNG 1 8",
		"flat_adam7.png":            "PNG 3 8",
		"gray16.png":                "PNG 1 16",
		"grayalpha8.png":            "PNG 2 8",
		"grayalpha16.png":           "PNG 2 16",
		"indexed1.png indexed8.png rgb8_trns.png": "PNG 4 8",
		"rgb16.png":                            "PNG 3 16",
		"rgba16_adam7.png":                     "PNG 4 16",
		"plain.gif":                            "GIF 3 8",
		"lossy.webp lossless.webp":             "WebP 3 8",
		"lossy_alpha.webp":                     "WebP 4 8",
		"indexed1.bmp rgb24_os2.bmp rgb32.bmp": "BMP 3 8",
		"rgb444.bmp":                           "BMP 3 4",
		"rgb555.bmp":                           "BMP 3 5",
		"rgb565.bmp":                           "BMP 3 6",
		"rgba32_v5.bmp":                        "BMP 4 8",
		"p1.pbm p4.pbm":                        "PNM 1 1",
		"p2.pgm p5_max100.pgm":                 "PNM 1 8",
		"p5_wide.pgm":                          "PNM 1 16",
		"p3.ppm p6.ppm":                        "PNM 3 8",
		"p6_wide.ppm":                          "PNM 3 16",
		"gray2.tif white_is_zero2.tif":         "TIFF 1 2",
		"gray12.tif":                           "TIFF 1 12",
		"gray16_ii.tif gray16_mm.tif":          "TIFF 1 16",
		"indexed4.tif":                         "TIFF 3 8",
		"rgb_strips.tif rgb_planes.tif ycbcr22.tif":  "TIFF 3 8",
		"rgb_bigtiff.tif rgb_bigtiff_mm.tif":         "TIFF 3 8",
		"rgb16_ii.tif rgb16_mm.tif":                  "TIFF 3 16",
		"rgba.tif cmyk.tif":                          "TIFF 4 8",
		"float.tif float_mm.tif float_predictor.tif": "TIFF 1 32 float",
		"int16.tif": "TIFF 1 16 signed",
		"int32.tif": "TIFF 1 32 signed",
	} {
		for _, name := range strings.Fields(names) {
			b, err := os.ReadFile(filepath.Join("../imaging/testdata/formats", name))
			if err != nil {
				t.Fatal(err)
			}
			if got := data.Look(b); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
			for n := range min(len(b), 300) { // what is cut off is no reason to fail
				data.Look(b[:n])
			}
		}
	}
}

// A PNG may have other chunks before its header, even the pixels.
func TestHeaderBehindOtherChunks(t *testing.T) {
	chunk := func(name, body string) string {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
		b = append(b, name+body...)
		return string(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:])))
	}
	const magic = "\x89PNG\r\n\x1a\n"
	header := chunk("IHDR", "\x00\x00\x00\x03\x00\x00\x00\x01\x10\x02\x00\x00\x00")
	for want, file := range map[string]string{
		"PNG 3 16": chunk("tEXt", "a comment") + header + chunk("IDAT", ""),
		"PNG 4 16": chunk("fAKE", "") + header + chunk("tRNS", "......") + chunk("IDAT", ""),
		"PNG 0 0":  chunk("tEXt", "a comment"),
	} {
		if got := data.Look([]byte(magic + file)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := data.Look([]byte(magic + chunk("IDAT", "") + header)); got != "PNG 3 16" {
		t.Errorf("behind the pixels: got %s", got)
	}
}

// What is read as advised needs no advice.
func TestAdviceThatIsFollowed(t *testing.T) {
	for shape, inChans := range map[string]int{"(4, 40, 50)": 1, "(4, 40, 50, 2)": 2, "(4, 40, 50, 4)": 4, "(4, 40, 50, 5)": 5} {
		path := filepath.Join(t.TempDir(), "x.npy")
		pixels := make([]byte, 4*40*50*5)
		for i := range pixels {
			pixels[i] = byte(i * i >> 8)
		}
		writeText(t, path, npyOf("|u1", shape, pixels))
		o := imaging.Options{Channels: inChans}
		set, err := data.Options{Decode: o}.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := data.Check(t.Context(), []data.Part{{Set: set}}, data.CheckOptions{Decode: o})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Unreadable) > 0 || !strings.HasPrefix(strings.Join(r.Advice, "\n"), "Nothing stands out") {
			t.Errorf("%s: %v unreadable, advice %q", shape, r.Unreadable, r.Advice)
		}
	}
}

// An array has the channels that it has, whatever it is read with.
func TestCheckOfArrays(t *testing.T) {
	for _, c := range []struct {
		shape      string
		channels   string
		unreadable int
		advice     string
	}{
		{"(4, 40, 50)", "map[1:4]", 0, "All images are gray. --in_chans 1"},
		{"(4, 40, 50, 2)", "map[2:4]", 0, "transparency"},
		{"(4, 40, 50, 5)", "map[5:4]", 4, "4 images have 5 channels. --in_chans 5"},
	} {
		path := filepath.Join(t.TempDir(), "x.npy")
		writeText(t, path, npyOf("|u1", c.shape, make([]byte, 4*40*50*5)))
		r, err := data.Check(t.Context(), []data.Part{{Set: open(t, path)}}, data.CheckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(r.Channels); got != c.channels || fmt.Sprint(r.Depths) != "map[8:4]" || len(r.Unreadable) != c.unreadable {
			t.Errorf("%s: channels %s, depths %v, %d unreadable, want %s and %d", c.shape, got, r.Depths, len(r.Unreadable), c.channels, c.unreadable)
		}
		if advice := strings.Join(r.Advice, "\n"); !strings.Contains(advice, c.advice) {
			t.Errorf("%s: the advice does not say %q:\n%s", c.shape, c.advice, advice)
		}
	}
}

func TestCheckOfASetWithoutFault(t *testing.T) {
	for _, name := range []string{"array", "parquet", "zip"} {
		set := open(t, fixtures[name](t, t.TempDir()))
		r, err := data.Check(t.Context(), []data.Part{{Set: set}}, data.CheckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Unreadable) != 0 || r.Images != set.Len() || len(r.Parts) != 1 {
			t.Errorf("%s: got %+v", name, r)
		}
		if wantDuplicates := map[string]int{"array": 0, "parquet": 0, "zip": 0}[name]; r.Duplicates.Count != wantDuplicates {
			t.Errorf("%s: duplicates %v", name, r.Duplicates)
		}
	}
}

func TestCheckStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := data.Check(ctx, partsOf(t, mixedSet(t)), data.CheckOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that of the context", err)
	}
}

// tinted is a set of images of one value a channel, all of another size.
type tinted struct {
	numbered
	values [][]uint8
}

func (d *tinted) Load(i int) (*imaging.Image, error) {
	if err := d.broken[i]; err != nil {
		return nil, err
	}
	im := imaging.New(i+1, 2, len(d.values[i]))
	for k := range im.Pix {
		im.Pix[k] = d.values[i][k%im.C]
	}
	return im, nil
}

func TestMeasure(t *testing.T) {
	set := &tinted{numbered{n: 3, broken: broken(1)}, [][]uint8{{0, 255, 10, 51}, nil, {255, 255, 10, 204}}}
	for _, workers := range []int{1, 3} {
		m, err := data.Measure(t.Context(), set, workers, nil)
		if err != nil {
			t.Fatal(err)
		}
		// Two pixels of the first image, six of the third.
		want := [][2]float64{{0.75, math.Sqrt(0.75 * 0.25)}, {1, 0}, {10. / 255, 0}, {0.65, math.Sqrt((2*.45*.45 + 6*.15*.15) / 8)}}
		if m.Images != 2 || m.Pixels != 8 || len(m.Unreadable) != 1 || m.Unreadable[0].Index != 1 || len(m.Mean) != 4 {
			t.Fatalf("got %+v", m)
		}
		for c, w := range want {
			if math.Abs(m.Mean[c]-w[0]) > 1e-15 || math.Abs(m.Std[c]-w[1]) > 1e-15 {
				t.Errorf("channel %d: got %v, %v, want %v", c, m.Mean[c], m.Std[c], w)
			}
		}
	}
	if _, err := data.Measure(t.Context(), &tinted{numbered{n: 2}, [][]uint8{{1}, {1, 2, 3}}}, 1, nil); err == nil || !strings.Contains(err.Error(), "has 3 channels, others have 1") {
		t.Errorf("got error %v", err)
	}
	if _, err := data.Measure(t.Context(), &tinted{numbered{n: 2, broken: broken(0, 1)}, nil}, 1, nil); err == nil || !strings.Contains(err.Error(), "none of 2 images can be read") {
		t.Errorf("got error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := data.Measure(ctx, set, 1, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that of the context", err)
	}
}

// The figures of a set of many values equal those of the plain formulas.
func TestMeasureEqualsTheFormulas(t *testing.T) {
	set := open(t, fixtures["tar"](t, t.TempDir()))
	m, err := data.Measure(t.Context(), set, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	var n float64
	var sum, squares [3]float64
	for i := range set.Len() {
		im, err := set.Load(i)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range im.Pix {
			sum[k%3] += float64(v) / 255
			squares[k%3] += float64(v) / 255 * float64(v) / 255
		}
		n += float64(im.W * im.H)
	}
	for c := range 3 {
		mean := sum[c] / n
		std := math.Sqrt(squares[c]/n - mean*mean)
		if math.Abs(m.Mean[c]-mean) > 1e-12 || math.Abs(m.Std[c]-std) > 1e-9 {
			t.Errorf("channel %d: got %v, %v, want %v, %v", c, m.Mean[c], m.Std[c], mean, std)
		}
	}
}
