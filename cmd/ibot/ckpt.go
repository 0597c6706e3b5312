package main

import (
	"errors"

	"github.com/spf13/cobra"

	"ibot/ckpt"
)

func init() { verbs = append(verbs, newCkptVerb) }

// ckptVerbs holds the constructors of the verbs below ibot ckpt. Those that need the engine add
// themselves in init.
var ckptVerbs = []func() *cobra.Command{newCkptLsVerb, newCkptShowVerb, newCkptDiffVerb}

// newCkptVerb makes ibot ckpt, the verbs that look into checkpoints, and the one that converts them.
func newCkptVerb() *cobra.Command {
	verb := &cobra.Command{
		Use:   "ckpt",
		Short: "look into checkpoints, compare and convert them",
		Long: "Looks into checkpoints: those of ibot (.safetensors), those in PyTorch's format\n" +
			"(.pth) such as the reference's, Hugging Face folders, ONNX models, and NumPy's\n" +
			"files (.npz, .npy). Compares them, and converts one into the other.",
		GroupID: groupFiles,
	}
	for _, newVerb := range ckptVerbs {
		verb.AddCommand(newVerb())
	}
	return verb
}

// newCkptLsVerb makes ibot ckpt ls.
func newCkptLsVerb() *cobra.Command {
	var flags struct {
		JSON bool `name:"json" help:"print one JSON object"`
	}
	verb := &cobra.Command{
		Use:     "ls FILE",
		Short:   "list the arrays of a checkpoint: names, types, shapes, sizes",
		Example: "  ibot ckpt ls RUN/checkpoints/latest.safetensors\n  ibot ckpt ls checkpoint.pth --json",
		Args:    arguments(1, 1),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := ckpt.Open(args[0])
		if err != nil {
			return err
		}
		list := ckpt.List
		if flags.JSON {
			list = ckpt.ListJSON
		}
		return errors.Join(list(cmd.OutOrStdout(), c), c.Close())
	}
	return verb
}

// newCkptDiffVerb makes ibot ckpt diff, whose exit code tells a script what it found.
func newCkptDiffVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "diff A B",
		Short: "compare two checkpoints bit for bit, and say where they differ",
		Long: "Compares the arrays of two checkpoints by name, bit for bit, and says where they\n" +
			"differ. Exits with 0 if they are equal and with 1 if not. The order of the\n" +
			"arrays and the text beside them do not count; differences in them are shown.",
		Example: "  ibot ckpt diff RUN1/checkpoints/latest.safetensors checkpoint.pth",
		Args:    arguments(2, 2),
		RunE:    diffCheckpoints,
	}
}

// diffCheckpoints prints how the two files of args differ.
func diffCheckpoints(cmd *cobra.Command, args []string) error {
	a, err := ckpt.Open(args[0])
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := ckpt.Open(args[1])
	if err != nil {
		return err
	}
	defer b.Close()
	report := ckpt.Diff(a, b)
	if err := report.Write(cmd.OutOrStdout()); err != nil {
		return err
	}
	if !report.Equal() {
		return differError{}
	}
	return nil
}
