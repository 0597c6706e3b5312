package imaging

import "math"

// normal draws from the normal distribution of mean 0 and deviation 1 (Box and Muller).
func normal(r Rand) float64 {
	radius := math.Sqrt(-2 * math.Log(1-r.Float64()))
	return radius * math.Cos(2*math.Pi*r.Float64())
}

// gamma draws from the gamma distribution of the given shape and scale 1 (Marsaglia and Tsang 2000).
func gamma(r Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(r, shape+1) * math.Pow(1-r.Float64(), 1/shape)
	}
	d := shape - 1./3
	c := 1 / math.Sqrt(9*d)
	for {
		x := normal(r)
		v := math.Pow(1+c*x, 3)
		if v > 0 && math.Log(1-r.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// symmetricBeta draws from the beta distribution with both parameters alpha.
func symmetricBeta(r Rand, alpha float64) float64 {
	a, b := gamma(r, alpha), gamma(r, alpha)
	if a+b == 0 { // both too small for a float64
		return float64(r.IntN(2))
	}
	return a / (a + b)
}
