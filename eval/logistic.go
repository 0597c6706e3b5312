package eval

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"

	"ibot/torch"
)

// Logistic is an l2-regularised multinomial logistic regression without intercept: the minimum over W
// (C, D) of
//
//	mean over i of -log softmax(W x_i)[y_i]  +  Lambda/2 |W|^2
//
// which is what cyanure's MultiClassifier minimises for the reference, and what scikit-learn's
// LogisticRegression does with C = 1/(n Lambda).
type Logistic struct {
	Lambda float64
	// Tolerance bounds how far the objective may be above its minimum, as a share of it; 0: 1e-7.
	Tolerance float64
	// MaxIterations bounds the steps of L-BFGS; 0: 2000.
	MaxIterations int
	Progress      func(iteration int) // may be nil
}

// LogisticFit is a solution.
type LogisticFit struct {
	Lambda     float64 `json:"lambda"`
	Top1       float64 `json:"top1"` // percent
	Top5       float64 `json:"top5"`
	Objective  float64 `json:"objective"`
	Gap        float64 `json:"gap"` // the objective is at most so far above its minimum
	Iterations int     `json:"iterations"`
	// Predictions are the likeliest classes of the images to classify.
	Predictions []int `json:"-"`

	weight []float64 // (C, D)
}

// rowsInMemory bounds the numbers of features that are kept in float64 between evaluations.
const rowsInMemory = 1 << 27

// objective evaluates the objective and its gradient.
type objective struct {
	ctx    context.Context
	train  *Features
	lambda float64
	C, D   int
	err    error // of the engine, or ctx's

	ready []*torch.Tensor // blocks of the features, normalised, in float64; nil where they are too many
	x     []float64       // where value and gradient are known
	value float64
	grad  []float64
}

// unitRows are rows of l2-normalised features in float64.
func unitRows(x *torch.Tensor) *torch.Tensor { return normalise(x.To(torch.Float64)) }

// at evaluates the objective at w, unless it was the last.
func (o *objective) at(w []float64) {
	if o.x != nil && floats.Equal(o.x, w) {
		return
	}
	o.x = append(o.x[:0], w...)
	o.value, o.err = 0, nil
	sum := make([]float64, len(w))
	n := float64(o.train.Len())
	o.err = torch.Run(func() error {
		d := o.train.Device()
		weight := torch.New(w, o.C, o.D).ToDevice(d)
		grad := torch.Zeros(torch.Float64, d, o.C, o.D)
		block := 0
		err := o.train.blocks(o.ctx, o.rows(), func(_ int, x, labels *torch.Tensor) {
			if o.ready != nil && block < len(o.ready) {
				x = o.ready[block]
			} else if x = unitRows(x); o.ready != nil {
				o.ready = append(o.ready, x.Own())
			}
			block++
			logp := x.MM(weight.Transpose(0, 1)).LogSoftmax(1) // (B, C)
			o.value -= logp.Gather(1, labels.Unsqueeze(1)).SumAll().Item() / n
			grad.AddMM_(logp.Exp().Sub_(labels.OneHot(o.C).To(torch.Float64)).Transpose(0, 1), x, 1)
		})
		if err == nil {
			copy(sum, torch.Read[float64](grad))
		}
		return err
	})
	if o.err != nil {
		o.value = math.NaN()
	}
	o.value += o.lambda / 2 * floats.Dot(w, w)
	for i := range sum {
		sum[i] = sum[i]/n + o.lambda*w[i]
	}
	o.grad = sum
}

// rows are the rows of a block.
func (o *objective) rows() int { return max(1, blockSize/max(o.C, o.D)) }

func (o *objective) free() {
	for _, x := range o.ready {
		x.Free()
	}
}

// gap bounds how far a value with this gradient is above the minimum: the objective is strongly convex
// with Lambda.
func (o *objective) gap(grad []float64) float64 { return floats.Dot(grad, grad) / (2 * o.lambda) }

// converged ends the search where the gap is small enough, and when ctx is done.
type converged struct {
	o         *objective
	tolerance float64
	progress  func(iteration int)
	iteration int
}

func (c *converged) Init(int) {}

func (c *converged) Converged(l *optimize.Location) optimize.Status {
	c.iteration++
	if c.progress != nil {
		c.progress(c.iteration)
	}
	switch {
	case c.o.err != nil:
		return optimize.Failure
	case c.o.gap(l.Gradient) <= c.tolerance*l.F:
		return optimize.MethodConverge
	}
	return optimize.NotTerminated
}

// Fit finds the solution for l2-normalised features of train. start, which may be nil, is where the
// search begins: a solution for another Lambda.
func (l Logistic) Fit(ctx context.Context, train *Features, start *LogisticFit) (*LogisticFit, error) {
	if !(l.Lambda > 0) || math.IsInf(l.Lambda, 0) {
		return nil, fmt.Errorf("eval: lambda %v; want a number above 0, such as 0.01", l.Lambda)
	}
	if l.Tolerance == 0 {
		l.Tolerance = 1e-7
	}
	if l.MaxIterations == 0 {
		l.MaxIterations = 2000
	}
	o := &objective{ctx: ctx, train: train, lambda: l.Lambda, C: len(train.Classes), D: train.Dim()}
	defer o.free()
	if train.Len()*o.D <= rowsInMemory {
		o.ready = []*torch.Tensor{}
	}
	from := make([]float64, o.C*o.D)
	if start != nil {
		copy(from, start.weight)
	}
	problem := optimize.Problem{
		Func: func(w []float64) float64 { o.at(w); return o.value },
		Grad: func(grad, w []float64) { o.at(w); copy(grad, o.grad) },
	}
	stop := &converged{o: o, tolerance: l.Tolerance, progress: l.Progress}
	found, err := optimize.Minimize(problem, from,
		&optimize.Settings{Converger: stop, MajorIterations: l.MaxIterations},
		&optimize.LBFGS{Linesearcher: &optimize.MoreThuente{}, GradStopThreshold: math.NaN()})
	if o.err != nil {
		return nil, o.err
	}
	if found == nil {
		return nil, fmt.Errorf("eval: the logistic regression cannot be solved: %w", err)
	}
	// A line search that ends at the precision of float64 is an error to the optimizer and none here:
	// the gap tells how good the solution is.
	fit := &LogisticFit{Lambda: l.Lambda, Objective: found.F, Iterations: stop.iteration, weight: found.X}
	o.at(found.X)
	fit.Gap = o.gap(o.grad)
	return fit, o.err
}

// score classifies val.
func (f *LogisticFit) score(ctx context.Context, val *Features) error {
	C, D := len(val.Classes), val.Dim()
	k, top5 := min(5, C), 0
	f.Predictions = nil
	err := val.blocks(ctx, max(1, blockSize/max(C, D)), func(from int, x, labels *torch.Tensor) {
		weight := torch.New(f.weight, C, D).ToDevice(val.Device())
		_, first := unitRows(x).MM(weight.Transpose(0, 1)).TopK(k, 1)
		top5 += int(first.Eq(labels.Unsqueeze(1)).To(torch.Float32).SumAll().Item())
		for _, class := range torch.Read[int64](first.Select(1, 0).Contiguous()) {
			f.Predictions = append(f.Predictions, int(class))
		}
	})
	if err != nil {
		return err
	}
	right := 0
	for i, class := range f.Predictions {
		if class == val.Labels[i] {
			right++
		}
	}
	f.Top1 = 100 * float64(right) / float64(val.Len())
	f.Top5 = 100 * float64(top5) / float64(val.Len())
	return nil
}
