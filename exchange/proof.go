package exchange

import (
	"fmt"
	"math"

	"ibot/ckpt"
	"ibot/nn"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

// Tolerance is the greatest difference of an output that an export may have.
const Tolerance = 1e-4

// Proof says how near what was written comes to what it was made from.
type Proof struct {
	Bits    int     `json:"equal_arrays"` // arrays that were compared bit for bit and are equal; containers only
	Ran     bool    `json:"ran"`          // whether there was a network to run
	Cls     float64 `json:"cls"`          // greatest absolute differences of [CLS] and of patches
	Patches float64 `json:"patches"`
	Input   []int   `json:"input"` // shape of the random images
}

// String says the same in a line, for the metadata.
func (p Proof) String() string {
	text := ""
	if p.Bits > 0 {
		text = fmt.Sprintf("%d arrays are equal bit for bit", p.Bits)
	}
	if !p.Ran {
		return text
	}
	if text != "" {
		text += "; "
	}
	return text + fmt.Sprintf("run on random images %v: greatest difference of [CLS] %.3g, of patches %.3g", p.Input, p.Cls, p.Patches)
}

// randomImages are two images of a normal distribution, of the size that the network is made for.
func (s *source) randomImages() (values []float32, shape []int) {
	c := s.net.Config
	shape = []int{2, c.InChans, c.ImgSize, c.ImgSize}
	if s.Dynamic { // another size than the network's, with other rows than columns
		shape[2], shape[3] = c.ImgSize+2*c.PatchSize, c.ImgSize+c.PatchSize
	}
	values = make([]float32, shape[0]*shape[1]*shape[2]*shape[3])
	stream := rng.Seed(0).Stream("proof")
	for i := range values {
		values[i] = float32(stream.NormFloat64())
	}
	return values, shape
}

// prove opens what was written and compares: containers bit for bit, and every network by running it.
func (s *source) prove(path string, f *format) (p Proof, err error) {
	if f.container {
		written, err := ckpt.Open(path)
		if err != nil {
			return p, fmt.Errorf("exchange: what was written cannot be opened: %w", err)
		}
		defer written.Close()
		want := s.file
		if s.To == "reference" {
			if want, _, err = s.referenceLayout(); err != nil {
				return p, err
			}
		}
		report := ckpt.Diff(want, written)
		if !report.Equal() || report.Reordered {
			return p, fmt.Errorf("exchange: what was written is not what was read: %s", report)
		}
		p.Bits = report.Same
	}
	if s.net == nil {
		return p, nil
	}
	values, shape := s.randomImages()
	p.Input = shape
	err = torch.Run(func() error {
		run, err := f.open(path, s)
		if err != nil {
			return fmt.Errorf("exchange: what was written cannot be opened: %w", err)
		}
		torch.NoGrad(func() {
			x := torch.New(values, shape...)
			want := s.net.Forward(nn.Eval, x, nil)
			got := run(x)
			p.Ran = true
			p.Cls = worst(got.Slice(1, 0, 1), want.Slice(1, 0, 1))
			p.Patches = worst(got.From(1, 1), want.From(1, 1))
		})
		return nil
	})
	if err != nil {
		return p, err
	}
	if !(p.Cls <= Tolerance && p.Patches <= Tolerance) { // which NaN is not
		hint := "are the weights finite? (`ibot ckpt show`)"
		if eps := s.net.Config.NormEps; eps != 1e-6 {
			hint = fmt.Sprintf("the layer norms have eps %g, which %s does not keep", eps, s.To)
		}
		return p, fmt.Errorf("exchange: what was written differs when it is run: [CLS] by %.3g, patches by %.3g, more than %g; %s", p.Cls, p.Patches, Tolerance, hint)
	}
	return p, nil
}

// worst is the greatest absolute difference, infinite for tensors of other shapes.
func worst(a, b *torch.Tensor) float64 {
	if fmt.Sprint(a.Shape()) != fmt.Sprint(b.Shape()) {
		return math.Inf(1)
	}
	return a.To(torch.Float32).Sub(b.To(torch.Float32)).Abs().MaxAll().Item()
}

// reopen makes the network of a checkpoint that was written, by the names that are in it.
func reopen(path string, s *source) (forward, error) {
	f, err := ckpt.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	w, err := train.ReadWeights(f, s.Net)
	if err != nil {
		return nil, err
	}
	w.Config.NumHeads = s.net.Config.NumHeads
	p := nn.NewPath(0, torch.CPU)
	extra := s.Extra
	if formats[s.To].container {
		extra = []string{"*"}
	}
	v, err := w.Build(p, s.Missing, extra)
	if err != nil {
		p.Free()
		return nil, err
	}
	return func(x *torch.Tensor) *torch.Tensor {
		defer p.Free()
		return v.Forward(nn.Eval, x, nil)
	}, nil
}
