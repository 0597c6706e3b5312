package ckpt_test

import (
	"bytes"
	"testing"

	"ibot/ckpt"
)

// maxFuzzed keeps single arrays small enough for many runs a second.
const maxFuzzed = 1 << 20

// fuzzOpen opens whatever the fuzzer makes of the seeds. What opens must keep its promises:
// every array has the size it says, or reading it is an error; what can be written reads back.
func fuzzOpen(f *testing.F, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := ckpt.Parse(file)
		if err != nil {
			return
		}
		whole := true
		for _, s := range c.Specs() {
			if s.Bytes > maxFuzzed {
				whole = false
				continue
			}
			a, err := c.Array(s.Name)
			if err != nil {
				whole = false
				continue
			}
			if err := a.Check(); err != nil {
				t.Fatalf("%q: %v", s.Name, err)
			}
		}
		var out bytes.Buffer
		if !whole || ckpt.Encode(&out, c) != nil { // it has a type that safetensors has not
			return
		}
		back, err := ckpt.Parse(out.Bytes())
		if err != nil {
			t.Fatalf("what was written does not open: %v", err)
		}
		if r := ckpt.Diff(c, back); !r.Equal() || r.Reordered {
			t.Fatal(r)
		}
	})
}

func FuzzSafetensors(f *testing.F) {
	_, whole := written(f, small(f))
	fuzzOpen(f, whole, st(`{}`, 0), st(`{"__metadata__":{"a":"b"}}`, 0),
		st(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}`, 9))
}

func FuzzNpz(f *testing.F) {
	fortran := npy(1, "{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }\n", make([]byte, 24))
	unicode := npy(2, "{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }\n", make([]byte, 8))
	fuzzOpen(f, fortran, unicode, zipOf(f, 0, "a.npy", fortran, "b.npy", unicode), zipOf(f, 8, "a.npy", fortran))
}

// FuzzPickle lets the fuzzer write the program and leaves the zip file around it whole.
func FuzzPickle(f *testing.F) {
	view := floatTensor("0", 12, 0, []int{4, 3}, []int{1, 4})
	for _, parts := range [][]string{
		{"}(" + text("model") + "}" + text("w") + view + "s" + text("epoch") + "K\x07u."},
		{"cargparse\nNamespace\n)\x81}(" + text("lr") + "G?\xe0\x00\x00\x00\x00\x00\x00" + text("arch") + text("vit") + "ub."},
		{"(lp0\nI5\naI01\naL7L\naF0.5\nag0\n0(I1\nI2\ntp1\n0g1\n."},
		{"\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x8f(K\x01\x90\x91\x96\x01\x00\x00\x00\x00\x00\x00\x00a\x86."},
		{"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + tuple("K\x00") + "C\x01btR(K\x01" + tuple("K\x02", "K\x02") +
			"cnumpy\ndtype\n" + tuple(text("u1"), "\x89", "\x88") + "R" + "\x88C\x04\x01\x03\x02\x04tb."},
	} {
		f.Add(assemble(parts...))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		c, err := ckpt.Parse(pthOf(t, program, "0", make([]byte, 48)))
		if err != nil {
			return
		}
		for _, s := range c.Specs() {
			if s.Bytes > maxFuzzed {
				continue
			}
			if err := array(t, c, s.Name).Check(); err != nil {
				t.Fatalf("%q: %v", s.Name, err)
			}
		}
	})
}

// FuzzPth changes the zip file too.
func FuzzPth(f *testing.F) {
	program := assemble("}", text("w"), floatTensor("0", 12, 0, []int{4, 3}, []int{1, 4}), "s.")
	fuzzOpen(f, pthOf(f, program, "0", make([]byte, 48)), zipOf(f, 8, "x/data.pkl", program, "x/byteorder", "little", "x/data/0", make([]byte, 48)))
}

// FuzzLegacyPth does so for the format of PyTorch before 1.6.
func FuzzLegacyPth(f *testing.F) {
	w := "}(X\x01\x00\x00\x00w" + legacyTensor("a", "N", 0, []byte{2, 2}, []byte{1, 2}) +
		"X\x01\x00\x00\x00v" + legacyTensor("b", "(X\x01\x00\x00\x00vK\x01K\x02t", 0, []byte{2}, []byte{1}) + "u"
	fuzzOpen(f, legacyFile(w, legacyKeys), legacyFile("}", "\x80\x02]."))
}
