package exchange

import (
	"fmt"
	"io"
	"maps"
	"math"
	"os"

	"ibot/backbone"
	"ibot/ckpt"
	"ibot/ckpt/onnx"
	"ibot/internal/atomicfile"
	"ibot/torch"
)

func init() {
	register("onnx", &format{
		help:   "an ONNX model: images to cls and patches; any batch, and with --dynamic_size any size",
		write:  writeONNX,
		open:   openONNX,
		loadBy: func(path string, _ *source) string { return fmt.Sprintf("onnxruntime.InferenceSession(%q)", path) },
	})
}

// The versions that are written: opset 17 is the first with LayerNormalization.
const onnxOpset, onnxIRVersion = 17, 8

// The names of the model's input and outputs.
const onnxImages, onnxCls, onnxPatches = "images", "cls", "patches"

func writeONNX(path string, s *source, about map[string]string) error {
	m, err := buildONNX(s.net.Config, s.arrays, s.Dynamic)
	if err != nil {
		return err
	}
	m.Producer, m.Meta = "ibot", maps.Clone(about)
	return atomicfile.Write(path, func(w io.Writer) error { return m.Write(w) })
}

// graph builds the nodes of a vision transformer. Each method adds nodes and returns the name of
// their result; parameters keep their names and their layout.
type graph struct {
	onnx.Graph
	backbone.Config
	arrays *ckpt.Checkpoint
	err    error // the first
}

// buildONNX makes the model of a vision transformer: images (B, C, H, W) to cls (B, D) and patches (B, N, D).
func buildONNX(c backbone.Config, arrays *ckpt.Checkpoint, dynamic bool) (*onnx.Model, error) {
	g := &graph{Config: c, arrays: arrays}
	g.Name = c.Arch
	for _, spec := range arrays.Specs() {
		if spec.Name != "masked_embed" { // which only training needs
			g.initialise(spec)
		}
	}
	x := g.block0(dynamic)
	for i := range c.Depth {
		x = g.block(fmt.Sprintf("blocks.%d.", i), x)
	}
	g.finish(x)
	batch, D := onnx.Dim{Name: "batch"}, onnx.Dim{Size: c.EmbedDim}
	side := c.ImgSize / c.PatchSize
	H, W, N := onnx.Dim{Size: c.ImgSize}, onnx.Dim{Size: c.ImgSize}, onnx.Dim{Size: side * side}
	if dynamic {
		H, W, N = onnx.Dim{Name: "height"}, onnx.Dim{Name: "width"}, onnx.Dim{Name: "patches"}
	}
	g.Inputs = []onnx.Value{{Name: onnxImages, DType: onnx.Float, Shape: []onnx.Dim{batch, {Size: c.InChans}, H, W}}}
	g.Outputs = []onnx.Value{
		{Name: onnxCls, DType: onnx.Float, Shape: []onnx.Dim{batch, D}},
		{Name: onnxPatches, DType: onnx.Float, Shape: []onnx.Dim{batch, N, D}},
	}
	return &onnx.Model{IRVersion: onnxIRVersion, Opset: onnxOpset, Graph: g.Graph}, g.err
}

// initialise enters a parameter as float32.
func (g *graph) initialise(spec ckpt.Spec) {
	a, err := g.arrays.Array(spec.Name)
	if err == nil && a.DType != ckpt.Float32 {
		var values []float32
		if values, err = a.Float32(); err == nil {
			a = ckpt.FromFloat32(a.Shape, values)
		}
	}
	if err != nil && g.err == nil {
		g.err = err
	}
	g.Initializers = append(g.Initializers, onnx.Tensor{Name: spec.Name, DType: onnx.Float, Shape: a.Shape, Data: a.Data})
}

// op adds a node with one output.
func (g *graph) op(name string, attrs []onnx.Attr, inputs ...string) string {
	out := fmt.Sprintf("%s_%d", name, len(g.Nodes))
	g.Nodes = append(g.Nodes, onnx.Node{Op: name, Inputs: inputs, Outputs: []string{out}, Attrs: attrs})
	return out
}

// ints adds a constant row of integers, and scalar one number of float32.
func (g *graph) ints(values ...int64) string {
	name := fmt.Sprint("const_", len(g.Initializers))
	g.Initializers = append(g.Initializers, onnx.FromInt64(name, []int{len(values)}, values...))
	return name
}

