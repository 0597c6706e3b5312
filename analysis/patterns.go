package analysis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"ibot/data"
	"ibot/method"
	"ibot/nn"
	"ibot/torch"
)

// Token is one that scored high for a cluster.
type Token struct {
	Score float64 // the logit
	Image int     // in the set
	Patch int     // in the image's grid; -1 for [CLS]
}

// better orders tokens by falling score; of equal ones the earlier image and patch is first.
func (t Token) better(u Token) bool {
	if t.Score != u.Score {
		return t.Score > u.Score
	}
	if t.Image != u.Image {
		return t.Image < u.Image
	}
	return t.Patch < u.Patch
}

// Cluster is what one output of the head gathers: the tokens whose largest logit it is.
type Cluster struct {
	Index      int     // of the output
	Count      int     // tokens
	Confidence float64 // mean probability that its tokens give it, softmax(logits / Patterns.Temp)
	Top        []Token // with the highest logits, at most one an image, falling
	Labels     []int   // tokens of each class; nil without classes
}

// Purity is the share of the most frequent class among the cluster's labelled tokens, and that class; -1
// without any.
func (c *Cluster) Purity() (share float64, class int) {
	total, class := 0, -1
	for label, n := range c.Labels {
		total += n
		if n > 0 && (class < 0 || n > c.Labels[class]) {
			class = label
		}
	}
	if class < 0 {
		return math.NaN(), -1
	}
	return float64(c.Labels[class]) / float64(total), class
}

// Patterns are the clusters that a head sorts tokens into (extract_topk_cluster.py of the reference),
// gathered image by image: memory grows with the number of clusters, not of images.
type Patterns struct {
	K    int     // outputs of the head
	Top  int     // tokens kept of each cluster
	Temp float64 // temperature of the confidence

	clusters map[int]*Cluster // those with a token
	classes  int
	tokens   int
	best     map[int]Token // of the image under way: the best token of each cluster
}

// NewPatterns begins with no tokens. classes is 0 for images without labels.
func NewPatterns(K, top, classes int, temp float64) *Patterns {
	return &Patterns{K: K, Top: top, Temp: temp, classes: classes, clusters: map[int]*Cluster{}, best: map[int]Token{}}
}

// Add gathers the tokens of one image, which must come after those of all earlier ones: for each token the
// cluster of its largest logit, that logit, and the probability of it. label is -1 for none.
func (p *Patterns) Add(image, label int, cluster []int64, logit, probability []float32, cls bool) {
	clear(p.best)
	for i, k := range cluster {
		c := p.clusters[int(k)]
		if c == nil {
			c = &Cluster{Index: int(k)}
			if p.classes > 0 {
				c.Labels = make([]int, p.classes)
			}
			p.clusters[int(k)] = c
		}
		c.Count++
		c.Confidence += float64(probability[i]) // the sum, until Clusters divides it
		if label >= 0 {
			c.Labels[label]++
		}
		t := Token{Score: float64(logit[i]), Image: image, Patch: i}
		if cls {
			t.Patch = -1
		}
		if b, ok := p.best[c.Index]; !ok || t.better(b) {
			p.best[c.Index] = t
		}
	}
	p.tokens += len(cluster)
	for k, t := range p.best {
		p.clusters[k].offer(t, p.Top)
	}
}

// offer keeps t if it is among the best. The list is short, so it stays sorted.
func (c *Cluster) offer(t Token, top int) {
	if len(c.Top) == top && !t.better(c.Top[top-1]) {
		return
	}
	at, _ := slices.BinarySearchFunc(c.Top, t, func(a, b Token) int {
		if a.better(b) {
			return -1
		}
		return 1
	})
	if c.Top = slices.Insert(c.Top, at, t); len(c.Top) > top {
		c.Top = c.Top[:top]
	}
}

// Tokens is how many were added.
func (p *Patterns) Tokens() int { return p.tokens }

// Clusters returns those that have tokens, the most populous first.
func (p *Patterns) Clusters() []Cluster {
	out := make([]Cluster, 0, len(p.clusters))
	for _, c := range p.clusters {
		one := *c
		one.Confidence /= float64(c.Count)
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Cluster) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Index, b.Index))
	})
	return out
}

