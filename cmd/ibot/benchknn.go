//go:build !noengine

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"ibot/eval"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

// knnReport is the result of ibot bench knn.
type knnReport struct {
	Queries int             `json:"queries"`
	Bank    int             `json:"bank"`
	Dim     int             `json:"dim"`
	Device  string          `json:"device"`
	Engine  string          `json:"engine"`
	Peak    float64         `json:"matrix_gflops"` // of a large product on this machine
	Seconds float64         `json:"seconds"`       // median, of all k together
	PeakMiB int             `json:"peak_memory_mib"`
	Scores  []eval.KNNScore `json:"scores"`
}

// gflops is the speed of the similarities, in GFLOP/s.
func (r knnReport) gflops() float64 {
	return 2 * float64(r.Queries) * float64(r.Bank) * float64(r.Dim) / r.Seconds / 1e9
}

// mostNumbers is how many float32 a bench makes, 16 GiB.
const mostNumbers = 1 << 32

// benchClasses are the classes of the features of ibot bench knn, those of ImageNet-1K.
const benchClasses = 1000

// newBenchKNNVerb makes ibot bench knn, which times the nearest-neighbour classifier.
func newBenchKNNVerb() *cobra.Command {
	flags := struct {
		Queries int       `name:"queries" group:"What" range:"[1,100000000]" help:"images to classify"`
		Bank    int       `name:"bank" range:"[1,100000000]" help:"images with labels"`
		Dim     int       `name:"dim" range:"[1,16384]" help:"numbers of a feature"`
		K       []float64 `name:"k" arg:"K ..." range:"[1,)" help:"numbers of neighbours that vote"`
		Device  string    `name:"device" arg:"auto|cpu|cuda[:N]" help:"where to compute"`
		Rounds  int       `name:"rounds" range:"[1,)" help:"how often to time; the median counts"`
		Compare string    `name:"compare" arg:"FILE" help:"an earlier result (--json) to print beside this one"`
		JSON    bool      `name:"json" help:"print one JSON object"`
	}{Queries: 10000, Bank: 50000, Dim: 384, K: []float64{10, 20, 100, 200}, Device: "auto", Rounds: 3}
	verb := &cobra.Command{
		Use:   "knn",
		Short: "time the nearest-neighbour classifier",
		Long: "Classifies random features of 1000 classes by their nearest neighbours, for all\n" +
			"k at once as ibot eval knn does. Prints seconds, the speed of the similarities\n" +
			"and its share of that of a large matrix product, and the peak memory.",
		Example: "  ibot bench knn\n" +
			"  ibot bench knn --queries 50000 --bank 1281167 --rounds 1 --json",
		Args: arguments(0, 0),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		before, err := earlier(flags.Compare, "knn", func(r knnReport) bool { return r.Seconds > 0 && r.Scores != nil })
		if err != nil {
			return err
		}
		classifier := eval.DefaultKNN()
		classifier.K = nil
		for _, k := range flags.K {
			if k != float64(int(k)) {
				return usagef("--k: want whole numbers, found %v", k)
			}
			classifier.K = append(classifier.K, int(k))
		}
		if n := (flags.Queries + flags.Bank) * flags.Dim; n > mostNumbers {
			return usagef("--bank: %d queries and %d features of %d numbers would take %d GiB; want fewer", flags.Queries, flags.Bank, flags.Dim, n>>28)
		}
		device, err := torch.ParseDevice(flags.Device)
		if err != nil {
			return err
		}
		r := knnReport{
			Queries: flags.Queries, Bank: flags.Bank, Dim: flags.Dim, Device: device.String(), Engine: engineName(),
			Peak: matrixPeak(device, "fp32"),
		}
		bank, err := randomFeatures("bank", flags.Bank, flags.Dim, device)
		if err != nil {
			return err
		}
		defer bank.Close()
		queries, err := randomFeatures("queries", flags.Queries, flags.Dim, device)
		if err != nil {
			return err
		}
		defer queries.Close()
		var seconds []float64
		for range flags.Rounds {
			began := time.Now()
			result, err := classifier.Classify(cmd.Context(), bank, queries)
			if err != nil {
				return err
			}
			seconds = append(seconds, time.Since(began).Seconds())
			r.Scores = result.Scores
		}
		slices.Sort(seconds)
		r.Seconds, r.PeakMiB = seconds[len(seconds)/2], train.PeakMiB()
		if flags.JSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
		}
		return r.write(cmd.OutOrStdout(), before)
	}
	return verb
}

// randomFeatures are n features of dim numbers: noise around the centre of their class.
func randomFeatures(part string, n, dim int, d torch.Device) (*eval.Features, error) {
	f := &eval.Features{Classes: make([]string, benchClasses)}
	centres, noise := rng.Seed(0).Stream("bench centres"), rng.Seed(0).Stream("bench "+part)
	centre := make([]float64, benchClasses*dim)
	for i := range centre {
		centre[i] = centres.NormFloat64()
	}
	for class := range f.Classes {
		f.Classes[class] = strconv.Itoa(class)
	}
	const spread = 4 // of the noise: some of the queries are mistaken
	values := make([]float32, 0, n*dim)
	for i := range n {
		label := i % benchClasses
		for _, c := range centre[label*dim : (label+1)*dim] {
			values = append(values, float32(c+spread*noise.NormFloat64()))
		}
		f.Labels, f.Names = append(f.Labels, label), append(f.Names, strconv.Itoa(i))
	}
	return f, torch.Run(func() error {
		f.X = torch.New(values, n, dim).ToDevice(d).Own()
		return nil
	})
}

// write prints the result, beside an earlier one where there is one.
func (r knnReport) write(out io.Writer, before *knnReport) error {
	c := comparison[knnReport]{now: r, before: before}
	fmt.Fprintf(&c, "%d queries in a bank of %d, %d numbers each, on %s, %s\n\n", r.Queries, r.Bank, r.Dim, r.Device, r.Engine)
	c.row("time", "%9.2f s", func(r knnReport) float64 { return r.Seconds })
	c.row("similarities", "%9.0f GFLOP/s", knnReport.gflops)
	c.row("matrix peak", "%9.0f GFLOP/s", func(r knnReport) float64 { return r.Peak })
	c.row("share of peak", "%9.1f %%", func(r knnReport) float64 { return 100 * r.gflops() / r.Peak })
	c.row("peak memory", "%9.0f MiB", func(r knnReport) float64 { return float64(r.PeakMiB) })
	c.WriteByte('\n')
	for _, s := range r.Scores {
		fmt.Fprintf(&c, "k = %-12d %9.2f %% top-1\n", s.K, s.Top1)
	}
	_, err := io.WriteString(out, c.String())
	return err
}
