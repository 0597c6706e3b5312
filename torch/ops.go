package torch

// Elementwise arithmetic, with broadcasting. A name that ends in an underscore works in place and
// returns its receiver.

var (
	opAdd, opAdd_             = aten("add.Tensor"), aten("add_.Tensor")
	opAddScalar, opAddScalar_ = aten("add.Scalar"), aten("add_.Scalar")
	opSub, opSub_             = aten("sub.Tensor"), aten("sub_.Tensor")
	opMul, opMul_             = aten("mul.Tensor"), aten("mul_.Tensor")
	opMulScalar, opMulScalar_ = aten("mul.Scalar"), aten("mul_.Scalar")
	opDiv, opDiv_             = aten("div.Tensor"), aten("div_.Tensor")
	opDivScalar               = aten("div.Scalar")
	opNeg                     = aten("neg")
	opExp                     = aten("exp")
	opLog                     = aten("log")
	opSqrt, opSqrt_           = aten("sqrt"), aten("sqrt_")
	opReciprocal              = aten("reciprocal")
	opSquare                  = aten("square")
	opEq, opEqScalar          = aten("eq.Tensor"), aten("eq.Scalar")
	opWhere                   = aten("where.self")
	opClampMin                = aten("clamp_min")
	opClampMax                = aten("clamp_max")
	opIsFinite                = aten("isfinite")
	opAll                     = aten("all")
	opCopy_                   = aten("copy_")
	opZero_                   = aten("zero_")
	opFillScalar_             = aten("fill_.Scalar")
	opAddCMul_                = aten("addcmul_")
	opAddCDiv_                = aten("addcdiv_")
	opLerp_                   = aten("lerp_.Scalar")
	opAbs                     = aten("abs")
	opFloor                   = aten("floor")
	opMinimum, opMaximum      = aten("minimum"), aten("maximum")
	opGeScalar                = aten("ge.Scalar")
	opMax                     = aten("max")
)

// Add returns t + u.
func (t *Tensor) Add(u *Tensor) *Tensor { return opAdd.one(t, u) }

// Add_ adds u to t.
func (t *Tensor) Add_(u *Tensor) *Tensor { return opAdd_.inplace(t, u) }

// AddScaled_ adds alpha*u to t.
func (t *Tensor) AddScaled_(u *Tensor, alpha float64) *Tensor { return opAdd_.inplace(t, u, alpha) }

// AddScalar returns t + x.
func (t *Tensor) AddScalar(x float64) *Tensor { return opAddScalar.one(t, x) }

// AddScalar_ adds x to t.
func (t *Tensor) AddScalar_(x float64) *Tensor { return opAddScalar_.inplace(t, x) }

// Increment_ adds 1 to t, whatever its dtype.
func (t *Tensor) Increment_() *Tensor { return opAddScalar_.inplace(t, 1) }

// Sub returns t - u.
func (t *Tensor) Sub(u *Tensor) *Tensor { return opSub.one(t, u) }

// Sub_ subtracts u from t.
func (t *Tensor) Sub_(u *Tensor) *Tensor { return opSub_.inplace(t, u) }

// Mul returns t * u, elementwise.
func (t *Tensor) Mul(u *Tensor) *Tensor { return opMul.one(t, u) }

// Mul_ multiplies t by u, elementwise.
func (t *Tensor) Mul_(u *Tensor) *Tensor { return opMul_.inplace(t, u) }

// MulScalar returns t * x.
func (t *Tensor) MulScalar(x float64) *Tensor { return opMulScalar.one(t, x) }

// MulScalar_ multiplies t by x.
func (t *Tensor) MulScalar_(x float64) *Tensor { return opMulScalar_.inplace(t, x) }

// Div returns t / u, elementwise.
func (t *Tensor) Div(u *Tensor) *Tensor { return opDiv.one(t, u) }

