package method

import (
	"ibot/backbone"
	"ibot/nn"
	"ibot/rng"
	"ibot/torch"
)

// Net is a backbone with a head; its parameters are named backbone.* and head.*.
type Net struct {
	Path     *nn.Path
	Backbone backbone.Backbone
	Head     *Head
}

// NewNet builds a net below the root p, which it frees where it fails.
func NewNet(p *nn.Path, b backbone.Config, h HeadConfig) (*Net, error) {
	net := &Net{Path: p}
	var err error
	if net.Backbone, err = backbone.New(b, p.Sub("backbone")); err != nil {
		p.Free()
		return nil, err
	}
	h.InDim = net.Backbone.EmbedDim()
	if net.Head, err = NewHead(p.Sub("head"), h); err != nil {
		p.Free()
		return nil, err
	}
	return net, nil
}

// Config is what a student and its teacher are built with.
type Config struct {
	Backbone backbone.Config
	Head     HeadConfig
	// SharedHeadTeacher is whether the teacher's last layer serves [CLS] and patches both; the student's is Head.Shared.
	SharedHeadTeacher bool
	Loss              LossConfig
	// InitStd is the standard deviation of the initial weights of linear layers; 0: 1/sqrt(inputs). The reference's is 0.02.
	InitStd float64
}

// root begins a tree of parameters.
func (c Config) root(seed rng.Seed, d torch.Device) *nn.Path {
	p := nn.NewPath(seed, d)
	p.LinearStd = c.InitStd
	return p
}

// Model is a student, its teacher and the loss between them.
type Model struct {
	Student, Teacher *Net
	Loss             *Loss
	// Phase, where set, is called as a part of a step begins: "teacher", "student", "local crops" ...
	Phase func(name string)
	// HeadChunk is how many rows of logits the loss has at a time; 0: all. The result is the same, but for rounding.
	HeadChunk        int
	moving, followed []*torch.Tensor // the teacher's parameters of the moving average, and the student's
}

// NewModel builds student and teacher, which start with the same weights.
func NewModel(c Config, seed rng.Seed, d torch.Device) (*Model, error) {
	if c.Head.Shared || c.SharedHeadTeacher {
		c.Head.PatchOutDim = c.Head.OutDim // a shared layer has one width, and the patches' targets have it too
	}
	student, err := NewNet(c.root(seed, d), c.Backbone, c.Head)
	if err != nil {
		return nil, err
	}
	tb, th := c.Backbone, c.Head
	tb.DropPath, tb.Masked = 0, false
	th.Shared, th.NormLastLayer = c.SharedHeadTeacher, true
	root := c.root(seed, d)
	root.Blank = true // it takes the student's values
	teacher, err := NewNet(root, tb, th)
	if err != nil {
		student.Path.Free()
		return nil, err
	}
	// As the reference: loaded by name, later names over earlier ones. With separate layers in the student and a shared
	// one in the teacher, the teacher starts with the student's last_layer2.
	teacher.Path.CopyFrom(student.Path)
	for _, p := range teacher.Path.Params() {
		p.RequireGrad(false)
	}
	m := &Model{Student: student, Teacher: teacher, Loss: NewLoss(c.Loss, th.OutDim, th.PatchOutDim, d)}
	m.moving, m.followed = common(teacher.Path, student.Path)
	return m, nil
}

// Free frees both nets and the centers.
func (m *Model) Free() {
	m.Student.Path.Free()
	m.Teacher.Path.Free()
	m.Loss.Free()
}

// common returns the parameters of a whose names b has too, and b's.
func common(a, b *nn.Path) (ofA, ofB []*torch.Tensor) {
	byName := map[string]*torch.Tensor{}
	for _, p := range b.Params() {
		byName[p.Name] = p.Tensor
	}
	for _, p := range a.Params() {
		if same, ok := byName[p.Name]; ok {
			ofA, ofB = append(ofA, p.Tensor), append(ofB, same)
		}
	}
	return ofA, ofB
}

