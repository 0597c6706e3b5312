package npy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ibot/internal/npy"
)

// file is an npy file of version 1 with the given header.
func file(dict string) []byte {
	return fmt.Appendf(nil, "%s\x01\x00%c%c%s", npy.Magic, len(dict)%256, len(dict)/256, dict)
}

func TestHeaders(t *testing.T) {
	for dict, want := range map[string]npy.Header{
		"{'descr': '|u1', 'fortran_order': False, 'shape': (5, 2, 3, 3), }  \n": {Descr: "|u1", Shape: []int{5, 2, 3, 3}, Count: 90},
		"{'descr': '<i8', 'fortran_order': False, 'shape': (5,), }\n":           {Descr: "<i8", Shape: []int{5}, Count: 5},
		`{"shape": (2L, 0L), "fortran_order": True, "descr": "<U7"}`:            {Descr: "<U7", Fortran: true, Shape: []int{2, 0}},
		"{'descr': '<f4', 'fortran_order': False, 'shape': ()}":                 {Descr: "<f4", Count: 1},
	} {
		got, err := npy.ParseHeader(file(dict))
		if err != nil {
			t.Errorf("%s: %v", dict, err)
			continue
		}
		if got.Descr != want.Descr || got.Fortran != want.Fortran || !slices.Equal(got.Shape, want.Shape) ||
			got.Count != want.Count || got.Start != 10+len(dict) {
			t.Errorf("%s: got %+v, want %+v", dict, *got, want)
		}
	}
}

func TestHeadersThatAreRefused(t *testing.T) {
	good := file("{'descr': '|u1', 'fortran_order': False, 'shape': (5,)}")
	for i := range good {
		if _, err := npy.ParseHeader(good[:i]); err == nil {
			t.Errorf("a header of %d of %d bytes was read", i, len(good))
		}
	}
	for text, want := range map[string]string{
		string(file("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (5,)}")):            "records",
		string(file("{'descr': '|u1', 'fortran_order': False}")):                                    "not understood",
		string(file("{'descr': '|u1', 'fortran_order': Maybe, 'shape': (5,)}")):                     "not understood",
		string(file("{'descr': '|u1', 'fortran_order': False, 'shape': (-5,)}")):                    "claims the shape",
		string(file("{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999, 9999999999)}")): "claims the shape",
		string(file("{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (5,)}")):     "not understood",
		npy.Magic + "\x02\x00\xff\xff\xff\xff{}":                                                    "claims a header",
		npy.Magic + "\x09\x00\x02\x00{}":                                                            "version 9",
	} {
		if _, err := npy.ParseHeader([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want one that says %q", text, err, want)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(file("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 2, 3, 3), }"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := npy.ParseHeader(b)
		if err == nil && (h.Start > len(b) || h.Count < 0) {
			t.Errorf("got %+v of %d bytes", *h, len(b))
		}
	})
}
