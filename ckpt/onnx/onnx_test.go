package onnx_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"ibot/ckpt/onnx"
)

func model() *onnx.Model {
	return &onnx.Model{
		IRVersion: 8, Opset: 17, Producer: "ibot", ProducerVersion: "1", Meta: map[string]string{"a": "b"},
		Graph: onnx.Graph{
			Name: "g",
			Nodes: []onnx.Node{{
				Op: "Add", Inputs: []string{"x", "", "w"}, Outputs: []string{"y"},
				Attrs: []onnx.Attr{
					{Name: "i", Value: int64(-1)},
					{Name: "f", Value: float32(.5)},
					{Name: "s", Value: "text"},
					{Name: "is", Value: []int64{1, -2}},
					{Name: "fs", Value: []float32{1, 2}},
					{Name: "t", Value: onnx.FromInt64("t", []int{1}, 3)},
				},
			}},
			Initializers: []onnx.Tensor{onnx.FromFloat32("w", []int{2}, 1, 2), onnx.FromInt64("n", nil, -7)},
			Inputs:       []onnx.Value{{Name: "x", DType: onnx.Float, Shape: []onnx.Dim{{Name: "batch"}, {Size: 2}}}},
			Outputs:      []onnx.Value{{Name: "y", DType: onnx.Float, Shape: []onnx.Dim{{Name: "batch"}, {Size: 2}}}},
		},
	}
}

func encoded(t testing.TB, m *onnx.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	want := model()
	file := encoded(t, want)
	got, err := onnx.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if !onnx.Looks(file) {
		t.Error("the file does not look like ONNX")
	}
	for n := range file { // never a panic; a cut between two fields cannot be told
		onnx.Parse(file[:n])
	}
	if n := got.Graph.Nodes[0]; n.Attr("s") != "text" || n.Attr("none") != nil {
		t.Errorf("attributes: %v %v", n.Attr("s"), n.Attr("none"))
	}
}

func TestParseRefuses(t *testing.T) {
	file := encoded(t, model())
	for name, data := range map[string][]byte{
		"nothing": nil, "no graph": {8, 8}, "cut off": file[:len(file)-3], "two graphs": append(bytes.Clone(file), 0x3a, 0),
	} {
		if _, err := onnx.Parse(data); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

// TestParseIsBounded: two bytes a node, and a byte a number, are refused before they fill the memory.
func TestParseIsBounded(t *testing.T) {
	message := func(field byte, content []byte) []byte {
		return append(binary.AppendUvarint([]byte{field<<3 | 2}, uint64(len(content))), content...)
	}
	const graph, node, initializer, int32s = 7, 1, 5, 5
	for name, file := range map[string][]byte{
		"nodes":   message(graph, bytes.Repeat([]byte{node<<3 | 2, 0}, 1<<20+1)),
		"numbers": message(graph, message(initializer, message(int32s, make([]byte, 1<<24+1)))),
	} {
		if _, err := onnx.Parse(file); err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteFails(t *testing.T) {
	if err := model().Write(full{}); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
	m := model()
	m.Graph.Nodes[0].Attrs[0].Value = 1 // an int is not one of the types
	if err := m.Write(&bytes.Buffer{}); err == nil {
		t.Error("an attribute of an unknown type was written")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(encoded(f, model()))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnx.Parse(data)
		if err != nil {
			return
		}
		size := 0
		for _, tensor := range m.Graph.Initializers {
			size += len(tensor.Data) + 8*len(tensor.Shape)
		}
		if size > 16*len(data)+1024 {
			t.Fatalf("%d bytes became %d", len(data), size)
		}
	})
}
