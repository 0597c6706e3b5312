package train

import (
	"math"
	"testing"

	"ibot/method"
	"ibot/rng"
	"ibot/torch"
)

// EachStep is for the benchmarks.
var EachStep = eachStep

// Gradients leaves the gradients of a batch at the student's parameters.
func (s *Stepper) Gradients(in method.Images, temps method.Temps, noise *rng.Stream) (Result, error) {
	m, _, err := s.gradients(in, temps, s.drops(noise, in.Len()))
	return m.Result, err
}

// UpdateLate is what the scaler does in a late step.
func (s *Scaler) UpdateLate(skip float64) (scale float64, good int) {
	s.toDevice(torch.CPU)
	r := s.updateLate(torch.New([]float32{float32(skip)}))
	return r[1].Item(), int(r[2].Item())
}

// Free frees what lies on the device.
func (s *Scaler) Free() { s.free() }

// AsOnAGPU makes the steps of this test on the CPU as they are on a GPU: late, with fixed shapes.
func AsOnAGPU(t *testing.T) {
	was := worksAlone
	worksAlone = func(torch.Device) bool { return true }
	t.Cleanup(func() { worksAlone = was })
}

// Update is what the scaler does after a step.
func (s *Scaler) Update(finite bool) { s.update(finite) }

// Save writes a checkpoint of a run that has finished the given number of epochs of one step each.
func (s *Stepper) Save(path string, c Config, epochs int) error {
	return s.save(path, c, progressState{Step: epochs, Epoch: epochs, StepsPerEpoch: 1})
}

// FootprintOf is the footprint of training with c on a CPU whose layers keep so many bytes of a number of a weight, packed.
func FootprintOf(t *testing.T, c Config, packed int) Footprint {
	t.Helper()
	m, err := method.NewModel(c.Model(), 0, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	return Footprint{newFootprint(c, m, torch.CPU, packed)}
}

// Footprint is for the tests.
type Footprint struct{ f footprint }

// Peak is the estimate in bytes.
func (f Footprint) Peak(s Saving) float64 { return f.f.peak(s) }

// Fits returns the plan for a limit.
func (f Footprint) Fits(limit float64, parts bool) (Saving, bool, float64) {
	return f.f.fits(limit, parts)
}

// Cost is what a plan costs.
func (f Footprint) Cost(s Saving) float64 { return f.f.cost(s) }

// Recorder has passes recorded on the CPU: what was recorded is computed again at each replay, to where it lay at first.
type Recorder struct {
	Recorded, Replayed int
	Fail               error                     // of recording
	Spoil              func(out []*torch.Tensor) // what a replay leaves
	Stopped            error                     // why graphs are used no more
}

// RecordOnTheCPU has s record its passes.
func RecordOnTheCPU(t *testing.T, s *Stepper) *Recorder {
	r := &Recorder{}
	was := record
	t.Cleanup(func() { record = was })
	record = func(_ torch.Device, _ recorded, f func() []*torch.Tensor) (recorded, []*torch.Tensor, error) {
		if r.Fail != nil {
			return nil, nil, r.Fail
		}
		r.Recorded++
		var out []*torch.Tensor
		torch.Recording(func() { out = f() })
		for _, o := range out { // which has no values yet
			if o != nil {
				o.Fill_(math.NaN())
			}
		}
		return &cpuGraph{r, f, out}, out, nil
	}
	s.graphs = &graphs{note: func(why error) { r.Stopped = why }}
	return r
}

type cpuGraph struct {
	of  *Recorder
	f   func() []*torch.Tensor
	out []*torch.Tensor
}

func (g *cpuGraph) Replay() {
	g.of.Replayed++
	torch.Scope(func() {
		var again []*torch.Tensor
		torch.Recording(func() { again = g.f() })
		torch.NoGrad(func() {
			for i, o := range g.out {
				if o != nil {
					o.Copy_(again[i])
				}
			}
			if g.of.Spoil != nil {
				g.of.Spoil(g.out)
			}
		})
		free(again)
	})
}

func (g *cpuGraph) Free() {}
