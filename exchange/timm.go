package exchange

import (
	"fmt"
	"strings"

	"ibot/ckpt"
)

func init() {
	register("timm", &format{
		help: "a file for timm.create_model(..., checkpoint_path=FILE)",
		write: func(path string, s *source, about map[string]string) error {
			arrays, err := s.timmArrays()
			if err != nil {
				return err
			}
			about["timm"] = s.timmArguments()
			return writeFlat(path, arrays, about)
		},
		open: reopen,
		loadBy: func(path string, s *source) string {
			return fmt.Sprintf("timm.models.vision_transformer.VisionTransformer(%s), then timm.models.load_checkpoint(model, %q)", s.timmArguments(), path)
		},
	})
}

// timmNames are timm's names for what we name otherwise.
var timmNames = strings.NewReplacer(
	".gamma_1", ".ls1.gamma", ".gamma_2", ".ls2.gamma", ".mlp.w12.", ".mlp.fc1.", ".mlp.w3.", ".mlp.fc2.", "register_tokens", "reg_token",
)

// timmArrays are the parameters as timm's VisionTransformer names them. It has no mask embedding; with
// register tokens it gives [CLS] no position, so that the two are added here, as they are in every
// forward pass.
func (s *source) timmArrays() (*ckpt.Checkpoint, error) {
	out := ckpt.New()
	registers := s.net.Config.Registers > 0
	for _, spec := range s.arrays.Specs() {
		var err error
		switch {
		case spec.Name == "masked_embed" && !s.Extra.Match("masked_embed"):
			return nil, noPlace("timm", spec.Name)
		case spec.Name == "masked_embed":
			continue
		case registers && spec.Name == "cls_token":
			err = s.addFolded(out)
		case registers && spec.Name == "pos_embed":
			shape := []int{1, spec.Shape[1] - 1, spec.Shape[2]}
			err = out.AddFunc("pos_embed", spec.DType, shape, func() ([]byte, error) {
				a, err := s.arrays.Array("pos_embed")
				if err != nil {
					return nil, err
				}
				return a.Data[spec.Shape[2]*spec.DType.Size():], nil
			})
		default:
			err = out.AddFunc(timmNames.Replace(spec.Name), spec.DType, spec.Shape, func() ([]byte, error) {
				a, err := s.arrays.Array(spec.Name)
				return a.Data, err
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// addFolded adds [CLS] with its position in it, in float32.
func (s *source) addFolded(out *ckpt.Checkpoint) error {
	a, err := s.arrays.Array("cls_token")
	if err != nil {
		return err
	}
	positions, err := s.arrays.Array("pos_embed")
	if err != nil {
		return err
	}
	cls, err := a.Float32()
	if err != nil {
		return err
	}
	first := ckpt.Array{DType: positions.DType, Shape: a.Shape, Data: positions.Data[:len(cls)*positions.DType.Size()]}
	position, err := first.Float32()
	if err != nil {
		return err
	}
	for i := range cls {
		cls[i] += position[i]
	}
	if a.DType != ckpt.Float32 {
		return fmt.Errorf("exchange: [CLS] of type %v cannot take its position up without rounding; convert the weights to float32 first", a.DType)
	}
	return out.Add("cls_token", ckpt.FromFloat32(a.Shape, cls))
}

func noPlace(format, name string) error {
	return fmt.Errorf("exchange: %s has no place for %q; leave it out with --allow_extra %s", format, name, name)
}

// timmArguments are the arguments of timm's VisionTransformer, in Python.
func (s *source) timmArguments() string {
	c := s.net.Config
	args := fmt.Sprintf("img_size=%d, patch_size=%d, in_chans=%d, embed_dim=%d, depth=%d, num_heads=%d, num_classes=0",
		c.ImgSize, c.PatchSize, c.InChans, c.EmbedDim, c.Depth, c.NumHeads)
	hidden := c.MLPHidden
	if c.SwiGLU {
		hidden *= 2
		args += ", mlp_layer=timm.layers.SwiGLUPacked, act_layer=torch.nn.SiLU"
	}
	if hidden != 4*c.EmbedDim {
		args += fmt.Sprintf(", mlp_ratio=%d/%d", hidden, c.EmbedDim)
	}
	if c.LayerScale > 0 {
		args += ", init_values=1"
	}
	if c.Registers > 0 {
		args += fmt.Sprintf(", reg_tokens=%d, no_embed_class=True", c.Registers)
	}
	if c.MeanPooling {
		args += `, global_pool="avg"`
	}
	return args
}
