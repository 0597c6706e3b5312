package ckpt

import (
	"fmt"
	"strconv"

	"ibot/ckpt/onnx"
)

// onnxTypes are the element types that ONNX and this package share.
var onnxTypes = map[onnx.DType]DType{
	onnx.Float: Float32, onnx.Double: Float64, onnx.Float16: Float16, onnx.BFloat16: BFloat16,
	onnx.Int64: Int64, onnx.Int32: Int32, onnx.Int16: Int16, onnx.Int8: Int8,
	onnx.Uint8: Uint8, onnx.Uint16: Uint16, onnx.Uint32: Uint32, onnx.Uint64: Uint64, onnx.Bool: Bool,
}

// openONNX lists the initializers of an ONNX model; the graph is no concern of a checkpoint. What
// the model says about itself becomes metadata.
func openONNX(data []byte, c *Checkpoint) error {
	c.Format = "onnx"
	m, err := onnx.Parse(data)
	if err != nil {
		return fmt.Errorf("looks like an ONNX model and cannot be read: %w", err)
	}
	for _, t := range m.Graph.Initializers {
		dtype, ok := onnxTypes[t.DType]
		switch {
		case t.External:
			return fmt.Errorf("is an ONNX model that keeps %q in another file, which is not read", clip(t.Name))
		case !ok:
			return fmt.Errorf("is an ONNX model whose %q has type %d, which is not read", clip(t.Name), t.DType)
		}
		n, err := elements(t.Shape)
		if err != nil {
			return fmt.Errorf("is an ONNX model whose %q is impossible: %w", clip(t.Name), err)
		}
		if n*dtype.Size() != len(t.Data) {
			return fmt.Errorf("is an ONNX model whose %q (%v %s) has %d bytes", clip(t.Name), dtype, shapeText(t.Shape), len(t.Data))
		}
		content := t.Data
		spec := Spec{t.Name, dtype, t.Shape, int64(len(content))}
		if err := c.addEntry(entry{spec, func() ([]byte, error) { return content, nil }, true}); err != nil {
			return fmt.Errorf("is an ONNX model with two arrays named %q", clip(t.Name))
		}
	}
	for key, text := range m.Meta {
		c.Meta[key] = text
	}
	c.Meta["onnx.producer"] = m.Producer
	c.Meta["onnx.opset"] = strconv.FormatInt(m.Opset, 10)
	c.Meta["onnx.nodes"] = strconv.Itoa(len(m.Graph.Nodes))
	return nil
}
