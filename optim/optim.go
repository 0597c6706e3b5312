package optim

import (
	"fmt"
	"strings"

	"ibot/torch"
)

// Param is a parameter with its name.
type Param struct {
	Name string
	*torch.Tensor
}

// Decayed reports whether weight decay applies to p: not to biases nor to vectors, such as the
// scales of norms. As the reference, it does apply to position embeddings, [CLS] and mask
// embedding and to trainable lengths of the last layer, whose shapes are not vectors.
func (p Param) Decayed() bool { return !strings.HasSuffix(p.Name, ".bias") && p.Dims() != 1 }

// Rates are the settings of one step.
type Rates struct {
	LR          float64
	WeightDecay float64 // of the parameters that are [Param.Decayed]; 0 for the others
	// Skip, for an [Optimizer.CanSkip], is a float32 scalar where the parameters are: 1 leaves parameters and state as they
	// are. The host need not know which it is. nil: 0.
	Skip *torch.Tensor
}

func (r Rates) decay(p Param) float64 {
	if p.Decayed() {
		return r.WeightDecay
	}
	return 0
}

// Optimizer changes parameters by their gradients. A parameter without a gradient is left
// alone: no decay, no state, no step counted.
type Optimizer interface {
	Step(r Rates)
	CanSkip() bool // whether Step takes [Rates.Skip] on this engine
	// State lists the optimizer's tensors by name ("exp_avg.backbone.cls_token"), those that exist so far.
	State() []Param
	// Restore sets the state to what [Optimizer.State] listed in an earlier run. Names of no parameter are an error.
	Restore(state []Param) error
	Free()
}

// New returns the optimizer of the given name: "adamw", "sgd" or "lars".
func New(name string, params []Param) (Optimizer, error) {
	switch name {
	case "adamw":
		return NewAdamW(params), nil
	case "sgd":
		return NewSGD(params), nil
	case "lars":
		return NewLARS(params), nil
	}
	return nil, fmt.Errorf("optim: unknown optimizer %q; use adamw, sgd or lars", name)
}

// slots is the state of an optimizer: for each kind ("exp_avg") a tensor per parameter, made when it is first needed.
type slots struct {
	params []Param
	kinds  []string
	state  []map[string]*torch.Tensor // by parameter, then kind
}

func newSlots(params []Param, kinds ...string) slots {
	s := slots{params: params, kinds: kinds, state: make([]map[string]*torch.Tensor, len(params))}
	for i := range s.state {
		s.state[i] = map[string]*torch.Tensor{}
	}
	return s
}

// zeros returns the state of kind for parameter i, zeros at first.
func (s *slots) zeros(i int, kind string) *torch.Tensor {
	t, ok := s.state[i][kind]
	if !ok {
		t = s.params[i].ZerosLike().Own()
		s.state[i][kind] = t
	}
	return t
}

// State lists what exists so far, kind by kind in the order of the parameters.
func (s *slots) State() []Param {
	var all []Param
	for _, kind := range s.kinds {
		for i, p := range s.params {
			if t, ok := s.state[i][kind]; ok {
				all = append(all, Param{kind + "." + p.Name, t})
			}
		}
	}
	return all
}

// Restore replaces the state by copies of the given tensors.
func (s *slots) Restore(state []Param) error {
	index := map[string]int{}
	for i, p := range s.params {
		index[p.Name] = i
	}
	s.Free()
	for _, entry := range state {
		kind, name, _ := strings.Cut(entry.Name, ".")
		i, ok := index[name]
		if !ok {
			return fmt.Errorf("optim: state %q belongs to no parameter of this network", entry.Name)
		}
		d := s.params[i].Device()
		if entry.Dims() == 0 {
			d = torch.CPU // counts stay on the host
		}
		var t *torch.Tensor
		torch.Scope(func() { t = entry.ToDevice(d).Clone().Own() })
		s.state[i][kind] = t
	}
	return nil
}

// CanSkip is true.
func (s *slots) CanSkip() bool { return true }

// Free frees the state.
func (s *slots) Free() {
	for _, kinds := range s.state {
		for kind, t := range kinds {
			t.Free()
			delete(kinds, kind)
		}
	}
}

// each calls f for every parameter that has a gradient, in a scope of its own and without history.
func (s *slots) each(f func(i int, p Param, grad *torch.Tensor)) {
	torch.NoGrad(func() {
		for i, p := range s.params {
			torch.Scope(func() {
				if g := p.Grad(); g != nil {
					f(i, p, g)
				}
			})
		}
	})
}
