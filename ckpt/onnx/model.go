package onnx

// DType is the element type of a tensor, TensorProto.DataType.
type DType int32

// The element types, with the numbers of onnx.proto3.
const (
	Float    DType = 1
	Uint8    DType = 2
	Int8     DType = 3
	Uint16   DType = 4
	Int16    DType = 5
	Int32    DType = 6
	Int64    DType = 7
	Bool     DType = 9
	Float16  DType = 10
	Double   DType = 11
	Uint32   DType = 12
	Uint64   DType = 13
	BFloat16 DType = 16
)

// Model is a ModelProto.
type Model struct {
	IRVersion       int64
	Opset           int64 // of the operators of ONNX itself
	Producer        string
	ProducerVersion string
	Meta            map[string]string
	Graph           Graph
}

// Graph is a GraphProto: nodes in an order in which each finds its inputs.
type Graph struct {
	Name         string
	Nodes        []Node
	Initializers []Tensor
	Inputs       []Value
	Outputs      []Value
}

// Node is one operator.
type Node struct {
	Op              string
	Inputs, Outputs []string // an empty input is one left out
	Attrs           []Attr
}

// Attr is an attribute of a node; its value is int64, float32, string, []int64, []float32 or Tensor.
type Attr struct {
	Name  string
	Value any
}

// Attr returns the value of a node's attribute, nil where it has none of that name.
func (n *Node) Attr(name string) any {
	for _, a := range n.Attrs {
		if a.Name == name {
			return a.Value
		}
	}
	return nil
}

// Tensor is a TensorProto: row-major, little endian. A tensor that is read lies in the bytes given
// to Parse where the file has it as they are.
type Tensor struct {
	Name     string
	DType    DType
	Shape    []int
	Data     []byte
	External bool // its data are in another file
}

// Value is an input or output of a graph. A size is a number, or the name of one that varies.
type Value struct {
	Name  string
	DType DType
	Shape []Dim
}

// Dim is one size of a Value: Name if that is not empty, else Size.
type Dim struct {
	Size int
	Name string
}
