package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ibot/internal/nearest"
	"ibot/internal/settings"
)

// helpWidth is what help is wrapped to: the width that every terminal has.
const helpWidth = 80

// The headings of verbs in ibot --help.
const (
	groupTrain = "train"
	groupFiles = "files"
	groupAbout = "about"
)

// verbs holds the constructors of all verbs. Each verb's file adds its own in init.
var verbs []func() *cobra.Command

// newRoot builds the command tree afresh, so that no run of it knows of another.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "ibot",
		Short: "iBOT: image BERT pre-training with an online tokenizer",
		Long: "ibot pre-trains vision transformers on images without labels, by the method of\n" +
			"iBOT (Zhou et al., ICLR 2022), and evaluates what they have learnt.",
		SilenceErrors: true, // run prints them
		SilenceUsage:  true,

		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}, // ours is completion.go
	}
	root.AddGroup(
		&cobra.Group{ID: groupTrain, Title: "Train and evaluate"},
		&cobra.Group{ID: groupFiles, Title: "Data and checkpoints"},
		&cobra.Group{ID: groupAbout, Title: "About"},
	)
	for _, newVerb := range verbs {
		root.AddCommand(newVerb())
	}
	root.SetHelpCommandGroupID(groupAbout)
	root.SetHelpCommand(newHelpVerb())
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { io.WriteString(cmd.OutOrStdout(), help(cmd)) })
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{settings.FlagError(cmd.Flags(), err)}
	})
	root.InitDefaultHelpCmd()
	return root
}

// execute finds the verb of the command line and runs it.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := newRoot()
	root.SetOut(stdout)
	root.SetErr(stderr)
	verb, rest, err := root.Find(args)
	if err != nil {
		verb, rest = root, args // cobra's own words for an unknown verb; ours follow
	}
	completing := len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd)
	if verb.HasSubCommands() && !completing {
		if len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
			return unknownVerb(verb, rest[0])
		}
		if len(rest) == 0 && verb != root {
			return usagef("%s: want one of its verbs, %s; see %s --help", below(verb),
				strings.Join(verbNames(verb), ", "), verb.CommandPath())
		}
	}
	root.SetArgs(settings.Args(verb.Flags(), args))
	return root.ExecuteContext(ctx)
}

// unknownVerb is the error for a word that is no verb of parent.
func unknownVerb(parent *cobra.Command, word string) error {
	if near, ok := nearest.Word(word, verbNames(parent)); ok {
		return usagef("unknown verb %q; did you mean %q?", word, parent.CommandPath()+" "+near)
	}
	return usagef("unknown verb %q; see %s --help", word, parent.CommandPath())
}

// below is the verb's path without the program's name, which stands before every error anyway.
func below(verb *cobra.Command) string {
	return strings.TrimPrefix(verb.CommandPath(), verb.Root().Name()+" ")
}

// verbNames returns the names of the verbs below parent.
func verbNames(parent *cobra.Command) []string {
	var names []string
	for _, verb := range parent.Commands() {
		if !verb.Hidden {
			names = append(names, verb.Name())
		}
	}
	return names
}

// bind adds the settings of the struct behind ptr to the verb's flags, with completion of
// their choices in the shell.
func bind(verb *cobra.Command, ptr any) {
	settings.Bind(verb.Flags(), ptr)
	for _, f := range settings.Fields(ptr) {
		if f.Choices == nil {
			continue // files, which the shell knows best
		}
		choices := cobra.FixedCompletions(f.Choices, cobra.ShellCompDirectiveNoFileComp)
		if err := verb.RegisterFlagCompletionFunc(f.Name, choices); err != nil {
			panic(err) // a mistake in the program: the flag was added above
		}
	}
}

// arguments lets a verb take between atLeast and atMost positional arguments, which its Use
// line names.
func arguments(atLeast, atMost int) cobra.PositionalArgs {
	return func(verb *cobra.Command, args []string) error {
		if len(args) >= atLeast && len(args) <= atMost {
			return nil
		}
		if len(args) > atMost {
			return usagef("%s: one argument too many, %q; want %s", below(verb), args[atMost], useLine(verb))
		}
		return usagef("%s: too few arguments; want %s", below(verb), useLine(verb))
	}
}

// newHelpVerb replaces cobra's, which exits with 0 for an unknown verb.
func newHelpVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "help [VERB ...]",
		Short:   "explain a verb",
		GroupID: groupAbout,
		RunE: func(cmd *cobra.Command, args []string) error {
			verb := cmd.Root()
			for _, word := range args {
				i := slices.IndexFunc(verb.Commands(), func(c *cobra.Command) bool { return c.Name() == word })
				if i < 0 {
					return unknownVerb(verb, word)
				}
				verb = verb.Commands()[i]
			}
			verb.InitDefaultHelpFlag()
			_, err := io.WriteString(cmd.OutOrStdout(), help(verb))
			return err
		},
	}
}

// needs is the usage error for a verb that was called without a setting it cannot do without.
func needs(verb, flag, arg, what string) error {
	return usagef("%s needs --%s %s, %s; see ibot %s --help", verb, flag, arg, what, verb)
}
