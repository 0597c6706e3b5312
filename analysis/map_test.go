package analysis

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"ibot/internal/golden"
	"ibot/rng"
	"ibot/torch"
)

// fromSklearn is testdata/sklearn.json, made by scikit-learn 1.9.1; its note says how.
type fromSklearn struct {
	Rows, Dim       int
	X               []float32
	Components      []float64 // (3, Dim)
	Variance        []float64
	Total           float64
	Joint           []float64 // the first five rows of the joint probabilities
	KLMean          float64   `json:"kl_mean"`
	KLDeviation     float64   `json:"kl_deviation"`
	Trustworthiness float64
}

func readSklearn(t *testing.T) (s fromSklearn) {
	t.Helper()
	b, err := os.ReadFile("testdata/sklearn.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPCAAsSklearn(t *testing.T) {
	s := readSklearn(t)
	alive := torch.Live()
	p, err := NewPCA(s.X, s.Dim, 3)
	if err != nil {
		t.Fatal(err)
	}
	close := golden.Tolerance{Abs: 1e-6}
	golden.EqualFloats(t, "variance", p.Variance, s.Variance, close)
	golden.EqualFloats(t, "total", []float64{p.Total}, []float64{s.Total}, close)
	for k, c := range p.Components {
		golden.EqualFloats(t, "component", c, s.Components[k*s.Dim:(k+1)*s.Dim], close)
	}
	var mean, square float64
	for i := range s.Rows {
		v := p.Project(s.X[i*s.Dim : (i+1)*s.Dim])
		mean, square = mean+v[1]/float64(s.Rows), square+v[1]*v[1]/float64(s.Rows-1)
	}
	golden.EqualFloats(t, "projection: mean and variance", []float64{mean, square}, []float64{0, s.Variance[1]}, close)
	if got := torch.Live(); got != alive {
		t.Errorf("%d tensors are alive, want %d", got, alive)
	}
}

func TestPCAErrors(t *testing.T) {
	for name, c := range map[string]struct {
		rows []float32
		dim  int
		want string
	}{
		"one row":    {[]float32{1, 2}, 2, "want two rows or more"},
		"uneven":     {[]float32{1, 2, 3}, 2, "want two rows or more"},
		"no columns": {nil, 0, "want two rows or more"},
		"NaN":        {[]float32{1, float32(math.NaN()), 3, 4}, 2, "the network has diverged"},
	} {
		if _, err := NewPCA(c.rows, c.dim, 2); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// The similarities equal scikit-learn's, and the layouts are as good. Which of many minima one start leads to hangs on the
// last bit of its places, there as here: so the mean divergence of twelve starts is held against the mean of
// scikit-learn's, to three deviations. And neighbours in the plane are neighbours in space.
func TestTSNEAsSklearn(t *testing.T) {
	s := readSklearn(t)
	squared := squaredDistances(s.X, s.Rows, s.Dim)
	p := jointProbabilities(squared, s.Rows, 10)
	golden.EqualFloats(t, "joint probabilities", p[:5*s.Rows], s.Joint, golden.Tolerance{Abs: 2e-7})

	pca, err := NewPCA(s.X, s.Dim, 2)
	if err != nil {
		t.Fatal(err)
	}
	layout := func(start int) (places [][2]float64, kl float64) {
		noise := rng.Seed(0).Stream("start", start)
		places = make([][2]float64, s.Rows)
		for i := range places {
			v := pca.Project(s.X[i*s.Dim : (i+1)*s.Dim])
			for a := range 2 {
				places[i][a] = v[a] * 1e-4 / math.Sqrt(pca.Variance[0]) * (1 + 1e-9*noise.Uniform(-1, 1))
			}
		}
		kl, err := TSNE{Perplexity: 10, Steps: 1000}.Run(t.Context(), squared, places)
		if err != nil {
			t.Fatal(err)
		}
		return places, kl
	}
	const starts = 12
	mean := 0.0
	for start := range starts {
		places, kl := layout(start)
		mean += kl / starts
		for i := range places {
			nearest, least := -1, math.Inf(1)
			for j := range places {
				if d := math.Hypot(places[i][0]-places[j][0], places[i][1]-places[j][1]); j != i && d < least {
					nearest, least = j, d
				}
			}
			if nearest/15 != i/15 { // fifteen points a cluster
				t.Errorf("start %d: point %d is beside point %d, of another cluster", start, i, nearest)
			}
		}
	}
	if worst := s.KLMean + 3*s.KLDeviation*math.Sqrt(1./starts+1./40); mean > worst {
		t.Errorf("mean divergence %v, scikit-learn's is %v", mean, s.KLMean)
	}
	places, _ := layout(0)
	again, _ := layout(0)
	for i := range places {
		if places[i] != again[i] {
			t.Fatalf("point %d is at %v and then at %v", i, places[i], again[i])
		}
	}
}

// The gradient is that of the divergence, by differences.
func TestTSNEGradient(t *testing.T) {
	s := readSklearn(t)
	n := 12
	squared := squaredDistances(s.X[:n*s.Dim], n, s.Dim)
	p := jointProbabilities(squared, n, 3)
	places := make([][2]float64, n)
	for i := range places {
		places[i] = [2]float64{math.Sin(float64(3 * i)), math.Cos(float64(5*i + 1))}
	}
	gradient, unused := make([][2]float64, n), make([][2]float64, n)
	tsneGradient(p, places, 1, gradient)
	const step = 1e-6
	for i := range places {
		for a := range 2 {
			moved := append([][2]float64(nil), places...)
			moved[i][a] += step
			up := tsneGradient(p, moved, 1, unused)
			moved[i][a] -= 2 * step
			down := tsneGradient(p, moved, 1, unused)
			if want := (up - down) / (2 * step); math.Abs(gradient[i][a]-want) > 1e-6 {
				t.Errorf("point %d, axis %d: gradient %v, want %v", i, a, gradient[i][a], want)
			}
		}
	}
}

func TestTSNEErrors(t *testing.T) {
	for _, c := range []struct {
		perplexity float64
		n, squared int
	}{{2, 3, 9}, {0.5, 10, 100}, {6, 10, 100}, {2, 10, 99}} {
		_, err := TSNE{Perplexity: c.perplexity, Steps: 1}.Run(t.Context(), make([]float64, c.squared), make([][2]float64, c.n))
		if err == nil || !strings.HasPrefix(err.Error(), "analysis: t-SNE of ") {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

func TestOtsu(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		want   float64
	}{
		"two groups": {[]float64{1, 2, 1, 9, 8, 2, 9}, 5},
		"unequal":    {[]float64{0, 0, 0, 0, 0, 0, 10}, 5},
		"all alike":  {[]float64{3, 3, 3}, 3},
	} {
		if got := otsu(c.values); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// Thumbnails do not overlap, and each dot has its class's colour.
func TestMapDraw(t *testing.T) {
	set := drawings(t, 40)
	m := &placed{set: set, classes: set.Classes(), places: make([][2]float64, 40), labels: make([]int, 40), names: make([]string, 40)}
	for i := range m.places {
		m.places[i] = [2]float64{float64(i % 7), float64(i / 7 * 3)}
		m.labels[i] = set.Label(i)
	}
	img, err := m.draw(48)
	if err != nil {
		t.Fatal(err)
	}
	if img.Rect.Dx() != mapSide+mapLegend || img.Rect.Dy() != mapSide {
		t.Errorf("got %v", img.Rect)
	}
	for i, p := range m.unit() {
		if p[0] < 0 || p[0] > 1 || p[1] < 0 || p[1] > 1 {
			t.Errorf("place %d is %v, want it in the square from 0 to 1", i, p)
		}
	}
	dots, err := m.draw(0)
	if err != nil {
		t.Fatal(err)
	}
	at := m.unit()[0]
	x, y := int(mapMargin+at[0]*(mapSide-2*mapMargin)), int(mapMargin+(1-at[1])*(mapSide-2*mapMargin))
	if got := dots.NRGBAAt(x, y); got != globalColours[m.labels[0]] {
		t.Errorf("the first dot is %v at %d, %d; want the colour of class %d, %v", got, x, y, m.labels[0], globalColours[m.labels[0]])
	}
}
