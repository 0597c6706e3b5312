package eval

import (
	"slices"
	"strings"
	"testing"

	"ibot/backbone"
	"ibot/internal/golden"
	"ibot/torch"
)

func init() {
	ease["partlinear"] = func(p Protocol) {
		s := p.(*partProtocol)
		s.TopK, s.Epochs, s.LR, s.HeadBatch = []float64{1, 4, 16}, 2, []float64{0.1, 0.01}, 8
	}
}

// The patches are chosen by the reference's attention and are its tokens before the final norm.
func TestPartsEqualReference(t *testing.T) {
	checkLive(t)
	f := golden.Open(t, "g_attention_features.npz")
	vit := goldenViT(t).(*backbone.ViT)
	const B, heads, N, D = 2, 4, 16, 64
	torch.Scope(func() {
		torch.NoGrad(func() {
			attention, tokens := f.Tensor("last_attention").Floats(), f.Tensor("mean_pooling_intermediate_last").Floats()
			for _, reverse := range []bool{false, true} {
				topk := []int{1, 3, 16}
				var want []float32 // (B, 3, D)
				for b := range B {
					order, score := make([]int, N), make([]float32, N)
					for i := range N {
						order[i] = i
						for h := range heads {
							score[i] += attention[((b*heads+h)*(N+1))*(N+1)+1+i]
						}
					}
					slices.SortFunc(order, func(i, j int) int {
						if score[i] > score[j] != reverse {
							return -1
						}
						return 1
					})
					for _, k := range topk {
						mean := make([]float32, D)
						for _, i := range order[:k] {
							for d := range D {
								mean[d] += tokens[(b*(N+1)+1+i)*D+d] / float32(k)
							}
						}
						want = append(want, mean...)
					}
				}
				got := parts{vit, topk, reverse}.of(f.Tensor("x"))
				golden.Equal(t, "means", got, torch.New(want, B, 3*D), golden.Tolerance{Abs: 1e-5})
			}
		})
	})
}

func TestPartLinear(t *testing.T) {
	checkLive(t)
	dir := labelledFolder(t)
	for _, cached := range []bool{false, true} {
		p := &partProtocol{TopK: []float64{4, 1, 17, 4}, ProbeSettings: newProbeSettings(), Cached: cached}
		p.LR, p.Epochs, p.HeadBatch = []float64{0.1, 1}, 3, 8
		report, err := Evaluate(t.Context(), p, dir, goldenRun(t))
		if err != nil {
			t.Fatal(err)
		}
		r := report.(*PartReport)
		if len(r.Results) != 2 || r.Results[0].Patches != 1 || r.Results[1].Patches != 4 || len(r.Results[0].Heads) != 2 || r.Patches != 16 || r.Published == cached {
			t.Errorf("got %+v", r)
		}
		if !slices.Contains(r.Notes, "k = 17 is left out: an image has 16 patches") || slices.Contains(r.Notes, cachedNote) != cached {
			t.Errorf("notes %q", r.Notes)
		}
	}
}

// Heads of several kinds of features, trained at once, are those of each kind alone.
func TestProbeRuns(t *testing.T) {
	checkLive(t)
	dir := labelledFolder(t)
	run := func(topk ...float64) []PartOfImage {
		p := &partProtocol{TopK: topk, ProbeSettings: newProbeSettings(), Cached: true}
		p.LR, p.Epochs, p.HeadBatch = []float64{0.01, 0.3}, 4, 8
		report, err := Evaluate(t.Context(), p, dir, goldenRun(t))
		if err != nil {
			t.Fatal(err)
		}
		return report.(*PartReport).Results
	}
	together, one, all := run(1, 16), run(1), run(16)
	if !slices.Equal(together[0].Heads, one[0].Heads) || !slices.Equal(together[1].Heads, all[0].Heads) {
		t.Errorf("together %+v, apart %+v and %+v", together, one, all)
	}
}

func TestPartLinearErrors(t *testing.T) {
	dir := labelledFolder(t)
	for want, topk := range map[string][]float64{"whole numbers": {1.5}, "found nothing": {}, "at most 16": {17}} {
		p := &partProtocol{TopK: topk, ProbeSettings: newProbeSettings()}
		if _, err := Evaluate(t.Context(), p, dir, goldenRun(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", topk, err, want)
		}
	}
}
