package train

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

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
	Inferred    bool         // Config was read off the names and shapes of a foreign file, which do not tell NumHeads
	Head        *method.Head // nil until LoadHead
	path, head  *nn.Path
	build       backbone.Config
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
	b, err := backbone.New(n.build, p)
	if err != nil {
		return nil, err
	}
	return &Net{Backbone: b, Config: n.Config, Source: "untrained", path: p, build: n.build}, nil
}

// OpenCheckpoint opens a checkpoint file, a Hugging Face folder, or the latest checkpoint in the folder of a run.
func OpenCheckpoint(path string) (*ckpt.Checkpoint, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() && !ckpt.IsFolder(path) {
		latest := LatestCheckpoint(path)
		if _, err := os.Stat(latest); err != nil {
			return nil, fmt.Errorf("train: %s holds no run: there is no %s; name a run's folder or a checkpoint file", path, filepath.Join("checkpoints", filepath.Base(latest)))
		}
		path = latest
	}
	return ckpt.Open(path)
}

// OpenNet loads a backbone on device d, from a run's folder (its latest checkpoint), a Hugging Face folder or a
// checkpoint file: one of this program, or weights with the names of iBOT, DINO, DINOv2, timm or Hugging Face. which is
// "teacher" or "student", where the file has both.
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
	f, err := OpenCheckpoint(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n := &Net{Source: f.Path}
	if n.Prefix, err = BackbonePrefix(f, which); err != nil {
		return nil, err
	}
	switch {
	case f.Meta[formatKey] != "":
		state, err := readProgress(f)
		if err != nil {
			return nil, err
		}
		n.Step, n.Epoch = state.Step, state.Step/max(1, state.StepsPerEpoch)
		return n, settings.DecodeYAML(f.Path, []byte(f.Meta["config"]), &n.Config)
	case f.Has(n.Prefix + swinMarker):
		n.Inferred = true
		n.Config, err = inferSwin(f, n.Prefix)
		return n, err
	}
	w, err := backbone.ReadWeights(f, n.Prefix)
	if err != nil {
		return nil, err
	}
	n.Config, n.Inferred = fromWeights(w.Config), true
	return n, nil
}

// Load builds the network that [FindNet] found, on device d, and reads its parameters.
func (n *Net) Load(d torch.Device) (err error) {
	f, err := ckpt.Open(n.Source)
	if err != nil {
		return err
	}
	defer f.Close()
	n.path = nn.NewPath(0, d)
	n.path.Blank = true
	if n.Inferred && !f.Has(n.Prefix+swinMarker) {
		err = n.loadWeights(f)
	} else {
		err = n.loadOwn(f)
	}
	if err != nil {
		n.Close()
	}
	return err
}

// loadWeights reads a vision transformer of whatever program.
func (n *Net) loadWeights(f *ckpt.Checkpoint) error {
	w, err := backbone.ReadWeights(f, n.Prefix)
	if err != nil {
		return err
	}
	w.Config.NumHeads = n.Config.NumHeads // which the caller may know better
	n.build = w.Config
	n.Backbone, err = w.Build(n.path, nil, backbone.Heads)
	return err
}

// loadOwn reads a network with this program's names, which are the reference's.
func (n *Net) loadOwn(f *ckpt.Checkpoint) (err error) {
	n.build = n.Config.Backbone()
	n.build.Masked = n.build.Masked && f.Has(n.Prefix+"masked_embed")
	if n.Backbone, err = backbone.New(n.build, n.path); err != nil {
		return err
	}
	for _, s := range n.path.State() {
		if err := fits(f, n.Prefix+s.Name, s.Tensor); err != nil {
			return err
		}
		if err := copyInto(s.Tensor, f, n.Prefix+s.Name); err != nil {
			return err
		}
	}
	if err := checkSwin(n.Backbone); err != nil {
		return fmt.Errorf("train: %s: %w", f.Path, err)
	}
	return nil
}

// fromWeights returns the settings that would train a network of this architecture, as far as settings go.
func fromWeights(b backbone.Config) Config {
	c := Default()
	c.Arch, c.ImgSize, c.PatchSize, c.InChans = b.Arch, b.ImgSize, b.PatchSize, b.InChans
	c.EmbedDim, c.Depth, c.NumHeads = b.EmbedDim, b.Depth, b.NumHeads
	c.UseMaskedIM, c.InitValues = b.Masked, b.LayerScale
	return c
}

// prefixes are where checkpoints keep a backbone, by role.
var prefixes = map[string][]string{
	"teacher": {"teacher.backbone.", "teacher.module.backbone."},
	"student": {"student.backbone.", "student.module.backbone."},
}

// anywhere are the prefixes of files that hold one network.
var anywhere = []string{
	"", "backbone.", "module.backbone.", "module.", "state_dict.", "state_dict.backbone.", "state_dict.module.backbone.",
	"state_dict.module.", "model.", "model.module.", "teacher.", "teacher.module.", "student.", "student.module.", "vit.", "dinov2.",
}

// markers are what a backbone has one of: our name, Hugging Face's, one of timm's early ones, and one of a Swin.
var markers = []string{"cls_token", "embeddings.cls_token", "class_token", swinMarker}

// BackbonePrefix finds the backbone of the wanted role, "teacher" or "student", among the names of a file.
func BackbonePrefix(f *ckpt.Checkpoint, which string) (string, error) {
	candidates, ok := prefixes[which]
	if !ok {
		return "", fmt.Errorf("train: want the teacher or the student of a checkpoint, not %q", which)
	}
	for _, p := range slices.Concat(candidates, anywhere) {
		if slices.ContainsFunc(markers, func(m string) bool { return f.Has(p + m) }) {
			return p, nil
		}
	}
	hint := ""
	if near, ok := nearest.Word(candidates[0]+markers[0], f.Names()); ok {
		hint = fmt.Sprintf("; the nearest name is %q", near)
	}
	return "", fmt.Errorf("train: %s holds no vision transformer and no Swin: %q is not among its %d arrays%s", f.Path, candidates[0]+markers[0], f.Len(), hint)
}

// ReadWeights reads the backbone of the given role, "teacher" or "student", from an open checkpoint of any kind.
func ReadWeights(f *ckpt.Checkpoint, which string) (*backbone.Weights, error) {
	prefix, err := BackbonePrefix(f, which)
	if err != nil {
		return nil, err
	}
	w, err := backbone.ReadWeights(f, prefix)
	if err != nil || f.Meta[formatKey] == "" {
		return w, err
	}
	var c Config
	if err := settings.DecodeYAML(f.Path, []byte(f.Meta["config"]), &c); err != nil {
		return nil, err
	}
	w.Config.NumHeads, w.GuessedHeads = cmp.Or(c.NumHeads, w.Config.NumHeads), false
	return w, nil
}

// Normalisation returns the mean and deviation of each channel that the network of an open checkpoint
// takes its images with: those of its run, else the defaults for that many channels.
func Normalisation(f *ckpt.Checkpoint, channels int) (mean, std []float32, err error) {
	c := Default()
	if f.Meta[formatKey] != "" {
		if err := settings.DecodeYAML(f.Path, []byte(f.Meta["config"]), &c); err != nil {
			return nil, nil, err
		}
	}
	c.InChans = channels
	mean, std = c.Normalisation()
	return mean, std, nil
}
