package train

import (
	"ibot/method"
	"ibot/nn"
	"ibot/rng"
)

// PeakMiB is for the benchmarks.
var PeakMiB = peakMiB

// EachStep is for the benchmarks.
var EachStep = eachStep

// Gradients leaves the gradients of a batch at the student's parameters.
func (s *Stepper) Gradients(in method.Images, temps method.Temps, noise *rng.Stream) (Result, error) {
	res, _, err := s.gradients(in, temps, nn.NewDrops(noise, in.Len()))
	return res, err
}

// Save writes a checkpoint of a run that has finished the given number of epochs of one step each.
func (s *Stepper) Save(path string, c Config, epochs int) error {
	return s.save(path, c, progressState{Step: epochs, Epoch: epochs, StepsPerEpoch: 1})
}
