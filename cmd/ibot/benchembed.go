//go:build !noengine

package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ibot/backbone"
	"ibot/data"
	"ibot/eval"
	"ibot/nn"
	"ibot/rng"
	"ibot/torch"
	"ibot/train"
)

// embedReport is the result of ibot bench embed.
type embedReport struct {
	Arch      string  `json:"arch"`
	Batch     int     `json:"batch"`
	ImgSize   int     `json:"img_size"`
	Precision string  `json:"precision"`
	Device    string  `json:"device"`
	Engine    string  `json:"engine"`
	Peak      float64 `json:"matrix_gflops"` // of a large product on this machine, in the precision of the network
	Forward   float64 `json:"forward"`       // images/s of the network alone
	Embed     float64 `json:"embed"`         // images/s from files to features; 0 without images
	Images    int     `json:"images"`        // that Embed was measured on
	GFLOP     float64 `json:"gflop"`         // of matrix products and attention, an image; 0 for an architecture that does not count them
	PeakMiB   int     `json:"peak_memory_mib"`
}

// gflops is the speed of the network alone, in GFLOP/s.
func (r embedReport) gflops() float64 { return r.GFLOP * r.Forward }

// embedBench are the flags of ibot bench embed.
type embedBench struct {
	Arch      string `name:"arch" group:"What" arg:"NAME" help:"architecture"`
	PatchSize int    `name:"patch_size" range:"[1,)" help:"side of a patch in pixels; 4 for a Swin"`
	ImgSize   int    `name:"img_size" range:"[1,8192]" help:"side of the images in pixels"`
	Batch     int    `name:"batch_size" alias:"batch_size_per_gpu" range:"[1,1000000]" help:"images a forward pass"`
	Data      string `name:"data" arg:"DATA" help:"images, to time reading and decoding beside the network; without: the network alone"`
	Images    int    `name:"images" range:"[1,100000000]" help:"how many of them; a smaller set begins again"`
	Workers   int    `name:"num_workers" range:"[0,256]" help:"workers that decode; 0: one per CPU"`
	Device    string `name:"device" arg:"auto|cpu|cuda[:N]" help:"where to compute"`
	Precision string `name:"precision" choices:"fp32,bf16" help:"numbers of the matrix products"`
	Rounds    int    `name:"rounds" range:"[1,)" help:"forward passes to time; the median counts"`
	Compare   string `name:"compare" arg:"FILE" help:"an earlier result (--json) to print beside this one"`
	JSON      bool   `name:"json" help:"print one JSON object"`
}

// newBenchEmbedVerb makes ibot bench embed, which times the features of images.
func newBenchEmbedVerb() *cobra.Command {
	flags := embedBench{Arch: "vit_small", PatchSize: 16, ImgSize: 224, Batch: 32, Images: 640, Device: "auto", Precision: "fp32", Rounds: 5}
	verb := &cobra.Command{
		Use:   "embed",
		Short: "time the features of images",
		Long: "Computes features by a network with fresh weights: of noise, which times the\n" +
			"network alone, and with --data of images, from the files on as ibot embed does.\n" +
			"Prints images a second, the share of the speed of a large matrix product on\n" +
			"this machine, which is measured first, and the peak memory.",
		Example: "  ibot bench embed --precision bf16\n" +
			"  ibot bench embed --data photos --batch_size 64 --json > before.json\n" +
			"  ibot bench embed --data photos --batch_size 64 --compare before.json",
		Args: arguments(0, 0),
	}
	bind(verb, &flags)
	complete(verb, "arch", backbone.Names())
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		before, err := earlier(flags.Compare, "embed", func(r embedReport) bool { return r.Forward > 0 })
		if err != nil {
			return err
		}
		r, err := flags.measure(cmd)
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

// measure times the network alone, and the images where they are given.
func (s embedBench) measure(cmd *cobra.Command) (r embedReport, err error) {
	if n := s.Batch * 3 * s.ImgSize * s.ImgSize; n > mostNumbers {
		return r, usagef("--batch_size: %d images of %d pixels a side would take %d GiB; want fewer, or smaller ones", s.Batch, s.ImgSize, n>>28)
	}
	device, err := torch.ParseDevice(s.Device)
	if err != nil {
		return r, err
	}
	var set data.Dataset
	if s.Data != "" {
		if set, err = (data.Options{}).Open(s.Data); err != nil {
			return r, err
		}
	}
	parameters := nn.NewPath(rng.Seed(0), device)
	defer parameters.Free()
	net := backbone.Config{Arch: s.Arch, ImgSize: s.ImgSize, PatchSize: s.PatchSize, InChans: 3, WindowSize: 7}
	b, err := backbone.New(net, parameters)
	if err != nil {
		return r, err
	}
	r = embedReport{
		Arch: s.Arch, Batch: s.Batch, ImgSize: s.ImgSize, Precision: s.Precision, Device: device.String(), Engine: engineName(),
		Peak: matrixPeak(device, s.Precision),
	}
	if counted, ok := b.(interface{ Operations(H, W int) float64 }); ok {
		r.GFLOP = counted.Operations(s.ImgSize, s.ImgSize) / 1e9
	}
	o := eval.ExtractOptions{
		Transform: eval.DefaultTransform(s.ImgSize), BatchSize: s.Batch, Workers: s.Workers, Device: device, Precision: train.Precisions[s.Precision],
	}
	seconds, err := eval.TimeForward(cmd.Context(), b, o, s.Rounds)
	if err != nil {
		return r, err
	}
	r.Forward = float64(s.Batch) / seconds
	if set != nil {
		if seconds, r.Images, err = eval.TimeExtract(cmd.Context(), b, set, s.Images, o); err != nil {
			return r, err
		}
		r.Embed = float64(r.Images) / seconds
	}
	r.PeakMiB = train.PeakMiB()
	return r, nil
}

// write prints the result, beside an earlier one where there is one.
func (r embedReport) write(out io.Writer, before *embedReport) error {
	c := comparison[embedReport]{now: r, before: before}
	fmt.Fprintf(&c, "%s, batch %d of %d pixels, %s on %s, %s\n\n", r.Arch, r.Batch, r.ImgSize, r.Precision, r.Device, r.Engine)
	c.row("network alone", "%9.2f images/s", func(r embedReport) float64 { return r.Forward })
	if r.Images > 0 {
		c.row("from files", "%9.2f images/s", func(r embedReport) float64 { return r.Embed })
	}
	c.row("peak memory", "%9.0f MiB", func(r embedReport) float64 { return float64(r.PeakMiB) })
	c.row("matrix peak", "%9.0f GFLOP/s", func(r embedReport) float64 { return r.Peak })
	if r.GFLOP > 0 {
		c.row("arithmetic", "%9.1f GFLOP an image", func(r embedReport) float64 { return r.GFLOP })
		c.row("speed", "%9.0f GFLOP/s", embedReport.gflops)
		c.row("share of peak", "%9.1f %%", func(r embedReport) float64 { return 100 * r.gflops() / r.Peak })
	}
	_, err := io.WriteString(out, c.String())
	return err
}
