package train

import (
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
