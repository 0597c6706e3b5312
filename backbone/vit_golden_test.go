package backbone_test

import (
	"fmt"
	"testing"

	"ibot/backbone"
	"ibot/internal/golden"
	"ibot/nn"
	"ibot/torch"
)

// forward is how close outputs must come to the reference's.
var forward = golden.Tolerance{Abs: 1e-5}

// tiny is the backbone of the goldens: 32-pixel images, patches of 8, D 64, three blocks of 4 heads.
var tiny = backbone.Config{
	Arch: "vit_tiny", ImgSize: 32, PatchSize: 8, InChans: 3, EmbedDim: 64, Depth: 3, NumHeads: 4,
}

// load builds a golden backbone with the given weights, until the test ends.
func load(t *testing.T, c backbone.Config, role string) *backbone.ViT {
	t.Helper()
	p := nn.NewPath(0, torch.CPU)
	b, err := backbone.New(c, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Free)
	f := golden.Open(t, "a_vit_init.npz")
	if c.MeanPooling { // fc_norm has the weights that norm has otherwise
		for _, s := range p.State() {
			name := s.Name
			if v := b.(*backbone.ViT); s.Tensor == v.FCNorm.Weight {
				name = "norm.weight"
			} else if s.Tensor == v.FCNorm.Bias {
				name = "norm.bias"
			}
			f.Load(role+"/backbone.", []nn.Named{{Name: name, Tensor: s.Tensor}})
		}
		return b.(*backbone.ViT)
	}
	f.Load(role+"/backbone.", p.State())
	return b.(*backbone.ViT)
}

func TestViTTokens(t *testing.T) {
	in, want := golden.Open(t, "a_vit_inputs.npz"), golden.Open(t, "a_vit_expected.npz")
	masked := tiny
	masked.Masked = true
	student, teacher := load(t, masked, "student"), load(t, tiny, "teacher")
	torch.Scope(func() {
		torch.NoGrad(func() {
			cat := func(name string) *torch.Tensor {
				return torch.Cat([]*torch.Tensor{in.Tensor("0/" + name + "0"), in.Tensor("0/" + name + "1")}, 0)
			}
			golden.Equal(t, "teacher", teacher.Forward(nn.Eval, cat("global"), nil), want.Tensor("teacher_tokens"), forward)
			golden.Equal(t, "student, masked", student.Forward(nn.Eval, cat("global"), cat("mask")), want.Tensor("student_tokens"), forward)
			golden.Equal(t, "student, local", student.Forward(nn.Eval, cat("local"), nil), want.Tensor("student_local_tokens"), forward)
		})
	})
}

func TestPositionsResampled(t *testing.T) {
	f := golden.Open(t, "c_pos_interp.npz")
	v := load(t, tiny, "teacher")
	for _, size := range [][2]int{{48, 48}, {24, 24}, {16, 16}, {40, 56}, {32, 48}, {36, 44}} {
		name := fmt.Sprintf("%dx%d/", size[0], size[1])
		t.Run(name, func(t *testing.T) {
			torch.Scope(func() {
				torch.NoGrad(func() {
					x := f.Tensor(name + "x")
					golden.Equal(t, "positions", v.Positions(size[0], size[1]), f.Tensor(name+"pos"), forward)
					golden.Equal(t, "prepared", v.Prepare(x, nil), f.Tensor(name+"prepared"), forward)
					golden.Equal(t, "tokens", v.Forward(nn.Eval, x, nil), f.Tensor(name+"out"), forward)
				})
			})
		})
	}
}

func TestAttentionAndIntermediateLayers(t *testing.T) {
	f := golden.Open(t, "g_attention_features.npz")
	v := load(t, tiny, "teacher")
	torch.Scope(func() {
		torch.NoGrad(func() {
			x := f.Tensor("x")
			golden.Equal(t, "last attention", v.LastSelfAttention(nn.Eval, x), f.Tensor("last_attention"), forward)
			golden.Equal(t, "last attention at 48", v.LastSelfAttention(nn.Eval, f.Tensor("x48")), f.Tensor("last_attention48"), forward)
			golden.Equal(t, "tokens", v.Forward(nn.Eval, x, nil), f.Tensor("out_all"), forward)
			for i, layer := range v.IntermediateLayers(nn.Eval, x, 3) {
				golden.Equal(t, fmt.Sprint("layer ", i), layer, f.Tensor(fmt.Sprint("intermediate_n3/", i)), forward)
			}
		})
	})
}

func TestMeanPooling(t *testing.T) {
	f := golden.Open(t, "g_attention_features.npz")
	c := tiny
	c.MeanPooling = true
	v := load(t, c, "teacher")
	torch.Scope(func() {
		torch.NoGrad(func() {
			x := f.Tensor("x")
			want := f.Tensor("mean_pooling_out")
			got := v.Forward(nn.Eval, x, nil)
			if want.Dims() == 2 {
				got = got.Select(1, 0)
			}
			golden.Equal(t, "output", got, want, forward)
			last := v.IntermediateLayers(nn.Eval, x, 1)[0]
			golden.Equal(t, "last layer", last, f.Tensor("mean_pooling_intermediate_last"), forward)
		})
	})
}

// The attention of the last block is the reference's; that of the block before it, that of the network without the
// last.
func TestSelfAttentionOfBlocks(t *testing.T) {
	f := golden.Open(t, "g_attention_features.npz")
	v := load(t, tiny, "teacher")
	shorter := *v
	shorter.Blocks = v.Blocks[:2]
	torch.Scope(func() {
		torch.NoGrad(func() {
			x := f.Tensor("x")
			golden.Equal(t, "last", v.SelfAttention(nn.Eval, x, v.NumBlocks()-1), f.Tensor("last_attention"), forward)
			golden.Equal(t, "second", v.SelfAttention(nn.Eval, x, 1), shorter.LastSelfAttention(nn.Eval, x), golden.Tolerance{})
		})
	})
}
