//go:build !noengine

package main

import "github.com/spf13/cobra"

func init() { verbs = append(verbs, newBenchVerb) }

// newBenchVerb makes ibot bench, the verbs that say how fast this machine does what.
func newBenchVerb() *cobra.Command {
	verb := &cobra.Command{Use: "bench", Short: "measure the speed and memory of the parts on this machine", GroupID: groupAbout}
	verb.AddCommand(newBenchStepVerb(), newBenchEmbedVerb(), newBenchDataVerb(), newBenchKNNVerb())
	return verb
}
