package backbone

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ibot/ckpt"
	"ibot/internal/nearest"
	"ibot/nn"
	"ibot/torch"
)

// Weights are the parameters of a vision transformer from a file, under this program's names, which
// are those of iBOT and DINO.
type Weights struct {
	Config Config
	Arrays *ckpt.Checkpoint // read from the file when they are asked for
	Left   []string         // names of the file that are no parameter of a vision transformer
	Notes  []string         // what was changed on the way, for the log

	GuessedHeads bool // nothing told the number of attention heads
	label        string
}

// aliases are what others call the parameters outside of blocks: timm, Hugging Face (ViTModel,
// Dinov2Model, Dinov2WithRegistersModel), DINOv2.
var aliases = map[string]string{
	"class_token": "cls_token", "embeddings.cls_token": "cls_token",
	"embeddings.position_embeddings": "pos_embed",
	"mask_token":                     "masked_embed", "embeddings.mask_token": "masked_embed",
	"reg_token": "register_tokens", "embeddings.register_tokens": "register_tokens",
	"embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
	"embeddings.patch_embeddings.projection.bias":   "patch_embed.proj.bias",
	"layernorm.weight": "norm.weight", "layernorm.bias": "norm.bias",
}

// own are the parameters outside of blocks under our names.
var own = []string{
	"cls_token", "pos_embed", "register_tokens", "masked_embed", "patch_embed.proj.weight", "patch_embed.proj.bias",
	"norm.weight", "norm.bias", "fc_norm.weight", "fc_norm.bias",
}

// part is a parameter, or one of several arrays that are it one below the other.
type part struct {
	name      string // below the block
	index, of int
}

// blockAliases are what the parameters of a block are called, without .weight and .bias.
var blockAliases = map[string]part{
	"norm1": {"norm1", 0, 1}, "norm2": {"norm2", 0, 1}, "attn.qkv": {"attn.qkv", 0, 1}, "attn.proj": {"attn.proj", 0, 1},
	"mlp.fc1": {"mlp.fc1", 0, 1}, "mlp.fc2": {"mlp.fc2", 0, 1}, "mlp.w12": {"mlp.w12", 0, 1}, "mlp.w3": {"mlp.w3", 0, 1},
	"gamma_1": {"gamma_1", 0, 1}, "gamma_2": {"gamma_2", 0, 1},

	"ls1.gamma": {"gamma_1", 0, 1}, "ls2.gamma": {"gamma_2", 0, 1}, // timm, DINOv2

	// Hugging Face
	"layernorm_before": {"norm1", 0, 1}, "layernorm_after": {"norm2", 0, 1},
	"attention.attention.query": {"attn.qkv", 0, 3}, "attention.attention.key": {"attn.qkv", 1, 3}, "attention.attention.value": {"attn.qkv", 2, 3},
	"attention.output.dense": {"attn.proj", 0, 1}, "intermediate.dense": {"mlp.fc1", 0, 1}, "output.dense": {"mlp.fc2", 0, 1},
	"layer_scale1.lambda1": {"gamma_1", 0, 1}, "layer_scale2.lambda1": {"gamma_2", 0, 1},
	"mlp.weights_in": {"mlp.w12", 0, 1}, "mlp.weights_out": {"mlp.w3", 0, 1},

	// Hugging Face, as transformers 5 has them in memory
	"attention.q_proj": {"attn.qkv", 0, 3}, "attention.k_proj": {"attn.qkv", 1, 3}, "attention.v_proj": {"attn.qkv", 2, 3},
	"attention.o_proj": {"attn.proj", 0, 1},
	"mlp.gate_proj":    {"mlp.w12", 0, 2}, "mlp.up_proj": {"mlp.w12", 1, 2}, "mlp.down_proj": {"mlp.w3", 0, 1},
}

// block splits the name of a parameter of a block. DINOv2's training code puts blocks into chunks,
// blocks.CHUNK.NUMBER, and numbers them through.
var block = regexp.MustCompile(`^(?:blocks|encoder\.layer|layers)\.(?:\d{1,4}\.)?(\d{1,4})\.(.+?)(\.weight|\.bias)?$`)

