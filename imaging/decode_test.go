package imaging

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func goldenFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(goldens, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFromImageKinds(t *testing.T) {
	r := image.Rect(3, 2, 5, 3) // two pixels, not at the origin
	paletted := image.NewPaletted(r, color.Palette{color.NRGBA{1, 2, 3, 0}, color.RGBA{9, 8, 7, 255}})
	paletted.Pix = []uint8{0, 1}
	for name, c := range map[string]struct {
		m    image.Image
		want []uint8
	}{
		"NRGBA keeps colour under alpha": {&image.NRGBA{Pix: []uint8{10, 20, 30, 0, 40, 50, 60, 7}, Stride: 8, Rect: r}, []uint8{10, 20, 30, 40, 50, 60}},
		"RGBA is divided by alpha":       {&image.RGBA{Pix: []uint8{50, 0, 25, 51, 1, 2, 3, 255}, Stride: 8, Rect: r}, []uint8{250, 0, 125, 1, 2, 3}},
		"Gray":                           {&image.Gray{Pix: []uint8{5, 200}, Stride: 2, Rect: r}, []uint8{5, 5, 5, 200, 200, 200}},
		"Gray16 keeps the high byte":     {&image.Gray16{Pix: []uint8{5, 255, 200, 1}, Stride: 4, Rect: r}, []uint8{5, 5, 5, 200, 200, 200}},
		"NRGBA64 keeps the high bytes": {&image.NRGBA64{
			Pix: []uint8{1, 9, 2, 9, 3, 9, 0, 0, 4, 9, 5, 9, 6, 9, 255, 255}, Stride: 16, Rect: r,
		}, []uint8{1, 2, 3, 4, 5, 6}},
		"Paletted": {paletted, []uint8{1, 2, 3, 9, 8, 7}},
		"CMYK":     {&image.CMYK{Pix: []uint8{0, 255, 128, 0, 0, 0, 0, 255}, Stride: 8, Rect: r}, []uint8{255, 0, 127, 0, 0, 0}},
		"Uniform":  {subImage{image.NewUniform(color.NRGBA{7, 8, 9, 255}), r}, []uint8{7, 8, 9, 7, 8, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			wantEqual(t, FromImage(c.m), &Image{W: 2, H: 1, C: 3, Pix: c.want})
		})
	}
}

// subImage gives an image other bounds.
type subImage struct {
	image.Image
	r image.Rectangle
}

func (s subImage) Bounds() image.Rectangle { return s.r }

func TestToImageAndBack(t *testing.T) {
	im := scene(7, 5)
	wantEqual(t, FromImage(im.ToImage()), im)
	gray := &Image{W: 2, H: 1, C: 1, Pix: []uint8{3, 250}}
	wantEqual(t, FromImage(gray.ToImage()), &Image{W: 2, H: 1, C: 3, Pix: []uint8{3, 3, 3, 250, 250, 250}})
}

// withOrientation inserts an EXIF block into a JPEG.
func withOrientation(jpeg []byte, order binary.AppendByteOrder, mark string, orientation uint16) []byte {
	exif := []byte("Exif\x00\x00" + mark)
	exif = order.AppendUint16(exif, 42)
	exif = order.AppendUint32(exif, 8)
	exif = order.AppendUint16(exif, 1)
	exif = order.AppendUint16(exif, 0x112)
	exif = order.AppendUint16(exif, 3)
	exif = order.AppendUint32(exif, 1)
	exif = order.AppendUint16(exif, orientation)
	exif = append(exif, 0, 0, 0, 0, 0, 0)
	out := append([]byte{}, jpeg[:2]...)
	out = append(out, 0xff, 0xe1)
	out = binary.BigEndian.AppendUint16(out, uint16(len(exif)+2))
	return append(append(out, exif...), jpeg[2:]...)
}

func TestJPEGIsTurnedUpright(t *testing.T) {
	file := goldenFile(t, "i_image_q88.jpg")
	plain, err := Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(im *Image) *Image { return edited(im, (*Image).FlipH) }
	transpose := func(im *Image) *Image {
		out := New(im.H, im.W, im.C)
		for y := range im.H {
			for x := range im.W {
				copy(out.Pix[(x*im.H+y)*3:][:3], im.Pix[(y*im.W+x)*3:])
			}
		}
		return out
	}
	quarter := func(im *Image) *Image { return flip(transpose(im)) } // clockwise
	want := map[uint16]*Image{
		0: plain, 1: plain, 2: flip(plain), 3: quarter(quarter(plain)), 4: flip(quarter(quarter(plain))),
		5: transpose(plain), 6: quarter(plain), 7: transpose(quarter(quarter(plain))),
		8: quarter(quarter(quarter(plain))), 9: plain,
	}
	for orientation, want := range want {
		for mark, order := range map[string]binary.AppendByteOrder{"II": binary.LittleEndian, "MM": binary.BigEndian} {
			got, err := Decode(withOrientation(file, order, mark, orientation))
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, got, want)
		}
	}
}

// hugePNG is a PNG whose header claims w x h pixels.
func hugePNG(t *testing.T, w, h uint32) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := png.Encode(&buf, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	b := buf.Bytes()
	binary.BigEndian.PutUint32(b[16:], w)
	binary.BigEndian.PutUint32(b[20:], h)
	binary.BigEndian.PutUint32(b[29:], crcIEEE(b[12:29]))
	return b
}

