package torch

// Reductions, orders and products.

var (
	opSum, opSumAll = aten("sum.dim_IntList"), aten("sum")
	opMean          = aten("mean.dim")
	opMeanAll       = aten("mean")
	opNorm          = aten("linalg_vector_norm")
	opArgMax        = aten("argmax")
	opTopK          = aten("topk")
	opMatmul        = aten("matmul")
	opMM            = aten("mm")
	opAddMM_        = aten("addmm_")
	opCumSum        = aten("cumsum")
	opSort          = aten("sort")
)

// Sum returns the sum over the given axes, which vanish.
func (t *Tensor) Sum(axes ...int) *Tensor { return opSum.one(t, axes) }

// SumAll returns the sum of all elements, as a scalar.
func (t *Tensor) SumAll() *Tensor { return opSumAll.one(t) }

// Mean returns the mean over the given axes, which vanish.
func (t *Tensor) Mean(axes ...int) *Tensor { return opMean.one(t, axes) }

// MeanAll returns the mean of all elements, as a scalar.
func (t *Tensor) MeanAll() *Tensor { return opMeanAll.one(t) }

// Norm returns the Euclidean norm over axis, which stays with size 1.
func (t *Tensor) Norm(axis int) *Tensor { return opNorm.one(t, 2.0, []int{axis}, true) }

// NormAll returns the Euclidean norm of all elements, as a scalar.
func (t *Tensor) NormAll() *Tensor { return opNorm.one(t, 2.0) }

// ArgMax returns the index of the greatest element along axis, as int64.
func (t *Tensor) ArgMax(axis int) *Tensor { return opArgMax.one(t, axis) }

// TopK returns the k greatest elements along axis in descending order, and their indices.
func (t *Tensor) TopK(k, axis int) (values, indices *Tensor) {
	r := opTopK.all(t, k, axis, true, true)
	return r[0], r[1]
}

// Sort returns the elements along axis in order, and where each came from.
func (t *Tensor) Sort(axis int, descending bool) (values, indices *Tensor) {
	r := opSort.all(t, axis, descending)
	return r[0], r[1]
}

// CumSum returns the running sums along axis.
func (t *Tensor) CumSum(axis int) *Tensor { return opCumSum.one(t, axis) }

// Matmul returns the matrix product over the last two axes, the others broadcast.
func (t *Tensor) Matmul(u *Tensor) *Tensor { return opMatmul.one(t, u) }

// MM returns the product of two matrices.
func (t *Tensor) MM(u *Tensor) *Tensor { return opMM.one(t, u) }

// AddMM_ makes t beta*t plus the product of the matrices a and b.
func (t *Tensor) AddMM_(a, b *Tensor, beta float64) *Tensor { return opAddMM_.inplace(t, a, b, beta) }
