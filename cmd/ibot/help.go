package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ibot/internal/settings"
)

// help writes the help of a verb: what it does, how to call it, what is below it, its flags
// under their headings, and examples. It fits into 80 columns.
func help(verb *cobra.Command) string {
	var b strings.Builder
	about := verb.Long
	if about == "" {
		about = upperFirst(verb.Short) + "."
	}
	fmt.Fprintf(&b, "%s\n\nUsage\n", strings.TrimSpace(about))
	if verb.HasSubCommands() {
		fmt.Fprintf(&b, "  %s VERB ...\n", verb.CommandPath())
	}
	if verb.Runnable() {
		fmt.Fprintf(&b, "  %s\n", useLine(verb))
	}
	if verb.Example != "" {
		fmt.Fprintf(&b, "\nExamples\n%s\n", strings.TrimRight(verb.Example, "\n"))
	}
	if verb.HasSubCommands() {
		writeVerbs(&b, verb)
		fmt.Fprintf(&b, "\n%s VERB --help explains a verb.\n", verb.CommandPath())
		return b.String()
	}
	if flags := settings.Usage(verb.Flags(), helpWidth); flags != "" {
		fmt.Fprintf(&b, "\n%s", flags)
	}
	return b.String()
}

// writeVerbs lists the verbs below parent, under the headings of their groups where there are
// any.
func writeVerbs(b *strings.Builder, parent *cobra.Command) {
	column := 0
	for _, verb := range parent.Commands() {
		column = max(column, len(verb.Name()))
	}
	list := func(heading, group string) {
		first := true
		for _, verb := range parent.Commands() {
			if verb.GroupID != group || verb.Hidden {
				continue
			}
			if first {
				fmt.Fprintf(b, "\n%s\n", heading)
				first = false
			}
			fmt.Fprintf(b, "  %-*s  %s\n", column, verb.Name(), verb.Short)
		}
	}
	for _, g := range parent.Groups() {
		list(g.Title, g.ID)
	}
	list("Verbs", "")
}

// useLine is how to call the verb, with [flags] where it has some besides --help.
func useLine(verb *cobra.Command) string {
	line := verb.CommandPath() + strings.TrimPrefix(verb.Use, verb.Name())
	if settings.Usage(verb.LocalFlags(), helpWidth) != "" {
		line += " [flags]"
	}
	return line
}

// upperFirst makes a sentence of a short description.
func upperFirst(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
