package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"ibot/ckpt"
	"ibot/internal/settings"
	"ibot/optim"
	"ibot/torch"
)

// A checkpoint is a safetensors file with the reference's names: student.*, teacher.*,
// ibot_loss.center and center2, optimizer.<kind>.<parameter>. Its metadata hold the settings, where the run was, and what the
// epoch under way has measured so far, so that a run goes on as if it had not been interrupted.

const formatKey, formatVersion = "ibot_format", "1"

// progressState is where a run is.
type progressState struct {
	Step          int                `json:"step"`  // optimizer steps made or skipped
	Epoch         int                `json:"epoch"` // of the next step
	StepsPerEpoch int                `json:"steps_per_epoch"`
	Images        int                `json:"images"`
	ShardBuffer   int                `json:"shard_buffer,omitempty"` // which the order of the epoch depends on
	Skipped       int                `json:"skipped"`                // steps skipped in all
	SkippedInARow int                `json:"skipped_in_row"`         // and since the last one that was made
	BestKNN       float64            `json:"best_knn"`
	BestEpoch     int                `json:"best_epoch"`
	Meters        meters             `json:"meters"`               // of the epoch under way
	LastEpoch     map[string]float64 `json:"last_epoch,omitempty"` // means and scores of the epoch before
	Seconds       float64            `json:"seconds"`              // spent so far, over all of its starts
	Baselines     map[string]float64 `json:"baselines,omitempty"`
	Scaler        *Scaler            `json:"scaler,omitempty"` // in float16
}

var dtypes = map[torch.DType]ckpt.DType{
	torch.Float32: ckpt.Float32, torch.Float64: ckpt.Float64, torch.Float16: ckpt.Float16, torch.BFloat16: ckpt.BFloat16,
	torch.Int64: ckpt.Int64, torch.Int32: ckpt.Int32, torch.Uint8: ckpt.Uint8, torch.Bool: ckpt.Bool,
}

// named is a tensor of the run under its name in the checkpoint.
type named struct {
	name string
	*torch.Tensor
}

// tensors lists all that a checkpoint of s holds, but the optimizer's state.
func (s *Stepper) tensors() []named {
	var all []named
	for _, p := range s.Model.Student.Path.State() {
		all = append(all, named{"student." + p.Name, p.Tensor})
	}
	for _, p := range s.Model.Teacher.Path.State() {
		all = append(all, named{"teacher." + p.Name, p.Tensor})
	}
	return append(all, named{"ibot_loss.center", s.Model.Loss.Center}, named{"ibot_loss.center2", s.Model.Loss.Center2})
}

// save writes a checkpoint: all of it or, when anything fails, nothing.
func (s *Stepper) save(path string, c Config, state progressState) error {
	all := s.tensors()
	for _, p := range s.Optimizer.State() {
		all = append(all, named{"optimizer." + p.Name, p.Tensor})
	}
	file := ckpt.New()
	for _, t := range all {
		if err := file.AddFunc(t.name, dtypes[t.DType()], t.Shape(), func() ([]byte, error) { return t.Bytes(), nil }); err != nil {
			return err
		}
	}
	for name, values := range state.Meters.lists() {
		if err := file.Add(name, ckpt.FromInt64([]int{len(*values)}, widen(*values))); err != nil {
			return err
		}
	}
	progress, err := json.Marshal(state)
	if err != nil {
		return err
	}
	file.Meta = map[string]string{
		formatKey: formatVersion, "config": string(settings.EncodeYAML(&c)), "progress": string(progress),
		"step": strconv.Itoa(state.Step), "epoch": strconv.Itoa(state.Epoch), "libtorch": torch.Version(),
	}
	return ckpt.Write(path, file)
}

