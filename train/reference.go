package train

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"ibot/ckpt"
	"ibot/internal/settings"
	"ibot/optim"
)

// The full checkpoint of the reference (main_ibot.py) is a dict of
//
//	student     state dict; its names begin with "module.", for the student is wrapped for several devices
//	teacher     state dict; with "module." only where the head has batch norms
//	optimizer   state by number of the parameter, and two groups: decayed, not decayed
//	epoch       the next one
//	args        the settings, an argparse.Namespace
//	ibot_loss   state dict of the centers
//	fp16_scaler the state of the gradient scaler, or None

const studentModule = "student.module."

// isReference reports whether f is a full checkpoint of the reference.
func isReference(f *ckpt.Checkpoint) bool {
	_, hasEpoch := f.Meta["epoch"]
	return f.Meta[formatKey] == "" && hasEpoch && f.Has("ibot_loss.center") && f.Meta["optimizer.param_groups.0.params"] != ""
}

// referenceEpoch is the epoch that a full checkpoint of the reference goes on with.
func referenceEpoch(f *ckpt.Checkpoint) (int, error) {
	epoch, err := strconv.Atoi(f.Meta["epoch"])
	if err != nil || epoch < 0 || epoch > math.MaxInt32 {
		return 0, fmt.Errorf("train: %s says that its run was in epoch %q; the file is damaged", f.Path, f.Meta["epoch"])
	}
	return epoch, nil
}

// groups are the names of the parameters of an optimizer of the reference, in the order of their
// numbers: first those with weight decay, then those without.
func groups(params []optim.Param) (decayed, plain []string) {
	for _, p := range params {
		if p.Decayed() {
			decayed = append(decayed, p.Name)
		} else {
			plain = append(plain, p.Name)
		}
	}
	return decayed, plain
}

// fromReference presents a full checkpoint of the reference under the names of an own one, for a
// student with these parameters. The numbers are read from f when they are asked for.
func fromReference(f *ckpt.Checkpoint, params []optim.Param) (*ckpt.Checkpoint, error) {
	decayed, plain := groups(params)
	if err := sameGroups(f, len(decayed), len(plain)); err != nil {
		return nil, err
	}
	names := slices.Concat(decayed, plain)
	out := ckpt.New()
	out.Path = f.Path
	for _, s := range f.Specs() {
		name := s.Name
		switch {
		case strings.HasPrefix(name, "optimizer.state."):
			number, kind, _ := strings.Cut(strings.TrimPrefix(name, "optimizer.state."), ".")
			i, err := strconv.Atoi(number)
			if err != nil || i < 0 || i >= len(names) || kind == "" {
				return nil, fmt.Errorf("train: %s has the optimizer state %q; its groups have %d parameters", f.Path, name, len(names))
			}
			name = "optimizer." + kind + "." + names[i]
		case strings.HasPrefix(name, studentModule):
			name = "student." + strings.TrimPrefix(name, studentModule)
		case strings.HasPrefix(name, "teacher.module."):
			name = "teacher." + strings.TrimPrefix(name, "teacher.module.")
		}
		if err := out.AddFunc(name, s.DType, s.Shape, func() ([]byte, error) {
			a, err := f.Array(s.Name)
			return a.Data, err
		}); err != nil {
			return nil, err
		}
	}
	return out, plainSteps(f, names, out)
}

// plainSteps enters the counts of steps, which PyTorch before 1.12 keeps as plain numbers.
func plainSteps(f *ckpt.Checkpoint, names []string, out *ckpt.Checkpoint) error {
	for i, name := range names {
		text, ok := f.Meta[fmt.Sprintf("optimizer.state.%d.step", i)]
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(text, 32)
		if err != nil {
			return fmt.Errorf("train: %s says that parameter %d has made %q steps; the file is damaged", f.Path, i, text)
		}
		if err := out.Add("optimizer.step."+name, ckpt.FromFloat32(nil, []float32{float32(n)})); err != nil {
			return err
		}
	}
	return nil
}

// sameGroups compares the sizes of the optimizer's groups with those of the network.
func sameGroups(f *ckpt.Checkpoint, want ...int) error {
	for g, n := range want {
		var numbers []int
		if err := json.Unmarshal([]byte(f.Meta[fmt.Sprintf("optimizer.param_groups.%d.params", g)]), &numbers); err != nil {
			return fmt.Errorf("train: %s: group %d of its optimizer is not understood: %w", f.Path, g, err)
		}
		if len(numbers) != n {
			return fmt.Errorf("%w: group %d of the optimizer in %s has %d parameters, this network's has %d; use the settings that it was trained with "+
				"(its args.* in `ibot ckpt ls`)", errArchitecture, g, f.Path, len(numbers), n)
		}
	}
	return nil
}

// ToReference returns an own checkpoint in the reference's layout: the arrays under the names that
// they have in its file, and the object to give to [ckpt.WritePth].
func ToReference(f *ckpt.Checkpoint) (*ckpt.Checkpoint, any, error) {
	state, err := readProgress(f)
	if err != nil {
		return nil, nil, err
	}
	var c Config
	if err := settings.DecodeYAML(f.Path, []byte(f.Meta["config"]), &c); err != nil {
		return nil, nil, err
	}
	l := &layout{from: f, out: ckpt.New()}
	teacher := "teacher."
	if strings.HasSuffix(c.NormInHead, "bn") {
		teacher = "teacher.module." // wrapped, for its batch norms
	}
	object := ckpt.Dict{
		{Key: "student", Value: l.stateDict("student.", studentModule)},
		{Key: "teacher", Value: l.stateDict("teacher.", teacher)},
		{Key: "optimizer", Value: l.optimizer(c, state.Step)},
		{Key: "epoch", Value: int64(state.Step / state.StepsPerEpoch)},
		{Key: "args", Value: namespace(c)},
		{Key: "ibot_loss", Value: l.stateDict("ibot_loss.", "ibot_loss.")},
	}
	return l.out, object, l.err
}

