package data

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// look is what the headers of an image file tell, without decoding it.
type look struct {
	format   string // "JPEG" and so on; "" for none that is known
	channels int    // as stored: 1 gray, 3 RGB or a palette of it, one more with transparency, 4 also CMYK; 0 unknown
	depth    int    // bits a channel; 0 unknown
	numbers  string // "" for whole numbers from 0 on, else "signed" or "float"
}

// bits is what the report calls the numbers of a channel: "8", "16 signed", "32 float".
func (l look) bits() string {
	return strings.TrimSpace(strconv.Itoa(l.depth) + " " + l.numbers)
}

// endings are those by which the files of each format go.
var endings = map[string][]string{
	"JPEG": {".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif"}, "PNG": {".png"}, "GIF": {".gif"}, "WebP": {".webp"}, "BMP": {".bmp"}, "TIFF": {".tif", ".tiff"},
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
		return lookAtPNG(b)
	case has(0, "GIF87a"), has(0, "GIF89a"):
		return look{format: "GIF", channels: 3, depth: 8}
	case has(0, "RIFF") && has(8, "WEBP"):
		l := look{format: "WebP", channels: 3, depth: 8}
		alpha := has(12, "VP8X") && len(b) > 20 && b[20]&0x10 != 0 || has(12, "VP8L") && len(b) > 24 && b[24]&0x10 != 0
		if alpha {
			l.channels = 4
		}
		return l
	case has(0, "BM"):
		return lookAtBMP(b)
	case has(0, "II*\x00"), has(0, "II+\x00"):
		return lookAtTIFF(b, binary.LittleEndian)
	case has(0, "MM\x00*"), has(0, "MM\x00+"):
		return lookAtTIFF(b, binary.BigEndian)
	case len(b) > 1 && b[0] == 'P' && b[1] >= '1' && b[1] <= '6':
		return lookAtPNM(b)
	}
	return look{}
}

// lookAtPNG finds the header, which need not be the first chunk, and whether a colour stands for
// transparency.
func lookAtPNG(b []byte) look {
	l := look{format: "PNG"}
	for at := 8; at+8 <= len(b); {
		switch name := string(b[at+4 : at+8]); {
		case name == "IHDR" && l.depth == 0 && at+17 < len(b):
			kind := b[at+17]
			l.depth = int(b[at+16])
			l.channels = map[byte]int{0: 1, 2: 3, 3: 3, 4: 2, 6: 4}[kind]
			if kind == 3 { // a palette has 8 bits, whatever its indices have
				l.depth = 8
			}
		case name == "tRNS" && l.channels&1 == 1:
			l.channels++
			return l
		case name == "IDAT" && l.depth > 0:
			return l
		}
		at += 12 + int(binary.BigEndian.Uint32(b[at:]))
	}
	return l
}

// lookAtBMP reads the bits a pixel, and of 16 and 32 bits the masks of green and alpha.
func lookAtBMP(b []byte) look {
	l := look{format: "BMP", channels: 3, depth: 8}
	const fileHeader, bitfields = 14, 3
	if len(b) < fileHeader+16 || b[fileHeader] == 12 { // OS/2 1 has no masks
		return l
	}
	hd := b[fileHeader:]
	perPixel := binary.LittleEndian.Uint16(hd[14:])
	mask := func(at int) uint32 {
		if len(hd) < at+4 || binary.LittleEndian.Uint32(hd[16:]) != bitfields {
			return 0
		}
		return binary.LittleEndian.Uint32(hd[at:])
	}
	if perPixel == 16 {
		l.depth = 5
	}
	if green := mask(44); green != 0 && perPixel >= 16 {
		l.depth = bits.OnesCount32(green)
	}
	if hd[0] >= 56 && mask(52) != 0 {
		l.channels = 4
	}
	return l
}

// lookAtPNM reads the greatest value, which follows the size.
func lookAtPNM(b []byte) look {
	l := look{format: "PNM", channels: 1, depth: 1}
	if b[1] == '1' || b[1] == '4' {
		return l
	}
	if b[1] == '3' || b[1] == '6' {
		l.channels = 3
	}
	l.depth = 8
	rest, number := b[2:min(len(b), 4096)], 0
	for len(rest) > 0 {
		switch c := rest[0]; {
		case c == '#':
			_, rest, _ = bytes.Cut(rest, []byte("\n"))
		case c >= '0' && c <= '9':
			digits := len(rest) - len(bytes.TrimLeft(rest, "0123456789"))
			if number++; number == 3 {
				if top, _ := strconv.Atoi(string(rest[:digits])); top > 255 {
					l.depth = 16
				}
				return l
			}
			rest = rest[digits:]
		default:
			rest = rest[1:]
		}
	}
	return l
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

// lookAtTIFF reads samples a pixel, bits and kind of a sample from the first directory, of TIFF or BigTIFF.
func lookAtTIFF(file []byte, order binary.ByteOrder) look {
	const bitsPerSample, photometric, samplesPerPixel, sampleFormat, short = 258, 262, 277, 339, 3
	unknown := look{format: "TIFF"}
	countSize, entrySize, inline := 2, 12, 4
	if len(file) < 16 {
		return unknown
	}
	at, offset := uint64(order.Uint32(file[4:])), func(b []byte) uint64 { return uint64(order.Uint32(b)) }
	if order.Uint16(file[2:]) == 43 {
		countSize, entrySize, inline = 8, 20, 8
		at, offset = order.Uint64(file[8:]), order.Uint64
	}
	size := uint64(len(file))
	if at > size-uint64(countSize) {
		return unknown
	}
	entries := uint64(order.Uint16(file[at:]))
	if countSize == 8 {
		entries = order.Uint64(file[at:])
	}
	l := look{format: "TIFF", channels: 1, depth: 1}
	palette := false
	for b := file[at+uint64(countSize):]; entries > 0 && len(b) >= entrySize; entries-- {
		field := b[4+inline : entrySize]
		value := int(order.Uint16(field))
		if order.Uint16(b[2:]) != short {
			value = int(order.Uint32(field))
		}
		switch order.Uint16(b) {
		case samplesPerPixel:
			l.channels = value
		case photometric:
			palette = value == 3
		case sampleFormat, bitsPerSample:
			if offset(b[4:]) > uint64(inline/2) { // more than fit into the entry
				value = 0
				if away := offset(field); away < size-1 {
					value = int(order.Uint16(file[away:]))
				}
			}
			if order.Uint16(b) == bitsPerSample {
				l.depth = value
			} else {
				l.numbers = map[int]string{2: "signed", 3: "float"}[value]
			}
		}
		b = b[entrySize:]
	}
	if palette {
		l.channels, l.depth = 3, 8
	}
	return l
}
