package imaging

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// One fuzz target for each format, so that none starves the others. The seeds are the files of
// testdata/formats, whole ones and truncated ones.

func FuzzJPEG(f *testing.F) { fuzzFormat(f, ".jpg") }
func FuzzPNG(f *testing.F)  { fuzzFormat(f, ".png") }
func FuzzGIF(f *testing.F)  { fuzzFormat(f, ".gif") }
func FuzzWebP(f *testing.F) { fuzzFormat(f, ".webp") }
func FuzzBMP(f *testing.F)  { fuzzFormat(f, ".bmp") }
func FuzzTIFF(f *testing.F) { fuzzFormat(f, ".tif") }
func FuzzPNM(f *testing.F)  { fuzzFormat(f, ".pbm", ".pgm", ".ppm") }

// fuzzFormat wants a picture or an error of every file, within the limits, in all modes, and the
// same one when it is asked again.
func fuzzFormat(f *testing.F, extensions ...string) {
	for _, path := range slices.Concat(formatFiles(f, ".png"), formatFiles(f, ".part.png")) {
		if !slices.Contains(extensions, filepath.Ext(path)) {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	const most = 1 << 18
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, o := range []Options{
			{MaxPixels: most},
			{MaxPixels: most, AllowTruncated: true},
			{MaxPixels: most, Channels: 1},
			{MaxPixels: most, Channels: 4, AllowTruncated: true},
		} {
			im, err := DecodeWith(b, o)
			if err != nil {
				if !strings.HasPrefix(err.Error(), "imaging: ") {
					t.Errorf("%+v: error %q does not name the package", o, err)
				}
				if strings.Contains(err.Error(), "runtime error") || strings.Contains(err.Error(), "needs positive sizes") {
					t.Errorf("%+v: a bug turned into an error: %v", o, err)
				}
				continue
			}
			channels := max(o.Channels, 1)
			if o.Channels == 0 {
				channels = 3
			}
			if im.C != channels || im.W <= 0 || im.H <= 0 || im.W*im.H > most || len(im.Pix) != im.C*im.W*im.H {
				t.Errorf("%+v: %dx%dx%d with %d bytes", o, im.W, im.H, im.C, len(im.Pix))
			}
			again, err := DecodeWith(b, o)
			if err != nil || !slices.Equal(again.Pix, im.Pix) {
				t.Errorf("%+v: another result the second time (%v)", o, err)
			}
		}
	})
}