// ours translates a name; ok is false for one that is no parameter of a vision transformer.
func ours(name string) (p part, ok bool) {
	if slices.Contains(own, name) {
		return part{name, 0, 1}, true
	}
	if to, found := aliases[name]; found {
		return part{to, 0, 1}, true
	}
	m := block.FindStringSubmatch(name)
	if m == nil {
		return p, false
	}
	p, ok = blockAliases[m[2]]
	if scale := strings.HasPrefix(p.name, "gamma"); !ok || scale == (m[3] != "") {
		return p, false
	}
	p.name = "blocks." + m[1] + "." + p.name + m[3]
	return p, true
}

// Heads are the parts that networks have on top of a backbone. A file's backbone is whole without
// them.
var Heads = []string{"head.*", "head_dist.*", "fc.*", "classifier.*", "pooler.*", "pre_logits.*", "dino_head.*", "ibot_head.*"}

// HeadsKey is the metadata in which files that this program writes keep the number of attention heads.
const HeadsKey = "num_heads"

// ReadWeights finds the parameters of a vision transformer among the names of f that begin with
// prefix, in any of the namings of iBOT, DINO, DINOv2, timm and Hugging Face. The architecture is read
// off the shapes and, where the file has it, a config.json. Where nothing tells the number of heads,
// they are 64 wide, as in every published network.
func ReadWeights(f *ckpt.Checkpoint, prefix string) (*Weights, error) {
	w := &Weights{Arrays: ckpt.New(), label: f.Path}
	found := map[string][]string{} // the names in the file of each of our parameters, part by part
	var order []string
	for _, name := range f.Names() {
		rest, inside := strings.CutPrefix(name, prefix)
		if !inside {
			continue
		}
		p, ok := ours(rest)
		if !ok {
			w.Left = append(w.Left, rest)
			continue
		}
		if found[p.name] == nil {
			found[p.name] = make([]string, p.of)
			order = append(order, p.name)
		}
		if len(found[p.name]) != p.of || found[p.name][p.index] != "" {
			return nil, fmt.Errorf("backbone: %s has two arrays for %s: %q and %q", f.Path, p.name, found[p.name][0], name)
		}
		found[p.name][p.index] = name
	}
	for _, name := range order {
		if err := w.add(f, name, found[name]); err != nil {
			return nil, err
		}
	}
	if err := w.infer(f); err != nil {
		return nil, err
	}
	return w, w.normalise()
}

// add enters a parameter that is the arrays of the given names one below the other.
func (w *Weights) add(f *ckpt.Checkpoint, name string, from []string) error {
	var dtype ckpt.DType
	var shape []int
	for i, part := range from {
		if part == "" {
			return fmt.Errorf("backbone: %s has %d of the %d parts of %s; its %q lacks company",
				f.Path, len(from)-count(from, ""), len(from), name, from[slices.IndexFunc(from, func(s string) bool { return s != "" })])
		}
		spec, err := f.Spec(part)
		if err != nil {
			return err
		}
		if i == 0 {
			dtype, shape = spec.DType, slices.Clone(spec.Shape)
			continue
		}
		if spec.DType != dtype || len(spec.Shape) == 0 || !slices.Equal(spec.Shape[1:], shape[1:]) {
			return fmt.Errorf("backbone: %s: %q is %v %v and does not go below %q, %v %v", f.Path, part, spec.DType, spec.Shape, from[0], dtype, shape)
		}
		shape[0] += spec.Shape[0]
	}
	return w.Arrays.AddFunc(name, dtype, shape, func() ([]byte, error) {
		var all []byte
		for _, part := range from {
			a, err := f.Array(part)
			if err != nil {
				return nil, err
			}
			if len(from) == 1 {
				return a.Data, nil
			}
			all = append(all, a.Data...)
		}
		return all, nil
	})
}

func count(list []string, s string) (n int) {
	for _, x := range list {
		if x == s {
			n++
		}
	}
	return n
}

// shape returns the shape of one of our parameters, nil where it is not there.
func (w *Weights) shape(name string) []int {
	if !w.Arrays.Has(name) {
		return nil
	}
	spec, _ := w.Arrays.Spec(name)
	return spec.Shape
}

