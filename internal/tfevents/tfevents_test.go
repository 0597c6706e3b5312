package tfevents

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// fields takes a message apart: numbers to their values, a varint, fixed or bytes each. A repeated
// field keeps its last.
func fields(t *testing.T, b []byte) map[protowire.Number]any {
	t.Helper()
	out := map[protowire.Number]any{}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatalf("bad tag: %v", protowire.ParseError(n))
		}
		b = b[n:]
		switch kind {
		case protowire.VarintType:
			out[number], n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			out[number], n = protowire.ConsumeFixed32(b)
		case protowire.Fixed64Type:
			out[number], n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			out[number], n = protowire.ConsumeBytes(b)
		default:
			t.Fatalf("field %d has the unexpected type %d", number, kind)
		}
		if n < 0 {
			t.Fatalf("field %d: %v", number, protowire.ParseError(n))
		}
		b = b[n:]
	}
	return out
}

// readEvents checks the frames of the file at path and returns the fields of its events.
func readEvents(t *testing.T, path string) []map[protowire.Number]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var events []map[protowire.Number]any
	for len(data) > 0 {
		if len(data) < 16 {
			t.Fatalf("%d bytes are left, want a record", len(data))
		}
		length := binary.LittleEndian.Uint64(data)
		if got, want := binary.LittleEndian.Uint32(data[8:]), checksum(data[:8]); got != want {
			t.Fatalf("checksum of the length: got %08x, want %08x", got, want)
		}
		body := data[12 : 12+length]
		if got, want := binary.LittleEndian.Uint32(data[12+length:]), checksum(body); got != want {
			t.Fatalf("checksum of the data: got %08x, want %08x", got, want)
		}
		events = append(events, fields(t, body))
		data = data[16+length:]
	}
	return events
}

