//go:build !noengine

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ibot/eval"
	"ibot/internal/atomicfile"
)

// evalAllSettings are the flags of ibot eval all.
type evalAllSettings struct {
	netSettings
	Data      string `name:"data" alias:"data_path" arg:"DIR" help:"the images: whatever protocols they allow are run"`
	Out       string `name:"out" arg:"DIR" help:"folder for eval.json and eval.html; without: the run's folder, and nowhere for a checkpoint file"`
	Published bool   `name:"published" help:"the published protocols to the letter, though some take very long"`
	runningSettings
	cacheSettings
	JSON bool `name:"json" help:"print one JSON object"`
}

// newEvalAllVerb makes ibot eval all.
func newEvalAllVerb() *cobra.Command {
	flags := evalAllSettings{netSettings: netSettings{Net: "teacher"}, runningSettings: newRunning()}
	verb := &cobra.Command{
		Use:   "all --ckpt RUN --data DIR",
		Short: "run every protocol that the images allow",
		Long: "Runs every protocol that the images allow, with its default settings, and writes\n" +
			"one table, one JSON and one HTML page, with the paper's number beside ours where\n" +
			"set and architecture are the same. Features are computed once for all.",
		Example: "  ibot eval all --ckpt runs/cifar10 --data CIFAR10\n" +
			"  ibot eval all --ckpt checkpoint.pth --data IMAGENET --out report",
		Args: arguments(0, 0),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		if flags.Ckpt == "" {
			return needs("eval all", "ckpt", "RUN|FILE", "the network to score")
		}
		if flags.Data == "" {
			return needs("eval all", "data", "DIR", "the images")
		}
		summary, err := flags.run(cmd.Context(), cmd.ErrOrStderr())
		if err != nil {
			return evalError(err, flags.runningSettings)
		}
		if flags.JSON {
			err = json.NewEncoder(cmd.OutOrStdout()).Encode(summary)
		} else {
			err = summary.write(cmd.OutOrStdout())
		}
		if err == nil && len(summary.Failed) > 0 {
			err = fmt.Errorf("%d protocols failed", len(summary.Failed))
		}
		return err
	}
	return verb
}

// evalSummary is the result of ibot eval all.
type evalSummary struct {
	reportHead
	Rows   []evalRow       `json:"scores"`
	Runs   []evalOne       `json:"reports"`
	NotRun []evalUnsuccess `json:"not_run"`
	Failed []evalUnsuccess `json:"failed"`
}

// evalRow is a line of the table.
type evalRow struct {
	Protocol string   `json:"protocol"`
	Features string   `json:"features,omitempty"`
	Score    string   `json:"score"`
	Value    float64  `json:"value"`
	Paper    *float64 `json:"paper"` // nil where the paper has none for this set and architecture
}

// evalOne is the whole report of a protocol.
type evalOne struct {
	Protocol string      `json:"protocol"`
	Report   eval.Report `json:"report"`
}

type evalUnsuccess struct {
	Protocol string `json:"protocol"`
	Reason   string `json:"reason"`
}

// run runs the protocols. What is done is written out after each.
func (s evalAllSettings) run(ctx context.Context, stderr io.Writer) (*evalSummary, error) {
	r, err := newRun(s.netSettings, s.runningSettings, stderr)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	defer r.Bar.Finish()
	if _, err := os.Stat(s.Data); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	if r.Cache = s.cacheSettings.dir(s.Ckpt); r.Cache == "" && s.Cache != "none" {
		if r.Cache, err = os.MkdirTemp("", "ibot-features-"); err != nil {
			return nil, err
		}
		defer os.RemoveAll(r.Cache)
	}
	out := s.Out
	if info, err := os.Stat(s.Ckpt); out == "" && err == nil && info.IsDir() {
		out = s.Ckpt
	}
	if out != "" {
		if err := os.MkdirAll(out, 0o777); err != nil {
			return nil, fmt.Errorf("eval: cannot make the folder for the report: %w; name another with --out", err)
		}
	}
	summary := &evalSummary{
		reportHead: newReportHead("all", s.Net, s.Data, r.Net),
		Rows:       []evalRow{}, Runs: []evalOne{}, NotRun: []evalUnsuccess{}, Failed: []evalUnsuccess{},
	}
	err = r.All(ctx, s.Data, s.Published, func(o eval.Outcome) error {
		r.Bar.Finish()
		summary.add(o, r)
		if out == "" {
			return nil
		}
		return summary.store(out)
	})
	if err != nil {
		return nil, err
	}
	if len(summary.Runs)+len(summary.Failed) == 0 {
		return nil, summary.nothing()
	}
	if out != "" {
		fmt.Fprintf(stderr, "%s and %s\n", filepath.Join(out, "eval.html"), filepath.Join(out, "eval.json"))
	}
	return summary, nil
}

// nothing says why no protocol could be run.
func (s *evalSummary) nothing() error {
	errs := []error{fmt.Errorf("eval: %s allows no protocol", s.Data)}
	for _, n := range s.NotRun {
		errs = append(errs, fmt.Errorf("%s: %s", n.Protocol, n.Reason))
	}
	return errors.Join(errs...)
}

// add enters what became of a protocol.
func (s *evalSummary) add(o eval.Outcome, r *eval.Run) {
	switch {
	case o.NotRun != nil:
		s.NotRun = append(s.NotRun, evalUnsuccess{o.Kind.Name, o.NotRun.Error()})
		return
	case o.Failed != nil:
		s.Failed = append(s.Failed, evalUnsuccess{o.Kind.Name, o.Failed.Error()})
		return
	}
	s.Runs = append(s.Runs, evalOne{o.Kind.Name, o.Report})
	for _, score := range o.Report.Scores() {
		row := evalRow{Protocol: o.Kind.Name, Features: score.Features, Score: score.Name, Value: score.Value}
		if paper, ok := o.Kind.Paper(score, r.Net); ok {
			row.Paper = &paper
		}
		s.Rows = append(s.Rows, row)
	}
}

// store writes eval.json and eval.html into a folder.
func (s *evalSummary) store(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.WriteBytes(filepath.Join(dir, "eval.json"), append(text, '\n')); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, "eval.html"), s.html)
}

// write prints the summary for people.
func (s *evalSummary) write(out io.Writer) error {
	fmt.Fprintf(out, "%s\n\n", s.reportHead)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "protocol\tscore\tours\tpaper")
	for _, row := range s.Rows {
		fmt.Fprintf(w, "%s\t%s\t%.2f\t%s\n", row.Protocol, row.Score, row.Value, row.paper())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, n := range s.Failed {
		fmt.Fprintf(out, "\n%s failed: %s\n", n.Protocol, n.Reason)
	}
	for _, n := range s.NotRun {
		fmt.Fprintf(out, "\n%s was not run: %s\n", n.Protocol, n.Reason)
	}
	return nil
}

// paper is the paper's number, "" for none.
func (r evalRow) paper() string {
	if r.Paper == nil {
		return ""
	}
	return fmt.Sprintf("%.1f", *r.Paper)
}