// infer reads the architecture off the shapes.
func (w *Weights) infer(f *ckpt.Checkpoint) error {
	patch, err := w.Arrays.Spec("patch_embed.proj.weight")
	if err != nil {
		return w.noTransformer()
	}
	positions, err := w.Arrays.Spec("pos_embed")
	if err != nil || len(patch.Shape) != 4 || len(positions.Shape) != 3 || patch.Shape[2] != patch.Shape[3] || patch.Bytes == 0 {
		return w.noTransformer()
	}
	c := &w.Config
	c.Arch = "vit_small" // of which width, depth and heads are replaced
	c.EmbedDim, c.InChans, c.PatchSize = patch.Shape[0], patch.Shape[1], patch.Shape[2]
	side := int(math.Sqrt(float64(positions.Shape[1])))
	c.ImgSize = side * c.PatchSize
	for _, name := range w.Arrays.Names() {
		if rest, ok := strings.CutPrefix(name, "blocks."); ok {
			number, _, _ := strings.Cut(rest, ".")
			i, _ := strconv.Atoi(number)
			c.Depth = max(c.Depth, i+1)
		}
	}
	switch n := positions.Shape[1] - side*side; {
	case c.Depth == 0:
		return w.noTransformer()
	case side < 1 || n > 1:
		return fmt.Errorf("backbone: %s: %d positions are no square of patches with or without a [CLS]", w.label, positions.Shape[1])
	}
	c.Masked, c.MeanPooling = w.Arrays.Has("masked_embed"), w.Arrays.Has("fc_norm.weight")
	if r := w.shape("register_tokens"); len(r) == 3 {
		c.Registers = r[1]
	}
	if w.Arrays.Has("blocks.0.gamma_1") {
		c.LayerScale = 1 // its initial value, which the file's replaces
	}
	if in, out := w.shape("blocks.0.mlp.w12.weight"), w.shape("blocks.0.mlp.w3.weight"); len(in) == 2 && len(out) == 2 {
		c.SwiGLU, c.MLPHidden = true, out[1]
	} else if in, out := w.shape("blocks.0.mlp.fc1.weight"), w.shape("blocks.0.mlp.fc2.weight"); len(in) == 2 && len(out) == 2 {
		c.MLPHidden = out[1]
		c.SwiGLU = in[0] == 2*out[1] // timm's SwiGLUPacked has the names of the plain MLP
	}
	c.NumHeads, _ = strconv.Atoi(f.Meta[HeadsKey])
	if err := w.configure(f.Meta[ckpt.ConfigKey]); err != nil {
		return err
	}
	if c.NumHeads < 1 || c.EmbedDim%c.NumHeads != 0 {
		c.NumHeads = max(1, c.EmbedDim/64)
		w.GuessedHeads = true
	}
	return nil
}

func (w *Weights) noTransformer() error {
	err := fmt.Errorf("backbone: %s holds no vision transformer", w.label)
	var hints []string
	for _, name := range []string{"patch_embed.proj.weight", "pos_embed", "blocks.0.attn.qkv.weight"} {
		if !w.Arrays.Has(name) {
			hint := fmt.Sprintf("%q is not there", name)
			if near, ok := nearest.Word(name, w.Left); ok {
				hint += fmt.Sprintf(" (nearest: %q)", near)
			}
			hints = append(hints, hint)
		}
	}
	if hints == nil {
		return err
	}
	return fmt.Errorf("%w: %s", err, strings.Join(hints, ", "))
}

// configure reads what a config.json of Hugging Face says beyond the shapes.
func (w *Weights) configure(text string) error {
	if text == "" {
		return nil
	}
	var config struct {
		ModelType    string  `json:"model_type"`
		Heads        int     `json:"num_attention_heads"`
		LayerNormEps float64 `json:"layer_norm_eps"`
		HiddenAct    string  `json:"hidden_act"`
	}
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return fmt.Errorf("backbone: the config.json of %s cannot be read: %w", w.label, err)
	}
	if act := config.HiddenAct; act != "" && act != "gelu" && !w.Config.SwiGLU {
		return fmt.Errorf("backbone: %s has the activation %q, only gelu is here", w.label, act)
	}
	w.Config.NumHeads = cmp.Or(config.Heads, w.Config.NumHeads)
	w.Config.NormEps = cmp.Or(config.LayerNormEps, w.Config.NormEps)
	return nil
}

