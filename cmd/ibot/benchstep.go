//go:build !noengine

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"ibot/backbone"
	"ibot/recipes"
	"ibot/torch"
	"ibot/train"
)

// stepReport is the result of ibot bench step.
type stepReport struct {
	Arch      string  `json:"arch"`
	Batch     int     `json:"batch"`
	Views     string  `json:"views"` // "2x224 + 10x96"
	Precision string  `json:"precision"`
	Device    string  `json:"device"`
	Engine    string  `json:"engine"`
	Peak      float64 `json:"matrix_gflops"`    // of a large product on this machine, in the precision of the step
	Saving    string  `json:"saving,omitempty"` // of memory: "micro_batch 4, recompute"
	train.StepTime
}

func (r stepReport) imagesPerSecond() float64 { return float64(r.Batch) / r.Seconds }

// share of the matrix peak, in percent.
func (r stepReport) share() float64 { return 100 * r.GFLOP / r.Seconds / r.Peak }

// newBenchStepVerb makes ibot bench step, which times a training step.
func newBenchStepVerb() *cobra.Command {
	flags := struct {
		Recipe    string `name:"recipe" group:"What" arg:"NAME" help:"the settings of the step; ibot recipes lists them"`
		File      string `name:"config" arg:"FILE" help:"YAML file with settings, above those of the recipe"`
		Arch      string `name:"arch" arg:"NAME" help:"architecture in place of the recipe's"`
		Batch     int    `name:"batch_size" alias:"batch_size_per_gpu" range:"[1,)" help:"images a step"`
		Device    string `name:"device" arg:"auto|cpu|cuda[:N]" help:"where to compute"`
		Precision string `name:"precision" choices:"fp32,bf16,fp16" help:"numbers of the matrix products"`
		Micro     int    `name:"micro_batch" range:"[0,)" help:"images that go forward and backward at once; 0: all"`
		Recompute bool   `name:"recompute" arg:"BOOL" help:"compute the activations of blocks again in the backward pass"`
		HeadChunk int    `name:"head_chunk" arg:"ROWS" range:"[0,)" help:"tokens whose outputs exist at a time; 0: all"`
		Graphs    bool   `name:"cuda_graphs" arg:"BOOL" help:"forward and backward pass as CUDA graphs"`
		Rounds    int    `name:"rounds" range:"[1,)" help:"steps to time; the median counts"`
		Compare   string `name:"compare" arg:"FILE" help:"an earlier result (--json) to print beside this one"`
		JSON      bool   `name:"json" help:"print one JSON object"`
	}{Recipe: "vit_small_800ep", Batch: 4, Device: "auto", Precision: "fp32", Rounds: 5}
	verb := &cobra.Command{
		Use:   "step",
		Short: "time a training step and its parts",
		Long: "Makes training steps on random images. Prints images a second, what each part of\n" +
			"a step and each operator takes, the peak memory, and the share of the speed of a\n" +
			"large matrix product on this machine, which is measured first.",
		Example: "  ibot bench step --precision bf16\n" +
			"  ibot bench step --arch vit_base --batch_size 16 --json > before.json\n" +
			"  ibot bench step --arch vit_base --batch_size 16 --compare before.json",
		Args: arguments(0, 0),
	}
	bind(verb, &flags)
	complete(verb, "recipe", recipes.Names())
	complete(verb, "arch", backbone.Names())
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		parsed := train.Config{Recipe: flags.Recipe, File: flags.File}
		c, _, err := resolveConfig(cmd.Flags(), &parsed, train.Default(), backbone.Names())
		if err != nil {
			return err
		}
		c.Arch, c.BatchSize, c.Precision = cmp.Or(flags.Arch, c.Arch), flags.Batch, flags.Precision
		c.MicroBatch, c.Recompute, c.HeadChunk, c.CUDAGraphs = flags.Micro, flags.Recompute, flags.HeadChunk, flags.Graphs
		if _, err := c.Resolve(backbone.Names()); err != nil {
			return usageError{err}
		}
		before, err := earlier(flags.Compare, "step", func(r stepReport) bool { return r.Seconds > 0 })
		if err != nil {
			return err
		}
		device, err := torch.ParseDevice(flags.Device)
		if err != nil {
			return err
		}
		if err := c.CheckDevice(device); err != nil {
			return err
		}
		r := stepReport{
			Arch: c.Arch, Batch: c.BatchSize, Precision: c.Precision, Device: device.String(), Engine: engineName(),
			Views:  fmt.Sprintf("%dx%d + %dx%d", c.GlobalCropsNumber, c.ImgSize, c.LocalCropsNumber, c.LocalSize),
			Saving: c.Saving().String(), Peak: matrixPeak(device, c.Precision),
		}
		r.StepTime, err = train.TimeStep(cmd.Context(), c, device, flags.Rounds)
		if err != nil {
			return withAdvice(err, flags.Batch)
		}
		if flags.JSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
		}
		return r.write(cmd.OutOrStdout(), before)
	}
	return verb
}

// write prints the result, beside an earlier one where there is one.
func (r stepReport) write(out io.Writer, before *stepReport) error {
	b := comparison[stepReport]{now: r, before: before}
	fmt.Fprintf(&b, "%s, batch %d of %s, %s on %s, %s\n", r.Arch, r.Batch, r.Views, r.Precision, r.Device, r.Engine)
	if r.Saving != "" {
		fmt.Fprintln(&b, r.Saving)
	}
	b.WriteByte('\n')
	b.row("step", "%9.1f ms", func(r stepReport) float64 { return 1e3 * r.Seconds })
	b.row("speed", "%9.2f images/s", stepReport.imagesPerSecond)
	b.row("peak memory", "%9.0f MiB", func(r stepReport) float64 { return float64(r.PeakMiB) })
	b.row("matrix peak", "%9.0f GFLOP/s", func(r stepReport) float64 { return r.Peak })
	if r.GFLOP > 0 {
		b.row("arithmetic", "%9.1f GFLOP", func(r stepReport) float64 { return r.GFLOP })
		b.row("share of peak", "%9.1f %%", stepReport.share)
	}
	b.WriteString("\nparts\n")
	for i, p := range r.Phases {
		b.row("  "+p.Name, "%9.1f ms", func(r stepReport) float64 {
			if i < len(r.Phases) && r.Phases[i].Name == p.Name {
				return 1e3 * r.Phases[i].Seconds
			}
			return 0
		})
	}
	b.WriteString("\noperators, with a profile running\n")
	top := r.Ops[:min(len(r.Ops), 12)]
	width := len(slices.MaxFunc(top, func(a, b train.OpTime) int { return cmp.Compare(len(a.Name), len(b.Name)) }).Name)
	for _, op := range top {
		fmt.Fprintf(&b, "  %-*s %5d calls %9.1f ms\n", width, op.Name, op.Calls, 1e3*op.Seconds)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
