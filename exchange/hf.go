package exchange

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ibot/ckpt"
	"ibot/internal/atomicfile"
	"ibot/train"
)

func init() {
	register("hf", &format{
		help:  "a Hugging Face folder for AutoModel.from_pretrained(FOLDER)",
		write: writeHF,
		open:  reopen,
		loadBy: func(path string, _ *source) string {
			return fmt.Sprintf("transformers.AutoModel.from_pretrained(%q)", path)
		},
	})
}

// hfModel is which of Hugging Face's models a network is: ViTModel, or one of the DINOv2 family for
// those with LayerScale, register tokens or the gated MLP.
func (s *source) hfModel() (architecture, modelType string, err error) {
	c := s.net.Config
	switch {
	case c.MeanPooling:
		return "", "", fmt.Errorf("exchange: Hugging Face has no vision transformer whose [CLS] is the mean of the patches; use timm or onnx")
	case c.LayerScale == 0 && (c.Registers > 0 || c.SwiGLU):
		return "", "", fmt.Errorf("exchange: Hugging Face has no vision transformer with register tokens or a gated MLP and without LayerScale; use timm or onnx")
	case c.Registers > 0:
		return "Dinov2WithRegistersModel", "dinov2_with_registers", nil
	case c.LayerScale > 0:
		return "Dinov2Model", "dinov2", nil
	}
	return "ViTModel", "vit", nil
}

// writeHF writes config.json, preprocessor_config.json and model.safetensors.
func writeHF(path string, s *source, about map[string]string) error {
	architecture, modelType, err := s.hfModel()
	if err != nil {
		return err
	}
	arrays, err := s.hfArrays(modelType)
	if err != nil {
		return err
	}
	c := s.net.Config
	config := map[string]any{
		"architectures": []string{architecture}, "model_type": modelType,
		"hidden_size": c.EmbedDim, "num_hidden_layers": c.Depth, "num_attention_heads": c.NumHeads,
		"image_size": c.ImgSize, "patch_size": c.PatchSize, "num_channels": c.InChans,
		"hidden_act": "gelu", "layer_norm_eps": c.NormEps, "qkv_bias": true,
	}
	if modelType == "vit" {
		config["intermediate_size"] = c.MLPHidden
	} else {
		if !c.SwiGLU && c.MLPHidden%c.EmbedDim != 0 || c.SwiGLU && c.MLPHidden != (c.EmbedDim*8/3+7)/8*8 {
			return fmt.Errorf("exchange: Hugging Face's %s cannot have an MLP of width %d; use timm or onnx", architecture, c.MLPHidden)
		}
		config["mlp_ratio"] = 4
		if !c.SwiGLU {
			config["mlp_ratio"] = c.MLPHidden / c.EmbedDim
		}
		config["use_swiglu_ffn"] = c.SwiGLU
		if c.Registers > 0 {
			config["num_register_tokens"] = c.Registers
		}
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return fmt.Errorf("exchange: %w", err)
	}
	preprocessor, err := s.preprocessor()
	if err != nil {
		return err
	}
	for name, object := range map[string]map[string]any{"config.json": config, "preprocessor_config.json": preprocessor} {
		text, err := json.MarshalIndent(object, "", "  ")
		if err != nil {
			return fmt.Errorf("exchange: %w", err)
		}
		if err := atomicfile.WriteBytes(filepath.Join(path, name), append(text, '\n')); err != nil {
			return fmt.Errorf("exchange: %w", err)
		}
	}
	arrays.Meta = maps.Clone(about)
	arrays.Meta["format"] = "pt" // without which transformers does not take the file
	return ckpt.Write(filepath.Join(path, "model.safetensors"), arrays)
}

// preprocessor says how images come to the network: the shorter side resized, the middle cut out,
// the channels normalised, as `ibot eval` does it.
func (s *source) preprocessor() (map[string]any, error) {
	size := s.net.Config.ImgSize
	resize := size
	if size >= 64 { // below, nothing is cut off
		resize = int(math.Round(float64(size) * 256 / 224))
	}
	mean, std, err := train.Normalisation(s.file, s.net.Config.InChans)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"image_processor_type": "BitImageProcessor",
		"do_resize":            true, "size": map[string]int{"shortest_edge": resize}, "resample": 3,
		"do_center_crop": true, "crop_size": map[string]int{"height": size, "width": size},
		"do_rescale": true, "rescale_factor": 1. / 255,
		"do_normalize": true, "image_mean": mean, "image_std": std, "do_convert_rgb": s.net.Config.InChans == 3,
	}, nil
}

// hfNames are Hugging Face's names for what stands outside of blocks.
var hfNames = map[string]string{
	"cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
	"register_tokens": "embeddings.register_tokens", "masked_embed": "embeddings.mask_token",
	"patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
	"patch_embed.proj.bias":   "embeddings.patch_embeddings.projection.bias",
	"norm.weight":             "layernorm.weight", "norm.bias": "layernorm.bias",
}

// hfBlockNames are its names inside of blocks: those of ViTModel, then those of the DINOv2 family.
var (
	hfViTNames = strings.NewReplacer(
		"blocks.", "encoder.layer.", ".norm1.", ".layernorm_before.", ".norm2.", ".layernorm_after.",
		".attn.proj.", ".attention.output.dense.", ".mlp.fc1.", ".intermediate.dense.", ".mlp.fc2.", ".output.dense.",
	)
	hfDinov2Names = strings.NewReplacer(
		"blocks.", "encoder.layer.", ".attn.proj.", ".attention.output.dense.", ".gamma_1", ".layer_scale1.lambda1", ".gamma_2", ".layer_scale2.lambda1",
		".mlp.w12.", ".mlp.weights_in.", ".mlp.w3.", ".mlp.weights_out.",
	)
)

// hfArrays are the parameters under Hugging Face's names, which have query, key and value apart.
// The DINOv2 family always has a mask embedding: zeros, where the network has none.
func (s *source) hfArrays(modelType string) (*ckpt.Checkpoint, error) {
	out := ckpt.New()
	D := s.net.Config.EmbedDim
	if modelType != "vit" && !s.arrays.Has("masked_embed") {
		if err := out.Add("embeddings.mask_token", ckpt.FromFloat32([]int{1, D}, make([]float32, D))); err != nil {
			return nil, err
		}
	}
	for _, spec := range s.arrays.Specs() {
		if spec.Name == "masked_embed" && modelType == "vit" {
			if !s.Extra.Match("masked_embed") {
				return nil, noPlace("Hugging Face's ViTModel", spec.Name)
			}
			continue
		}
		names := []string{hfNames[spec.Name]}
		if block, rest, ok := strings.Cut(spec.Name, ".attn.qkv"); ok {
			names = nil
			for _, part := range []string{"query", "key", "value"} {
				names = append(names, "encoder.layer."+strings.TrimPrefix(block, "blocks.")+".attention.attention."+part+rest)
			}
		} else if names[0] == "" && modelType == "vit" {
			names[0] = hfViTNames.Replace(spec.Name)
		} else if names[0] == "" {
			names[0] = hfDinov2Names.Replace(spec.Name)
		}
		for i, name := range names {
			shape := slices.Clone(spec.Shape)
			shape[0] /= len(names)
			if err := out.AddFunc(name, spec.DType, shape, func() ([]byte, error) {
				a, err := s.arrays.Array(spec.Name)
				n := len(a.Data) / len(names)
				return a.Data[i*n : (i+1)*n], err
			}); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