func (g *graph) scalar(value float64) string {
	name := fmt.Sprint("const_", len(g.Initializers))
	g.Initializers = append(g.Initializers, onnx.FromFloat32(name, []int{}, float32(value)))
	return name
}

func (g *graph) reshape(x string, shape ...int64) string {
	return g.op("Reshape", nil, x, g.ints(shape...)) // 0 keeps a size, -1 is what is left
}

func (g *graph) transpose(x string, axes ...int64) string {
	return g.op("Transpose", []onnx.Attr{{Name: "perm", Value: axes}}, x)
}

func (g *graph) concat(axis int64, inputs ...string) string {
	return g.op("Concat", []onnx.Attr{{Name: "axis", Value: axis}}, inputs...)
}

// slice takes from (included) to (excluded) of an axis.
func (g *graph) slice(x string, axis, from, to int64) string {
	return g.op("Slice", nil, x, g.ints(from), g.ints(to), g.ints(axis))
}

func (g *graph) linear(name, x string) string {
	y := g.op("MatMul", nil, x, g.transpose(name+".weight", 1, 0))
	return g.op("Add", nil, y, name+".bias")
}

func (g *graph) layerNorm(name, x string) string {
	attrs := []onnx.Attr{{Name: "axis", Value: int64(-1)}, {Name: "epsilon", Value: float32(g.NormEps)}}
	return g.op("LayerNormalization", attrs, x, name+".weight", name+".bias")
}

// block0 adds what stands before the first block, as [backbone.ViT.Prepare].
func (g *graph) block0(dynamic bool) string {
	P, D := int64(g.PatchSize), int64(g.EmbedDim)
	square := []int64{P, P}
	conv := g.op("Conv", []onnx.Attr{{Name: "kernel_shape", Value: square}, {Name: "strides", Value: square}},
		onnxImages, "patch_embed.proj.weight", "patch_embed.proj.bias")
	tokens := g.transpose(g.reshape(conv, 0, D, -1), 0, 2, 1) // (B, N, D)
	batch := g.op("Shape", []onnx.Attr{{Name: "start", Value: int64(0)}, {Name: "end", Value: int64(1)}}, onnxImages)
	repeat := func(name string, n int64) string { // (1, n, D) to (B, n, D)
		return g.op("Expand", nil, name, g.concat(0, batch, g.ints(n, D)))
	}
	positions := "pos_embed"
	if dynamic {
		positions = g.resampledPositions()
	}
	x := g.op("Add", nil, g.concat(1, repeat("cls_token", 1), tokens), positions)
	if g.Registers == 0 {
		return x
	}
	return g.concat(1, g.slice(x, 1, 0, 1), repeat("register_tokens", int64(g.Registers)), g.slice(x, 1, 1, math.MaxInt64))
}

// resampledPositions is [backbone.ViT.Positions] for images of any size: the learnt grid as it is for
// its own size, and resampled by (n+0.1)/side for another. A scale of 1 changes nothing.
func (g *graph) resampledPositions() string {
	side, D := int64(g.ImgSize/g.PatchSize), int64(g.EmbedDim)
	size := g.op("Shape", []onnx.Attr{{Name: "start", Value: int64(2)}, {Name: "end", Value: int64(4)}}, onnxImages)
	grid := g.op("Div", nil, size, g.ints(int64(g.PatchSize)))
	scale := g.op("Div", nil, g.op("Add", nil, g.op("Cast", []onnx.Attr{{Name: "to", Value: int64(onnx.Float)}}, grid), g.scalar(.1)), g.scalar(float64(side)))
	known := g.op("Equal", nil, grid, g.ints(side, side))
	square := g.op("Equal", nil, g.slice(size, 0, 0, 1), g.slice(size, 0, 1, 2))
	same := g.op("And", nil, g.op("And", nil, g.slice(known, 0, 0, 1), g.slice(known, 0, 1, 2)), square)
	scale = g.op("Where", nil, same, g.scalar(1), scale) // (2)
	one := g.op("Cast", []onnx.Attr{{Name: "to", Value: int64(onnx.Float)}}, g.ints(1, 1))
	learnt := g.transpose(g.reshape(g.slice("pos_embed", 1, 1, math.MaxInt64), 1, side, side, D), 0, 3, 1, 2)
	resized := g.op("Resize", []onnx.Attr{
		{Name: "mode", Value: "cubic"},
		{Name: "cubic_coeff_a", Value: float32(-.75)},
		{Name: "coordinate_transformation_mode", Value: "half_pixel"},
	}, learnt, "", g.concat(0, one, scale))
	return g.concat(1, g.slice("pos_embed", 1, 0, 1), g.reshape(g.transpose(resized, 0, 2, 3, 1), 1, -1, D))
}