// layout builds a checkpoint of the reference from an own one.
type layout struct {
	from, out *ckpt.Checkpoint
	err       error
}

// take enters the array from under the name to.
func (l *layout) take(from, to string) ckpt.Tensor {
	spec, err := l.from.Spec(from)
	if err == nil {
		err = l.out.AddFunc(to, spec.DType, spec.Shape, func() ([]byte, error) {
			a, err := l.from.Array(from)
			return a.Data, err
		})
	}
	l.err = errors.Join(l.err, err)
	return ckpt.Tensor(to)
}

// stateDict moves the arrays below one prefix to another. The keys are what follows the first name.
func (l *layout) stateDict(from, to string) ckpt.OrderedDict {
	_, wrapper, _ := strings.Cut(to, ".")
	var d ckpt.OrderedDict
	for _, name := range l.from.Names() {
		if rest, ok := strings.CutPrefix(name, from); ok {
			d = append(d, ckpt.Item{Key: wrapper + rest, Value: l.take(name, to+rest)})
		}
	}
	return d
}

// optimizer makes the state dict of the optimizer of a run that has made this many steps. What is
// trained is told from the student: with norm_last_layer the lengths of the last layer are not.
func (l *layout) optimizer(c Config, step int) ckpt.Dict {
	var decayed, plain []string
	for _, s := range l.from.Specs() {
		name, ok := strings.CutPrefix(s.Name, "student.")
		if !ok || !trained(name, s.Shape, c) {
			continue
		}
		if strings.HasSuffix(name, ".bias") || len(s.Shape) == 1 {
			plain = append(plain, name)
		} else {
			decayed = append(decayed, name)
		}
	}
	state := ckpt.Dict{}
	for i, name := range slices.Concat(decayed, plain) {
		var kinds ckpt.Dict
		for _, kind := range []string{"step", "exp_avg", "exp_avg_sq", "momentum_buffer", "mu"} {
			if from := "optimizer." + kind + "." + name; l.from.Has(from) {
				kinds = append(kinds, ckpt.Item{Key: kind, Value: l.take(from, fmt.Sprintf("optimizer.state.%d.%s", i, kind))})
			}
		}
		if kinds != nil {
			state = append(state, ckpt.Item{Key: int64(i), Value: kinds})
		}
	}
	group := func(first, n int, decay float64) ckpt.Dict {
		numbers := make(ckpt.ListValue, n)
		for i := range numbers {
			numbers[i] = int64(first + i)
		}
		return append(optimizerSettings(c), ckpt.Item{Key: "weight_decay", Value: decay}, ckpt.Item{Key: "params", Value: numbers})
	}
	return ckpt.Dict{
		{Key: "state", Value: state},
		{Key: "param_groups", Value: ckpt.ListValue{group(0, len(decayed), c.WeightDecay), group(len(decayed), len(plain), 0)}},
	}
}

// trained reports whether an array of the student's state dict is a parameter that the optimizer
// has, each once.
func trained(name string, shape []int, c Config) bool {
	switch {
	case strings.HasPrefix(name, "head.last_layer2.") && c.SharedHead, strings.HasPrefix(name, "head.mlp2.") && c.SharedHead:
		return false // last_layer again
	case strings.HasSuffix(name, ".weight_g"):
		return !c.NormLastLayer
	case strings.HasSuffix(name, ".running_mean"), strings.HasSuffix(name, ".running_var"),
		strings.HasSuffix(name, ".num_batches_tracked"), strings.HasSuffix(name, ".relative_position_index"), strings.HasSuffix(name, ".attn_mask"):
		return false
	}
	return shape != nil
}

// optimizerSettings are the settings of a group, but for the weight decay. The reference sets the
// rate of each step from its schedule, so that the one here has no effect.
func optimizerSettings(c Config) ckpt.Dict {
	lr := ckpt.Item{Key: "lr", Value: c.LR}
	switch c.Optimizer {
	case "sgd":
		return ckpt.Dict{lr, {Key: "momentum", Value: .9}, {Key: "dampening", Value: int64(0)}, {Key: "nesterov", Value: false}}
	case "lars":
		return ckpt.Dict{lr, {Key: "momentum", Value: .9}, {Key: "eta", Value: .001}, {Key: "weight_decay_filter", Value: nil}, {Key: "lars_adaptation_filter", Value: nil}}
	}
	return ckpt.Dict{lr, {Key: "betas", Value: ckpt.Tuple{.9, .999}}, {Key: "eps", Value: 1e-8}, {Key: "amsgrad", Value: false}}
}

// namespace turns the settings into the reference's args, whose names they have.
func namespace(c Config) ckpt.Namespace {
	c.NormInHead = cmp.Or(c.NormInHead, "none")
	v := reflect.ValueOf(c)
	var args ckpt.Namespace
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("name")
		if alias := v.Type().Field(i).Tag.Get("alias"); alias == "data_path" || alias == "output_dir" {
			name = alias // the reference's own name
		}
		if name == "" {
			continue
		}
		args = append(args, ckpt.Item{Key: name, Value: plainValue(v.Field(i))})
	}
	return args
}

// plainValue turns a setting into a value that can be pickled.
func plainValue(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int64:
		return v.Int()
	case reflect.Float64:
		return v.Float()
	case reflect.Slice, reflect.Array:
		list := make(ckpt.ListValue, v.Len())
		for i := range list {
			list[i] = plainValue(v.Index(i))
		}
		return list
	}
	if text := v.String(); text != "none" && text != "" {
		return text
	}
	return nil
}