// EMA moves the teacher towards the student: teacher = momentum*teacher + (1-momentum)*student, over the
// parameters that both have. Buffers are not averaged. Where skip is 1, as for [torch.Unless], it stays.
func (m *Model) EMA(momentum float64, skip *torch.Tensor) {
	torch.NoGrad(func() {
		torch.LerpAllUnless_(skip, m.moving, m.followed, 1-momentum)
	})
}

// Forward returns the loss of a batch and what the teacher said of it, for [Loss.Update].
//
// Head and softmax run only for the tokens that carry loss, [CLS] and the masked patches. The patch center
// needs the mean logit of all patches; the last layer is linear without bias, so that is the last layer of
// the mean embedding. The result equals the plain form; no term is left out.
func (m *Model) Forward(mode nn.Mode, b Batch, temps Temps) (Terms, Teacher) {
	m.Begin("teacher")
	t := m.teach(b)
	m.Begin("student")
	s := m.study(mode, b)
	m.Begin("loss")
	return m.loss(s, t, b.Weight, temps), t
}

// Begin reports to Phase.
func (m *Model) Begin(phase string) {
	if m.Phase != nil {
		m.Phase(phase)
	}
}

// teach runs the teacher on the whole global crops.
func (m *Model) teach(b Batch) Teacher {
	var r []*torch.Tensor
	torch.NoGrad(func() {
		r = torch.TidyAll(func() []*torch.Tensor {
			mode := nn.Mode{Train: true} // as the reference: the teacher stays in train mode
			net := m.Teacher
			z := net.Head.Embed(mode, net.Backbone.Forward(mode, b.Global, nil)) // (G*B, 1+N, d)
			cls := z.Select(1, 0).Contiguous()
			patches := z.From(1, 1).Reshape(-1, z.Size(2)) // (G*B*N, d)
			clsLayer, patchLayer := net.Head.Last()
			var masked *torch.Tensor
			if b.Masked != nil {
				masked = patches.IndexSelect(0, b.Masked)
			}
			return []*torch.Tensor{
				cls, masked,
				logits(cls.Mean(0), clsLayer).Unsqueeze(0),
				logits(patches.Mean(0), patchLayer).Reshape(1, 1, -1),
			}
		})
	})
	return Teacher{Embedded: Embedded{Cls: r[0], Masked: r[1]}, ClsMean: r[2], PatchMean: r[3]}
}

// study runs the student on the masked global crops and, apart, on the local ones.
func (m *Model) study(mode nn.Mode, b Batch) Embedded {
	r := torch.TidyAll(func() []*torch.Tensor {
		cls, masked := m.embed(mode, b.Global, b.Mask, b.Masked)
		if b.Local != nil {
			m.Begin("local crops")
			local, _ := m.embed(mode, b.Local, nil, nil)
			cls = torch.Cat([]*torch.Tensor{cls, local}, 0)
		}
		return []*torch.Tensor{cls, masked}
	})
	return Embedded{Cls: r[0], Masked: r[1]}
}

// embed runs the backbone and the head's MLP on crops x, for the [CLS] tokens and the chosen patches, and for all others
// too where the head must see them.
func (m *Model) embed(mode nn.Mode, x, mask, chosen *torch.Tensor) (cls, masked *torch.Tensor) {
	net := m.Student
	if !net.Head.PerToken() {
		z := net.Head.Embed(mode, net.Backbone.Forward(mode, x, mask))
		if cls = z.Select(1, 0); chosen != nil {
			masked = backbone.ChosenPatches(z, chosen)
		}
		return cls, masked
	}
	cls, patches := backbone.ForwardChosen(net.Backbone, mode, x, mask, chosen)
	if chosen == nil {
		return net.Head.Embed(mode, cls), nil
	}
	B := cls.Size(0)
	z := net.Head.Embed(mode, torch.Cat([]*torch.Tensor{cls, patches}, 0))
	return z.Slice(0, 0, B), z.From(0, B)
}
