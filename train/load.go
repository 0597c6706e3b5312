package train

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ibot/backbone"
	"ibot/ckpt"
	"ibot/internal/nearest"
	"ibot/internal/settings"
	"ibot/method"
	"ibot/nn"
	"ibot/rng"
	"ibot/torch"
)

// Net is a trained backbone.
type Net struct {
	Backbone    backbone.Backbone
	Config      Config       // as far as the file tells: all of it for a run of this program
	Source      string       // the file
	Prefix      string       // of its names in the file, for example "teacher.backbone."
	Epoch, Step int          // how far it was trained; 0 where the file does not say
	Inferred    bool         // Config was read off the shapes of a foreign file, which do not tell NumHeads
	Head        *method.Head // nil until LoadHead
	path, head  *nn.Path
}

// Close frees the parameters.
func (n *Net) Close() {
	if n.path != nil {
		n.path.Free()
	}
	if n.head != nil {
		n.head.Free()
	}
}

// State lists the parameters by name.
func (n *Net) State() []nn.Named { return n.path.State() }

// Params counts the trainable values of the backbone.
func (n *Net) Params() int { return n.path.Count() }

// Untrained builds the network of n anew, with fresh initial values.
func (n *Net) Untrained(d torch.Device) (*Net, error) {
	p := nn.NewPath(rng.Seed(n.Config.Seed), d)
	b, err := backbone.New(n.Config.Backbone(), p)
	if err != nil {
		return nil, err
	}
	return &Net{Backbone: b, Config: n.Config, Source: "untrained", path: p}, nil
}

// OpenNet loads a backbone on device d, from a run's folder (its latest checkpoint) or from a checkpoint file: one
// of this program, or weights with the reference's names. which is "teacher" or "student", where the file has both.
func OpenNet(path, which string, d torch.Device) (*Net, error) {
	n, err := FindNet(path, which)
	if err != nil {
		return nil, err
	}
	return n, n.Load(d)
}

// FindNet is the first half of [OpenNet]: it reads what network a file holds, which costs little. [Net.Load] reads
// the parameters.
func FindNet(path, which string) (*Net, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		latest := LatestCheckpoint(path)
		if _, err := os.Stat(latest); err != nil {
			return nil, fmt.Errorf("train: %s holds no run: there is no %s; name a run's folder or a checkpoint file", path, filepath.Join("checkpoints", filepath.Base(latest)))
		}
		path = latest
	}
	f, err := ckpt.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n := &Net{Source: path}
	if n.Prefix, err = backbonePrefix(f, which); err != nil {
		return nil, err
	}
	if f.Meta[formatKey] != "" {
		state, err := readProgress(f)
		if err != nil {
			return nil, err
		}
		n.Step, n.Epoch = state.Step, state.Step/max(1, state.StepsPerEpoch)
		if err := settings.DecodeYAML(path, []byte(f.Meta["config"]), &n.Config); err != nil {
			return nil, err
		}
	} else if n.Config, err = inferConfig(f, n.Prefix); err != nil {
		return nil, err
	} else {
		n.Inferred = true
	}
	return n, nil
}

// Load builds the network that [FindNet] found, on device d, and reads its parameters.
func (n *Net) Load(d torch.Device) error {
	f, err := ckpt.Open(n.Source)
	if err != nil {
		return err
	}
	defer f.Close()
	c := n.Config.Backbone()
	c.Masked = c.Masked && f.Has(n.Prefix+"masked_embed")
	n.path = nn.NewPath(0, d)
	n.path.Blank = true
	if n.Backbone, err = backbone.New(c, n.path); err != nil {
		return err
	}
	for _, s := range n.path.State() {
		if err := fits(f, n.Prefix+s.Name, s.Tensor); err != nil {
			n.Close()
			return err
		}
		if err := copyInto(s.Tensor, f, n.Prefix+s.Name); err != nil {
			n.Close()
			return err
		}
	}
	if err := checkSwin(n.Backbone); err != nil {
		n.Close()
		return fmt.Errorf("train: %s: %w", f.Path, err)
	}
	return nil
}

// prefixes are where checkpoints keep a backbone, by role.
var prefixes = map[string][]string{
	"teacher": {"teacher.backbone.", "teacher.module.backbone."},
	"student": {"student.backbone.", "student.module.backbone."},
}

// anywhere are the prefixes of files that hold one network.
var anywhere = []string{"", "backbone.", "module.backbone.", "module.", "state_dict.", "state_dict.backbone.", "state_dict.module.backbone.", "model."}

// markers are the names that tell a backbone: one of a vision transformer, one of a Swin.
var markers = []string{"cls_token", swinMarker}

// backbonePrefix finds the backbone of the wanted role in a file.
func backbonePrefix(f *ckpt.Checkpoint, which string) (string, error) {
	candidates, ok := prefixes[which]
	if !ok {
		return "", fmt.Errorf("train: want the teacher or the student of a checkpoint, not %q", which)
	}
	for _, p := range slices.Concat(candidates, anywhere) {
		for _, marker := range markers {
			if f.Has(p + marker) {
				return p, nil
			}
		}
	}
	hint := ""
	if near, ok := nearest.Word(candidates[0]+markers[0], f.Names()); ok {
		hint = fmt.Sprintf("; the nearest name is %q", near)
	}
	return "", fmt.Errorf("train: %s holds no vision transformer and no Swin: %q is not among its %d arrays%s", f.Path, candidates[0]+markers[0], f.Len(), hint)
}

// inferConfig reads the architecture off the shapes of a vision transformer's parameters. Heads are
// 64 wide, as in every published one.
func inferConfig(f *ckpt.Checkpoint, prefix string) (Config, error) {
	if f.Has(prefix + swinMarker) {
		return inferSwin(f, prefix)
	}
	c := Default()
	patch, err := f.Spec(prefix + "patch_embed.proj.weight")
	if err != nil {
		return c, err
	}
	positions, err := f.Spec(prefix + "pos_embed")
	if err != nil {
		return c, err
	}
	if len(patch.Shape) != 4 || len(positions.Shape) != 3 {
		return c, fmt.Errorf("train: %s: patch embedding %v and positions %v are not those of a vision transformer", f.Path, patch.Shape, positions.Shape)
	}
	c.EmbedDim, c.InChans, c.PatchSize = patch.Shape[0], patch.Shape[1], patch.Shape[2]
	side := int(math.Sqrt(float64(positions.Shape[1] - 1)))
	c.ImgSize = side * c.PatchSize
	c.Depth = blocks(f.Names(), prefix)
	c.NumHeads = max(1, c.EmbedDim/64)
	c.UseMaskedIM = f.Has(prefix + "masked_embed")
	if f.Has(prefix + "blocks.0.gamma_1") {
		c.InitValues = 1 // overwritten by the file's
	}
	switch {
	case side < 1 || side*side+1 != positions.Shape[1]:
		return c, fmt.Errorf("train: %s: %d positions are no square of patches and a [CLS]", f.Path, positions.Shape[1])
	case c.Depth == 0:
		return c, fmt.Errorf("train: %s holds no %sblocks.0, so it is no vision transformer", f.Path, prefix)
	}
	return c, nil
}

// blocks counts the blocks among names.
func blocks(names []string, prefix string) int {
	n := 0
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, prefix+"blocks.")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, ".")
		if i, err := strconv.Atoi(number); err == nil {
			n = max(n, i+1)
		}
	}
	return n
}
