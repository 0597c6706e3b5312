package backbone

import (
	"ibot/nn"
	"ibot/torch"
)

// ForwardChosen returns of [Backbone.Forward] the [CLS] tokens (B, D) and the patches that are chosen (M, D), by
// their numbers, int64 and counted through (B, N); nil chooses none. The last block of a vision transformer is computed for
// these tokens alone, but for keys and values.
func ForwardChosen(b Backbone, m nn.Mode, x, mask, chosen *torch.Tensor) (cls, patches *torch.Tensor) {
	// On another device the numbers would have to come back from it while it works.
	if v, ok := b.(*ViT); ok && v.FCNorm == nil && x.Device() == torch.CPU && !m.FixedShapes {
		return v.forwardChosen(m, x, mask, chosen)
	}
	tokens := b.Forward(m, x, mask) // (B, 1+N, D)
	if chosen != nil {
		patches = ChosenPatches(tokens, chosen)
	}
	return tokens.Select(1, 0), patches
}

// ChosenPatches returns of tokens (B, 1+N, D) the patches that are chosen (M, D), by their numbers through (B, N).
func ChosenPatches(tokens, chosen *torch.Tensor) *torch.Tensor {
	return tokens.From(1, 1).Reshape(-1, tokens.Size(2)).IndexSelect(0, chosen)
}

func (v *ViT) forwardChosen(m nn.Mode, x, mask, chosen *torch.Tensor) (cls, patches *torch.Tensor) {
	h, w := v.Grid(x.Size(2), x.Size(3))
	x = v.Prepare(x, mask) // (B, 1+R+N, D)
	last := len(v.Blocks) - 1
	for _, b := range v.Blocks[:last] {
		x = m.Run(b, x)
	}
	B, N := x.Size(0), h*w
	some := &blockOfSome{Block: v.Blocks[last]}
	for i := range B {
		some.tokens = append(some.tokens, token{sample: i})
	}
	if chosen != nil {
		for _, n := range torch.Read[int64](chosen) {
			some.tokens = append(some.tokens, token{sample: int(n) / N, at: x.Size(1) - N + int(n)%N})
		}
	}
	y := v.Norm.Forward(m.Run(some, x))
	if chosen == nil {
		return y, nil
	}
	return y.Slice(0, 0, B), y.From(0, B)
}

// token is one of the tokens of a sample.
type token struct{ sample, at int }

// blockOfSome is a block from all tokens (B, T, D) to some of them (R, D).
type blockOfSome struct {
	*Block
	tokens []token
}

// Forward draws dropped paths for samples, as the block does for all tokens.
func (b *blockOfSome) Forward(m nn.Mode, x *torch.Tensor) *torch.Tensor {
	return torch.Tidy(func() *torch.Tensor {
		B, T, D := x.Size(0), x.Size(1), x.Size(2)
		kept, scale := b.DropPath.Kept(m, B)
		var normed *torch.Tensor
		if len(kept) > 0 {
			normed, x = b.Norm1.Fork(x, kept)
		}
		y := x.Reshape(B*T, D).IndexSelect(0, rows(b.tokens, T, nil))
		if len(kept) > 0 {
			some, at := b.of(kept)
			attended := torch.SelfAttention(b.Attn.QKV.Forward(normed), b.Attn.NumHeads) // (kept, T, D)
			attended = attended.Reshape(len(kept)*T, D).IndexSelect(0, rows(some, T, kept))
			y = y.AddBranch(scaled(b.Attn.Proj.Forward(attended), b.Gamma1), scale, at)
		}
		if kept, scale = b.DropPath.Kept(m, B); len(kept) > 0 {
			_, at := b.of(kept)
			normed, same := b.Norm2.Fork(y, at)
			y = same.AddBranch(scaled(b.MLP.Forward(normed), b.Gamma2), scale, at)
		}
		return y
	})
}

// of returns the tokens of the samples that are kept, and their places among all.
func (b *blockOfSome) of(kept []int) (some []token, at []int) {
	is := map[int]bool{}
	for _, s := range kept {
		is[s] = true
	}
	at = []int{}
	for i, t := range b.tokens {
		if is[t.sample] {
			some, at = append(some, t), append(at, i)
		}
	}
	return some, at
}

// rows numbers tokens in a tensor (kept, T, D) of all tokens of some samples; nil means all samples.
func rows(tokens []token, T int, kept []int) *torch.Tensor {
	place := map[int]int{}
	for i, s := range kept {
		place[s] = i
	}
	index := make([]int64, len(tokens))
	for i, t := range tokens {
		sample := t.sample
		if kept != nil {
			sample = place[sample]
		}
		index[i] = int64(sample*T + t.at)
	}
	return torch.New(index, len(index))
}
