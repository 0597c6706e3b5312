package ckpt_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/ckpt"
)

// pickled is pickle.dumps({"names": ["a", "b"], "n": 3, "x": np.array([5, 7], dtype="<i8"), "e": []},
// protocol=2) of Python 3 with NumPy 1.
const pickled = "\x80\x02}q\x00(X\x05\x00\x00\x00namesq\x01]q\x02(X\x01\x00\x00\x00aq\x03X\x01\x00\x00\x00bq\x04eX\x01\x00\x00\x00nK\x03X\x01\x00\x00\x00x" +
	"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85q\x07c_codecs\nencode\nq\x08X\x01\x00\x00\x00bX\x06\x00\x00\x00latin1\x86R" +
	"\x87R(K\x01K\x02\x85cnumpy\ndtype\nX\x02\x00\x00\x00i8\x89\x88\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" +
	"h\x08X\x10\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00X\x06\x00\x00\x00latin1\x86Rtb" +
	"X\x01\x00\x00\x00e]u."

func TestOpenPickle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "truth.pkl")
	if err := os.WriteFile(path, []byte(pickled), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := ckpt.OpenPickle(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Meta["names"] != `["a","b"]` || c.Meta["n"] != "3" || c.Meta["e"] != "[]" || c.Format != "pickle" {
		t.Errorf("got %v, %s", c.Meta, c.Format)
	}
	a, err := c.Array("x")
	if err != nil {
		t.Fatal(err)
	}
	if x, err := a.Int64(); err != nil || !slices.Equal(x, []int64{5, 7}) {
		t.Errorf("got %v, %v", x, err)
	}
}

func TestOpenPickleErrors(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"empty":   {"", "needs 1 more bytes"},
		"command": {"cos\nsystem\n(S'true'\ntR.", "os.system"},
		"cut off": {pickled[:len(pickled)-1], "more bytes"},
		"outside": {"K\x01Q.", "refers to data outside of it"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(c.content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ckpt.OpenPickle(path); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
