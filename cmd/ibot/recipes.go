package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"ibot/recipes"
)

func init() { verbs = append(verbs, newRecipesVerb) }

// newRecipesVerb makes ibot recipes, which lists the recipes or prints one.
func newRecipesVerb() *cobra.Command {
	var flags struct {
		JSON bool `name:"json" help:"print a line of JSON for each"`
	}
	verb := &cobra.Command{
		Use:     "recipes [NAME]",
		Short:   "list the recipes with what they should reach, or print one",
		GroupID: groupAbout,
		Example: "  ibot recipes\n  ibot recipes cifar10",
		Args:    arguments(0, 1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return recipes.Names(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, args []string) error {
		out := cmd.OutOrStdout()
		names := recipes.Names()
		if len(args) > 0 {
			names = args
		}
		for i, name := range names {
			r, err := recipes.Load(name)
			if err != nil {
				return usageError{err}
			}
			switch {
			case flags.JSON:
				err = json.NewEncoder(out).Encode(r)
			case len(args) > 0:
				_, err = out.Write(r.YAML)
			default:
				if i > 0 {
					fmt.Fprintln(out)
				}
				_, err = fmt.Fprintf(out, "%s\n  %s\n  %s\n  expect %s\n", r.Name, r.Title, r.Command, r.Expect)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return verb
}
