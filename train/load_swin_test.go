package train_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"ibot/backbone"
	"ibot/ckpt"
	"ibot/internal/golden"
	"ibot/nn"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

// writeWeights writes the state of a network to a file, as a program that knows nothing of ours
// would.
func writeWeights(t *testing.T, path, prefix string, state []nn.Named) {
	t.Helper()
	c := ckpt.New()
	for _, s := range state {
		a := ckpt.FromFloat32(s.Shape(), s.Floats())
		if s.DType() == torch.Int64 {
			a = ckpt.FromInt64(s.Shape(), torch.Read[int64](s.Tensor))
		}
		if err := c.Add(prefix+s.Name, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := ckpt.Write(path, c); err != nil {
		t.Fatal(err)
	}
}

// A Swin's architecture is read off the shapes of its weights: the network that comes back gives
// the same tokens.
func TestOpenNetOfForeignSwinWeights(t *testing.T) {
	for _, c := range []backbone.Config{
		{Arch: "swin_tiny", ImgSize: 224, WindowSize: 7, EmbedDim: 6, NumHeads: 1},
		{Arch: "swin_tiny", ImgSize: 224, WindowSize: 14, EmbedDim: 6, NumHeads: 1, Masked: true},
		{Arch: "swin_small", ImgSize: 224, WindowSize: 7, EmbedDim: 6, NumHeads: 3},
		{Arch: "swin_tiny", ImgSize: 96, WindowSize: 7, EmbedDim: 6, NumHeads: 2, Depths: []int{2, 1, 2}}, // maps of 24, 12 and 6
	} {
		c.PatchSize, c.InChans = 4, 3
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			p := nn.NewPath(3, torch.CPU)
			defer p.Free()
			want, err := backbone.New(c, p)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "weights.safetensors")
			writeWeights(t, path, "module.backbone.", p.State())
			net, err := train.OpenNet(path, "teacher", torch.CPU)
			if err != nil {
				t.Fatal(err)
			}
			defer net.Close()
			if got := net.Config; got.Arch != c.Arch || got.ImgSize != c.ImgSize || got.WindowSize != c.WindowSize || got.UseMaskedIM != c.Masked {
				t.Errorf("found %s of %d pixels, window %d, masked %v", got.Arch, got.ImgSize, got.WindowSize, got.UseMaskedIM)
			}
			pixels, r := make([]float32, 3*256*96), rng.Seed(1).Stream("x")
			for i := range pixels {
				pixels[i] = float32(r.NormFloat64())
			}
			torch.Scope(func() {
				torch.NoGrad(func() {
					x := torch.New(pixels, 1, 3, 256, 96)
					golden.Equal(t, "tokens", net.Backbone.Forward(nn.Eval, x, nil), want.Forward(nn.Eval, x, nil), golden.Tolerance{})
				})
			})
		})
	}
}

// Another numbering of the positions would give other biases without a word.
func TestOpenNetRefusesAnotherPositionIndex(t *testing.T) {
	p := nn.NewPath(3, torch.CPU)
	defer p.Free()
	b, err := backbone.New(backbone.Config{
		Arch: "swin_tiny", ImgSize: 224, WindowSize: 7, EmbedDim: 6, NumHeads: 1, PatchSize: 4, InChans: 3,
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	torch.Scope(func() { b.(*backbone.Swin).Stages[1].Blocks[1].Attn.BiasIndex.Slice(0, 3, 4).Fill_(1 << 40) })
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	writeWeights(t, path, "", p.State())
	before := torch.Live()
	const want = "relative_position_index of block 1 of layer 1 is not that of windows of 7"
	if _, err := train.OpenNet(path, "teacher", torch.CPU); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left", after-before)
	}
}

func TestOpenNetRefusesOtherSwins(t *testing.T) {
	const patch, table = "patch_embed.proj.weight", "layers.0.blocks.0.attn.relative_position_bias_table"
	const qkv, many = "layers.0.blocks.0.attn.qkv.weight", "layers.0.blocks.123456789.norm1.weight"
	for want, shapes := range map[string]map[string][]int{
		"want the square of an odd number":        {patch: {6, 3, 4, 4}, table: {16, 1}},
		"want (positions, heads)":                 {patch: {6, 3, 4, 4}, table: {9}},
		"patch embedding [6 48] is not that":      {patch: {6, 48}, table: {9, 1}},
		"patch embedding [6 3 0 0] is not that":   {patch: {6, 3, 0, 0}, table: {9, 1}},
		`has no "patch_embed.proj.weight"`:        {table: {9, 1}},
		`has no "layers.0.blocks.0.attn.qkv.wei`:  {patch: {6, 3, 4, 4}, table: {9, 1}},
		"has the shape [9 6]; want [18 6]":        {patch: {6, 3, 4, 4}, table: {9, 1}, qkv: {9, 6}},
		`has no "patch_embed.proj.bias"`:          {patch: {6, 3, 4, 4}, table: {9, 1}, qkv: {18, 6}}, // a Swin, but not all of it
		"embed_dim 6 is not a multiple of":        {patch: {6, 3, 4, 4}, table: {9, 4}, qkv: {18, 6}},
		"depths: want one number or more from 1 ": {patch: {6, 3, 4, 4}, table: {9, 1}, qkv: {18, 6}, many: {6}},
	} {
		c := ckpt.New()
		for name, shape := range shapes {
			n := 1
			for _, s := range shape {
				n *= s
			}
			if err := c.Add(name, ckpt.FromFloat32(shape, make([]float32, n))); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(t.TempDir(), "weights.safetensors")
		if err := ckpt.Write(path, c); err != nil {
			t.Fatal(err)
		}
		before := torch.Live()
		if _, err := train.OpenNet(path, "teacher", torch.CPU); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if after := torch.Live(); after != before {
			t.Errorf("%q leaves %d tensors", want, after-before)
		}
	}
}
