package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// maxAxes bounds the axes of a tensor, as NumPy does.
	maxAxes = 64

	// maxFields and maxNumbers bound what a few bytes of a file can become: a field of two bytes a node of
	// a hundred, a byte of packed numbers eight. A ViT-L has 20,000 fields. Raw data are neither.
	maxFields  = 1 << 20
	maxNumbers = 1 << 24
)

// parser counts what it has read.
type parser struct{ seen, made int }

// Looks reports whether a file begins as ONNX models do: with the version of the format, and then
// the producer, the graph or the set of operators.
func Looks(data []byte) bool {
	if len(data) < 4 || data[0] != modelIRVersion<<3 || data[1] == 0 || data[1] > 32 {
		return false
	}
	field, kind, n := protowire.ConsumeTag(data[2:])
	return n > 0 && kind == protowire.BytesType && (field == modelProducer || field == modelGraph || field == modelOpset)
}

// Parse reads a model. Tensors lie in data where it has them as they are; what else is made is
// bounded.
func Parse(data []byte) (*Model, error) {
	m, p := &Model{Meta: map[string]string{}}, &parser{}
	sawGraph := false
	err := p.fields(data, func(field protowire.Number, v value) error {
		switch field {
		case modelIRVersion:
			m.IRVersion = v.integer()
		case modelProducer:
			m.Producer = string(v.bytes)
		case modelProducerVersion:
			m.ProducerVersion = string(v.bytes)
		case modelOpset:
			return p.parseOpset(m, v.bytes)
		case modelMeta:
			return p.parseMeta(m, v.bytes)
		case modelGraph:
			if sawGraph {
				return errors.New("it has two graphs")
			}
			sawGraph = true
			return p.parseGraph(&m.Graph, v.bytes)
		}
		return nil
	})
	if err == nil && !sawGraph {
		err = errors.New("it has no graph")
	}
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return m, nil
}

// value is the value of a field: a number, or the bytes of a text, a message or packed numbers.
type value struct {
	kind  protowire.Type
	num   uint64
	bytes []byte
}

func (v value) integer() int64 { return int64(v.num) }

// fields calls f for each field of a message.
func (p *parser) fields(data []byte, f func(field protowire.Number, v value) error) error {
	for len(data) > 0 {
		if p.seen++; p.seen > maxFields {
			return fmt.Errorf("it has more than %d fields", maxFields)
		}
		field, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Errorf("it is damaged or cut off: %w", protowire.ParseError(n))
		}
		data = data[n:]
		v := value{kind: kind}
		switch kind {
		case protowire.VarintType:
			v.num, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			var w uint32
			w, n = protowire.ConsumeFixed32(data)
			v.num = uint64(w)
		case protowire.Fixed64Type:
			v.num, n = protowire.ConsumeFixed64(data)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(field, kind, data)
		}
		if n < 0 {
			return fmt.Errorf("it is damaged or cut off: %w", protowire.ParseError(n))
		}
		data = data[n:]
		if err := f(field, v); err != nil {
			return err
		}
	}
	return nil
}

// numbers appends the integers of a repeated field, packed or one by one.
func (p *parser) numbers(to []int64, v value) ([]int64, error) {
	if v.kind != protowire.BytesType {
		return append(to, v.integer()), nil
	}
	for b := v.bytes; len(b) > 0; {
		x, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		if p.made++; p.made > maxNumbers {
			return nil, fmt.Errorf("it has more than %d numbers outside of raw data", maxNumbers)
		}
		to, b = append(to, int64(x)), b[n:]
	}
	return to, nil
}

func (p *parser) parseOpset(m *Model, data []byte) error {
	domain, version := "", int64(0)
	err := p.fields(data, func(field protowire.Number, v value) error {
		switch field {
		case opsetDomain:
			domain = string(v.bytes)
		case opsetVersion:
			version = v.integer()
		}
		return nil
	})
	if domain == "" || domain == "ai.onnx" {
		m.Opset = version
	}
	return err
}

func (p *parser) parseMeta(m *Model, data []byte) error {
	var key, text string
	err := p.fields(data, func(field protowire.Number, v value) error {
		switch field {
		case entryKey:
			key = string(v.bytes)
		case entryValue:
			text = string(v.bytes)
		}
		return nil
	})
	m.Meta[key] = text
	return err
}

func (p *parser) parseGraph(g *Graph, data []byte) error {
	return p.fields(data, func(field protowire.Number, v value) error {
		switch field {
		case graphName:
			g.Name = string(v.bytes)
		case graphNode:
			n, err := p.parseNode(v.bytes)
			g.Nodes = append(g.Nodes, n)
			return err
		case graphInitializer:
			t, err := p.parseTensor(v.bytes)
			g.Initializers = append(g.Initializers, t)
			return err
		case graphInput:
			in, err := p.parseValue(v.bytes)
			g.Inputs = append(g.Inputs, in)
			return err
		case graphOutput:
			out, err := p.parseValue(v.bytes)
			g.Outputs = append(g.Outputs, out)
			return err
		}
		return nil
	})
}

