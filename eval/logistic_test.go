package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"ibot/internal/golden"
	"ibot/torch"
)

// logisticSets are the features that scikit-learn's solutions are of.
func logisticSets(t *testing.T, f *golden.File) (train, val *Features) {
	t.Helper()
	part := func(name string) *Features {
		var labels []int
		for _, l := range f.Ints(name + "_labels") {
			labels = append(labels, int(l))
		}
		var x []float32
		torch.Scope(func() { x = f.Tensor(name).Floats() })
		return newFeatures(t, x, labels, 7)
	}
	return part("train"), part("test")
}

func TestLogisticAgainstScikitLearn(t *testing.T) {
	for _, d := range devices() {
		t.Run(d.String(), func(t *testing.T) {
			checkLive(t)
			f := golden.Open(t, "j_logistic.npz")
			train, val := logisticSets(t, f)
			train.to(d)
			val.to(d)
			var start *LogisticFit
			for _, lambda := range slices.Backward(f.Floats("lambdas")) {
				name := fmt.Sprintf("%g/", lambda)
				fit, err := Logistic{Lambda: lambda}.Fit(t.Context(), train, start)
				if err != nil {
					t.Fatal(err)
				}
				if err := fit.score(t.Context(), val); err != nil {
					t.Fatal(err)
				}
				want := f.Scalar(name + "objective")
				if rel := math.Abs(fit.Objective-want) / want; rel > 1e-6 || fit.Gap > 1e-7*want {
					t.Errorf("lambda %g: objective %.12g, want %.12g (%.2g apart, gap %.2g)", lambda, fit.Objective, want, rel, fit.Gap)
				}
				if fit.Objective < want*(1-1e-9) {
					t.Errorf("lambda %g: %.15g is below scikit-learn's minimum, %.15g", lambda, fit.Objective, want)
				}
				var predictions []int
				for _, class := range f.Ints(name + "pred") {
					predictions = append(predictions, int(class))
				}
				if !slices.Equal(fit.Predictions, predictions) {
					t.Errorf("lambda %g: predictions differ:\n%v\n%v", lambda, fit.Predictions, predictions)
				}
				right := 0
				for i, class := range predictions {
					if class == val.Labels[i] {
						right++
					}
				}
				if fit.Top1 != 100*float64(right)/float64(val.Len()) || fit.Top5 < fit.Top1 || fit.Top5 > 100 {
					t.Errorf("lambda %g: top-1 %v, top-5 %v", lambda, fit.Top1, fit.Top5)
				}
				start = fit
			}
		})
	}
}

// TestLogisticStart: the solution does not depend on where the search begins, nor on how the
// features are cut into blocks.
func TestLogisticStart(t *testing.T) {
	checkLive(t)
	train, val := logisticSets(t, golden.Open(t, "j_logistic.npz"))
	plain, err := Logistic{Lambda: .01, Tolerance: 1e-12}.Fit(t.Context(), train, nil)
	if err != nil {
		t.Fatal(err)
	}
	far, err := Logistic{Lambda: 1e-4}.Fit(t.Context(), train, nil)
	if err != nil {
		t.Fatal(err)
	}
	warm, err := Logistic{Lambda: .01, Tolerance: 1e-12}.Fit(t.Context(), train, far)
	if err != nil {
		t.Fatal(err)
	}
	golden.EqualFloats(t, "weights", warm.weight, plain.weight, golden.Tolerance{Abs: 1e-5})
	if warm.score(t.Context(), val) != nil || plain.score(t.Context(), val) != nil || !slices.Equal(warm.Predictions, plain.Predictions) {
		t.Error("predictions differ")
	}
	short, err := Logistic{Lambda: 1e-5, MaxIterations: 2}.Fit(t.Context(), train, nil)
	if err != nil || short.Gap < 1e-3*short.Objective {
		t.Errorf("after two steps: %+v, %v; want a gap that shows", short, err)
	}
}

func TestLogisticErrors(t *testing.T) {
	checkLive(t)
	train, _ := logisticSets(t, golden.Open(t, "j_logistic.npz"))
	for _, lambda := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := (Logistic{Lambda: lambda}).Fit(t.Context(), train, nil); err == nil || !strings.Contains(err.Error(), "want a number above 0") {
			t.Errorf("lambda %v: %v", lambda, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := Logistic{Lambda: 1e-5, Progress: func(iteration int) {
		if iteration == 3 {
			cancel()
		}
	}}
	if _, err := l.Fit(ctx, train, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	nan := newFeatures(t, []float32{1, 0, float32(math.NaN()), 1}, []int{0, 1}, 2)
	if err := checkClassifiable(nan, nan); err == nil || !strings.Contains(err.Error(), "is not finite") {
		t.Errorf("NaN: %v", err)
	}
}