func newWriter(t *testing.T, dir string, firstStep int) *Writer {
	t.Helper()
	w, err := Create(dir, firstStep)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// The check value of CRC-32C for "123456789" is e3069283 (RFC 3720 and every catalogue of CRCs). The
// frame of an empty record is one that TensorFlow's own writer makes.
func TestRecord(t *testing.T) {
	if got, want := checksum([]byte("123456789")), uint32(0xe3069283>>15|0xe3069283<<17&0xffffffff)+0xa282ead8; got != want {
		t.Errorf("checksum: got %08x, want %08x", got, want)
	}
	got := appendRecord(nil, nil)
	want := []byte{0, 0, 0, 0, 0, 0, 0, 0, 0x29, 0x03, 0x98, 0x07, 0xd8, 0xea, 0x82, 0xa2}
	if !bytes.Equal(got, want) {
		t.Errorf("empty record: got % x, want % x", got, want)
	}
}

func TestScalarAndImage(t *testing.T) {
	w := newWriter(t, filepath.Join(t.TempDir(), "new", "folder"), 0)
	picture := image.NewNRGBA(image.Rect(10, 20, 13, 22)) // an origin away from 0
	picture.Set(12, 21, color.NRGBA{200, 100, 50, 255})
	if err := w.Scalar("train/loss", 7, 5.25); err != nil {
		t.Fatal(err)
	}
	if err := w.Scalar("train/loss", 1<<40, math.NaN()); err != nil {
		t.Fatal(err)
	}
	if err := w.Image("views", 8, picture); err != nil {
		t.Fatal(err)
	}

	events := readEvents(t, w.Name()) // without Close: each event is in the file at once
	if len(events) != 5 {
		t.Fatalf("got %d events, want 5", len(events))
	}
	if got, want := string(events[0][3].([]byte)), "brain.Event:2"; got != want {
		t.Errorf("file version: got %q, want %q", got, want)
	}
	for i, step := range []uint64{0, 0, 7, 1 << 40, 8} {
		if got := events[i][2]; got != step {
			t.Errorf("event %d: got step %v, want %d", i, got, step)
		}
		if wall := math.Float64frombits(events[i][1].(uint64)); wall < 1.6e9 || wall > 1e10 {
			t.Errorf("event %d: wall time %g is not in seconds since 1970", i, wall)
		}
	}
	value := func(i int) map[protowire.Number]any {
		return fields(t, fields(t, events[i][5].([]byte))[1].([]byte))
	}
	if got := string(value(2)[1].([]byte)); got != "train/loss" {
		t.Errorf("got tag %q, want train/loss", got)
	}
	if got := math.Float32frombits(value(2)[2].(uint32)); got != 5.25 {
		t.Errorf("got %g, want 5.25", got)
	}
	if got := math.Float32frombits(value(3)[2].(uint32)); !math.IsNaN(float64(got)) {
		t.Errorf("got %g, want NaN", got)
	}
	got := fields(t, value(4)[4].([]byte))
	if got[1] != uint64(2) || got[2] != uint64(3) {
		t.Errorf("got height %v and width %v, want 2 and 3", got[1], got[2])
	}
	decoded, err := png.Decode(bytes.NewReader(got[4].([]byte)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := color.NRGBAModel.Convert(decoded.At(2, 1)), (color.NRGBA{200, 100, 50, 255}); got != want {
		t.Errorf("got pixel %v, want %v", got, want)
	}
}

// A resumed run writes a second file, after the first by name, which says where it starts.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	first, second := newWriter(t, dir, 0), newWriter(t, dir, 40)
	if first.Name() >= second.Name() {
		t.Errorf("got %s before %s, want the other order", first.Name(), second.Name())
	}
	for _, w := range []*Writer{first, second} {
		if base := filepath.Base(w.Name()); !strings.HasPrefix(base, "events.out.tfevents.") {
			t.Errorf("TensorBoard does not know the name %s", base)
		}
	}
	events := readEvents(t, second.Name())
	if len(events) != 2 || events[1][2] != uint64(40) || fields(t, events[1][7].([]byte))[1] != uint64(1) {
		t.Errorf("got %v, want a version and a session that starts at step 40", events)
	}
}

func TestConcurrent(t *testing.T) {
	w := newWriter(t, t.TempDir(), 0)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for step := range 50 {
				if err := w.Scalar(strings.Repeat("x", i+1), step, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got := len(readEvents(t, w.Name())); got != 402 {
		t.Errorf("got %d events, want 402", got)
	}
}

func TestErrors(t *testing.T) {
	w := newWriter(t, t.TempDir(), 0)
	for name, err := range map[string]error{
		"no tag":        w.Scalar("", 0, 1),
		"broken tag":    w.Scalar("a\xff", 0, 1),
		"negative step": w.Image("a", -1, image.NewGray(image.Rect(0, 0, 1, 1))),
		"no pixels":     w.Image("a", 0, image.NewGray(image.Rectangle{})),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "tfevents: ") {
			t.Errorf("%s: got %v, want an error of tfevents", name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if err := w.Scalar("a", 0, 1); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: got %v, want fs.ErrClosed", err)
	}
	if got := len(readEvents(t, w.Name())); got != 2 {
		t.Errorf("got %d events after errors, want 2", got)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(file, 0); err == nil {
		t.Error("a file where the folder should be: got no error")
	}
	if _, err := Create(t.TempDir(), -1); err == nil {
		t.Error("a first step below 0: got no error")
	}
}

// When the disk takes only a part of an event the part is cut off again, and once there is room the
// next event follows the last whole one. A limit on the size of files stands in for the full disk.
func TestFullDisk(t *testing.T) {
	w := newWriter(t, t.TempDir(), 0)
	if err := w.Scalar("loss", 1, 1); err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	limit := old
	limit.Cur = uint64(w.size) + 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	failed := w.Scalar("loss", 2, 2)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(failed, syscall.EFBIG) {
		t.Errorf("got %v, want EFBIG", failed)
	}
	if err := w.Scalar("loss", 3, 3); err != nil {
		t.Fatal(err)
	}
	events := readEvents(t, w.Name())
	if len(events) != 4 || events[2][2] != uint64(1) || events[3][2] != uint64(3) {
		t.Errorf("got %v, want the version, the start and the steps 1 and 3", events)
	}
}
