package train

// PeakMiB is for the benchmarks.
var PeakMiB = peakMiB
