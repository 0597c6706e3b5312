package analysis

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// TSNE lays points out in the plane so that near ones stay near: t-distributed stochastic neighbour
// embedding (van der Maaten and Hinton 2008), exact, with the schedule of scikit-learn's. It starts from
// given places and draws nothing at random, so it gives the same picture each time.
type TSNE struct {
	Perplexity float64 // about how many neighbours a point has; 30 is usual
	Steps      int     // 1000 is usual
	Progress   func(step int)
}

// The numbers of scikit-learn's TSNE and of the authors' code.
const (
	exaggeration      = 12  // of the similarities in the first steps, which lets clusters form
	exaggerationSteps = 250 // and in how many
	firstMomentum     = 0.5
	laterMomentum     = 0.8
	leastGain         = 0.01
	perplexityTries   = 100
	perplexityError   = 1e-5
)

// Run moves places (n, 2) to fit the squared distances (n, n), and returns the Kullback-Leibler divergence
// between the similarities of the points and of the places.
//
// It errs where the sizes do not agree, there are too few points for the perplexity, or ctx is done.
func (t TSNE) Run(ctx context.Context, squared []float64, places [][2]float64) (float64, error) {
	n := len(places)
	if n < 4 || len(squared) != n*n || !(t.Perplexity >= 1) || t.Perplexity > float64(n-1)/2 {
		return 0, fmt.Errorf("analysis: t-SNE of %d points with a perplexity of %g; want 4 points or more, and a perplexity from 1 to half their number",
			n, t.Perplexity)
	}
	p := jointProbabilities(squared, n, t.Perplexity)
	rate := max(float64(n)/exaggeration/4, 50)
	velocity, gain, gradient := make([][2]float64, n), make([][2]float64, n), make([][2]float64, n)
	kl := 0.0
	for step := range t.Steps {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		factor, momentum := 1.0, laterMomentum
		if step < exaggerationSteps {
			factor, momentum = exaggeration, firstMomentum
		}
		if step == 0 || step == exaggerationSteps { // scikit-learn descends twice, each time from rest
			clear(velocity)
			for i := range gain {
				gain[i] = [2]float64{1, 1}
			}
		}
		kl = tsneGradient(p, places, factor, gradient)
		for i := range places {
			for a := range 2 {
				if velocity[i][a]*gradient[i][a] < 0 { // it goes on downhill
					gain[i][a] += 0.2
				} else {
					gain[i][a] = max(gain[i][a]*0.8, leastGain)
				}
				velocity[i][a] = momentum*velocity[i][a] - rate*gain[i][a]*gradient[i][a]
				places[i][a] += velocity[i][a]
			}
		}
		if t.Progress != nil {
			t.Progress(step + 1)
		}
	}
	return kl, nil
}

// jointProbabilities are the similarities p_ij of the points (equations 1 and 2 of the paper): Gaussians around
// each, as wide as gives the perplexity, made symmetric.
func jointProbabilities(squared []float64, n int, perplexity float64) []float64 {
	p := make([]float64, n*n)
	want := math.Log(perplexity)
	each(n, func(i int) {
		row := squared[i*n : (i+1)*n]
		beta, low, high := 1.0, math.Inf(-1), math.Inf(1) // 1/(2 sigma^2)
		for range perplexityTries {
			var sum, weighted float64
			for j, d := range row {
				if j != i {
					w := math.Exp(-d * beta)
					p[i*n+j] = w
					sum += w
					weighted += w * d
				}
			}
			sum = max(sum, 1e-300)
			for j := range row {
				p[i*n+j] /= sum
			}
			entropy := math.Log(sum) + beta*weighted/sum
			if math.Abs(entropy-want) <= perplexityError {
				break
			}
			if entropy > want { // too wide
				if low = beta; math.IsInf(high, 1) {
					beta *= 2
				} else {
					beta = (beta + high) / 2
				}
			} else {
				if high = beta; math.IsInf(low, -1) {
					beta /= 2
				} else {
					beta = (beta + low) / 2
				}
			}
		}
	})
	for i := range n {
		for j := range i {
			v := max((p[i*n+j]+p[j*n+i])/float64(2*n), 1e-300)
			p[i*n+j], p[j*n+i] = v, v
		}
	}
	return p
}

// tsneGradient fills in the gradient of the divergence (equation 5), with p times factor, and returns the
// divergence of p itself. Each row is summed by one worker, so the result does not depend on their number.
func tsneGradient(p []float64, places [][2]float64, factor float64, gradient [][2]float64) float64 {
	n := len(places)
	sums := make([]float64, n) // of 1/(1+d^2), by row
	each(n, func(i int) {
		y := places[i]
		sum := 0.0
		for j, z := range places {
			if j != i {
				dx, dy := y[0]-z[0], y[1]-z[1]
				sum += 1 / (1 + dx*dx + dy*dy)
			}
		}
		sums[i] = sum
	})
	total := 0.0
	for _, s := range sums {
		total += s
	}
	divergence := make([]float64, n)
	each(n, func(i int) {
		y := places[i]
		var gx, gy, kl float64
		for j, z := range places {
			if j == i {
				continue
			}
			dx, dy := y[0]-z[0], y[1]-z[1]
			w := 1 / (1 + dx*dx + dy*dy)
			q, pij := max(w/total, 1e-300), p[i*n+j]
			if pij > 1e-12 {
				kl += pij * math.Log(pij/q)
			}
			pull := (factor*pij - q) * w
			gx, gy = gx+pull*dx, gy+pull*dy
		}
		gradient[i], divergence[i] = [2]float64{4 * gx, 4 * gy}, kl
	})
	kl := 0.0
	for _, d := range divergence {
		kl += d
	}
	return kl
}

// each calls f with 0 to n-1 on all CPUs.
func each(n int, f func(i int)) {
	const chunk = 16
	var next atomic.Int64
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for {
				start := int(next.Add(chunk)) - chunk
				if start >= n {
					return
				}
				for i := start; i < min(start+chunk, n); i++ {
					f(i)
				}
			}
		})
	}
	wait.Wait()
}