// Div_ divides t by u, elementwise.
func (t *Tensor) Div_(u *Tensor) *Tensor { return opDiv_.inplace(t, u) }

// DivScalar returns t / x.
func (t *Tensor) DivScalar(x float64) *Tensor { return opDivScalar.one(t, x) }

// Neg returns -t.
func (t *Tensor) Neg() *Tensor { return opNeg.one(t) }

// Abs returns |t|.
func (t *Tensor) Abs() *Tensor { return opAbs.one(t) }

// Exp returns e^t.
func (t *Tensor) Exp() *Tensor { return opExp.one(t) }

// Log returns the natural logarithm of t.
func (t *Tensor) Log() *Tensor { return opLog.one(t) }

// Sqrt returns the square root of t.
func (t *Tensor) Sqrt() *Tensor { return opSqrt.one(t) }

// Sqrt_ replaces t by its square root.
func (t *Tensor) Sqrt_() *Tensor { return opSqrt_.inplace(t) }

// Reciprocal returns 1 / t.
func (t *Tensor) Reciprocal() *Tensor { return opReciprocal.one(t) }

// Square returns t * t.
func (t *Tensor) Square() *Tensor { return opSquare.one(t) }

// Eq returns where t equals u, as bool.
func (t *Tensor) Eq(u *Tensor) *Tensor { return opEq.one(t, u) }

// EqScalar returns where t equals x, as bool.
func (t *Tensor) EqScalar(x float64) *Tensor { return opEqScalar.one(t, x) }

// Where returns yes where cond is true and no elsewhere.
func Where(cond, yes, no *Tensor) *Tensor { return opWhere.one(cond, yes, no) }

// ClampMin returns t with every element at least x.
func (t *Tensor) ClampMin(x float64) *Tensor { return opClampMin.one(t, x) }

// ClampMax returns t with every element at most x.
func (t *Tensor) ClampMax(x float64) *Tensor { return opClampMax.one(t, x) }

// Floor returns the greatest whole numbers that are not above t.
func (t *Tensor) Floor() *Tensor { return opFloor.one(t) }

// Minimum returns the smaller of t and u, elementwise.
func (t *Tensor) Minimum(u *Tensor) *Tensor { return opMinimum.one(t, u) }

// Maximum returns the greater of t and u, elementwise.
func (t *Tensor) Maximum(u *Tensor) *Tensor { return opMaximum.one(t, u) }

// GeScalar returns where t is at least x, as bool.
func (t *Tensor) GeScalar(x float64) *Tensor { return opGeScalar.one(t, x) }

// AllFinite returns whether no element is infinite or NaN, as a bool scalar.
func (t *Tensor) AllFinite() *Tensor { return opAll.one(opIsFinite.one(t)) }

// Copy_ overwrites t with u, which may have another dtype or device.
func (t *Tensor) Copy_(u *Tensor) *Tensor { return opCopy_.inplace(t, u) }

// Zero_ sets every element to 0.
func (t *Tensor) Zero_() *Tensor { return opZero_.inplace(t) }

// Fill_ sets every element to x.
func (t *Tensor) Fill_(x float64) *Tensor { return opFillScalar_.inplace(t, x) }

// AddCMul_ adds value * a * b to t, elementwise.
func (t *Tensor) AddCMul_(a, b *Tensor, value float64) *Tensor {
	return opAddCMul_.inplace(t, a, b, value)
}

// AddCDiv_ adds value * a / b to t, elementwise.
func (t *Tensor) AddCDiv_(a, b *Tensor, value float64) *Tensor {
	return opAddCDiv_.inplace(t, a, b, value)
}

// Lerp_ moves t by weight towards end: t += weight * (end - t).
func (t *Tensor) Lerp_(end *Tensor, weight float64) *Tensor { return opLerp_.inplace(t, end, weight) }

// MaxAll returns the greatest element, as a scalar.
func (t *Tensor) MaxAll() *Tensor { return opMax.one(t) }
