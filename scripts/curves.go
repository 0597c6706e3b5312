//go:build ignore

// Compares the losses of runs: the mean over the seeds of each group, smoothed, as a picture and as
// a table.
//
//	go run scripts/curves.go OUT.png RUN...
//
// Runs are named GROUP-SEED. docs/benchmarks.md has the runs of float32 and bfloat16.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ibot/internal/chart"
)

const window = 20 // steps that a point of a curve is the mean of

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: go run scripts/curves.go OUT.png GROUP-SEED ...")
	}
	groups := map[string][][]float64{}
	var names []string
	for _, run := range os.Args[2:] {
		name, _, _ := strings.Cut(filepath.Base(run), "-")
		if groups[name] == nil {
			names = append(names, name)
		}
		groups[name] = append(groups[name], losses(run))
	}
	var series []chart.Series
	for _, name := range names {
		for seed, loss := range groups[name] {
			s := chart.Series{Name: fmt.Sprintf("%s, seed %d", name, seed)}
			for i := window; i <= len(loss); i++ {
				s.X, s.Y = append(s.X, float64(i)), append(s.Y, mean(loss[i-window:i]))
			}
			series = append(series, s)
		}
	}
	if err := chart.Lines(os.Args[1], chart.Options{
		Title: "Loss, mean of 20 steps", XLabel: "step", YLabel: "loss", Width: 560, Height: 330,
	}, series...); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("| steps |")
	for _, name := range names {
		fmt.Printf(" %s | range of seeds |", name)
	}
	fmt.Println()
	for from := 0; from < len(groups[names[0]][0]); from += 50 {
		fmt.Printf("| %d to %d |", from+1, from+50)
		for _, name := range names {
			var seeds []float64
			for _, loss := range groups[name] {
				seeds = append(seeds, mean(loss[from:min(from+50, len(loss))]))
			}
			fmt.Printf(" %.3f | %.3f to %.3f |", mean(seeds), slices.Min(seeds), slices.Max(seeds))
		}
		fmt.Println()
	}
	if len(names) == 2 {
		apart(groups[names[0]], groups[names[1]])
	}
}

// apart prints how far the groups are apart at the same seed, and the seeds of the first at the
// same step, as the root of the mean square over steps.
func apart(a, b [][]float64) {
	rms := func(x, y []float64) float64 {
		sum := 0.
		for i := range x {
			sum += (x[i] - y[i]) * (x[i] - y[i])
		}
		return math.Sqrt(sum / float64(len(x)))
	}
	var between, among []float64
	for i := range a {
		between = append(between, rms(a[i], b[i]))
		among = append(among, rms(a[i], a[(i+1)%len(a)]))
	}
	fmt.Printf("apart by %.3f at the same seed; seeds by %.3f\n", mean(between), mean(among))
}

func mean(v []float64) float64 {
	sum := 0.
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// losses reads the loss of every step of a run.
func losses(run string) (all []float64) {
	f, err := os.Open(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r struct {
			Kind string
			Loss float64
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			log.Fatalf("%s: %v", f.Name(), err)
		}
		if r.Kind == "step" {
			all = append(all, r.Loss)
		}
	}
	if len(all) == 0 {
		log.Fatalf("%s has no steps", f.Name())
	}
	return all
}