// Used reads as the number of clusters in use: the exponential of the entropy of their shares of the tokens.
func Used(clusters []Cluster) float64 {
	total := 0
	for _, c := range clusters {
		total += c.Count
	}
	h := 0.0
	for _, c := range clusters {
		share := float64(c.Count) / float64(total)
		h -= share * math.Log(share)
	}
	return math.Exp(h)
}

// MeanPurity is the share of labelled tokens that are of the most frequent class of their cluster; NaN without
// labels.
func MeanPurity(clusters []Cluster) float64 {
	most, all := 0, 0
	for _, c := range clusters {
		if _, class := c.Purity(); class >= 0 {
			most += c.Labels[class]
			for _, n := range c.Labels {
				all += n
			}
		}
	}
	return float64(most) / float64(all)
}

var errNoHead = errors.New("analysis: this study needs the projection head, and the checkpoint has a backbone alone; " +
	"use a full checkpoint of pre-training, such as RUN/checkpoints/latest.safetensors or the reference's checkpoint.pth")

// gatherPatterns sorts the patches of all images of ds into the clusters of the head, or their [CLS] tokens.
// With centered, the centers of the loss are subtracted from the logits, as in the teacher's targets.
func (in Input) gatherPatterns(ctx context.Context, ds data.Dataset, cls, centered bool, top int, temp float64) (*Patterns, []data.BadImage, error) {
	head := in.Net.Head
	if head == nil {
		return nil, nil, errNoHead
	}
	K, label := head.PatchOutDim, "patches"
	if cls || head.Shared {
		K = head.OutDim
	}
	if cls {
		label = "[CLS] tokens"
	}
	var center []float32
	if centered {
		if center = in.Net.Centers[1]; cls {
			center = in.Net.Centers[0]
		}
		if len(center) != K {
			return nil, nil, fmt.Errorf("analysis: the checkpoint has a center of %d values for %d clusters; leave out --centered", len(center), K)
		}
	}
	p := NewPatterns(K, top, len(ds.Classes()), temp)
	bad, err := in.stream(ctx, label, ds, func(images []int, x *torch.Tensor) error {
		tokens := in.Net.Backbone.Forward(nn.Eval, x, nil) // (B, 1+N, D)
		for i, image := range images {
			cluster, logit, probability := sortTokens(head, tokens.Select(0, i), cls, center, temp)
			p.Add(image, ds.Label(image), cluster, logit, probability, cls)
		}
		return nil
	})
	return p, bad, err
}

// sortTokens finds the cluster of each patch of an image, or of its [CLS], with tokens (1+N, D). One image at a
// time: the logits of 64 images with 196 patches and 8192 clusters would take 400 MB.
func sortTokens(head *method.Head, tokens *torch.Tensor, cls bool, center []float32, temp float64) (cluster []int64, logit, probability []float32) {
	torch.Scope(func() {
		var logits *torch.Tensor // (1 or N, K)
		if cls {
			logits = head.ClsLogits(head.Embed(nn.Eval, tokens.Slice(0, 0, 1)))
		} else {
			logits = head.PatchLogits(head.Embed(nn.Eval, tokens.From(0, 1)))
		}
		if center != nil {
			logits = logits.Sub(torch.New(center, 1, len(center)).ToDevice(logits.Device()))
		}
		at := logits.ArgMax(-1)
		where := at.Unsqueeze(1)
		cluster = torch.Read[int64](at)
		logit = logits.Gather(1, where).Floats()
		probability = logits.DivScalar(temp).Softmax(-1).Gather(1, where).Floats()
	})
	return cluster, logit, probability
}

// order sorts clusters in place by what is asked for: populous, pure, mixed, confident or unsure.
func order(clusters []Cluster, by string) error {
	var key func(c Cluster) float64
	switch by {
	case "populous":
		return nil // as they are
	case "pure", "mixed":
		key = func(c Cluster) float64 { p, _ := c.Purity(); return p }
	case "confident", "unsure":
		key = func(c Cluster) float64 { return c.Confidence }
	default:
		return fmt.Errorf("analysis: clusters cannot be ordered by %q", by)
	}
	sign := -1.0
	if by == "mixed" || by == "unsure" {
		sign = 1
	}
	slices.SortStableFunc(clusters, func(a, b Cluster) int { return cmp.Compare(sign*key(a), sign*key(b)) })
	return nil
}
