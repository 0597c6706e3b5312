package nn

import (
	"fmt"

	"ibot/rng"
	"ibot/torch"
)

// Path is a place in the tree of a network's parameters.
type Path struct {
	// LinearStd is the standard deviation of the initial weights of linear layers; 0: 1/sqrt(inputs),
	// which keeps the size of what passes through. The paths below take it over.
	LinearStd float64
	// Blank leaves all values 0, for a network that is read from a file. The paths below take it over.
	Blank bool

	name   string // "" at the root, else "blocks.0.attn."
	node   *node
	seed   rng.Seed
	device torch.Device
}

// node is one module of the tree.
type node struct {
	params   []Named
	buffers  []Named
	cache    []*torch.Tensor
	children []child
}

type child struct {
	name string
	node *node
	// alias: the same parameters stand in the tree under another name already. They belong to the
	// state dict, not to the list of parameters.
	alias bool
}

// Named is a parameter or buffer with its full name.
type Named struct {
	Name string
	*torch.Tensor
}

// NewPath returns the root of a new tree. Parameters are made on device d; the streams of their
// initial values are named after the parameters. LinearStd is the reference's 0.02.
func NewPath(seed rng.Seed, d torch.Device) *Path {
	return &Path{LinearStd: .02, node: &node{}, seed: seed, device: d}
}

// Sub opens the child of the given name.
func (p *Path) Sub(name string) *Path {
	n := &node{}
	p.node.children = append(p.node.children, child{name: name, node: n})
	return &Path{LinearStd: p.LinearStd, Blank: p.Blank, name: p.name + name + ".", node: n, seed: p.seed, device: p.device}
}

// Alias enters the parameters of q a second time, as child name of p: they appear in the state
// dict under both names and among the parameters once.
func (p *Path) Alias(name string, q *Path) {
	p.node.children = append(p.node.children, child{name: name, node: q.node, alias: true})
}

// Device is where the parameters are made.
func (p *Path) Device() torch.Device { return p.device }

// Param makes a trainable parameter with the given initial values.
func (p *Path) Param(name string, init Init, shape ...int) *torch.Tensor {
	t := p.make(name, init, shape)
	p.node.params = append(p.node.params, Named{name, t})
	return t.RequireGrad(true)
}

// Buffer makes a tensor that belongs to the state dict and is not trained.
func (p *Path) Buffer(name string, init Init, shape ...int) *torch.Tensor {
	t := p.make(name, init, shape)
	p.node.buffers = append(p.node.buffers, Named{name, t})
	return t
}

// Table makes an int64 tensor of the given values that belongs to the state dict and is not trained.
func (p *Path) Table(name string, values []int64, shape ...int) *torch.Tensor {
	var t *torch.Tensor
	torch.Scope(func() { t = torch.New(values, shape...).ToDevice(p.device).Own() })
	p.node.buffers = append(p.node.buffers, Named{name, t})
	return t
}

// Cache keeps what make returns, which can be made again at any time: on the path's device, freed with the
// parameters and not part of the state dict.
func (p *Path) Cache(make func() *torch.Tensor) (t *torch.Tensor) {
	torch.Scope(func() { t = make().ToDevice(p.device).Own() })
	p.node.cache = append(p.node.cache, t)
	return t
}

// Counter makes an int64 scalar that belongs to the state dict and counts from 0.
func (p *Path) Counter(name string) *torch.Tensor {
	t := torch.Zeros(torch.Int64, p.device).Own()
	p.node.buffers = append(p.node.buffers, Named{name, t})
	return t
}

func (p *Path) make(name string, init Init, shape []int) *torch.Tensor {
	if p.Blank {
		return torch.Zeros(torch.Float32, p.device, shape...).Own()
	}
	values := make([]float32, product(shape))
	init(p.seed.Stream("init/"+p.name+name), values, shape)
	var t *torch.Tensor
	torch.Scope(func() { t = torch.New(values, shape...).ToDevice(p.device).Own() })
	return t
}

// Params lists the parameters in PyTorch's order, each once.
func (p *Path) Params() []Named {
	var all []Named
	p.node.walk("", false, func(name string, t *torch.Tensor, buffer bool) {
		if !buffer {
			all = append(all, Named{name, t})
		}
	})
	return all
}

// State lists parameters and buffers as a PyTorch state dict does, shared ones under each of
// their names.
func (p *Path) State() []Named {
	var all []Named
	p.node.walk("", true, func(name string, t *torch.Tensor, _ bool) { all = append(all, Named{name, t}) })
	return all
}

func (n *node) walk(prefix string, aliases bool, visit func(name string, t *torch.Tensor, buffer bool)) {
	for _, p := range n.params {
		visit(prefix+p.Name, p.Tensor, false)
	}
	for _, b := range n.buffers {
		visit(prefix+b.Name, b.Tensor, true)
	}
	for _, c := range n.children {
		if !c.alias || aliases {
			c.node.walk(prefix+c.name+".", aliases, visit)
		}
	}
}

// Free frees every parameter, buffer and cached tensor.
func (p *Path) Free() {
	for _, s := range p.State() {
		s.Free()
	}
	p.node.free()
}

// free frees what is cached here and below.
func (n *node) free() {
	for _, t := range n.cache {
		t.Free()
	}
	n.cache = nil
	for _, c := range n.children {
		c.node.free()
	}
}

// CopyFrom overwrites the parameters and buffers of p with those of the same name in q, in the
// order of q's state dict, and returns the names of p that q lacks. As in PyTorch, of two names
// that share a tensor the one that comes later wins.
func (p *Path) CopyFrom(q *Path) (missing []string) {
	mine := map[string]*torch.Tensor{}
	found := map[*torch.Tensor]bool{}
	for _, s := range p.State() {
		mine[s.Name] = s.Tensor
	}
	torch.NoGrad(func() {
		for _, s := range q.State() {
			if t, ok := mine[s.Name]; ok {
				t.Copy_(s.Tensor)
				found[t] = true
			}
		}
	})
	for _, s := range p.State() {
		if !found[s.Tensor] {
			missing = append(missing, s.Name)
		}
	}
	return missing
}

// Count returns the number of trainable values.
func (p *Path) Count() int {
	n := 0
	for _, s := range p.Params() {
		n += s.Numel()
	}
	return n
}

func (n Named) String() string { return fmt.Sprintf("%s %v", n.Name, n.Shape()) }

func product(shape []int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}
