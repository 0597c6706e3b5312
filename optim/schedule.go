package optim

import "math"

// Schedule is the course of one hyperparameter over a run: an optional stretch where it is held, a
// straight warm-up, then half a cosine (or a constant, which is a cosine between equal ends). Make one
// with CosineSchedule, counted in iterations, or TemperatureSchedule, counted in epochs. It keeps the
// formula and not its values, so a run of any length costs the same.
type Schedule struct {
	start, peak, final   float64 // before, at the end of and long after the warm-up
	held, warmup, length int     // steps; the warm-up follows the held ones
}

// CosineSchedule is the schedule of the learning rate, the weight decay and the teacher's momentum,
// with a value for each iteration. It rises in a straight line from startWarmup to base over
// warmupEpochs, both ends included, then falls (or rises) from base to final along half a cosine.
// The last iteration is one step short of final, as in the reference (utils.cosine_scheduler).
//
// A warm-up longer than the run is cut off where the run ends: a short run sees the first values of
// a long one. The reference stops with an assertion there. Negative counts are taken as zero.
func CosineSchedule(base, final float64, epochs, itersPerEpoch, warmupEpochs int, startWarmup float64) Schedule {
	iters := max(itersPerEpoch, 0)
	return Schedule{
		start: startWarmup, peak: base, final: final,
		warmup: max(warmupEpochs, 0) * iters,
		length: max(epochs, 0) * iters,
	}
}

// TemperatureSchedule is the schedule of the teacher's softmax temperature, with a value for each
// epoch: warmup for the first startEpoch epochs, a straight line from warmup to final over the next
// warmupEpochs, both ends included, and final from there on (the flags teacher_temp and, with
// startEpoch = pred_start_epoch, teacher_patch_temp).
//
// A warm-up longer than the run is cut off where the run ends, so that a run of 10 epochs sees the
// temperatures of the first 10 epochs of a long one. The reference crashes there, which is its
// well-known limit of 30 epochs. Negative counts are taken as zero.
func TemperatureSchedule(warmup, final float64, warmupEpochs, epochs, startEpoch int) Schedule {
	return Schedule{
		start: warmup, peak: final, final: final,
		held:   max(startEpoch, 0),
		warmup: max(warmupEpochs, 0),
		length: max(epochs, 0),
	}
}

// Len is the number of steps that the schedule was made for: iterations or epochs.
func (s Schedule) Len() int { return s.length }

// At returns the value at step i, counted from 0. Steps before the first have the value of the
// first, steps after the last that of the last; an empty schedule is final everywhere.
//
// The operations are those of numpy.linspace and of the reference in their order, and no two of them
// are fused, so warm-ups and temperatures equal the reference's to the bit. Cosines equal it as far
// as two libraries' cosines do: NumPy's vectorised one is allowed four units in the last place.
func (s Schedule) At(i int) float64 {
	if s.length <= 0 {
		return s.final
	}
	i = min(max(i, 0), s.length-1)
	if i < s.held {
		return s.start
	}
	if i -= s.held; i < s.warmup {
		return linspace(s.start, s.peak, s.warmup, i)
	}
	i -= s.warmup
	n := s.length - s.held - s.warmup
	c := math.Cos(float64(math.Pi*float64(i)) / float64(n))
	return s.final + float64(float64(0.5*(s.peak-s.final))*(1+c))
}

// linspace is numpy.linspace(start, stop, n)[i]. Its last value is stop itself, not what the sum
// would round to; a single value is start.
func linspace(start, stop float64, n, i int) float64 {
	switch {
	case n == 1:
		return start
	case i == n-1:
		return stop
	}
	step := (stop - start) / float64(n-1)
	return start + float64(float64(i)*step) // the conversion keeps a compiler from fusing the two
}
