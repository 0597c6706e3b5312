package train

import (
	"errors"
	"fmt"
	"slices"

	"ibot/method"
	"ibot/nn"
	"ibot/optim"
	"ibot/torch"
)

// graphs are the forward and backward passes of a GPU's steps, recorded once for each of their shapes as a CUDA graph: the
// driver then starts their thousands of kernels by one call. A recorded pass reads its batch where that of the first lay, and is held
// against a plain pass over another batch before it is used. Where one cannot be recorded, or differs, all go on as plain passes.
type graphs struct {
	note   func(why error) // is told when no more are used
	off    bool
	temps  method.Temps // which are recorded with the pass
	passes map[passShape]*pass
	shared recorded // any of them: they have one memory
}

// passShape is what recorded passes differ in.
type passShape struct {
	span
	masked int // patches
}

// pass is one that was recorded.
type pass struct {
	batch   method.Batch  // that it reads
	drawn   *torch.Tensor // the dropped paths that it reads; nil: none
	out     []*torch.Tensor
	graph   recorded
	checked bool
}

// recorded is a [torch.Graph].
type recorded interface {
	Replay()
	Free()
}

// record is [torch.Record], of what f returns; tests have another.
var record = func(d torch.Device, shared recorded, f func() []*torch.Tensor) (recorded, []*torch.Tensor, error) {
	var out []*torch.Tensor
	with, _ := shared.(*torch.Graph)
	g, err := torch.Record(d, with, func() { out = f() })
	if err != nil {
		free(out)
		return nil, nil, err
	}
	return g, out, nil
}

func free(list []*torch.Tensor) {
	for _, t := range list {
		t.Free()
	}
}

// suit reports whether the passes of a step on a batch of so many images can be recorded ones.
func (g *graphs) suit(s *Stepper, images int) bool {
	return g != nil && !g.off && s.Late && s.FixedShapes && s.plan.Of(images)
}

// holds reports whether anything is recorded.
func (g *graphs) holds() bool { return g != nil && len(g.passes) > 0 }

// free frees all that was recorded.
func (g *graphs) free() {
	if g == nil {
		return
	}
	for _, p := range g.passes {
		p.free()
	}
	g.passes, g.shared = nil, nil
}

func (p *pass) free() {
	free(p.out)
	if p.graph != nil {
		p.graph.Free()
	}
	for _, t := range p.inputs() {
		t.Free()
	}
}

// stop ends the use of graphs.
func (g *graphs) stop(why error) {
	g.free()
	g.off = true
	if g.note != nil {
		g.note(why)
	}
}

// inputs lists what a pass reads that differs from step to step.
func (p *pass) inputs() []*torch.Tensor {
	return append(tensorsOf(p.batch), p.drawn)
}

func tensorsOf(b method.Batch) []*torch.Tensor {
	return []*torch.Tensor{b.Global, b.Local, b.Mask, b.Masked, b.Weight}
}

// run makes the pass over a part of the images of a batch, and returns what [Stepper.pass] does. own is whether that
// may be kept: what a graph leaves is gone with the next replay.
func (g *graphs) run(s *Stepper, b method.Batch, of span, temps method.Temps, drops *nn.Drops) (out []*torch.Tensor, own bool) {
	if temps != g.temps {
		g.free()
		g.temps = temps
	}
	shape := passShape{span: of}
	if b.Masked != nil {
		shape.masked = b.Masked.Size(0)
	}
	p := g.passes[shape]
	if p == nil {
		out := s.pass(b, of, temps, drops) // which also makes ready what the engine makes when it first needs it
		if p, err := g.record(s, b, of, temps, drops); err != nil {
			g.stop(err)
		} else {
			if g.passes == nil {
				g.passes = map[passShape]*pass{}
			}
			g.passes[shape], g.shared = p, p.graph
		}
		return out, true
	}
	p.replay(b, drops)
	if p.checked {
		return p.out, false
	}
	out = s.pass(b, of, temps, drops)
	if err := differ(p.out, out); err != nil {
		g.stop(err)
	}
	p.checked = true
	return out, true
}

// record records the pass over images like those of b.
func (g *graphs) record(s *Stepper, b method.Batch, of span, temps method.Temps, drops *nn.Drops) (*pass, error) {
	p := &pass{}
	err := torch.Run(func() (err error) {
		clone := func(t *torch.Tensor) *torch.Tensor {
			if t == nil {
				return nil
			}
			return t.Clone().Own()
		}
		p.batch = method.Batch{B: b.B, Global: clone(b.Global), Local: clone(b.Local), Mask: clone(b.Mask), Masked: clone(b.Masked), Weight: clone(b.Weight)}
		p.drawn = clone(drops.Drawn())
		phase := s.Model.Phase
		s.Model.Phase = nil
		defer func() { s.Model.Phase = phase }()
		p.graph, p.out, err = record(s.Device, g.shared, func() []*torch.Tensor {
			defer drops.SetDrawn(drops.Drawn())
			drops.SetDrawn(p.drawn)
			out := s.pass(p.batch, of, temps, drops)
			for _, t := range out {
				if t != nil {
					t.Own()
				}
			}
			return out
		})
		return err
	})
	if err != nil {
		optim.ZeroGrad(s.params)
		p.free()
		return nil, fmt.Errorf("it cannot be recorded: %w", err)
	}
	return p, nil
}

// replay makes the pass over the images of b.
func (p *pass) replay(b method.Batch, drops *nn.Drops) {
	torch.NoGrad(func() {
		for i, t := range append(tensorsOf(b), drops.Drawn()) {
			if to := p.inputs()[i]; to != nil {
				to.Copy_(t)
			}
		}
	})
	p.graph.Replay()
}

// tolerance is how far what a recorded pass leaves may be from what the same kernels leave when they are started one by one, relative to
// its length: some sum in an order that changes. What a pass reads in a wrong place is far beyond that.
const (
	tolerance = .02
	rounding  = .01 // of the longest gradient: shorter ones are given as much
)

// differ errs where what a recorded pass left is not what a plain one did. Gradients that are but rounding may differ.
func differ(recorded, plain []*torch.Tensor) (err error) {
	torch.Scope(func() {
		var lengths, apart []float64
		for i, p := range plain {
			r := recorded[i]
			if (p == nil) != (r == nil) {
				err = errors.New("a recorded pass leaves a gradient that a plain one does not, or the other way round")
				return
			}
			if p == nil {
				continue
			}
			if i == 0 { // without the clusters, which have numbers and no size
				r, p = r.Slice(0, 0, method.MeasuredScalars), p.Slice(0, 0, method.MeasuredScalars)
			}
			r, p = r.To(torch.Float32), p.To(torch.Float32)
			lengths, apart = append(lengths, p.NormAll().Item()), append(apart, r.Sub(p).NormAll().Item())
		}
		longest := slices.Max(lengths[firstGradient:])
		for i, length := range lengths {
			if least := longest * rounding; finite(length) && !(apart[i] <= tolerance*max(length, least)) {
				err = fmt.Errorf("a recorded pass differs from a plain one: result %d is %.2g of its length away", i, apart[i]/length)
				return
			}
		}
	})
	return err
}