// readProgress reads where the run of an own checkpoint was.
func readProgress(f *ckpt.Checkpoint) (state progressState, err error) {
	if f.Meta[formatKey] == "" {
		return state, fmt.Errorf("train: %s holds no training to go on with, only weights; want a checkpoint that ibot pretrain or the reference wrote", f.Path)
	}
	if v := f.Meta[formatKey]; v != formatVersion {
		return state, fmt.Errorf("train: %s has format version %q, this program reads %s; use the version that wrote it", f.Path, v, formatVersion)
	}
	if err := json.Unmarshal([]byte(f.Meta["progress"]), &state); err != nil {
		return state, fmt.Errorf("train: %s does not say where its run was (%v); the file is damaged", f.Path, err)
	}
	if state.Step < 0 || state.Epoch < 0 || state.StepsPerEpoch < 1 {
		return state, fmt.Errorf("train: %s says that its run was at step %d of epoch %d, with %d steps an epoch; the file is damaged",
			f.Path, state.Step, state.Epoch, state.StepsPerEpoch)
	}
	for name, values := range state.Meters.lists() {
		a, err := f.Array(name)
		if err != nil {
			return state, err
		}
		wide, err := a.Int64()
		if err != nil {
			return state, err
		}
		for _, v := range wide {
			*values = append(*values, int(v))
		}
	}
	return state, nil
}

func widen(values []int) []int64 {
	wide := make([]int64, len(values))
	for i, v := range values {
		wide[i] = int64(v)
	}
	return wide
}

// Load restores model and optimizer from a checkpoint of this program or a full one of the reference. When names or
// shapes differ, nothing is changed.
func (s *Stepper) Load(f *ckpt.Checkpoint) error {
	if isReference(f) {
		var err error
		if f, err = fromReference(f, s.params); err != nil {
			return err
		}
	}
	all := s.tensors()
	for _, t := range all {
		if err := fits(f, t.name, t.Tensor); err != nil {
			return err
		}
	}
	return torch.Run(func() error {
		for _, t := range all {
			if err := copyInto(t.Tensor, f, t.name); err != nil {
				return err
			}
		}
		if err := checkSwin(s.Model.Student.Backbone); err != nil {
			return fmt.Errorf("train: %s: %w", f.Path, err)
		}
		var state []optim.Param
		for _, name := range f.Names() {
			rest, ok := strings.CutPrefix(name, "optimizer.")
			if !ok {
				continue
			}
			t, err := readTensor(f, name)
			if err != nil {
				return err
			}
			state = append(state, optim.Param{Name: rest, Tensor: t})
		}
		return s.Optimizer.Restore(state)
	})
}

// errArchitecture marks a checkpoint of another network.
var errArchitecture = errors.New("the checkpoint is of another architecture")

// fits checks that the file has the tensor in its shape.
func fits(f *ckpt.Checkpoint, name string, t *torch.Tensor) error {
	spec, err := f.Spec(name)
	if err != nil {
		return fmt.Errorf("%w: %w", errArchitecture, err)
	}
	if want := t.Shape(); fmt.Sprint(spec.Shape) != fmt.Sprint(want) {
		return fmt.Errorf("%w: %s has %s %v, this network %v; use the settings that it was trained with",
			errArchitecture, f.Path, name, spec.Shape, want)
	}
	return nil
}

// readTensor reads an array of the file as a CPU tensor.
func readTensor(f *ckpt.Checkpoint, name string) (*torch.Tensor, error) {
	a, err := f.Array(name)
	if err != nil {
		return nil, err
	}
	for dtype, of := range dtypes {
		if of == a.DType {
			return torch.FromBytes(a.Data, dtype, a.Shape...), nil
		}
	}
	return nil, fmt.Errorf("train: %s: %s has type %s, which no network here uses", f.Path, name, a.DType)
}

// copyInto overwrites t with an array of the file.
func copyInto(t *torch.Tensor, f *ckpt.Checkpoint, name string) (err error) {
	if spec, err := f.Spec(name); err == nil && spec.DType == dtypes[t.DType()] { // straight from the file: one copy
		a, err := f.Array(name)
		if err == nil {
			t.FillBytes(a.Data)
		}
		return err
	}
	torch.Scope(func() {
		var src *torch.Tensor
		if src, err = readTensor(f, name); err == nil {
			torch.NoGrad(func() { t.Copy_(src) })
		}
	})
	return err
}
