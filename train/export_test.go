package train

// PeakMiB is for the benchmarks.
var PeakMiB = peakMiB

// EachStep is for the benchmarks.
var EachStep = eachStep

// Save writes a checkpoint of a run that has finished the given number of epochs of one step each.
func (s *Stepper) Save(path string, c Config, epochs int) error {
	return s.save(path, c, progressState{Step: epochs, Epoch: epochs, StepsPerEpoch: 1})
}
