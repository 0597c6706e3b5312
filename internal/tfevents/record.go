package tfevents

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the masked CRC-32C of TFRecord: rotated and shifted, so that the checksum of data that
// holds checksums is not trivial (tensorflow/core/lib/hash/crc32c.h).
func checksum(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// appendRecord frames data as a TFRecord: its length, the checksum of the length, the data, and their
// checksum, all little endian.
func appendRecord(b, data []byte) []byte {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = append(b, length...)
	b = binary.LittleEndian.AppendUint32(b, checksum(length))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, checksum(data))
}

// event encodes an Event of this moment whose field `number` holds content.
func event(step int, number protowire.Number, content []byte) []byte {
	wall := float64(time.Now().UnixNano()) / 1e9
	b := protowire.AppendTag(nil, 1, protowire.Fixed64Type) // Event.wall_time, in seconds
	b = protowire.AppendFixed64(b, math.Float64bits(wall))
	b = appendVarint(b, 2, uint64(step)) // Event.step
	return appendBytes(b, number, content)
}

// appendVarint appends an integer field of a message.
func appendVarint(b []byte, number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

// appendBytes appends a field that is a string, bytes or a message.
func appendBytes(b []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}
