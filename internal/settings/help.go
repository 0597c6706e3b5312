package settings

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// otherFlags is the heading of the flags that belong to no group.
const otherFlags = "Flags"

// maxFlagColumn is how far to the right Usage starts the explanations. A flag that is longer
// has its explanation on the line below.
const maxFlagColumn = 34

// Usage lists the flags of fs for --help, under the headings of their groups, with explanations
// wrapped to the width and defaults in brackets:
//
//	Multi-crop
//	  --global_crops_number N      crops that cover most of the image [2]
//
// Flags without a group come last; hidden ones are left out, and so is --help itself.
func Usage(fs *pflag.FlagSet, width int) string {
	entries := map[string][]entry{}
	var groups []string
	column := 0
	add := func(group string, e entry) {
		if entries[group] == nil {
			groups = append(groups, group)
		}
		entries[group] = append(entries[group], e)
		if n := utf8.RuneCountInString(e.flag) + 4; n <= maxFlagColumn {
			column = max(column, n)
		}
	}
	sorted := fs.SortFlags
	fs.SortFlags = false // VisitAll in the order of the fields
	fs.VisitAll(func(flag *pflag.Flag) {
		if f, ok := BoundTo(flag); ok && !flag.Hidden {
			add(f.Group, f.entry(flag))
		}
	})
	fs.VisitAll(func(flag *pflag.Flag) {
		if _, ok := BoundTo(flag); !ok && !flag.Hidden && flag.Name != "help" {
			add("", plainEntry(flag))
		}
	})
	fs.SortFlags = sorted

	if i := slices.Index(groups, ""); i >= 0 { // what has no group comes last
		groups = append(slices.Delete(groups, i, i+1), "")
	}
	var b strings.Builder
	for i, group := range groups {
		if i > 0 {
			b.WriteByte('\n')
		}
		heading := group
		if heading == "" {
			heading = otherFlags
		}
		fmt.Fprintf(&b, "%s\n", heading)
		for _, e := range entries[group] {
			e.write(&b, column, width)
		}
	}
	return b.String()
}

// entry is one flag of the list.
type entry struct{ flag, help string }

// entry returns the field's line, with its default unless that is empty or false.
func (f Field) entry(flag *pflag.Flag) entry {
	e := entry{flag: strings.TrimSpace("--" + f.Name + " " + f.Arg), help: flag.Usage}
	if def := flag.DefValue; def != "" && def != "false" {
		e.help += " [" + def + "]"
	}
	return e
}

// plainEntry returns the line of a flag that some library added.
func plainEntry(flag *pflag.Flag) entry {
	e := entry{flag: "--" + flag.Name}
	if flag.Shorthand != "" {
		e.flag = "-" + flag.Shorthand + ", " + e.flag
	}
	word, help := pflag.UnquoteUsage(flag)
	e.help = help
	if word != "" {
		e.flag += " " + strings.ToUpper(word)
	}
	return e
}

// write prints the entry with its explanation at the column.
func (e entry) write(b *strings.Builder, column, width int) {
	lines := wrap(e.help, width-column)
	if n := utf8.RuneCountInString(e.flag) + 4; n > column {
		fmt.Fprintf(b, "  %s\n", e.flag)
	} else {
		fmt.Fprintf(b, "  %-*s  %s\n", column-4, e.flag, lines[0])
		lines = lines[1:]
	}
	for _, line := range lines {
		fmt.Fprintf(b, "%*s%s\n", column, "", line)
	}
}

// wrap breaks a text into lines of at most width characters, at spaces. A word that is longer
// than a line has a line of its own.
func wrap(text string, width int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

// Markdown returns the settings of the struct that ptr points to as tables for the
// documentation, one a group: name, default (the struct's values), allowed values and meaning.
func Markdown(ptr any) string {
	var b strings.Builder
	group, first := "", true
	for _, f := range Fields(ptr) {
		if first || f.Group != group {
			if !first {
				b.WriteByte('\n')
			}
			group, first = f.Group, false
			if group != "" {
				fmt.Fprintf(&b, "### %s\n\n", group)
			}
			b.WriteString("| setting | default | values | meaning |\n|---|---|---|---|\n")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, code(f.Value(ptr)), cell(f.values()), cell(f.meaning()))
	}
	return b.String()
}

// values says in a table what the field takes.
func (f Field) values() string {
	if len(f.Choices) > 0 {
		return strings.Join(f.Choices, ", ")
	}
	if within := f.Range.String(); within != "" {
		return strings.TrimSpace(strings.ReplaceAll(f.Arg, "X ...", "X, ...") + " " + within)
	}
	if f.Arg == "" {
		return "true, false"
	}
	return f.Arg
}

// meaning is the help with the field's other names.
func (f Field) meaning() string {
	if len(f.Aliases) == 0 {
		return f.Help
	}
	return f.Help + " (also `" + strings.Join(f.Aliases, "`, `") + "`)"
}

// code sets a value as code, and leaves an empty one out.
func code(value string) string {
	if value == "" {
		return ""
	}
	return "`" + cell(value) + "`"
}

// cell escapes what would end a table's cell.
func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", `\|`), "\n", " ")
}
