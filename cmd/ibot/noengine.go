//go:build noengine

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// Built with the tag noengine, the program does without libtorch, and without the verbs that compute
// with it: it looks into sets of images and checkpoints on any machine. What is left out stays in the
// list of verbs, and says how to get it.
func init() {
	for _, name := range []string{"analyze", "bench", "dedupe", "demo", "embed", "eval", "pretrain", "search"} {
		verbs = append(verbs, withoutEngine(name, groupTrain))
	}
	ckptVerbs = append(ckptVerbs, withoutEngine("convert", ""))
	dataVerbs = append(dataVerbs, withoutEngine("show", ""))
	engineFacts = func() []fact { return []fact{{"libtorch", "none: built with the tag noengine"}} }
}

// withoutEngine makes the place of a verb that needs the engine.
func withoutEngine(name, group string) func() *cobra.Command {
	return func() *cobra.Command {
		return &cobra.Command{
			Use:                name,
			Short:              "not in this program, which is built without the engine",
			GroupID:            group,
			DisableFlagParsing: true,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return fmt.Errorf("%s needs libtorch, and this program is built without it (tag noengine); "+
					"make, in the source's folder, finds libtorch and builds the whole program", below(cmd))
			},
		}
	}
}
