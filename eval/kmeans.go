package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"ibot/rng"
	"ibot/torch"
)

// KMeans is Lloyd's algorithm: each image goes to the nearest of K centres, each centre to the mean
// of its images, until nothing moves. It starts from centres drawn as k-means++ does (Arthur and
// Vassilvitskii 2007), several times over, and keeps the tightest result.
type KMeans struct {
	K         int
	Restarts  int     // 0: one
	MaxRounds int     // of one start; 0: 300
	Tolerance float64 // stop where centres move by less, as a share of the features' variance
	Seed      rng.Seed
	Progress  func(start, round int) // called after each round; may be nil
}

// Clustering is what [KMeans] found.
type Clustering struct {
	Clusters []int   // of each image, from 0 to K-1
	Inertia  float64 // sum of the squared distances to the centres
	Rounds   int     // that the best start took
}

// Cluster divides the rows of x (n, D) into K clusters. It errs where there are fewer rows than
// clusters or x is not finite.
func (m KMeans) Cluster(ctx context.Context, x *torch.Tensor) (*Clustering, error) {
	n := x.Size(0)
	if m.K < 1 || m.K > n {
		return nil, fmt.Errorf("eval: %d clusters of %d images; want from 1 to as many as there are images", m.K, n)
	}
	var best *Clustering
	for start := range max(1, m.Restarts) {
		err := torch.Run(func() (err error) {
			torch.NoGrad(func() {
				var centres *torch.Tensor
				if centres, err = m.seeds(ctx, x, start); err != nil {
					return
				}
				var c *Clustering
				if c, err = m.from(ctx, x, centres, start); err == nil && (best == nil || c.Inertia < best.Inertia) {
					best = c
				}
			})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return best, nil
}

// seeds draws the first centres (K, D): a random row, then rows with a chance in proportion to
// their squared distance from the nearest centre so far.
func (m KMeans) seeds(ctx context.Context, x *torch.Tensor, start int) (*torch.Tensor, error) {
	n, r := x.Size(0), m.Seed.Stream("k-means", start)
	chosen := []int64{int64(r.IntN(n))}
	nearest := slices.Repeat([]float32{float32(math.Inf(1))}, n)
	for len(chosen) < m.K {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var sum float64
		torch.Scope(func() {
			last := int(chosen[len(chosen)-1])
			for i, d := range squares(x, x.Slice(0, last, last+1)) {
				nearest[i] = min(nearest[i], d)
				sum += float64(nearest[i])
			}
		})
		if math.IsNaN(sum) || math.IsInf(sum, 0) {
			return nil, errors.New("eval: features that are not finite cannot be clustered; the network's weights are broken, or bf16 is too coarse for it")
		}
		next, left := 0, r.Float64()*sum
		for i, d := range nearest {
			if left -= float64(d); left < 0 {
				next = i
				break
			}
		}
		chosen = append(chosen, int64(next))
	}
	return x.IndexSelect(0, torch.New(chosen, len(chosen)).ToDevice(x.Device())), nil
}

// squares are the squared distances of the rows of x (n, D) to a point (1, D).
func squares(x, point *torch.Tensor) (distances []float32) {
	rows := max(1, blockSize/x.Size(1))
	for from := 0; from < x.Size(0); from += rows {
		torch.Scope(func() {
			part := x.Slice(0, from, min(from+rows, x.Size(0)))
			distances = append(distances, part.Sub(point).Square().Sum(1).Floats()...)
		})
	}
	return distances
}

// from runs Lloyd's rounds from the given centres (K, D).
func (m KMeans) from(ctx context.Context, x, centres *torch.Tensor, start int) (*Clustering, error) {
	rounds := m.MaxRounds
	if rounds == 0 {
		rounds = 300
	}
	var variance float64 // mean over the D numbers
	torch.Scope(func() {
		for _, d := range squares(x, x.Mean(0).Unsqueeze(0)) {
			variance += float64(d) / float64(x.Size(0)) / float64(x.Size(1))
		}
	})
	c := &Clustering{}
	for c.Rounds < rounds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		assigned := assign(x, centres)
		same := slices.Equal(assigned, c.Clusters)
		c.Clusters, c.Rounds = assigned, c.Rounds+1
		if m.Progress != nil {
			m.Progress(start, c.Rounds)
		}
		if same {
			break
		}
		var moved float64
		centres = torch.Tidy(func() *torch.Tensor {
			next := m.means(x, centres, assigned)
			moved = next.Sub(centres).Square().SumAll().Item()
			return next
		})
		if moved <= m.Tolerance*variance {
			break
		}
	}
	c.Clusters = assign(x, centres) // the final ones
	for _, d := range away(x, centres, c.Clusters) {
		c.Inertia += float64(d)
	}
	return c, nil
}

// assign finds the nearest centre of each row, of equally near ones the first.
func assign(x, centres *torch.Tensor) (nearest []int) {
	n, K := x.Size(0), centres.Size(0)
	rows := max(1, blockSize/K)
	for from := 0; from < n; from += rows {
		torch.Scope(func() {
			part := x.Slice(0, from, min(from+rows, n))
			// |x - c|² = |x|² - 2 (x·c - |c|²/2), and the first term is the same for all centres.
			closeness := part.MM(centres.Transpose(0, 1)).Sub(centres.Square().Sum(1).DivScalar(2).Unsqueeze(0)) // (rows, K)
			for _, i := range torch.Read[int64](closeness.ArgMax(1)) {
				nearest = append(nearest, int(i))
			}
		})
	}
	return nearest
}

// away are the squared distances of the rows to their centres.
func away(x, centres *torch.Tensor, assigned []int) (distances []float32) {
	rows := max(1, blockSize/x.Size(1))
	for from := 0; from < len(assigned); from += rows {
		end := min(from+rows, len(assigned))
		torch.Scope(func() {
			of := centres.IndexSelect(0, indices(assigned[from:end], x.Device()))
			distances = append(distances, x.Slice(0, from, end).Sub(of).Square().Sum(1).Floats()...)
		})
	}
	return distances
}

// indices is a list of numbers as a tensor.
func indices(numbers []int, d torch.Device) *torch.Tensor {
	wide := make([]int64, len(numbers))
	for i, n := range numbers {
		wide[i] = int64(n)
	}
	return torch.New(wide, len(wide)).ToDevice(d)
}

// means are the new centres. As in scikit-learn, a cluster that lost all its images takes the image
// that is furthest from its centre, away from the cluster it was in.
func (m KMeans) means(x, centres *torch.Tensor, assigned []int) *torch.Tensor {
	counts := make([]int, m.K)
	for _, c := range assigned {
		counts[c]++
	}
	assigned = slices.Clone(assigned)
	var distances []float32
	for empty, count := range counts {
		if count > 0 {
			continue
		}
		if distances == nil {
			distances = away(x, centres, assigned)
		}
		far := -1
		for i, d := range distances {
			if counts[assigned[i]] > 1 && (far < 0 || d > distances[far]) {
				far = i
			}
		}
		counts[assigned[far]]--
		counts[empty]++
		assigned[far], distances[far] = empty, 0
	}
	shares := make([]float32, m.K)
	for c, count := range counts {
		shares[c] = 1 / float32(count)
	}
	sums := torch.Zeros(torch.Float32, x.Device(), m.K, x.Size(1))
	sums.IndexAdd_(0, indices(assigned, x.Device()), x)
	return sums.Mul_(torch.New(shares, m.K, 1).ToDevice(x.Device()))
}
