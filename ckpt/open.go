package ckpt

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"ibot/ckpt/onnx"
	"ibot/internal/npy"
)

// Open reads the table of contents of a checkpoint file, whose format it recognises by content,
// not by name. Close the result when its arrays are not needed any more.
//
// The error says what the file looks like when it is no checkpoint, and what is wrong with it
// when it is a damaged one. It matches fs.ErrNotExist when there is no such file.
//
// A folder is opened where it is one of Hugging Face: with a config.json, which comes back in Meta
// under [ConfigKey], and weights.
func Open(path string) (*Checkpoint, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return openFolder(path)
	}
	return openFile(path)
}

func openFile(path string) (*Checkpoint, error) {
	m, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	c := New()
	c.Path = path
	c.closers = append(c.closers, m)
	if err := parse(m.data, c); err != nil {
		c.Close()
		return nil, fmt.Errorf("ckpt: %s %w", path, err)
	}
	return c, nil
}

// regular refuses what has no bytes to read.
func regular(path string, info fs.FileInfo) error {
	if info.IsDir() {
		return fmt.Errorf("ckpt: %s is a folder; name the checkpoint file in it", path)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("ckpt: %s is not a regular file (%v)", path, info.Mode().Type())
	}
	return nil
}

// parse fills c from a whole file. Its errors continue a sentence that begins with the file's
// name.
func parse(data []byte, c *Checkpoint) error {
	switch {
	case len(data) == 0:
		return fmt.Errorf("is empty")
	case bytes.HasPrefix(data, []byte("PK\x03\x04")), bytes.HasPrefix(data, []byte("PK\x05\x06")):
		return parseZip(data, c)
	case bytes.HasPrefix(data, []byte(npy.Magic)):
		return openNpy(data, c)
	case looksLikeSafetensors(data):
		return openSafetensors(data, c)
	case isLegacyPth(data):
		return openLegacyPth(data, c)
	case onnx.Looks(data):
		return openONNX(data, c)
	case looksLikeIndex(data):
		return openShards(c.Path, data, c)
	}
	return fmt.Errorf("is no checkpoint (safetensors, .pth, npz, npy or ONNX); it looks like %s", looksLike(data))
}

// parseZip tells the formats apart that are zip files.
func parseZip(data []byte, c *Checkpoint) error {
	a, err := openArchive(data)
	if err != nil {
		return err
	}
	arrays, other := 0, ""
	for _, f := range a.files {
		switch {
		case f.Name == "constants.pkl" || strings.HasSuffix(f.Name, "/constants.pkl"):
			return fmt.Errorf("is a TorchScript program, not a checkpoint; " +
				"save its weights in Python with torch.save(torch.jit.load(path).state_dict(), out)")
		case strings.HasSuffix(f.Name, ".npy"):
			arrays++
		case other == "":
			other = f.Name
		}
	}
	for _, f := range a.files {
		if root, ok := strings.CutSuffix(f.Name, "data.pkl"); ok && strings.Count(root, "/") <= 1 {
			return openPth(a, root, c)
		}
	}
	if arrays > 0 || len(a.files) == 0 { // numpy.savez without arrays writes an empty zip
		return openNpz(a, c)
	}
	return fmt.Errorf("is a zip file, but neither torch.save (no data.pkl) nor NumPy (no .npy) wrote it; "+
		"its first member is %q", clip(other))
}

// isLegacyPth recognises torch.save before 1.6: a pickle of the number 0x1950a86a20f9469cfc6c,
// behind the marks of its protocol, and more pickles behind it.
func isLegacyPth(data []byte) bool {
	return bytes.HasPrefix(data, []byte("L119547037146038801333356L\n.")) || // protocols 0 and 1
		bytes.Contains(data[:min(len(data), 32)], []byte("\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."))
}

// signatures are the beginnings of files that are given for checkpoints by mistake.
var signatures = []struct{ start, what string }{
	{"version https://git-lfs.github.com/", "a git-lfs pointer, not the file itself; run `git lfs pull`"},
	{"\x1f\x8b", "a gzip file; unpack it first"},
	{"\xfd7zXZ", "an xz file; unpack it first"},
	{"BZh", "a bzip2 file; unpack it first"},
	{"(\xb5/\xfd", "a zstd file; unpack it first"},
	{"\x89HDF\r\n", "an HDF5 file (Keras); convert it with Python"},
	{"GGUF", "a GGUF file (llama.cpp)"},
	{"\x89PNG", "a PNG picture"},
	{"\xff\xd8\xff", "a JPEG picture"},
	{"%PDF", "a PDF document"},
	{"\x7fELF", "a program"},
	{"SQLite format 3", "an SQLite database"},
	{"\x80\x02", "a bare Python pickle, not from torch.save"},
	{"\x80\x03", "a bare Python pickle, not from torch.save"},
	{"\x80\x04", "a bare Python pickle, not from torch.save"},
	{"\x80\x05", "a bare Python pickle, not from torch.save"},
}

// looksLike says in words what a file that is no checkpoint may be.
func looksLike(data []byte) string {
	head := data[:min(len(data), 4096)]
	for _, s := range signatures {
		if bytes.HasPrefix(head, []byte(s.start)) {
			return s.what
		}
	}
	lower := strings.ToLower(strings.TrimSpace(string(head)))
	switch {
	case len(data) >= 262 && string(data[257:262]) == "ustar":
		return "a tar file; unpack it first"
	case strings.HasPrefix(lower, "<!doctype html"), strings.HasPrefix(lower, "<html"):
		return "a web page: the download gave a page instead of the file"
	case strings.HasPrefix(lower, "<?xml"), strings.HasPrefix(lower, "<error"):
		return "an XML message: the download failed"
	case strings.HasPrefix(lower, "{"), strings.HasPrefix(lower, "["):
		return "JSON text"
	case len(bytes.Trim(head, "\x00")) == 0:
		return "zeros: a download or copy that never got its content"
	case isText(head):
		return fmt.Sprintf("text: %q", clip(string(head)))
	}
	return fmt.Sprintf("nothing known; its first bytes are % x", head[:min(len(head), 16)])
}

// isText reports whether b has only printable ASCII and the usual white space.
func isText(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool {
		return r > '~' || r < ' ' && r != '\n' && r != '\r' && r != '\t'
	})
}
