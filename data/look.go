package data

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"slices"
	"strings"
)

// look is what the first bytes of an image file tell, without decoding it.
type look struct {
	format   string // "JPEG" and so on; "" for none that is known
	channels int    // as stored: 1 gray, 3 RGB or a palette of it, 4 with alpha or CMYK; 0 unknown
	depth    int    // bits a channel; 0 unknown
}

// endings are those by which the files of each format go.
var endings = map[string][]string{
	"JPEG": {".jpg", ".jpeg"}, "PNG": {".png"}, "GIF": {".gif"}, "WebP": {".webp"}, "BMP": {".bmp"}, "TIFF": {".tif", ".tiff"},
	"PNM": {".ppm", ".pgm", ".pbm", ".pnm"},
}

// misnamed says whether a name's ending is that of another format.
func (l look) misnamed(name string) bool {
	ending := strings.ToLower(filepath.Ext(name))
	return l.format != "" && slices.Contains(imageExtensions, ending) && !slices.Contains(endings[l.format], ending)
}

// lookAt looks at the bytes of a file. It never fails: what is cut off is unknown.
func lookAt(b []byte) look {
	has := func(at int, magic string) bool {
		return len(b) >= at+len(magic) && string(b[at:at+len(magic)]) == magic
	}
	switch {
	case has(0, "\xff\xd8"):
		return lookAtJPEG(b)
	case has(0, "\x89PNG\r\n\x1a\n"):
		l := look{format: "PNG"}
		if len(b) > 25 {
			l.depth = int(b[24])
			l.channels = map[byte]int{0: 1, 2: 3, 3: 3, 4: 2, 6: 4}[b[25]]
			if b[25] == 3 { // a palette has 8 bits, whatever its indices have
				l.depth = 8
			}
		}
		return l
	case has(0, "GIF87a"), has(0, "GIF89a"):
		return look{"GIF", 3, 8}
	case has(0, "RIFF") && has(8, "WEBP"):
		l := look{"WebP", 3, 8}
		alpha := has(12, "VP8X") && len(b) > 20 && b[20]&0x10 != 0 || has(12, "VP8L") && len(b) > 24 && b[24]&0x10 != 0
		if alpha {
			l.channels = 4
		}
		return l
	case has(0, "BM"):
		l := look{format: "BMP", channels: 3, depth: 8}
		if len(b) > 29 && binary.LittleEndian.Uint16(b[28:]) == 32 && binary.LittleEndian.Uint32(b[14:]) > 40 {
			l.channels = 4
		}
		return l
	case has(0, "II*\x00"):
		return lookAtTIFF(b, binary.LittleEndian)
	case has(0, "MM\x00*"):
		return lookAtTIFF(b, binary.BigEndian)
	case len(b) > 1 && b[0] == 'P' && b[1] >= '1' && b[1] <= '6':
		return look{"PNM", map[bool]int{true: 3, false: 1}[b[1]%3 == 0], 8} // P3 and P6 are in colour
	}
	return look{}
}

// lookAtJPEG finds the frame header, which has the precision and the number of components.
func lookAtJPEG(b []byte) look {
	l := look{format: "JPEG"}
	for at := 2; ; {
		next := bytes.IndexByte(b[at:], 0xff)
		if next < 0 || at+next+9 >= len(b) {
			return l
		}
		at += next
		marker := b[at+1]
		switch {
		case marker == 0xff:
			at++
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			l.depth, l.channels = int(b[at+4]), int(b[at+9])
			return l
		case marker == 0 || marker == 1 || marker >= 0xd0 && marker <= 0xd8:
			at += 2
		case marker == 0xd9 || marker == 0xda: // the end, or the scan: no frame header came
			return l
		default:
			at += 2 + max(2, int(binary.BigEndian.Uint16(b[at+2:])))
			if at >= len(b) {
				return l
			}
		}
	}
}

// lookAtTIFF reads samples a pixel and bits a sample from the first directory.
func lookAtTIFF(b []byte, order binary.ByteOrder) look {
	const bitsPerSample, photometric, samplesPerPixel = 258, 262, 277
	l := look{format: "TIFF", channels: 1, depth: 1}
	if len(b) < 8 {
		return look{format: "TIFF"}
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return look{format: "TIFF"}
	}
	palette := false
	for range order.Uint16(b[at:]) {
		if at+14 > int64(len(b)) {
			break
		}
		entry := b[at+2 : at+14]
		value := int(order.Uint16(entry[8:]))
		switch order.Uint16(entry) {
		case samplesPerPixel:
			l.channels = value
		case photometric:
			palette = value == 3
		case bitsPerSample:
			l.depth = value
			if order.Uint32(entry[4:]) > 2 { // more than fit into the entry
				if away := int64(order.Uint32(entry[8:])); away+2 <= int64(len(b)) {
					l.depth = int(order.Uint16(b[away:]))
				}
			}
		}
		at += 12
	}
	if palette {
		l.channels, l.depth = 3, 8
	}
	return l
}
