package main

import (
	"github.com/spf13/cobra"
)

func init() { verbs = append(verbs, newCompletionVerb) }

// newCompletionVerb makes ibot completion, which prints the script that teaches a shell to
// complete verbs, flags and their choices.
func newCompletionVerb() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:     "completion SHELL",
		Short:   "print the script for completion in bash, zsh, fish or powershell",
		GroupID: groupAbout,
		Example: "  source <(ibot completion bash)\n" +
			"  ibot completion zsh > \"${fpath[1]}/_ibot\"\n" +
			"  ibot completion fish > ~/.config/fish/completions/ibot.fish",
		Args:      arguments(1, 1),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return usagef("completion: want one of %q, found %q", shells, args[0])
		},
	}
}
