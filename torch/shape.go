package torch

// Creation, shapes and indexing. Axes may be negative: they count from the end.

var (
	opEmpty      = aten("empty.memory_format")
	opZeros      = aten("zeros")
	opOnes       = aten("ones")
	opArange     = aten("arange")
	opZerosLike  = aten("zeros_like")
	opClone      = aten("clone")
	opDetach     = aten("detach")
	opContiguous = aten("contiguous")
	opToDType    = aten("to.dtype")
	opToDevice   = aten("to.device")
	opReshape    = aten("reshape")
	opExpand     = aten("expand")
	opPermute    = aten("permute")
	opTranspose  = aten("transpose.int")
	opUnsqueeze  = aten("unsqueeze")
	opSqueeze    = aten("squeeze.dim")
	opFlatten    = aten("flatten.using_ints")
	opSelect     = aten("select.int")
	opSlice      = aten("slice.Tensor")
	opCat        = aten("cat")
	opStack      = aten("stack")
	opChunk      = aten("chunk")
	opUnbind     = aten("unbind.int")
	opIndexSel   = aten("index_select")
	opGather     = aten("gather")
	opIndexAdd_  = aten("index_add_")
	opIndexCopy_ = aten("index_copy_")
	opScatterAdd = aten("scatter_add_")
	opOneHot     = aten("one_hot")
	opFlip       = aten("flip")
	opPad        = aten("constant_pad_nd")
)

// Empty returns a tensor whose elements are undefined.
func Empty(dtype DType, d Device, shape ...int) *Tensor { return opEmpty.one(shape, dtype, nil, d) }

// Zeros returns a tensor of zeros.
func Zeros(dtype DType, d Device, shape ...int) *Tensor { return opZeros.one(shape, dtype, nil, d) }

// Ones returns a tensor of ones.
func Ones(dtype DType, d Device, shape ...int) *Tensor { return opOnes.one(shape, dtype, nil, d) }

// Arange returns the int64 numbers from 0 to n-1.
func Arange(d Device, n int) *Tensor { return opArange.one(n, Int64, nil, d) }

// ZerosLike returns zeros of t's shape, dtype and device.
func (t *Tensor) ZerosLike() *Tensor { return opZerosLike.one(t) }

// Clone returns a copy.
func (t *Tensor) Clone() *Tensor { return opClone.one(t) }

// Detach returns t without its history; it shares t's memory.
func (t *Tensor) Detach() *Tensor { return opDetach.one(t) }

// Contiguous returns t laid out row-major, itself if it already is.
func (t *Tensor) Contiguous() *Tensor { return opContiguous.one(t) }

// To returns t converted to dtype.
func (t *Tensor) To(dtype DType) *Tensor { return opToDType.one(t, dtype) }

// ToDevice returns t on the device d, itself if it is there already.
func (t *Tensor) ToDevice(d Device) *Tensor { return opToDevice.one(t, d, t.DType()) }

// Reshape returns t with another shape; one size may be -1.
func (t *Tensor) Reshape(shape ...int) *Tensor { return opReshape.one(t, shape) }

// Expand repeats axes of size 1 without copying; -1 keeps a size.
func (t *Tensor) Expand(shape ...int) *Tensor { return opExpand.one(t, shape) }

// Permute reorders the axes.
func (t *Tensor) Permute(axes ...int) *Tensor { return opPermute.one(t, axes) }

// Transpose swaps two axes.
func (t *Tensor) Transpose(a, b int) *Tensor { return opTranspose.one(t, a, b) }

// Unsqueeze inserts an axis of size 1.
func (t *Tensor) Unsqueeze(axis int) *Tensor { return opUnsqueeze.one(t, axis) }

// Squeeze removes an axis of size 1.
func (t *Tensor) Squeeze(axis int) *Tensor { return opSqueeze.one(t, axis) }

// Flatten joins the axes from through to, both included.
func (t *Tensor) Flatten(from, to int) *Tensor { return opFlatten.one(t, from, to) }

// Select returns the slice at index along axis, which vanishes.
func (t *Tensor) Select(axis, index int) *Tensor { return opSelect.one(t, axis, index) }

// Slice returns the elements from (included) to end (excluded) along axis.
func (t *Tensor) Slice(axis, from, end int) *Tensor { return opSlice.one(t, axis, from, end) }

// From returns the elements from index from to the end along axis.
func (t *Tensor) From(axis, from int) *Tensor { return opSlice.one(t, axis, from) }

// Cat joins tensors along axis.
func Cat(tensors []*Tensor, axis int) *Tensor { return opCat.one(tensors, axis) }

// Stack joins tensors along a new axis.
func Stack(tensors []*Tensor, axis int) *Tensor { return opStack.one(tensors, axis) }

// Chunk splits t into n parts along axis.
func (t *Tensor) Chunk(n, axis int) []*Tensor { return opChunk.all(t, n, axis) }

// Unbind returns the slices along axis.
func (t *Tensor) Unbind(axis int) []*Tensor { return opUnbind.all(t, axis) }

// IndexSelect returns the slices of t along axis at the given indices, an int64 vector.
func (t *Tensor) IndexSelect(axis int, indices *Tensor) *Tensor {
	return opIndexSel.one(t, axis, indices)
}

// Gather picks elements along axis by indices.
func (t *Tensor) Gather(axis int, indices *Tensor) *Tensor { return opGather.one(t, axis, indices) }

// IndexAdd_ adds the slices of u to those of t along axis at the given indices.
func (t *Tensor) IndexAdd_(axis int, indices, u *Tensor) *Tensor {
	return opIndexAdd_.inplace(t, axis, indices, u)
}

// IndexCopy_ overwrites the slices of t along axis at the given indices with those of u.
func (t *Tensor) IndexCopy_(axis int, indices, u *Tensor) *Tensor {
	return opIndexCopy_.inplace(t, axis, indices, u)
}

// ScatterAdd_ adds the elements of u to those of t along axis at the given indices.
func (t *Tensor) ScatterAdd_(axis int, indices, u *Tensor) *Tensor {
	return opScatterAdd.inplace(t, axis, indices, u)
}

// OneHot returns int64 rows with a single 1, at the place that t names.
func (t *Tensor) OneHot(classes int) *Tensor { return opOneHot.one(t, classes) }

// PadEnd appends n slices of zeros along axis; for n = 0 it returns t.
func (t *Tensor) PadEnd(axis, n int) *Tensor {
	if n == 0 {
		return t
	}
	if axis < 0 {
		axis += t.Dims()
	}
	pads := make([]int, 2*(t.Dims()-axis)) // two for each axis, the last axis first
	pads[len(pads)-1] = n
	return opPad.one(t, pads)
}

// Flip reverses the order along the given axes.
func (t *Tensor) Flip(axes ...int) *Tensor { return opFlip.one(t, axes) }