func crcIEEE(b []byte) uint32 {
	crc := ^uint32(0)
	for _, v := range b {
		crc ^= uint32(v)
		for range 8 {
			crc = crc>>1 ^ 0xedb88320&-(crc&1)
		}
	}
	return ^crc
}

func TestBadFilesAreErrors(t *testing.T) {
	jpeg, pngFile := goldenFile(t, "i_image_q88.jpg"), goldenFile(t, "i_image.png")
	hugeJPEG := bytes.Clone(jpeg)
	sof := bytes.Index(hugeJPEG, []byte{0xff, 0xc0})
	copy(hugeJPEG[sof+5:], []byte{0xff, 0xff, 0xff, 0xff})
	bigJPEG := bytes.Clone(jpeg)
	copy(bigJPEG[sof+5:], []byte{0x30, 0, 0x30, 0})
	flipped := bytes.Clone(jpeg)
	flipped[bytes.Index(jpeg, []byte{0xff, 0xc4})+4] = 0xff // a Huffman table of class 15
	webpFile, err := os.ReadFile("testdata/formats/lossy.webp")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "empty file"},
		{"text", []byte("hello, picture"), "not a picture of a known format"},
		{"one byte of JPEG", []byte("\xff"), "not a picture"},
		{"JPEG start only", []byte("\xff\xd8"), "truncated JPEG"},
		{"JPEG end only", []byte("\xff\xd8\xff\xd9"), "without a picture"},
		{"half a JPEG", jpeg[:len(jpeg)/2], "truncated JPEG"},
		{"JPEG without its end", jpeg[:len(jpeg)-2], "truncated JPEG"},
		{"half a JPEG with an end marker before", append(withOrientation(jpeg, binary.BigEndian, "MM", 0xffd9)[:len(jpeg)/2], 0), "truncated JPEG"},
		{"JPEG with a bad table", flipped, "broken JPEG"},
		{"JPEG of 4 gigapixels", hugeJPEG, "larger than"},
		{"JPEG of more pixels than its bytes can hold", bigJPEG, "cannot hold 12288x12288"},
		{"half a PNG", pngFile[:len(pngFile)/2], "truncated PNG: its pixels end in row"},
		{"PNG of 10 gigapixels", hugePNG(t, 100_000, 100_000), "larger than"},
		{"PNG of no pixels", hugePNG(t, 0, 5), "PNG"},
		{"PNG header only", pngFile[:20], "truncated PNG"},
		{"GIF header only", []byte("GIF89a\x05\x00\x05\x00\x00\x00\x00"), "GIF"},
		{"half a WebP", webpFile[:len(webpFile)/2], "WebP"},
		{"BMP header only", []byte("BM"), "truncated BMP"},
		{"TIFF header only", []byte("II*\x00\xff\xff\xff\xff"), "TIFF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			im, err := Decode(c.b)
			if err == nil {
				t.Fatalf("no error, but %dx%d pixels", im.W, im.H)
			}
			if !strings.HasPrefix(err.Error(), "imaging: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %q, want it to begin with \"imaging: \" and say %q", err, c.want)
			}
		})
	}
}

// Stray bytes between segments are only a warning of libjpeg's; Pillow reads such files, and so do
// we.
func TestStrayBytesAreHarmless(t *testing.T) {
	if turbo() == "" {
		t.Log("image/jpeg is in use: it is stricter")
		return
	}
	file := goldenFile(t, "i_image_q88.jpg")
	want, err := Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	table := bytes.Index(file, []byte{0xff, 0xdb})
	got, err := Decode(append(append(bytes.Clone(file[:table]), "stray"...), file[table:]...))
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, got, want)
}

// A harmless complaint must not hide that the file is truncated, though libjpeg reports one only.
func TestTruncatedAndStrayBytes(t *testing.T) {
	file := goldenFile(t, "i_prog_444.jpg")
	table := bytes.Index(file, []byte{0xff, 0xdb})
	for n := len(file) / 2; n < len(file)-1; n += 97 {
		b := append(append(bytes.Clone(file[:table]), "stray"...), file[table:n]...)
		if _, err := Decode(b); err == nil || !strings.Contains(err.Error(), "truncated JPEG") {
			t.Errorf("%d of %d bytes: error %v, want truncated", n, len(file), err)
		}
	}
}

func TestDecodeFileNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broken.jpg")
	if err := os.WriteFile(path, goldenFile(t, "i_image_q88.jpg")[:3000], 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".missing", filepath.Dir(path)} {
		if _, err := DecodeFile(p); err == nil || !strings.Contains(err.Error(), p) {
			t.Errorf("error is %v, want it to name %s", err, p)
		}
	}
	// The name says nothing about the format.
	if err := os.WriteFile(path, goldenFile(t, "i_image.png"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeFile(path); err != nil {
		t.Error(err)
	}
}

// Decoders are pooled: many goroutines at once get the same pixels.
func TestDecodeInParallel(t *testing.T) {
	file := goldenFile(t, "i_image_q88.jpg")
	want, err := Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				if i%2 == 0 {
					_, _ = Decode(file[:len(file)/3]) // errors leave a handle usable
				}
				got, err := Decode(file)
				if err != nil || !bytes.Equal(got.Pix, want.Pix) {
					t.Errorf("pixels differ (%v)", err)
					return
				}
			}
		})
	}
	wg.Wait()
}
