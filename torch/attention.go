package torch

import "slices"

var (
	opAttention     = &op{name: "ibot::attention"} // attention.cpp: float32 and bfloat16 on the CPU
	opSelfAttention = &op{name: "ibot::self_attention"}
	opSDPA          = aten("scaled_dot_product_attention")
)

// Attention returns softmax(q k^T / sqrt(d)) v for (B, H, N, d): (B, H, N, d), by a fused kernel where there is
// one. On the CPU that is attention.cpp's, elsewhere the engine's own, if it has one. The result
// lies in memory so that joining the heads, Transpose(1, 2).Reshape(B, N, H*d), copies nothing.
func Attention(q, k, v *Tensor) *Tensor {
	switch {
	case fusedHere(q) && fusedHere(k) && fusedHere(v) && q.Dims() == 4 &&
		slices.Equal(q.Shape(), k.Shape()) && slices.Equal(q.Shape(), v.Shape()):
		return opAttention.one(q, k, v)
	case opSDPA.find() != nil:
		return opSDPA.one(q, k, v)
	}
	return AttentionWeights(q, k).Matmul(v)
}

// SelfAttention is [Attention] from one projection to queries, keys and values, qkv (B, N, 3 D), in that
// order and each with its heads side by side, to the tokens (B, N, D) of all heads. On the CPU the
// gradient too is one tensor, which saves the copies of taking qkv apart.
func SelfAttention(qkv *Tensor, heads int) *Tensor {
	if fusedHere(qkv) {
		return opSelfAttention.one(qkv, heads)
	}
	B, N, D := qkv.Size(0), qkv.Size(1), qkv.Size(2)/3
	x := qkv.Reshape(B, N, 3, heads, D/heads).Permute(2, 0, 3, 1, 4).Unbind(0) // 3 of (B, H, N, d)
	return Attention(x[0], x[1], x[2]).Transpose(1, 2).Reshape(B, N, D)
}

// AttentionWeights returns softmax(q k^T / sqrt(d)), (B, H, N, N).
func AttentionWeights(q, k *Tensor) *Tensor {
	return q.Matmul(k.Transpose(-2, -1)).MulScalar(invSqrt(q.Size(-1))).Softmax(-1)
}
