// Package tfevents writes TensorBoard event files: scalars and images that `tensorboard --logdir`
// shows.
//
// An event file is a series of TFRecords, each a protobuf message Event (tensorflow/core/util/
// event.proto) between checksums. The few fields that are needed are encoded by hand, so nothing of
// TensorFlow is linked in.
package tfevents

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Writer appends events to one file. Each event goes to the operating system in one write as soon as
// it is made: what was written is there after the process is killed. It may be used by several
// goroutines at once.
type Writer struct {
	mu   sync.Mutex
	file *os.File
	size int64 // bytes of whole records
	err  error // why the file cannot be written any more
}

// Create starts a new event file in dir, which is made if it is missing. A run has a file for each
// time it was started or resumed; TensorBoard reads all files of a folder as one run.
//
// firstStep is the step that the run goes on from, 0 for a new one. A run that was killed repeats the
// steps after its last checkpoint; TensorBoard drops what older files say of firstStep and later.
func Create(dir string, firstStep int) (*Writer, error) {
	if firstStep < 0 {
		return nil, fmt.Errorf("tfevents: want a first step of 0 or more, found %d", firstStep)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("tfevents: cannot make the folder for event files: %w", err)
	}
	file, err := create(dir)
	if err != nil {
		return nil, fmt.Errorf("tfevents: cannot create an event file: %w", err)
	}
	w := &Writer{file: file}
	version := event(0, 3, []byte("brain.Event:2"))       // Event.file_version
	start := event(firstStep, 7, appendVarint(nil, 1, 1)) // Event.session_log, SessionLog.status = START
	if err := cmp.Or(w.write(version), w.write(start)); err != nil {
		file.Close()
		os.Remove(file.Name())
		return nil, err
	}
	return w, nil
}

// create opens a file of a new name. TensorBoard wants "tfevents" in it and reads the files of a folder
// in the order of their names, so the time comes first, with its nanoseconds for a run that is resumed
// within the second.
func create(dir string) (*os.File, error) {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	host = strings.ReplaceAll(host, string(filepath.Separator), "_")
	now := time.Now()
	name := fmt.Sprintf("events.out.tfevents.%010d.%09d.%s.%d", now.Unix(), now.Nanosecond(), host, os.Getpid())
	return os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o666)
}

// Name is the path of the file.
func (w *Writer) Name() string { return w.file.Name() }

// Scalar adds the point (step, v) to the curve of the given tag, such as "train/loss". TensorBoard
// groups tags by what is before the slash and stores 32-bit floats.
func (w *Writer) Scalar(tag string, step int, v float64) error {
	if err := check(tag, step); err != nil {
		return err
	}
	value := appendBytes(nil, 1, []byte(tag))                    // Summary.Value.tag
	value = protowire.AppendTag(value, 2, protowire.Fixed32Type) // simple_value
	value = protowire.AppendFixed32(value, math.Float32bits(float32(v)))
	return w.write(event(step, 5, appendBytes(nil, 1, value))) // Event.summary, Summary.value
}

// Image adds a picture to the given tag, as a PNG.
func (w *Writer) Image(tag string, step int, img image.Image) error {
	if err := check(tag, step); err != nil {
		return err
	}
	var encoded bytes.Buffer
	if err := png.Encode(&encoded, img); err != nil {
		return fmt.Errorf("tfevents: cannot encode the picture %q of %v as PNG: %w", tag, img.Bounds().Size(), err)
	}
	picture := appendVarint(nil, 1, uint64(img.Bounds().Dy())) // Summary.Image.height
	picture = appendVarint(picture, 2, uint64(img.Bounds().Dx()))
	picture = appendVarint(picture, 3, 4) // colorspace RGBA; the viewer reads the PNG
	picture = appendBytes(picture, 4, encoded.Bytes())
	value := appendBytes(nil, 1, []byte(tag))
	value = appendBytes(value, 4, picture) // Summary.Value.image
	return w.write(event(step, 5, appendBytes(nil, 1, value)))
}

// check refuses what TensorBoard would not show.
func check(tag string, step int) error {
	switch {
	case tag == "" || !utf8.ValidString(tag):
		return fmt.Errorf("tfevents: want a tag of valid UTF-8, found %q", tag)
	case step < 0:
		return fmt.Errorf("tfevents: want a step of 0 or more for %q, found %d", tag, step)
	}
	return nil
}

// Close flushes the file to the disk and closes it. The writer cannot be used afterwards; closing it
// again does nothing.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.err, fs.ErrClosed) {
		return nil
	}
	w.err = fmt.Errorf("tfevents: %s: %w", w.file.Name(), fs.ErrClosed)
	if err := errors.Join(w.file.Sync(), w.file.Close()); err != nil {
		return fmt.Errorf("tfevents: cannot close the event file: %w", err)
	}
	return nil
}

// write appends a record. When that fails half-way, as on a full disk, it cuts the file back to whole
// records, because TensorBoard reads nothing after a broken one.
func (w *Writer) write(event []byte) error {
	record := appendRecord(nil, event)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	if _, err := w.file.Write(record); err != nil {
		if cut := w.file.Truncate(w.size); cut != nil {
			w.err = fmt.Errorf("tfevents: %s ends in half an event and takes no more: %w", w.file.Name(), cut)
		}
		return fmt.Errorf("tfevents: cannot write an event: %w", err)
	}
	w.size += int64(len(record))
	return nil
}
