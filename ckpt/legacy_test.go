package ckpt_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/ckpt"
)

const (
	legacyHead = "\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + "\x80\x02M\xe9\x03." +
		"\x80\x02}(X\x0d\x00\x00\x00little_endian\x88u."
	legacyKeys = "\x80\x02](X\x01\x00\x00\x00aX\x01\x00\x00\x00be."
)

// legacyTensor is the call that makes a tensor of a storage of four floats; view is a pickled value.
func legacyTensor(key, view string, offset byte, shape, strides []byte) string {
	ints := func(values []byte) string {
		s := "("
		for _, v := range values {
			s += "K" + string([]byte{v})
		}
		return s + "t"
	}
	return "ctorch._utils\n_rebuild_tensor_v2\n(" + "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00" + key +
		"X\x03\x00\x00\x00cpuK\x04" + view + "tQ" + "K" + string([]byte{offset}) + ints(shape) + ints(strides) + "\x89NtR"
}

// legacyFile is a file of two storages of four floats: 0 to 3 and 4 to 7.
func legacyFile(object, keys string) []byte {
	file := legacyHead + "\x80\x02" + object + "." + keys
	b := []byte(file)
	for s := range 2 {
		b = binary.LittleEndian.AppendUint64(b, 4)
		b = append(b, ckpt.FromFloat32([]int{4}, []float32{float32(4 * s), float32(4*s + 1), float32(4*s + 2), float32(4*s + 3)}).Data...)
	}
	return b
}

// TestLegacyPth reads the format of PyTorch before 1.6: strides, offsets, views of storages, and
// tensors that share one.
func TestLegacyPth(t *testing.T) {
	view := "(X\x01\x00\x00\x00vK\x01K\x02t" // two elements from the second on
	object := "}(" +
		"X\x01\x00\x00\x00w" + legacyTensor("a", "N", 0, []byte{2, 2}, []byte{1, 2}) +
		"X\x01\x00\x00\x00v" + legacyTensor("b", view, 0, []byte{2}, []byte{1}) +
		"X\x01\x00\x00\x00s" + legacyTensor("a", "N", 2, []byte{2}, []byte{1}) +
		"X\x05\x00\x00\x00epochK\x09" + "u"
	whole := legacyFile(object, legacyKeys)
	c, err := openBytes(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float64{"w": {0, 2, 1, 3}, "v": {5, 6}, "s": {2, 3}} {
		if got := floats(t, c, name); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if c.Meta["epoch"] != "9" || c.Format != "pth" {
		t.Errorf("got %v of %s", c.Meta, c.Format)
	}
	path := filepath.Join(t.TempDir(), "cut")
	for n := range whole {
		if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ckpt.Open(path); err == nil {
			t.Errorf("%d of %d bytes were taken for a whole file", n, len(whole))
		}
	}
}

func TestLegacyPthRefuses(t *testing.T) {
	w := "}(X\x01\x00\x00\x00w" + legacyTensor("a", "N", 0, []byte{4}, []byte{1}) + "X\x01\x00\x00\x00v" + legacyTensor("b", "N", 0, []byte{4}, []byte{1}) + "u"
	for name, tc := range map[string]struct {
		file []byte
		want string
	}{
		"behind the storage":     {legacyFile("}(X\x01\x00\x00\x00w"+legacyTensor("a", "N", 1, []byte{4}, []byte{1})+"u", legacyKeys), "beyond its storage"},
		"a view behind it":       {legacyFile("}(X\x01\x00\x00\x00w"+legacyTensor("a", "(X\x01\x00\x00\x00vK\x03K\x02t", 0, []byte{1}, []byte{1})+"u", legacyKeys), "beyond its storage"},
		"a storage not used":     {legacyFile("}", legacyKeys), "does not use"},
		"a storage not there":    {legacyFile(w, "\x80\x02](X\x01\x00\x00\x00ae."), `does not have the storage "b"`},
		"a storage twice":        {legacyFile(w, "\x80\x02](X\x01\x00\x00\x00aX\x01\x00\x00\x00ae."), "twice"},
		"more behind it":         {append(legacyFile(w, legacyKeys), 0), "belong to nothing"},
		"another big number":     {[]byte(strings.Replace(string(legacyFile(w, legacyKeys)), "K\x04N", "M\xff\xffN", 1)), "more than the file has bytes"},
		"big-endian":             {[]byte(strings.Replace(string(legacyFile(w, legacyKeys)), "endian\x88", "endian\x89", 1)), "big-endian"},
		"a program in its place": {legacyFile("cos\nsystem\n(X\x02\x00\x00\x00lstR", legacyKeys), `"os.system"`},
	} {
		if _, err := openBytes(t, tc.file); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}
