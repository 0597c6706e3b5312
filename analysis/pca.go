package analysis

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"ibot/metrics"
	"ibot/torch"
)

// PCA are the principal components of some vectors.
type PCA struct {
	Mean       []float64   // (D)
	Components [][]float64 // each (D), of length 1, by falling variance
	Variance   []float64   // of each component
	Total      float64     // variance of all D components together
}

// NewPCA finds the first k principal components of rows (n, D), row by row. The sign of a component is that
// which makes its largest entry positive.
//
// It errs with fewer than two rows or where a value is not finite.
func NewPCA(rows []float32, D, k int) (*PCA, error) {
	n := len(rows) / max(D, 1)
	if D < 1 || n < 2 || len(rows) != n*D {
		return nil, fmt.Errorf("analysis: principal components of %d values in rows of %d; want two rows or more", len(rows), D)
	}
	p := &PCA{}
	var cov []float64
	err := torch.Run(func() error {
		x := torch.New(rows, n, D).To(torch.Float64)
		mean := x.Mean(0)
		x.Sub_(mean.Unsqueeze(0))
		p.Mean = torch.Read[float64](mean)
		cov = torch.Read[float64](x.Transpose(0, 1).Matmul(x).DivScalar(float64(n - 1)))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	if slices.ContainsFunc(cov, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
		return nil, fmt.Errorf("analysis: the features are not finite; the network has diverged")
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(mat.NewSymDense(D, cov), true) {
		return nil, fmt.Errorf("analysis: the principal components of %d x %d features were not found", n, D)
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	values := eigen.Values(nil) // rising
	for _, v := range values {
		p.Total += max(v, 0)
	}
	for i := D - 1; i >= max(0, D-k); i-- {
		c := mat.Col(nil, i, &vectors)
		largest := 0
		for j, v := range c {
			if math.Abs(v) > math.Abs(c[largest]) {
				largest = j
			}
		}
		if c[largest] < 0 {
			for j := range c {
				c[j] = -c[j]
			}
		}
		p.Components = append(p.Components, c)
		p.Variance = append(p.Variance, max(values[i], 0))
	}
	return p, nil
}

// Project returns the coordinates of a row along each component.
func (p *PCA) Project(row []float32) []float64 {
	out := make([]float64, len(p.Components))
	for k, c := range p.Components {
		for j, v := range row {
			out[k] += (float64(v) - p.Mean[j]) * c[j]
		}
	}
	return out
}

// otsu is the threshold that divides values into two classes with the largest variance between them (Otsu
// 1979).
func otsu(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	total := metrics.Mean(sorted) * float64(len(sorted))
	best, at, sum := -1.0, sorted[0], 0.0
	for i := range len(sorted) - 1 {
		sum += sorted[i]
		n, m := float64(i+1), float64(len(sorted)-i-1)
		between := n * m * (sum/n - (total-sum)/m) * (sum/n - (total-sum)/m)
		if between > best && sorted[i] < sorted[i+1] {
			best, at = between, (sorted[i]+sorted[i+1])/2
		}
	}
	return at
}
