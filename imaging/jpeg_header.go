package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// jpegHeader is what the markers before the first scan say.
type jpegHeader struct {
	w, h, components int
	huffman          bool
	buffered         int // bytes a pixel that libjpeg keeps, where several scans make the picture
	orientation      int // of EXIF, 1 to 8; 1 is upright
	scan             int // where the first scan begins
}

// The markers of JPEG (ITU-T T.81, table B.1) that are told apart here.
const (
	jpegEnd   = 0xd9
	jpegScan  = 0xda
	jpegEXIF  = 0xe1
	jpegSOF0  = 0xc0 // the first kind of frame
	jpegSOF15 = 0xcf // the last
)

// isFrame reports whether the marker begins a frame header.
func isFrame(marker uint8) bool {
	return marker >= jpegSOF0 && marker <= jpegSOF15 && marker != 0xc4 && marker != 0xc8 && marker != 0xcc
}

// nextMarker returns the place of the first marker with a segment, or of the end marker, at or after
// i; -1 where there is none. It skips other bytes, as libjpeg does.
func nextMarker(b []byte, i int) int {
	for {
		k := bytes.IndexByte(b[min(i, len(b)):], 0xff)
		if k < 0 {
			return -1
		}
		for i += k; i < len(b) && b[i] == 0xff; {
			i++
		}
		if i >= len(b) {
			return -1
		}
		// A stuffed byte, a restart and a few others stand alone.
		if m := b[i]; m != 0 && m != 0x01 && (m < 0xd0 || m > 0xd8) {
			return i
		}
		i++
	}
}

// readJPEGHeader walks the segments of a JPEG up to the first scan.
func readJPEGHeader(b []byte) (jpegHeader, error) {
	hd := jpegHeader{orientation: 1}
	for i := 2; ; {
		if i = nextMarker(b, i); i < 0 || i+3 > len(b) && b[i] != jpegEnd {
			return hd, truncatedf("it has no scan")
		}
		marker := b[i]
		if marker == jpegEnd {
			return hd, errors.New("a file without a picture: it ends before the first scan")
		}
		n := int(binary.BigEndian.Uint16(b[i+1:]))
		if n < 2 {
			return hd, fmt.Errorf("a segment of %d bytes", n)
		}
		if i+1+n > len(b) {
			return hd, truncatedf("a segment is longer than the file")
		}
		segment := b[i+3 : i+1+n]
		switch {
		case marker == jpegScan:
			if hd.components == 0 {
				return hd, errors.New("a scan without a frame header")
			}
			if len(segment) > 0 && hd.buffered < 0 && int(segment[0]) == hd.components {
				hd.buffered = 0 // one scan has it all
			}
			hd.buffered = max(hd.buffered, -hd.buffered)
			hd.scan = i
			return hd, nil
		case isFrame(marker):
			if err := hd.frame(marker, segment); err != nil {
				return hd, err
			}
		case marker == jpegEXIF && bytes.HasPrefix(segment, []byte("Exif\x00\x00")):
			hd.orientation = exifOrientation(segment[6:])
		}
		i += 1 + n
	}
}

// frame reads a frame header. It leaves buffered negative where it depends on the first scan.
func (hd *jpegHeader) frame(marker uint8, b []byte) error {
	if len(b) < 6 {
		return errors.New("short frame header")
	}
	hd.h, hd.w = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	hd.components = int(b[5])
	hd.huffman = marker < 0xc8 // beyond are arithmetic codes
	if hd.w == 0 || hd.h == 0 || hd.components == 0 {
		return errors.New("its frame header gives no size")
	}
	samples, most := 0, 1
	for i := 6; i+2 < len(b) && i < 6+3*hd.components; i += 3 {
		area := int(b[i+1]>>4) * int(b[i+1]&15)
		samples, most = samples+area, max(most, area)
	}
	hd.buffered = (2*samples + most - 1) / most // coefficients are of 16 bits
	if progressive := marker&3 == 2; !progressive {
		hd.buffered = -hd.buffered
	}
	return nil
}

// complete reports whether the data of a JPEG's scans have an end. A picture of one scan may go on to
// any marker; of more, the end marker must follow.
func (hd *jpegHeader) complete(b []byte) bool {
	scanData := func(i int) int { return i + 1 + int(binary.BigEndian.Uint16(b[i+1:])) }
	i := nextMarker(b, scanData(hd.scan))
	for hd.buffered > 0 && i >= 0 && b[i] != jpegEnd {
		if i+3 > len(b) {
			return false
		}
		i = nextMarker(b, scanData(i))
	}
	return i >= 0
}
