package imaging

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// formatFiles returns the files of testdata/formats (see README.md there) that have the given kind
// of expectation: ".png" of whole files, ".part.png" of truncated ones.
func formatFiles(t testing.TB, expectation string) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/formats/*" + expectation)
	if err != nil || len(all) == 0 {
		t.Fatalf("no files (%v)", err)
	}
	var names []string
	for _, path := range all {
		name := strings.TrimSuffix(path, expectation)
		// A PNG may be a file or an expectation; an expectation has the name of a file in front.
		if filepath.Ext(name) != "" && filepath.Ext(name) != ".part" {
			names = append(names, name)
		}
	}
	return names
}

// expected reads an expectation with Go's own decoder, which is not under test.
func expected(t *testing.T, path string) *Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return FromImage(m)
}

// holdsJPEG reports whether image/jpeg stands in for libjpeg-turbo with this file.
func holdsJPEG(name string) bool {
	return turbo() == "" && (strings.HasSuffix(name, ".jpg") || strings.Contains(name, "jpeg_"))
}

func TestFormatsEqualPillow(t *testing.T) {
	for _, path := range formatFiles(t, ".png") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			got, err := DecodeFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want := expected(t, path+".png")
			if holdsJPEG(path) {
				closeToJPEG(t, got, want)
				return
			}
			wantEqual(t, got, want)
			gray, err := DecodeFileWith(path, Options{Channels: 1})
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, gray, want.luma())
		})
	}
}

// A truncated file is refused, and on request what there is of it equals Pillow's.
func TestTruncatedFiles(t *testing.T) {
	for _, path := range formatFiles(t, ".part.png") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := DecodeFile(path)
			if err == nil || !strings.Contains(err.Error(), ": truncated ") {
				t.Errorf("strictly: the error is %v, want one that says truncated", err)
			}
			got, err := DecodeFileWith(path, Options{AllowTruncated: true})
			if holdsJPEG(path) {
				if err == nil {
					t.Error("image/jpeg gives a part of a file?")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, got, expected(t, path+".part.png"))
		})
	}
}

// Every prefix of every file ends in a picture or an error, in both modes, and the whole is read the
// same in both.
func TestPrefixes(t *testing.T) {
	for _, path := range formatFiles(t, ".png") {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		strict, err := Decode(b)
		if err != nil {
			t.Fatal(path, err)
		}
		lenient, err := DecodeWith(b, Options{AllowTruncated: true})
		if err != nil {
			t.Fatal(path, err)
		}
		wantEqual(t, lenient, strict)
		step := max(1, len(b)/40)
		for n := 0; n < len(b); n += step {
			for _, o := range []Options{{}, {AllowTruncated: true}} {
				im, err := DecodeWith(b[:n], o)
				if err != nil && !strings.HasPrefix(err.Error(), "imaging: ") {
					t.Errorf("%s, %d bytes: error %q does not name the package", path, n, err)
				}
				if err == nil && (im.W*im.H == 0 || len(im.Pix) != 3*im.W*im.H) {
					t.Errorf("%s, %d bytes: an image of %dx%d with %d bytes", path, n, im.W, im.H, len(im.Pix))
				}
			}
		}
	}
}

// The predictor is defined by distances to left + up - corner, with ties in this order.
func TestPaeth(t *testing.T) {
	near := func(v ...int) int { // the one of v[1:] that is nearest to v[0]
		best := v[1]
		for _, w := range v[2:] {
			if max(w-v[0], v[0]-w) < max(best-v[0], v[0]-best) {
				best = w
			}
		}
		return best
	}
	for left := 0; left < 256; left += 5 {
		for up := range 256 {
			for corner := 0; corner < 256; corner += 3 {
				if got, want := int(paeth(left, up, corner)), near(left+up-corner, left, up, corner); got != want {
					t.Fatalf("left %d, up %d, corner %d: got %d, want %d", left, up, corner, got, want)
				}
			}
		}
	}
}

func TestLumaEqualsPillow(t *testing.T) {
	// python3: list(Image.frombytes("RGB", (6, 1), bytes([...])).convert("L").getdata())
	im := &Image{W: 6, H: 1, C: 3, Pix: []uint8{255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 2, 3, 200, 100, 50, 13, 13, 13}}
	wantEqual(t, im.luma(), &Image{W: 6, H: 1, C: 1, Pix: []uint8{76, 150, 29, 2, 124, 13}})
}

// tiffOf returns an uncompressed TIFF of w x h pixels with the given samples, 8 or 16 bits each,
// together or in planes.
func tiffOf(w, h, samples, bits int, planar bool, pix []uint8) []byte {
	b := []byte("II*\x00\x08\x00\x00\x00")
	layout := 1
	if planar {
		layout = 2
	}
	tags := [][2]int{
		{tiffWidth, w},
		{tiffHeight, h},
		{tiffBits, bits},
		{tiffCompression, tiffRaw},
		{tiffPhotometric, tiffBlackIsZero},
		{tiffStripOffsets, 0},
		{tiffSamples, samples},
		{tiffPlanar, layout},
	}
	put := func(v, n int) {
		for range n {
			b = append(b, uint8(v))
			v >>= 8
		}
	}
	start := 8 + 2 + 12*len(tags) + 4
	put(len(tags), 2)
	for _, t := range tags {
		put(t[0], 2)
		put(4, 2)
		if t[0] == tiffStripOffsets && planar {
			put(samples, 4)
			put(start+len(pix), 4)
			continue
		}
		put(1, 4)
		if t[0] == tiffStripOffsets {
			t[1] = start
		}
		put(t[1], 4)
	}
	put(0, 4)
	b = append(b, pix...)
	for c := range samples {
		put(start+c*len(pix)/samples, 4)
	}
	return b
}

// Any number of channels comes out of a TIFF as it is stored, of 16 bits the high byte.
func TestChannelsAsStored(t *testing.T) {
	for _, channels := range []int{2, 4, 5, 13} {
		for _, bits := range []int{8, 16} {
			for _, planar := range []bool{false, true} {
				const w, h = 5, 3
				want := New(w, h, channels)
				for i := range want.Pix {
					want.Pix[i] = uint8(i * 7)
				}
				var stored []uint8
				for i := range want.Pix {
					if planar {
						i = i%(w*h)*channels + i/(w*h)
					}
					if bits == 16 {
						stored = append(stored, 99)
					}
					stored = append(stored, want.Pix[i])
				}
				t.Run(fmt.Sprint(channels, " channels of ", bits, " bits, planar ", planar), func(t *testing.T) {
					file := tiffOf(w, h, channels, bits, planar, stored)
					got, err := DecodeWith(file, Options{Channels: channels})
					if err != nil {
						t.Fatal(err)
					}
					wantEqual(t, got, want)
					for _, other := range []int{6, 7} {
						_, err := DecodeWith(file, Options{Channels: other})
						want := fmt.Sprint(other, " channels are wanted; this TIFF has ", channels)
						if err == nil || !strings.Contains(err.Error(), want) {
							t.Errorf("asked for %d channels: error %v", other, err)
						}
					}
				})
			}
		}
	}
	if _, err := DecodeFileWith("testdata/formats/rgba8.png", Options{Channels: 4}); err == nil || !strings.Contains(err.Error(), "this is a PNG") {
		t.Errorf("4 channels of a PNG: error %v", err)
	}
	if _, err := DecodeWith(nil, Options{Channels: -1}); err == nil {
		t.Error("no error for -1 channels")
	}
}

// A picture of more pixels than allowed is refused by its header alone, in every format.
func TestMaxPixels(t *testing.T) {
	seen := map[string]bool{}
	for _, path := range formatFiles(t, ".png") {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		im, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		seen[filepath.Ext(path)] = true
		if _, err := DecodeWith(b, Options{MaxPixels: im.W * im.H}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = DecodeWith(b, Options{MaxPixels: im.W*im.H - 1})
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "larger than the") {
			t.Errorf("%s: error %v, want one that says larger", path, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<17 {
			t.Errorf("%s: took %d bytes to refuse", path, used)
		}
	}
	if len(seen) != 9 {
		t.Errorf("kinds of files: %v, want 9", seen)
	}
}

// What a decoder remembers of one file must not help with the next: here the quantisation tables of
// a JPEG, which the second file lacks. (image/jpeg takes them for zeros.)
func TestDecodersForget(t *testing.T) {
	file := goldenFile(t, "i_image_q88.jpg")
	bare := bytes.Clone(file[:2])
	for i := 2; ; {
		n := 2 + int(file[i+2])<<8 + int(file[i+3])
		if file[i+1] == jpegScan {
			bare = append(bare, file[i:]...)
			break
		}
		if file[i+1] != 0xdb { // quantisation
			bare = append(bare, file[i:i+n]...)
		}
		i += n
	}
	for range 3 {
		if _, err := Decode(file); err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(bare); err == nil && turbo() != "" {
			t.Fatal("a JPEG without quantisation tables was decoded")
		}
	}
}
