package exchange

import (
	"fmt"
	"math"

	"ibot/ckpt/onnx"
	"ibot/torch"
)

// runONNX runs a model on libtorch, node by node, by the definitions of ONNX's operators
// (github.com/onnx/onnx/blob/main/docs/Operators.md), those that buildONNX writes. It knows nothing of
// vision transformers: what it gives is what the file says. It returns all values by name, and panics
// with a [*torch.Error] on what it does not know.
func runONNX(m *onnx.Model, values map[string]*torch.Tensor) map[string]*torch.Tensor {
	for _, t := range m.Graph.Initializers {
		dtype := torch.Float32
		if t.DType == onnx.Int64 {
			dtype = torch.Int64
		}
		values[t.Name] = torch.FromBytes(t.Data, dtype, t.Shape...)
	}
	for _, n := range m.Graph.Nodes {
		in := make([]*torch.Tensor, len(n.Inputs))
		for i, name := range n.Inputs {
			if in[i] = values[name]; in[i] == nil && name != "" {
				panic(&torch.Error{Op: n.Op, Msg: fmt.Sprintf("its input %q has no value yet", name)})
			}
		}
		values[n.Outputs[0]] = runNode(&n, in)
	}
	return values
}

// integers reads a row of int64.
func integers(t *torch.Tensor) []int {
	var out []int
	for _, v := range torch.Read[int64](t) {
		out = append(out, int(v))
	}
	return out
}

// wholes are the integers of an attribute.
func wholes(n *onnx.Node, name string) []int {
	list, _ := n.Attr(name).([]int64)
	out := make([]int, len(list))
	for i, v := range list {
		out[i] = int(v)
	}
	return out
}

// whole is an integer attribute, and number a float one.
func whole(n *onnx.Node, name string) int {
	v, _ := n.Attr(name).(int64)
	return int(v)
}

func number(n *onnx.Node, name string) float64 {
	v, _ := n.Attr(name).(float32)
	return float64(v)
}

// runNode runs one operator.
func runNode(n *onnx.Node, in []*torch.Tensor) *torch.Tensor {
	switch n.Op {
	case "Identity":
		return in[0]
	case "Add":
		return in[0].Add(in[1])
	case "Mul":
		return in[0].Mul(in[1])
	case "Div":
		if in[0].DType() == torch.Int64 {
			return torch.Call("aten::div.Tensor_mode", in[0], in[1], "trunc")[0]
		}
		return in[0].Div(in[1])
	case "MatMul":
		return in[0].Matmul(in[1])
	case "Erf":
		return torch.Call("aten::erf", in[0])[0]
	case "Sigmoid":
		return torch.Call("aten::sigmoid", in[0])[0]
	case "Softmax":
		return in[0].Softmax(whole(n, "axis"))
	case "Equal":
		return in[0].Eq(in[1])
	case "And":
		return torch.Call("aten::logical_and", in[0], in[1])[0]
	case "Where":
		return torch.Where(in[0], in[1], in[2])
	case "Cast":
		if whole(n, "to") != int(onnx.Float) {
			break
		}
		return in[0].To(torch.Float32)
	case "Conv":
		stride := wholes(n, "strides")
		return torch.Call("aten::conv2d", in[0], in[1], in[2], stride)[0]
	case "LayerNormalization":
		return in[0].LayerNorm(in[1], in[2], number(n, "epsilon"))
	case "ReduceMean":
		return in[0].Mean(wholes(n, "axes")...)
	case "Resize":
		return resize(n, in)
	default:
		return runLayout(n, in)
	}
	panic(&torch.Error{Op: n.Op, Msg: "this use of the operator is not one that is written here"})
}

// runLayout runs an operator that moves numbers without changing them.
func runLayout(n *onnx.Node, in []*torch.Tensor) *torch.Tensor {
	switch n.Op {
	case "Reshape":
		shape := integers(in[1])
		for i, size := range shape {
			if size == 0 {
				shape[i] = in[0].Size(i)
			}
		}
		return in[0].Reshape(shape...)
	case "Transpose":
		return in[0].Permute(wholes(n, "perm")...)
	case "Concat":
		return torch.Cat(in, whole(n, "axis"))
	case "Expand":
		return in[0].Expand(integers(in[1])...)
	case "Squeeze":
		return in[0].Squeeze(integers(in[1])[0])
	case "Slice":
		from, to, axis := integers(in[1])[0], integers(in[2])[0], integers(in[3])[0]
		return in[0].Slice(axis, from, min(to, math.MaxInt32))
	case "Shape":
		var sizes []int64
		for _, size := range in[0].Shape()[whole(n, "start"):whole(n, "end")] {
			sizes = append(sizes, int64(size))
		}
		return torch.New(sizes, len(sizes))
	}
	panic(&torch.Error{Op: n.Op, Msg: "the operator is not one that is written here"})
}

// resize is ONNX's cubic Resize by half-pixel coordinates: the result has floor(size*scale) rows, and
// coordinates are computed with the scale itself, as PyTorch does where it is given one.
func resize(n *onnx.Node, in []*torch.Tensor) *torch.Tensor {
	if n.Attr("mode") != "cubic" || n.Attr("coordinate_transformation_mode") != "half_pixel" || number(n, "cubic_coeff_a") != -.75 {
		panic(&torch.Error{Op: n.Op, Msg: "only the cubic one with a = -0.75 is here"})
	}
	scales := in[2].Floats()
	h, w := float64(scales[2]), float64(scales[3])
	return in[0].Bicubic(int(float64(in[0].Size(2))*h), int(float64(in[0].Size(3))*w), h, w)
}
