//go:build !noengine

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ibot/eval"
	"ibot/internal/progress"
	"ibot/torch"
	"ibot/train"
)

func init() { verbs = append(verbs, newEvalVerb) }

// newEvalVerb makes ibot eval, with a verb for each protocol that package eval knows.
func newEvalVerb() *cobra.Command {
	verb := &cobra.Command{Use: "eval", Short: "score a trained network", GroupID: groupTrain}
	verb.AddCommand(newEvalAllVerb())
	for _, kind := range eval.Protocols() {
		verb.AddCommand(newProtocolVerb(kind))
	}
	return verb
}

// netSettings are the flags that name a network. Names of the reference's scripts are understood too.
type netSettings struct {
	Ckpt     string `name:"ckpt" alias:"pretrained_weights" group:"What" arg:"RUN|FILE" help:"the network: a run's folder or a checkpoint file"`
	Net      string `name:"net" alias:"checkpoint_key" choices:"teacher,student" help:"which network of the checkpoint"`
	NumHeads int    `name:"num_heads" range:"[0,1024]" help:"attention heads of a foreign checkpoint, which does not tell; 0: the width divided by 64"`
}

// runningSettings are the flags that say how features are computed.
type runningSettings struct {
	BatchSize int    `name:"batch_size" alias:"batch_size_per_gpu" group:"Running" range:"[1,)" help:"images a forward pass; the scores do not depend on it"`
	Workers   int    `name:"num_workers" range:"[0,256]" help:"workers that decode; 0: one per CPU"`
	Device    string `name:"device" arg:"auto|cpu|cuda[:N]" help:"where to compute"`
	Precision string `name:"precision" choices:"fp32,bf16" help:"numbers of the matrix products"`
}

// cacheSettings are the flags of protocols' features.
type cacheSettings struct {
	Cache string `name:"cache" group:"Running" arg:"DIR|none" help:"where features are kept for other protocols and the next time; without: in the run's folder, and nowhere for a checkpoint file"`
}

// dir is the folder of the cache, "" for none.
func (s cacheSettings) dir(checkpoint string) string {
	switch {
	case s.Cache == "none":
		return ""
	case s.Cache != "":
		return s.Cache
	}
	if info, err := os.Stat(checkpoint); err == nil && info.IsDir() {
		return filepath.Join(checkpoint, "features")
	}
	return ""
}

// newRunning returns the defaults.
func newRunning() runningSettings {
	return runningSettings{BatchSize: 64, Device: "auto", Precision: "fp32"}
}

// newRun finds the network and makes what a protocol works with. The caller closes it.
func newRun(n netSettings, s runningSettings, stderr io.Writer) (*eval.Run, error) {
	device, err := torch.ParseDevice(s.Device)
	if err != nil {
		return nil, err
	}
	net, err := train.FindNet(n.Ckpt, n.Net)
	switch {
	case err != nil:
		return nil, err
	case n.NumHeads > 0 && !net.Inferred && n.NumHeads != net.Config.NumHeads:
		return nil, usagef("--num_heads is for checkpoints of other programs; %s says by itself how many heads it has", net.Source)
	case n.NumHeads > 0:
		net.Config.NumHeads = n.NumHeads
	}
	bar := progress.New(stderr)
	r := &eval.Run{
		Net: net, Device: device, Precision: torch.Float32, BatchSize: s.BatchSize, Workers: s.Workers, Bar: bar,
		Note: func(note string) { fmt.Fprintln(bar, note) },
	}
	if s.Precision == "bf16" {
		r.Precision = torch.BFloat16
	}
	return r, nil
}

// newProtocolVerb makes the verb of a protocol: its own settings between those that all have.
func newProtocolVerb(kind eval.Kind) *cobra.Command {
	net := netSettings{Net: "teacher"}
	var images struct {
		Data string `name:"data" alias:"data_path" group:"What" arg:"DIR" help:"images"`
	}
	protocol, running := kind.New(), newRunning()
	var output struct {
		cacheSettings
		JSON bool `name:"json" group:"Running" help:"print one JSON object"`
	}
	verb := &cobra.Command{
		Use:   kind.Name + " --ckpt RUN --data DIR",
		Short: kind.Short, Long: kind.Long, Example: kind.Example,
		Args: arguments(0, 0),
	}
	for _, flags := range []any{&net, &images, protocol, &running, &output} {
		bind(verb, flags)
	}
	verb.Flags().Lookup("data").Usage = kind.Data
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		if net.Ckpt == "" {
			return needs("eval "+kind.Name, "ckpt", "RUN|FILE", "the network to score")
		}
		if images.Data == "" {
			return needs("eval "+kind.Name, "data", "DIR", "the images")
		}
		if err := eval.Check(protocol); err != nil {
			return evalError(err, running)
		}
		r, err := newRun(net, running, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		defer r.Close()
		defer r.Bar.Finish()
		r.Cache = output.dir(net.Ckpt)
		report, err := eval.Evaluate(cmd.Context(), protocol, images.Data, r)
		if err != nil {
			return evalError(err, running)
		}
		r.Bar.Finish()
		head := newReportHead(kind.Name, net.Net, images.Data, r.Net)
		if output.JSON {
			return writeJSON(cmd.OutOrStdout(), head, report)
		}
		fmt.Fprintln(cmd.OutOrStdout(), head)
		return report.Write(cmd.OutOrStdout())
	}
	return verb
}

// evalError adds to an error which flag to change.
func evalError(err error, s runningSettings) error {
	var setting *eval.SettingError
	switch {
	case errors.As(err, &setting):
		return usagef("--%s: %s", setting.Setting, setting.Problem)
	case errors.Is(err, torch.ErrOutOfMemory):
		return fmt.Errorf("%w; lower --batch_size, now %d", err, s.BatchSize)
	}
	return err
}

// reportHead is what all reports begin with.
type reportHead struct {
	Protocol   string `json:"protocol"`
	Checkpoint string `json:"checkpoint"`
	Net        string `json:"net"`
	Arch       string `json:"arch"`
	Epoch      int    `json:"epoch"`
	Step       int    `json:"step"`
	Data       string `json:"data"`
}

func newReportHead(protocol, which, data string, net *train.Net) reportHead {
	return reportHead{protocol, net.Source, which, net.Config.Arch, net.Epoch, net.Step, data}
}

func (h reportHead) String() string {
	return fmt.Sprintf("%s of %s (%s, epoch %d, step %d)", h.Net, h.Checkpoint, h.Arch, h.Epoch, h.Step)
}

// writeJSON writes head and report as one object.
func writeJSON(out io.Writer, head reportHead, report eval.Report) error {
	first, err := json.Marshal(head)
	if err != nil {
		return err
	}
	rest, err := json.Marshal(report)
	if err != nil {
		return err
	}
	object := append(bytes.TrimSuffix(first, []byte("}")), ',')
	object = append(object, bytes.TrimPrefix(rest, []byte("{"))...)
	_, err = out.Write(append(object, '\n'))
	return err
}
