package exchange

import (
	"fmt"
	"maps"
	"strings"

	"ibot/ckpt"
	"ibot/train"
)

func init() {
	register("safetensors", &format{
		help:      "the whole checkpoint as safetensors, array by array",
		container: true,
		write: func(path string, s *source, about map[string]string) error {
			c, err := s.file.Copy()
			if err != nil {
				return err
			}
			for name, text := range about {
				if _, taken := c.Meta[name]; !taken || name == "proof" {
					c.Meta[name] = text
				}
			}
			return ckpt.Write(path, c)
		},
		open:   reopen,
		loadBy: func(path string, _ *source) string { return fmt.Sprintf("safetensors.torch.load_file(%q)", path) },
	})
	register("reference", &format{
		help:      "the whole checkpoint as the reference's .pth",
		container: true,
		write: func(path string, s *source, about map[string]string) error {
			arrays, object, err := s.referenceLayout()
			if err != nil {
				return err
			}
			return ckpt.WritePth(path, arrays, object, about)
		},
		open:   reopen,
		loadBy: func(path string, _ *source) string { return fmt.Sprintf("torch.load(%q, weights_only=False)", path) },
	})
	register("backbone", &format{
		help: "one backbone as the reference's extract_backbone_weights.py writes it",
		write: func(path string, s *source, about map[string]string) error {
			return writeStateDict(path, s.arrays, about)
		},
		open:   reopen,
		loadBy: func(path string, _ *source) string { return fmt.Sprintf(`torch.load(%q)["state_dict"]`, path) },
	})
}

// referenceLayout is the checkpoint in the reference's layout: a training run as a full checkpoint; a
// file that came from one as the object that it was; weights alone as those of a teacher.
func (s *source) referenceLayout() (*ckpt.Checkpoint, any, error) {
	if s.file.Meta["ibot_format"] != "" {
		return train.ToReference(s.file)
	}
	object, err := s.file.Object()
	if err != nil || object != nil {
		return s.file, object, err
	}
	if s.arrays == nil {
		return nil, nil, fmt.Errorf("exchange: %s holds neither a training run nor a network that can be put into the reference's layout", s.In)
	}
	out := ckpt.New()
	dict := ckpt.OrderedDict{}
	for _, spec := range s.arrays.Specs() {
		name := s.Net + ".backbone." + spec.Name
		if err := out.AddFunc(name, spec.DType, spec.Shape, func() ([]byte, error) {
			a, err := s.arrays.Array(spec.Name)
			return a.Data, err
		}); err != nil {
			return nil, nil, err
		}
		dict = append(dict, ckpt.Item{Key: "backbone." + spec.Name, Value: ckpt.Tensor(name)})
	}
	return out, ckpt.Dict{{Key: s.Net, Value: dict}}, nil
}

// writeStateDict writes {"state_dict": arrays} as a .pth file.
func writeStateDict(path string, arrays *ckpt.Checkpoint, about map[string]string) error {
	dict := ckpt.OrderedDict{}
	for _, name := range arrays.Names() {
		dict = append(dict, ckpt.Item{Key: name, Value: ckpt.Tensor(name)})
	}
	return ckpt.WritePth(path, arrays, ckpt.Dict{{Key: "state_dict", Value: dict}}, about)
}

// writeFlat writes arrays by name: as safetensors or as .pth, as the name of the file says.
func writeFlat(path string, arrays *ckpt.Checkpoint, about map[string]string) error {
	if !strings.HasSuffix(path, ".safetensors") {
		return writeStateDict(path, arrays, about)
	}
	arrays.Meta = maps.Clone(about)
	arrays.Meta["format"] = "pt"
	return ckpt.Write(path, arrays)
}
