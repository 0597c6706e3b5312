package nn

import (
	"math"

	"ibot/rng"
)

// Init fills the values of a new parameter of the given shape.
type Init func(r *rng.Stream, values []float32, shape []int)

// Zeros fills with 0.
func Zeros(_ *rng.Stream, values []float32, _ []int) { clear(values) }

// Ones fills with 1.
func Ones(r *rng.Stream, values []float32, shape []int) { Constant(1)(r, values, shape) }

// Constant fills with x.
func Constant(x float64) Init {
	return func(_ *rng.Stream, values []float32, _ []int) {
		for i := range values {
			values[i] = float32(x)
		}
	}
}

// TruncNormal draws from N(0, std^2), cut off at -2 and 2 as the reference does: absolute bounds,
// which for its std of 0.02 never bind.
func TruncNormal(std float64) Init {
	return func(r *rng.Stream, values []float32, _ []int) {
		for i := range values {
			x := r.NormFloat64() * std
			for math.Abs(x) > 2 {
				x = r.NormFloat64() * std
			}
			values[i] = float32(x)
		}
	}
}

// FanIn draws from U(-b, b) with b = 1/sqrt(inputs of one output): PyTorch's default for the weights of
// linear and convolution layers (Kaiming uniform with a = sqrt(5)).
func FanIn(r *rng.Stream, values []float32, shape []int) {
	fanIn := 1
	for _, s := range shape[1:] {
		fanIn *= s
	}
	FanInBias(fanIn)(r, values, shape)
}

// FanInBias draws from U(-b, b) with b = 1/sqrt(fanIn): PyTorch's default for the biases of such layers.
func FanInBias(fanIn int) Init {
	bound := 1 / math.Sqrt(float64(fanIn))
	return func(r *rng.Stream, values []float32, _ []int) {
		for i := range values {
			values[i] = float32(r.Uniform(-bound, bound))
		}
	}
}