// block adds a block, as [backbone.Block.Forward].
func (g *graph) block(name, x string) string {
	branch := func(y, gamma string) {
		if g.LayerScale > 0 {
			y = g.op("Mul", nil, y, name+gamma)
		}
		x = g.op("Add", nil, x, y)
	}
	branch(g.attention(name+"attn.", g.layerNorm(name+"norm1", x)), "gamma_1")
	branch(g.mlp(name+"mlp.", g.layerNorm(name+"norm2", x)), "gamma_2")
	return x
}

func (g *graph) attention(name, x string) string {
	H, D := int64(g.NumHeads), int64(g.EmbedDim)
	qkv := g.transpose(g.reshape(g.linear(name+"qkv", x), 0, 0, 3, H, D/H), 2, 0, 3, 1, 4) // (3, B, H, N, d)
	part := func(i int64) string {
		return g.op("Squeeze", nil, g.slice(qkv, 0, i, i+1), g.ints(0))
	}
	q := g.op("Mul", nil, part(0), g.scalar(1/math.Sqrt(float64(D/H))))
	scores := g.op("MatMul", nil, q, g.transpose(part(1), 0, 1, 3, 2))
	weights := g.op("Softmax", []onnx.Attr{{Name: "axis", Value: int64(-1)}}, scores)
	y := g.transpose(g.op("MatMul", nil, weights, part(2)), 0, 2, 1, 3) // (B, N, H, d)
	return g.linear(name+"proj", g.reshape(y, 0, 0, D))
}

func (g *graph) mlp(name, x string) string {
	if g.SwiGLU {
		both, hidden := g.linear(name+"w12", x), int64(g.MLPHidden)
		a, b := g.slice(both, 2, 0, hidden), g.slice(both, 2, hidden, 2*hidden)
		return g.linear(name+"w3", g.op("Mul", nil, g.op("Mul", nil, a, g.op("Sigmoid", nil, a)), b))
	}
	h := g.linear(name+"fc1", x)
	erf := g.op("Erf", nil, g.op("Div", nil, h, g.scalar(math.Sqrt2))) // GELU is x (1 + erf(x/sqrt 2)) / 2
	return g.linear(name+"fc2", g.op("Mul", nil, g.op("Mul", nil, h, g.op("Add", nil, erf, g.scalar(1))), g.scalar(.5)))
}

// finish adds the final norm and the two outputs, without the register tokens.
func (g *graph) finish(x string) {
	first := int64(1 + g.Registers)
	output := func(op, name string, inputs ...string) {
		g.Nodes = append(g.Nodes, onnx.Node{Op: op, Inputs: inputs, Outputs: []string{name}})
	}
	if g.MeanPooling {
		patches := g.slice(x, 1, first, math.MaxInt64)
		mean := g.op("ReduceMean", []onnx.Attr{{Name: "axes", Value: []int64{1}}, {Name: "keepdims", Value: int64(0)}}, patches)
		output("Identity", onnxCls, g.layerNorm("fc_norm", mean))
		output("Identity", onnxPatches, patches)
		return
	}
	x = g.layerNorm("norm", x)
	output("Squeeze", onnxCls, g.slice(x, 1, 0, 1), g.ints(1))
	output("Slice", onnxPatches, x, g.ints(first), g.ints(math.MaxInt64), g.ints(1))
}

// openONNX makes a written model runnable by the interpreter of this package.
func openONNX(path string, _ *source) (forward, error) {
	f, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := onnx.Parse(f)
	if err != nil {
		return nil, err
	}
	return func(x *torch.Tensor) *torch.Tensor {
		values := runONNX(m, map[string]*torch.Tensor{onnxImages: x})
		return torch.Cat([]*torch.Tensor{values[onnxCls].Unsqueeze(1), values[onnxPatches]}, 1)
	}, nil
}