// normalise brings parameters that others shape differently into our shapes: the mask embedding
// (1, 1, D) of Hugging Face, positions without [CLS] and the gated MLP of timm.
func (w *Weights) normalise() error {
	c := w.Config
	read, out := w.Arrays, ckpt.New()
	for _, s := range read.Specs() {
		name, shape := s.Name, s.Shape
		load := func() ([]byte, error) {
			a, err := read.Array(s.Name)
			return a.Data, err
		}
		switch {
		case name == "masked_embed" && slices.Equal(shape, []int{1, 1, c.EmbedDim}):
			shape = shape[1:]
		case name == "pos_embed" && shape[1] == (c.ImgSize/c.PatchSize)*(c.ImgSize/c.PatchSize):
			w.Notes = append(w.Notes, "[CLS] has no position of its own in the file: it gets zeros")
			shape = []int{1, shape[1] + 1, shape[2]}
			plain := load
			load = func() ([]byte, error) {
				data, err := plain()
				return append(make([]byte, shape[2]*s.DType.Size()), data...), err
			}
		case c.SwiGLU:
			name = strings.NewReplacer(".mlp.fc1.", ".mlp.w12.", ".mlp.fc2.", ".mlp.w3.").Replace(name)
		}
		if err := out.AddFunc(name, s.DType, shape, load); err != nil {
			return err
		}
	}
	w.Arrays = out
	return nil
}

// Patterns are names, with the wildcards of [path.Match], that may stay without a counterpart.
type Patterns []string

// Match reports whether one of the patterns is the name.
func (p Patterns) Match(name string) bool {
	return slices.ContainsFunc(p, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

// Check reports patterns that mean nothing.
func (p Patterns) Check() error {
	for _, pattern := range p {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("backbone: %q is no name with wildcards: %w", pattern, err)
		}
	}
	return nil
}

// Build makes the network of the weights at p. Every name that the file has alone or the network
// alone is an error that lists them all, unless extra and missing allow it; a missing parameter keeps
// its initial value.
func (w *Weights) Build(p *nn.Path, missing, extra Patterns) (*ViT, error) {
	b, err := New(w.Config, p)
	if err != nil {
		return nil, err
	}
	v := b.(*ViT)
	if err := w.fits(p.State(), missing, extra); err != nil {
		return nil, err
	}
	return v, torch.Run(func() error {
		for _, s := range p.State() {
			if !w.Arrays.Has(s.Name) {
				continue
			}
			a, err := w.Arrays.Array(s.Name)
			if err != nil {
				return err
			}
			dtype, ok := torchTypes[a.DType]
			if !ok {
				return fmt.Errorf("backbone: %s: %s has type %v, which no network here uses", w.label, s.Name, a.DType)
			}
			if dtype == s.Tensor.DType() { // straight from the file: one copy
				s.Tensor.FillBytes(a.Data)
				continue
			}
			torch.Scope(func() {
				torch.NoGrad(func() { s.Tensor.Copy_(torch.FromBytes(a.Data, dtype, a.Shape...)) })
			})
		}
		return nil
	})
}

var torchTypes = map[ckpt.DType]torch.DType{
	ckpt.Float32: torch.Float32, ckpt.Float64: torch.Float64, ckpt.Float16: torch.Float16, ckpt.BFloat16: torch.BFloat16,
}

// fits compares the names and shapes of the file with those of the network.
func (w *Weights) fits(state []nn.Named, missing, extra Patterns) error {
	var want, alone, lacking []string
	var shapes error
	for _, s := range state {
		want = append(want, s.Name)
		switch have := w.shape(s.Name); {
		case have == nil && !w.Arrays.Has(s.Name):
			if !missing.Match(s.Name) {
				lacking = append(lacking, s.Name)
			}
		case !slices.Equal(have, s.Shape()):
			shapes = errors.Join(shapes, fmt.Errorf("backbone: %s has %s %v, this network %v", w.label, s.Name, have, s.Shape()))
		}
	}
	for _, name := range slices.Concat(w.Left, w.Arrays.Names()) {
		if !slices.Contains(want, name) && !extra.Match(name) {
			alone = append(alone, name)
		}
	}
	if alone == nil && lacking == nil {
		return shapes
	}
	var b strings.Builder
	fmt.Fprintf(&b, "backbone: %s does not fit the network", w.label)
	list(&b, "in the file alone (--allow_extra)", alone, want)
	list(&b, "in the network alone (--allow_missing)", lacking, slices.Concat(w.Left, w.Arrays.Names()))
	return errors.New(b.String())
}

// list writes names, each with the nearest of the other side.
func list(b *strings.Builder, what string, names, others []string) {
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(b, "; %s: ", what)
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(b, "%q", name)
		if near, ok := nearest.Word(name, others); ok {
			fmt.Fprintf(b, " (nearest: %q)", near)
		}
	}
}
