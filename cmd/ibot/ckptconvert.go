//go:build !noengine

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"ibot/exchange"
)

// convertSettings are the flags of ibot ckpt convert.
type convertSettings struct {
	To    string `name:"to" choices:"reference,backbone,safetensors,timm,hf,onnx" group:"What" help:"format to write"`
	Net   string `name:"net" alias:"checkpoint_key" choices:"teacher,student" help:"which network, where the checkpoint has both and the format one"`
	Force bool   `name:"force" help:"replace what stands at OUT"`

	ImgSize  int  `name:"img_size" group:"Network" range:"[0,8192]" help:"resample the positions to images of N pixels a side; 0: as they are"`
	NumHeads int  `name:"num_heads" range:"[0,1024]" help:"attention heads; 0: what the file says, else one for every 64 values, as in every published network"`
	Dynamic  bool `name:"dynamic_size" help:"onnx: take images of any size, and resample the positions in the model"`

	Missing string `name:"allow_missing" group:"Names" arg:"NAME,..." help:"parameters that the file may lack; they get initial values. * stands for any letters"`
	Extra   string `name:"allow_extra" arg:"NAME,..." help:"names of the file that may be left out, such as head.*"`

	Verify string `name:"verify_with" arg:"PYTHON" group:"Proof" help:"run the result by PyTorch, timm, transformers or onnxruntime too, with this Python"`
	JSON   bool   `name:"json" help:"print one JSON object"`
}

func init() { ckptVerbs = append(ckptVerbs, newCkptConvertVerb) }

// newCkptConvertVerb makes ibot ckpt convert.
func newCkptConvertVerb() *cobra.Command {
	flags := convertSettings{Net: "teacher"}
	verb := &cobra.Command{
		Use:   "convert IN OUT --to FORMAT",
		Short: "write a checkpoint in another format, and prove that nothing was lost",
		Long: "Reads a checkpoint of ibot, the reference, DINO, DINOv2, timm or Hugging Face\n" +
			"and writes it in another format. The result is opened again and run on a random\n" +
			"image beside the network that it came from; the greatest difference is printed,\n" +
			"stands in the metadata of the file, and must not exceed 1e-4.\n\n" +
			"  safetensors  the whole checkpoint, array by array, bit for bit\n" +
			"  reference    the whole checkpoint as the reference's .pth\n" +
			"  backbone     one backbone, as the reference's extract_backbone_weights.py\n" +
			"  timm         one backbone for timm (.safetensors or .pth)\n" +
			"  hf           one backbone as a Hugging Face folder\n" +
			"  onnx         one backbone as an ONNX model\n\n" +
			"A name that only the file or only the network has is an error, unless\n" +
			"--allow_extra or --allow_missing names it.",
		Example: "  ibot ckpt convert RUN backbone.pth --to backbone\n" +
			"  ibot ckpt convert RUN vit --to hf --verify_with python3\n" +
			"  ibot ckpt convert dinov2_vits14_reg4.pth dinov2.onnx --to onnx --img_size 224",
		Args: arguments(2, 2),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, args []string) error {
		if flags.To == "" {
			return needs("ckpt convert", "to", "FORMAT", "one of "+strings.Join(exchange.Formats(), ", "))
		}
		if flags.Dynamic && flags.To != "onnx" {
			return usagef("--dynamic_size goes with --to onnx")
		}
		o := exchange.Options{
			In: args[0], Out: args[1], To: flags.To, Net: flags.Net, Force: flags.Force,
			ImgSize: flags.ImgSize, NumHeads: flags.NumHeads, Dynamic: flags.Dynamic,
			Missing: names(flags.Missing), Extra: names(flags.Extra),
			WrittenBy: "ibot " + programVersion(), Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{ReplaceAttr: shortTime})),
		}
		report := convertReport{}
		var err error
		if report.Result, err = exchange.Convert(cmd.Context(), o); err != nil {
			return err
		}
		if flags.Verify != "" {
			if report.Python, err = exchange.VerifyWithPython(cmd.Context(), o, flags.Verify); err != nil {
				return fmt.Errorf("%w; %s was written and stays", err, o.Out)
			}
		}
		if flags.JSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
		}
		return report.write(cmd.OutOrStdout())
	}
	return verb
}

// names splits a list at its commas.
func names(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// convertReport is the result of ibot ckpt convert.
type convertReport struct {
	*exchange.Result
	Python *exchange.PythonProof `json:"python,omitempty"`
}

// write prints the report for people.
func (r *convertReport) write(w io.Writer) error {
	fmt.Fprintf(w, "%s: %d arrays, %.1f MB\n", r.Out, r.Arrays, float64(r.Bytes)/1e6)
	fmt.Fprintf(w, "  %s\n", r.Proof)
	if r.Python != nil {
		fmt.Fprintf(w, "  %s\n", r.Python)
	}
	if r.LoadBy != "" {
		fmt.Fprintf(w, "  to open it: %s\n", r.LoadBy)
	}
	return nil
}
