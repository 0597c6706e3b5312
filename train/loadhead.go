package train

import (
	"errors"
	"fmt"
	"strings"

	"ibot/ckpt"
	"ibot/method"
	"ibot/nn"
	"ibot/torch"
)

// ErrNoHead means that a checkpoint has no projection head beside its backbone.
var ErrNoHead = errors.New("no projection head")

// LoadHead reads the projection head that was trained with the backbone of n, as n.Head on device d.
// Of a run of this program the settings tell how it is built, of another file its shapes; there
// the activation is taken as GELU, as in every published one.
//
// The error is an [ErrNoHead] where the file holds a backbone alone.
func (n *Net) LoadHead(d torch.Device) error {
	if n.Head != nil {
		return nil
	}
	f, err := ckpt.Open(n.Source)
	if err != nil {
		return err
	}
	defer f.Close()
	prefix := strings.TrimSuffix(n.Prefix, "backbone.") + "head."
	if !f.Has(prefix+"mlp.0.weight") && !f.Has(prefix+"mlp.weight") {
		return fmt.Errorf("train: %s has %w for %q: there is no %smlp; use a full checkpoint, as pre-training writes it",
			f.Path, ErrNoHead, n.Prefix, prefix)
	}
	var c method.HeadConfig
	if f.Meta[formatKey] != "" {
		c = n.headConfig()
		c.InDim = n.Backbone.EmbedDim()
	} else if c, err = inferHead(f, prefix); err != nil {
		return err
	}
	path := nn.NewPath(0, d)
	head, err := method.NewHead(path, c)
	if err != nil {
		path.Free()
		return err
	}
	for _, s := range path.State() {
		if alone := strings.HasPrefix(s.Name, "last_layer2.") || s.Name == "mlp2.weight" || s.Name == "mlp2.bias"; alone && !f.Has(prefix+s.Name) {
			continue // the second name of a shared layer, which DINO has not
		}
		if err = fits(f, prefix+s.Name, s.Tensor); err == nil {
			err = copyInto(s.Tensor, f, prefix+s.Name)
		}
		if err != nil {
			path.Free()
			return err
		}
	}
	n.Head, n.head = head, path
	return nil
}

// Centers reads the centers that the loss subtracts from the teacher's logits of [CLS] and of patches; nil where
// the file of n has none.
func (n *Net) Centers() (cls, patches []float32, err error) {
	f, err := ckpt.Open(n.Source)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	for name, to := range map[string]*[]float32{"ibot_loss.center": &cls, "ibot_loss.center2": &patches} {
		if !f.Has(name) {
			continue
		}
		torch.Scope(func() {
			var t *torch.Tensor
			if t, err = readTensor(f, name); err == nil {
				*to = t.Floats()
			}
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return cls, patches, nil
}

// headConfig is how the head of a run of this program is built.
func (n *Net) headConfig() method.HeadConfig {
	model := n.Config.Model()
	c := model.Head
	if c.Shared || model.SharedHeadTeacher {
		c.PatchOutDim = c.OutDim
	}
	if strings.HasPrefix(n.Prefix, "teacher.") {
		c.Shared = model.SharedHeadTeacher
	}
	return c
}

// inferHead reads the widths of a head off the shapes of its parameters.
func inferHead(f *ckpt.Checkpoint, prefix string) (method.HeadConfig, error) {
	c := method.HeadConfig{Act: "gelu"}
	width := 0
	for i := range 64 { // places in the reference's nn.Sequential
		name := fmt.Sprintf("%smlp.%d.weight", prefix, i)
		if !f.Has(name) {
			continue
		}
		spec, err := f.Spec(name)
		if err != nil {
			return c, err
		}
		switch len(spec.Shape) {
		case 2:
			c.Layers++
			width = spec.Shape[0]
			if i == 0 {
				c.InDim, c.HiddenDim = spec.Shape[1], width
			}
		case 1:
			if c.Norm = "ln"; f.Has(fmt.Sprintf("%smlp.%d.running_mean", prefix, i)) {
				c.Norm = "bn"
			}
		default:
			return c, notOfHead(f, name, spec.Shape)
		}
	}
	if c.Layers == 0 { // a single layer stands without a number
		spec, err := f.Spec(prefix + "mlp.weight")
		if err != nil {
			return c, err
		}
		if len(spec.Shape) != 2 {
			return c, notOfHead(f, prefix+"mlp.weight", spec.Shape)
		}
		c.Layers, c.InDim, width = 1, spec.Shape[1], spec.Shape[0]
	}
	outputs := func(name string) (int, error) {
		spec, err := f.Spec(prefix + name)
		if err == nil && (len(spec.Shape) != 2 || spec.Shape[1] != c.BottleneckDim && c.BottleneckDim > 0) {
			err = notOfHead(f, prefix+name, spec.Shape)
		}
		if err != nil {
			return 0, err
		}
		return spec.Shape[0], nil
	}
	last, last2 := "last_layer.weight_v", "last_layer2.weight_v"
	if !f.Has(prefix + last) {
		if f.Has(prefix+"last_layer.weight_g") || f.Has(prefix+"last_layer.weight") {
			return c, fmt.Errorf("train: %s has no %s%s beside the rest of the last layer; it wants last_layer.weight_g and last_layer.weight_v", f.Path, prefix, last)
		}
		c.OutDim, last2 = width, "mlp2.weight"
	} else {
		c.BottleneckDim = width
		var err error
		if c.OutDim, err = outputs(last); err != nil {
			return c, err
		}
	}
	c.PatchOutDim, c.Shared = c.OutDim, !f.Has(prefix+last2)
	if c.Shared {
		return c, nil
	}
	var err error
	c.PatchOutDim, err = outputs(last2)
	return c, err
}

func notOfHead(f *ckpt.Checkpoint, name string, shape []int) error {
	return fmt.Errorf("train: %s: %s of shape %v is not that of a projection head", f.Path, name, shape)
}