func (p *parser) parseNode(data []byte) (n Node, err error) {
	err = p.fields(data, func(field protowire.Number, v value) error {
		switch field {
		case nodeInput:
			n.Inputs = append(n.Inputs, string(v.bytes))
		case nodeOutput:
			n.Outputs = append(n.Outputs, string(v.bytes))
		case nodeOp:
			n.Op = string(v.bytes)
		case nodeDomain:
			if d := string(v.bytes); d != "" && d != "ai.onnx" {
				n.Op = d + "." + n.Op
			}
		case nodeAttr:
			a, err := p.parseAttr(v.bytes)
			n.Attrs = append(n.Attrs, a)
			return err
		}
		return nil
	})
	return n, err
}

// parseAttr reads an attribute. One of a kind that Attr does not have, such as a graph, has the
// value nil.
func (p *parser) parseAttr(data []byte) (a Attr, err error) {
	err = p.fields(data, func(field protowire.Number, v value) error {
		switch field {
		case attrName:
			a.Name = string(v.bytes)
		case attrFloat:
			a.Value = math.Float32frombits(uint32(v.num))
		case attrInt:
			a.Value = v.integer()
		case attrString:
			a.Value = string(v.bytes)
		case attrTensor:
			t, err := p.parseTensor(v.bytes)
			a.Value = t
			return err
		case attrInts:
			list, _ := a.Value.([]int64)
			list, err := p.numbers(list, v)
			a.Value = list
			return err
		case attrFloats:
			list, _ := a.Value.([]float32)
			raw := v.bytes
			if v.kind == protowire.Fixed32Type {
				raw = binary.LittleEndian.AppendUint32(nil, uint32(v.num))
			}
			for ; len(raw) >= 4; raw = raw[4:] {
				list = append(list, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
			}
			a.Value = list
		}
		return nil
	})
	return a, err
}

// parseTensor reads a tensor, whose numbers are raw bytes or in a field of their type.
func (p *parser) parseTensor(data []byte) (t Tensor, err error) {
	var typed []byte // numbers in fields, as raw bytes
	err = p.fields(data, func(field protowire.Number, v value) error {
		switch field {
		case tensorName:
			t.Name = string(v.bytes)
		case tensorType:
			t.DType = DType(v.num)
		case tensorRaw:
			t.Data = v.bytes
		case tensorLocation:
			t.External = v.num == 1
		case tensorDims:
			dims, err := p.numbers(nil, v)
			if err != nil {
				return err
			}
			for _, d := range dims {
				t.Shape = append(t.Shape, int(d))
			}
			if len(t.Shape) > maxAxes {
				return fmt.Errorf("a tensor has more than %d axes", maxAxes)
			}
		case tensorFloats:
			if v.kind == protowire.BytesType {
				typed = append(typed, v.bytes...)
			} else {
				typed = binary.LittleEndian.AppendUint32(typed, uint32(v.num))
			}
		case tensorDoubles:
			if v.kind == protowire.BytesType {
				typed = append(typed, v.bytes...)
			} else {
				typed = binary.LittleEndian.AppendUint64(typed, v.num)
			}
		case tensorInts, tensorLongs, tensorUnsigned:
			list, err := p.numbers(nil, v)
			if err != nil {
				return err
			}
			for _, x := range list {
				typed = binary.LittleEndian.AppendUint64(typed, uint64(x))
			}
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	if t.Data == nil {
		t.Data = t.narrowed(typed)
	}
	return t, nil
}

// narrowed brings integers that stand in fields, eight bytes each, to the width of the type.
func (t *Tensor) narrowed(typed []byte) []byte {
	width := 8
	switch t.DType {
	case Float, Double, Int64, Uint64:
		return typed
	case Int32, Uint32:
		width = 4
	case Int16, Uint16, Float16, BFloat16:
		width = 2
	case Int8, Uint8, Bool:
		width = 1
	}
	out := make([]byte, 0, len(typed)/8*width)
	for ; len(typed) >= 8; typed = typed[8:] {
		out = append(out, typed[:width]...)
	}
	return out
}

func (p *parser) parseValue(data []byte) (out Value, err error) {
	err = p.fields(data, func(field protowire.Number, v value) error {
		switch field {
		case valueName:
			out.Name = string(v.bytes)
		case valueType:
			return p.fields(v.bytes, func(field protowire.Number, v value) error {
				if field != typeTensor {
					return nil
				}
				return p.fields(v.bytes, func(field protowire.Number, v value) error {
					switch field {
					case tensorTypeElem:
						out.DType = DType(v.num)
					case tensorTypeShape:
						return p.fields(v.bytes, func(_ protowire.Number, v value) error {
							d, err := p.parseDim(v.bytes)
							out.Shape = append(out.Shape, d)
							return err
						})
					}
					return nil
				})
			})
		}
		return nil
	})
	return out, err
}

func (p *parser) parseDim(data []byte) (d Dim, err error) {
	err = p.fields(data, func(field protowire.Number, v value) error {
		switch field {
		case dimValue:
			d.Size = int(v.integer())
		case dimParam:
			d.Name = string(v.bytes)
		}
		return nil
	})
	return d, err
}
