package metrics

import "math"

// Entropy is the entropy in nats of the distribution that is proportional to weights: probabilities,
// or counts. It is 0 when all weight is in one place and log(len(weights)) when it is spread evenly;
// exp(Entropy) reads as the number of outcomes in use. Without any weight it is 0.
//
// It is NaN if a weight is negative, NaN or infinite, or their sum overflows.
func Entropy[T ~int | ~float32 | ~float64](weights []T) float64 {
	var sum float64
	for _, w := range weights {
		if w < 0 {
			return math.NaN()
		}
		sum += float64(w)
	}
	switch {
	case math.IsNaN(sum) || math.IsInf(sum, 0):
		return math.NaN()
	case sum == 0:
		return 0
	}
	var h float64
	for _, w := range weights {
		if p := float64(w) / sum; p > 0 { // p log p tends to 0 with p
			h -= p * math.Log(p)
		}
	}
	return max(h, 0) // rounding may leave -1e-17
}
