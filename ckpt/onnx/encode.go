package onnx

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxModel is the limit of protocol buffers for one message.
const maxModel = math.MaxInt32

// The numbers of the fields, as onnx.proto3 has them.
const (
	modelIRVersion, modelProducer, modelProducerVersion, modelGraph, modelOpset, modelMeta = 1, 2, 3, 7, 8, 14
	entryKey, entryValue                                                                   = 1, 2
	opsetDomain, opsetVersion                                                              = 1, 2
	graphNode, graphName, graphInitializer, graphInput, graphOutput                        = 1, 2, 5, 11, 12
	nodeInput, nodeOutput, nodeOp, nodeAttr, nodeDomain                                    = 1, 2, 4, 5, 7
	attrName, attrFloat, attrInt, attrString, attrTensor, attrFloats, attrInts, attrType   = 1, 2, 3, 4, 5, 7, 8, 20
	tensorDims, tensorType, tensorFloats, tensorInts, tensorName, tensorLongs              = 1, 2, 4, 5, 8, 7
	tensorRaw, tensorDoubles, tensorUnsigned, tensorLocation                               = 9, 10, 11, 14
	valueName, valueType                                                                   = 1, 2
	typeTensor, tensorTypeElem, tensorTypeShape                                            = 1, 1, 2
	shapeDim, dimValue, dimParam                                                           = 1, 1, 2
)

// AttributeProto.AttributeType.
const (
	kindFloat, kindInt, kindString, kindTensor, kindFloats, kindInts = 1, 2, 3, 4, 6, 7
)

// message is a protocol buffer under construction.
type message []byte

func (m *message) integer(field protowire.Number, v int64) {
	*m = protowire.AppendTag(*m, field, protowire.VarintType)
	*m = protowire.AppendVarint(*m, uint64(v))
}

func (m *message) float(field protowire.Number, v float32) {
	*m = protowire.AppendTag(*m, field, protowire.Fixed32Type)
	*m = protowire.AppendFixed32(*m, math.Float32bits(v))
}

func (m *message) text(field protowire.Number, s string) { m.nested(field, message(s)) }

func (m *message) nested(field protowire.Number, inner message) {
	*m = protowire.AppendTag(*m, field, protowire.BytesType)
	*m = protowire.AppendBytes(*m, inner)
}

// Write writes the model. The weights are written as they are, without a copy of the whole. A model
// of 2 GiB or more is an error, for no reader of protocol buffers takes it.
func (m *Model) Write(w io.Writer) error {
	var head, graph message
	head.integer(modelIRVersion, m.IRVersion)
	head.text(modelProducer, m.Producer)
	head.text(modelProducerVersion, m.ProducerVersion)
	var opset message
	opset.text(opsetDomain, "")
	opset.integer(opsetVersion, m.Opset)
	head.nested(modelOpset, opset)
	for _, key := range slices.Sorted(maps.Keys(m.Meta)) {
		var e message
		e.text(entryKey, key)
		e.text(entryValue, m.Meta[key])
		head.nested(modelMeta, e)
	}

	graph.text(graphName, m.Graph.Name)
	for _, n := range m.Graph.Nodes {
		e, err := n.encode()
		if err != nil {
			return err
		}
		graph.nested(graphNode, e)
	}
	for _, v := range m.Graph.Inputs {
		graph.nested(graphInput, v.encode())
	}
	for _, v := range m.Graph.Outputs {
		graph.nested(graphOutput, v.encode())
	}
	total := len(graph)
	heads := make([]message, len(m.Graph.Initializers))
	for i, t := range m.Graph.Initializers {
		inner := t.encodeHead()
		heads[i] = protowire.AppendTag(nil, graphInitializer, protowire.BytesType)
		heads[i] = protowire.AppendVarint(heads[i], uint64(len(inner)+len(t.Data)))
		heads[i] = append(heads[i], inner...)
		if total += len(heads[i]) + len(t.Data); total > maxModel-len(head)-16 {
			return fmt.Errorf("onnx: the model would have more than 2 GiB, the limit of the format")
		}
	}
	head = protowire.AppendTag(head, modelGraph, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(total))
	if _, err := w.Write(append(head, graph...)); err != nil {
		return err
	}
	for i, t := range m.Graph.Initializers {
		if _, err := w.Write(heads[i]); err != nil {
			return err
		}
		if _, err := w.Write(t.Data); err != nil {
			return err
		}
	}
	return nil
}

// encodeHead writes the tensor but for the bytes of its data, which follow.
func (t *Tensor) encodeHead() message {
	var m message
	for _, d := range t.Shape {
		m.integer(tensorDims, int64(d))
	}
	m.integer(tensorType, int64(t.DType))
	m.text(tensorName, t.Name)
	m = protowire.AppendTag(m, tensorRaw, protowire.BytesType)
	return protowire.AppendVarint(m, uint64(len(t.Data)))
}

func (n *Node) encode() (message, error) {
	var m message
	for _, name := range n.Inputs {
		m.text(nodeInput, name)
	}
	for _, name := range n.Outputs {
		m.text(nodeOutput, name)
	}
	m.text(nodeOp, n.Op)
	for _, a := range n.Attrs {
		e, err := a.encode()
		if err != nil {
			return nil, err
		}
		m.nested(nodeAttr, e)
	}
	return m, nil
}

func (a *Attr) encode() (message, error) {
	var m message
	m.text(attrName, a.Name)
	switch v := a.Value.(type) {
	case int64:
		m.integer(attrInt, v)
		m.integer(attrType, kindInt)
	case float32:
		m.float(attrFloat, v)
		m.integer(attrType, kindFloat)
	case string:
		m.text(attrString, v)
		m.integer(attrType, kindString)
	case []int64:
		for _, x := range v {
			m.integer(attrInts, x)
		}
		m.integer(attrType, kindInts)
	case []float32:
		for _, x := range v {
			m.float(attrFloats, x)
		}
		m.integer(attrType, kindFloats)
	case Tensor:
		m.nested(attrTensor, append(v.encodeHead(), v.Data...))
		m.integer(attrType, kindTensor)
	default:
		return nil, fmt.Errorf("onnx: attribute %q is a %T, which is not written", a.Name, a.Value)
	}
	return m, nil
}

func (v *Value) encode() message {
	var shape message
	for _, d := range v.Shape {
		var e message
		if d.Name != "" {
			e.text(dimParam, d.Name)
		} else {
			e.integer(dimValue, int64(d.Size))
		}
		shape.nested(shapeDim, e)
	}
	var tensor, typ, m message
	tensor.integer(tensorTypeElem, int64(v.DType))
	tensor.nested(tensorTypeShape, shape)
	typ.nested(typeTensor, tensor)
	m.text(valueName, v.Name)
	m.nested(valueType, typ)
	return m
}

// FromInt64 returns a tensor of int64.
func FromInt64(name string, shape []int, values ...int64) Tensor {
	t := Tensor{Name: name, DType: Int64, Shape: shape}
	for _, v := range values {
		t.Data = binary.LittleEndian.AppendUint64(t.Data, uint64(v))
	}
	return t
}

// FromFloat32 returns a tensor of float32.
func FromFloat32(name string, shape []int, values ...float32) Tensor {
	t := Tensor{Name: name, DType: Float, Shape: shape}
	for _, v := range values {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v))
	}
	return t
}
