package train

// PeakMiB is for the benchmarks.
var PeakMiB = peakMiB

// EachStep is for the benchmarks.
var EachStep = eachStep
