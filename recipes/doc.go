// Package recipes holds the settings of published and tested runs, built into the program.
//
// A recipe is a YAML file of the settings of package train that differ from the defaults. The
// comment at its head is part of it: the first line is the title, "command" is what to type,
// "expect" is the result that was published or measured, and the rest says what is known about
// the settings and from where.
package recipes
