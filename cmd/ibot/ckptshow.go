package main

import (
	"github.com/spf13/cobra"

	"ibot/ckpt"
)

// newCkptShowVerb makes ibot ckpt show.
func newCkptShowVerb() *cobra.Command {
	var flags struct {
		JSON bool `name:"json" help:"print one JSON object"`
	}
	verb := &cobra.Command{
		Use:   "show FILE [NAME ...]",
		Short: "say what numbers the arrays hold, and who wrote them",
		Long: "Reads all arrays of a checkpoint, or those that are named, and says what numbers\n" +
			"they hold: the least, the mean and the greatest, how many are no numbers,\n" +
			"infinite or zero. Also says who wrote the file, and its metadata.",
		Example: "  ibot ckpt show checkpoint.pth\n  ibot ckpt show model.onnx pos_embed cls_token",
		Args:    arguments(1, 1<<20),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := ckpt.Open(args[0])
		if err != nil {
			return err
		}
		defer c.Close()
		all, err := ckpt.Survey(c, args[1:]...)
		if err != nil {
			return err
		}
		if flags.JSON {
			return ckpt.ShowJSON(cmd.OutOrStdout(), c, all)
		}
		return ckpt.Show(cmd.OutOrStdout(), c, all)
	}
	return verb
}
