package eval

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"ibot/data"
	"ibot/internal/progress"
	"ibot/rng"
)

func init() {
	Register(Kind{
		Name:  "logreg",
		Short: "fit an l2-regularised logistic regression to frozen features",
		Long: "Fits a multinomial logistic regression, l2-regularised and without intercept, to\n" +
			"the l2-normalised features of train, solves it to convergence for each lambda,\n" +
			"and scores it on val. The objective is that of the reference: the mean loss plus\n" +
			"lambda/2 times the squared length of the weights.",
		Example: "  ibot eval logreg --ckpt runs/cifar10 --data CIFAR10\n" +
			"  ibot eval logreg --ckpt checkpoint.pth --data IMAGENET --lambda 1e-5 1e-6",
		Data: labelledData,
		New:  func() Protocol { return newLogreg() },
	})
}

// logregProtocol is the logistic regression of DINO and iBOT on frozen features; see [Logistic].
type logregProtocol struct {
	LabelledSettings
	LogregSettings
	Seed int `name:"seed" help:"chooses the images that are held out where there is no val"`
	FeatureSettings

	sets labelledSets
}

// LogregSettings are the settings of logistic regressions.
type LogregSettings struct {
	Lambda        []float64 `name:"lambda" alias:"lr_lambd" group:"Regression" arg:"L ..." range:"(0,)" help:"weights of the regularisation"`
	Tolerance     float64   `name:"tolerance" range:"(0,1)" help:"how far the objective may be above its minimum, as a share of it"`
	MaxIterations int       `name:"max_iterations" range:"[1,)" help:"most steps of L-BFGS for one lambda"`
}

func newLogregSettings() LogregSettings {
	return LogregSettings{Lambda: []float64{.01, .1, 1}, Tolerance: 1e-7, MaxIterations: 2000}
}

func newLogreg() *logregProtocol {
	return &logregProtocol{LogregSettings: newLogregSettings(), FeatureSettings: FeatureSettings{LastBlocks: 1}}
}

func (p *logregProtocol) Open(dir string, o data.Options) (err error) {
	p.sets, err = p.LabelledSettings.open("a logistic regression", dir, o, rng.Seed(p.Seed))
	return err
}

// LogregReport is the report of the protocol logreg.
type LogregReport struct {
	LabelledCounts
	Settings FeatureNumbers     `json:"settings"`
	Results  []LogregOfFeatures `json:"results"`
	Bad      []string           `json:"bad_images"`
	Notes    []string           `json:"notes"`
}

// LogregOfFeatures are the solutions for one kind of features.
type LogregOfFeatures struct {
	Features string         `json:"features"`
	Fits     []*LogisticFit `json:"fits"` // by rising lambda
}

func (p *logregProtocol) Run(ctx context.Context, r *Run) (Report, error) {
	o, err := r.Options(p.FeatureSettings)
	if err != nil {
		return nil, err
	}
	report := &LogregReport{LabelledCounts: p.sets.counts(), Settings: o.numbers(), Notes: p.sets.notes}
	return report, p.eachSource(func(source string) error { return p.score(ctx, r, source, report) })
}

// score enters the solutions for the features from a source into the report.
func (p *logregProtocol) score(ctx context.Context, r *Run, source string, report *LogregReport) error {
	train, val, err := p.sets.rows(ctx, r, source, p.FeatureSettings)
	if err != nil {
		return err
	}
	defer train.Close()
	defer val.Close()
	fits, notes, err := p.LogregSettings.fit(ctx, r, source, train, val)
	if err != nil {
		return err
	}
	if len(report.Results) == 0 {
		report.Bad = unreadable(train, val)
	}
	report.Notes = append(report.Notes, notes...)
	report.Results = append(report.Results, LogregOfFeatures{source, fits})
	return nil
}

// fit solves the regression for each lambda, from the largest, each from the solution of the one
// before. It returns the solutions by rising lambda.
func (s LogregSettings) fit(ctx context.Context, r *Run, source string, train, val *Features) (fits []*LogisticFit, notes []string, err error) {
	lambdas := slices.Compact(slices.Sorted(slices.Values(s.Lambda)))
	var start *LogisticFit
	for _, lambda := range slices.Backward(lambdas) {
		r.Bar.Start(progress.Task{Label: fmt.Sprintf("%s, lambda %g", source, lambda), Unit: "steps"})
		l := Logistic{
			Lambda: lambda, Tolerance: s.Tolerance, MaxIterations: s.MaxIterations,
			Progress: func(iteration int) { r.Bar.Set(iteration, "") },
		}
		fit, err := l.Fit(ctx, train, start)
		if err != nil {
			return nil, nil, err
		}
		if err := fit.score(ctx, val); err != nil {
			return nil, nil, err
		}
		if fit.Gap > s.Tolerance*fit.Objective {
			notes = append(notes, fmt.Sprintf("%s, lambda %g: after %d steps the objective, %.8g, may still be %.2g above its minimum", source, lambda, fit.Iterations, fit.Objective, fit.Gap))
		}
		fits = append(fits, fit)
		start = fit
	}
	slices.Reverse(fits)
	return fits, notes, nil
}

// bestFit is the solution that scores best.
func bestFit(fits []*LogisticFit) *LogisticFit {
	return slices.MaxFunc(fits, func(a, b *LogisticFit) int { return cmp.Compare(a.Top1, b.Top1) })
}

// Scores are the accuracies, that of the best lambda first.
func (r *LogregReport) Scores() []Score {
	var scores []Score
	for _, result := range r.Results {
		best := bestFit(result.Fits)
		scores = append(scores, Score{"top-1, best lambda", result.Features, best.Top1, r.set})
		for _, fit := range result.Fits {
			scores = append(scores, Score{fmt.Sprintf("top-1, lambda %g", fit.Lambda), result.Features, fit.Top1, r.set})
		}
	}
	return scores
}

// Write prints the report for people.
func (r *LogregReport) Write(out io.Writer) error {
	fmt.Fprintf(out, "%s, %d pixels\n\n", r.LabelledCounts, r.Settings.Crop)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "features\tlambda\tobjective\tsteps\ttop-1\ttop-5\t\n")
	for _, result := range r.Results {
		for _, fit := range result.Fits {
			fmt.Fprintf(w, "%s\t%g\t%.6f\t%d\t%.2f\t%.2f\t\n", result.Features, fit.Lambda, fit.Objective, fit.Iterations, fit.Top1, fit.Top5)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return writeRemarks(out, r.Notes, r.Bad)
}
