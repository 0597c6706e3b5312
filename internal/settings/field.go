package settings

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Field describes one setting: a struct field with a name tag.
type Field struct {
	Name    string   // the flag without its dashes, and the YAML key
	Aliases []string // further names of both
	Group   string   // the heading that help and tables list it under
	Help    string   // what it does
	Arg     string   // the word that stands for its value in --help; empty for a switch
	Choices []string // what a text may be; nil for anything
	Range   Interval // where numbers may lie
	Empty   bool     // whether a list may have no numbers

	index []int        // of the field, for reflect.Value.FieldByIndex
	typ   reflect.Type // of the field
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	listType     = reflect.TypeFor[[]float64]()
	pairType     = reflect.TypeFor[[2]float64]()
)

// argWords are the words for values in --help where a field does not give its own.
var argWords = map[reflect.Type]string{
	reflect.TypeFor[string]():  "TEXT",
	reflect.TypeFor[bool]():    "",
	reflect.TypeFor[int]():     "N",
	reflect.TypeFor[float64](): "X",
	durationType:               "TIME",
	listType:                   "X ...",
	pairType:                   "LO HI",
}

// Fields returns the settings of the struct that ptr points to, in the order of its fields.
func Fields(ptr any) []Field {
	fields := appendFields(nil, structOf(ptr).Type(), nil)
	taken := map[string]bool{}
	for _, f := range fields {
		for _, name := range append([]string{f.Name}, f.Aliases...) {
			if taken[name] {
				panic(fmt.Sprintf("settings: %T has two settings called %q", ptr, name))
			}
			taken[name] = true
		}
	}
	return fields
}

// structOf returns the struct behind ptr.
func structOf(ptr any) reflect.Value {
	v := reflect.ValueOf(ptr)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("settings: want a pointer to a struct, found %T", ptr))
	}
	return v.Elem()
}

// appendFields adds the settings of type t, which lies at the index path in the outer struct.
func appendFields(fields []Field, t reflect.Type, path []int) []Field {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(slices.Clone(path), i)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct {
			fields = appendFields(fields, sf.Type, index)
			continue
		}
		name := sf.Tag.Get("name")
		if name == "" {
			continue // not a setting
		}
		f := Field{
			Name:    name,
			Aliases: words(sf.Tag.Get("alias")),
			Group:   sf.Tag.Get("group"),
			Help:    sf.Tag.Get("help"),
			Arg:     sf.Tag.Get("arg"),
			Choices: words(sf.Tag.Get("choices")),
			Range:   parseInterval(sf.Tag.Get("range")),
			Empty:   sf.Tag.Get("empty") == "true",
			index:   index,
			typ:     sf.Type,
		}
		if f.Group == "" && len(fields) > 0 {
			f.Group = fields[len(fields)-1].Group
		}
		word, known := argWords[sf.Type]
		if !known || !sf.IsExported() || f.Help == "" {
			panic(fmt.Sprintf("settings: field %s %s of %s: want an exported field of a type that this package "+
				"knows, with a help tag", sf.Name, sf.Type, t))
		}
		if f.Arg == "" {
			f.Arg = word
			if len(f.Choices) > 0 {
				f.Arg = strings.Join(f.Choices, "|")
			}
		}
		fields = append(fields, f)
	}
	return fields
}

// words splits a tag at its commas.
func words(tag string) []string {
	if tag == "" {
		return nil
	}
	return strings.Split(tag, ",")
}

// of returns the field's value in the struct v.
func (f Field) of(v reflect.Value) reflect.Value { return v.FieldByIndex(f.index) }

// Value returns the setting's value in the struct that ptr points to, written as on a command
// line.
func (f Field) Value(ptr any) string {
	return strings.Join(format(f.of(structOf(ptr))), " ")
}

// find returns the field of the given name or alias. Dashes count as underscores.
func find(fields []Field, name string) (Field, bool) {
	name = underscored(name)
	i := slices.IndexFunc(fields, func(f Field) bool {
		return f.Name == name || slices.Contains(f.Aliases, name)
	})
	if i < 0 {
		return Field{}, false
	}
	return fields[i], true
}

// underscored returns the name as fields spell it: the flags of the published command lines
// have underscores, the habit of the shell is dashes.
func underscored(name string) string { return strings.ReplaceAll(name, "-", "_") }

// names returns the names of the fields, without aliases.
func names(fields []Field) []string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.Name
	}
	return all
}

// Change is a setting that differs between two structs of one type.
type Change struct {
	Name     string
	From, To string // as on a command line
}

// Changed returns the settings in which to differs from from, in the order of the fields. Both
// are pointers to structs of the same type.
func Changed(from, to any) []Change {
	a, b := structOf(from), structOf(to)
	if a.Type() != b.Type() {
		panic(fmt.Sprintf("settings: Changed of %T and %T: want one type", from, to))
	}
	var changes []Change
	for _, f := range Fields(from) {
		if was, is := f.Value(from), f.Value(to); was != is {
			changes = append(changes, Change{Name: f.Name, From: was, To: is})
		}
	}
	return changes
}
