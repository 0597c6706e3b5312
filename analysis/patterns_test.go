package analysis

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ibot/nn"
	"ibot/torch"
)

// plainTokens are the cluster, the largest logit and its probability of every token of every image, one image at a
// time through the plain form of the head: [CLS] first, then the patches.
func plainTokens(t *testing.T, in Input, temp float64, center [2][]float32) (cluster [][]int, logit, probability [][]float64) {
	t.Helper()
	for i := range in.Images.Len() {
		im, err := in.Images.Load(i)
		if err != nil {
			t.Fatal(err)
		}
		pixels := make([]float32, len(im.Pix))
		im.ToCHW(pixels, in.Net.Mean, in.Net.Std)
		var logits []float64
		K := in.Net.Head.OutDim
		torch.Scope(func() {
			torch.NoGrad(func() {
				tokens := in.Net.Backbone.Forward(nn.Eval, torch.New(pixels, 1, 3, im.H, im.W), nil)
				cls, patches := in.Net.Head.Forward(nn.Eval, tokens)
				logits = append(torch.Read[float64](cls), torch.Read[float64](patches)...)
			})
		})
		var ks []int
		var tops, probabilities []float64
		for start := 0; start < len(logits); start += K {
			row := logits[start : start+K]
			if c := center[min(start, 1)]; c != nil {
				for k := range row {
					row[k] -= float64(c[k])
				}
			}
			best := 0
			for k, v := range row {
				if v > row[best] {
					best = k
				}
			}
			sum := 0.0
			for _, v := range row {
				sum += math.Exp((v - row[best]) / temp)
			}
			ks, tops, probabilities = append(ks, best), append(tops, row[best]), append(probabilities, 1/sum)
		}
		cluster, logit, probability = append(cluster, ks), append(logit, tops), append(probability, probabilities)
	}
	return cluster, logit, probability
}

// The clusters of 50 images equal those of a plain computation that keeps everything and sorts it.
func TestPatternsAsPlain(t *testing.T) {
	in := studied(t, 50)
	const top, temp = 5, 0.1
	for _, c := range []struct {
		name          string
		cls, centered bool
	}{{"patches", false, false}, {"patches, centered", false, true}, {"cls", true, false}, {"cls, centered", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			var center [2][]float32
			if c.centered {
				center = in.Net.Centers
			}
			cluster, logit, probability := plainTokens(t, in, temp, center)
			want := map[int]*Cluster{}
			best := map[int]map[int]Token{} // of each cluster and image
			for i := range cluster {
				for at, k := range cluster[i] {
					if (at == 0) != c.cls {
						continue
					}
					if want[k] == nil {
						want[k], best[k] = &Cluster{Index: k, Labels: make([]int, 10)}, map[int]Token{}
					}
					want[k].Count++
					want[k].Confidence += probability[i][at]
					want[k].Labels[in.Images.Label(i)]++
					token := Token{Score: logit[i][at], Image: i, Patch: at - 1}
					if old, ok := best[k][i]; !ok || token.Score > old.Score {
						best[k][i] = token
					}
				}
			}
			p, bad, err := in.gatherPatterns(t.Context(), in.Images, c.cls, c.centered, top, temp)
			if err != nil || bad != nil {
				t.Fatal(err, bad)
			}
			got := p.Clusters()
			if len(got) != len(want) || len(got) < 2 {
				t.Fatalf("got %d clusters, want %d, of which there should be some", len(got), len(want))
			}
			for _, g := range got {
				w := want[g.Index]
				if w == nil || g.Count != w.Count || !slices.Equal(g.Labels, w.Labels) || math.Abs(g.Confidence-w.Confidence/float64(w.Count)) > 1e-5 {
					t.Fatalf("got %+v, want %+v", g, w)
				}
				var tokens []Token
				for _, token := range best[g.Index] {
					tokens = append(tokens, token)
				}
				slices.SortFunc(tokens, func(a, b Token) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Image, b.Image)) })
				tokens = tokens[:min(top, len(tokens))]
				if len(g.Top) != len(tokens) {
					t.Fatalf("cluster %d keeps %d tokens, want %d", g.Index, len(g.Top), len(tokens))
				}
				for i, token := range g.Top {
					if token.Image != tokens[i].Image || token.Patch != tokens[i].Patch || math.Abs(token.Score-tokens[i].Score) > 1e-4 {
						t.Errorf("cluster %d: token %d is %+v, want %+v", g.Index, i, token, tokens[i])
					}
				}
			}
		})
	}
}

// Of equal logits the earlier image and patch stay, whatever comes in between, and no image comes twice.
func TestPatternsTop(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := NewPatterns(3, 4, 0, 1)
	var all []Token
	for image := range 40 {
		cluster, logit := make([]int64, 6), make([]float32, 6)
		best := Token{Score: -1}
		for i := range cluster {
			cluster[i], logit[i] = int64(r.IntN(3)), float32(r.IntN(5))
			if cluster[i] == 1 && float64(logit[i]) > best.Score {
				best = Token{Score: float64(logit[i]), Image: image, Patch: i}
			}
		}
		if best.Score >= 0 {
			all = append(all, best)
		}
		p.Add(image, -1, cluster, logit, make([]float32, 6), false)
	}
	slices.SortStableFunc(all, func(a, b Token) int { return cmp.Compare(b.Score, a.Score) })
	for _, c := range p.Clusters() {
		if c.Index == 1 && !slices.Equal(c.Top, all[:4]) {
			t.Errorf("got %+v, want %+v", c.Top, all[:4])
		}
	}
	if p.Tokens() != 240 {
		t.Errorf("got %d tokens, want 240", p.Tokens())
	}
}

func TestClusterScores(t *testing.T) {
	clusters := []Cluster{{Index: 4, Count: 6, Confidence: .3, Labels: []int{1, 3, 0}}, {Index: 2, Count: 2, Confidence: .9, Labels: []int{0, 0, 2}}, {Index: 9, Count: 1, Confidence: .1, Labels: []int{0, 0, 0}}}
	if share, class := clusters[0].Purity(); share != 0.75 || class != 1 {
		t.Errorf("got %v of class %d, want 0.75 of 1", share, class)
	}
	if share, class := clusters[2].Purity(); !math.IsNaN(share) || class != -1 {
		t.Errorf("without labels: got %v of class %d, want NaN of -1", share, class)
	}
	if got := MeanPurity(clusters); math.Abs(got-5./6) > 1e-12 {
		t.Errorf("purity %v, want 5/6", got)
	}
	if got := Used([]Cluster{{Count: 3}, {Count: 3}, {Count: 3}, {Count: 3}}); math.Abs(got-4) > 1e-12 {
		t.Errorf("used %v, want 4", got)
	}
	for by, want := range map[string]int{"populous": 4, "pure": 2, "mixed": 4, "confident": 2, "unsure": 9} {
		sorted := slices.Clone(clusters[:3])
		if by == "pure" || by == "mixed" {
			sorted = sorted[:2]
		}
		if err := order(sorted, by); err != nil || sorted[0].Index != want {
			t.Errorf("%s: first is %d, want %d (%v)", by, sorted[0].Index, want, err)
		}
	}
}

func TestPatternsErrors(t *testing.T) {
	in := studied(t, 10)
	in.Net.Centers = [2][]float32{}
	if _, _, err := in.gatherPatterns(t.Context(), in.Images, true, true, 3, 1); err == nil {
		t.Error("without a center: no error")
	}
	in.Net.Head = nil
	if _, _, err := in.gatherPatterns(t.Context(), in.Images, true, false, 3, 1); err != errNoHead {
		t.Errorf("without a head: got %v", err)
	}
}
