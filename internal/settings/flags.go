package settings

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"ibot/internal/nearest"
)

// Bind adds a flag to fs for every setting of the struct that ptr points to; the struct's
// values at this moment are the defaults. Names are matched with dashes and underscores alike,
// and aliases stand for the name they belong to.
//
// Give the arguments to Args before fs parses them: pflag itself knows neither a switch with a
// separate value nor a flag with several.
func Bind(fs *pflag.FlagSet, ptr any) {
	fields := Fields(ptr)
	outer := fs.GetNormalizeFunc()
	fs.SetNormalizeFunc(func(fs *pflag.FlagSet, name string) pflag.NormalizedName {
		if f, ok := find(fields, name); ok {
			return pflag.NormalizedName(f.Name)
		}
		return outer(fs, name)
	})
	for _, f := range fields {
		flag := fs.VarPF(&flagValue{field: f, owner: structOf(ptr)}, f.Name, "", f.Help)
		if f.typ.Kind() == reflect.Bool {
			flag.NoOptDefVal = "true"
		}
	}
}

// flagValue lets pflag write into a struct field.
type flagValue struct {
	field Field
	owner reflect.Value // the struct that was bound
}

// Set parses what was given to the flag. The values of a list stand between commas or spaces.
func (v *flagValue) Set(text string) error {
	words := []string{text}
	if v.field.many() {
		words = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	}
	return v.field.parse(v.field.of(v.owner), words...)
}

// String returns the value as on a command line. Pflag calls it on a zero flagValue as well.
func (v *flagValue) String() string {
	if !v.owner.IsValid() {
		return ""
	}
	return strings.Join(format(v.field.of(v.owner)), " ")
}

// Type is the word for the value that pflag and shell completion show.
func (v *flagValue) Type() string { return v.field.Arg }

// many reports whether the flag takes several values.
func (f Field) many() bool { return f.typ == listType || f.typ == pairType }

// Args rewrites the arguments of the published command lines, which are written for Python's
// argparse, as pflag reads them, for the flags that Bind added to fs:
//
//	--norm_last_layer false        --norm_last_layer=false
//	--global_crops_scale 0.25 1    --global_crops_scale=0.25,1
//
// A switch takes the next argument if that is a word for true or false, a list takes all
// numbers that follow, a pair two. Everything else, and all after "--", stays as it is.
func Args(fs *pflag.FlagSet, args []string) []string {
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		out = append(out, args[i])
		name, isFlag := strings.CutPrefix(args[i], "--")
		if isFlag && name == "" {
			return append(out, args[i+1:]...)
		}
		flag := fs.Lookup(name)
		if !isFlag || flag == nil {
			continue
		}
		v, ok := flag.Value.(*flagValue)
		if !ok {
			continue
		}
		n := v.field.takes(args[i+1:])
		if values := args[i+1 : i+1+n]; n > 0 {
			out[len(out)-1] += "=" + strings.Join(values, ",")
		}
		i += n
	}
	return out
}

// takes returns how many of the arguments behind the field's flag are its values.
func (f Field) takes(rest []string) int {
	atMost := 1
	switch f.typ {
	case listType:
		atMost = len(rest)
	case pairType:
		atMost = 2
	}
	n := 0
	for n < min(atMost, len(rest)) && f.couldBe(rest[n]) {
		n++
	}
	return n
}

// couldBe reports whether an argument behind the field's flag is a value of it rather than the
// next flag or a positional argument.
func (f Field) couldBe(arg string) bool {
	switch {
	case f.many():
		first, _, _ := strings.Cut(strings.TrimLeft(arg, " "), ",")
		_, err := strconv.ParseFloat(strings.TrimSpace(first), 64)
		return err == nil
	case f.typ.Kind() == reflect.Bool:
		_, ok := parseBool(arg)
		return ok
	}
	return !strings.HasPrefix(arg, "--") // a negative number has one dash
}

// Overlay copies the settings that were given as flags of fs into the struct that ptr points
// to, which has the type that was bound. It puts flags above what a recipe or a file said,
// although they were parsed before it was read.
func Overlay(fs *pflag.FlagSet, ptr any) {
	dst := structOf(ptr)
	fs.Visit(func(flag *pflag.Flag) {
		if v, ok := flag.Value.(*flagValue); ok && v.owner.Type() == dst.Type() {
			v.field.of(dst).Set(v.field.of(v.owner))
		}
	})
}

// FlagError says what pflag's parse error means in the words of this program, with the nearest
// flag for one that is not known. Other errors are returned as they are.
func FlagError(fs *pflag.FlagSet, err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			return fmt.Errorf("unknown flag -%s; flags have two dashes", short)
		}
		name := unknown.GetSpecifiedName()
		var known []string
		fs.VisitAll(func(flag *pflag.Flag) { known = append(known, flag.Name) })
		if near, ok := nearest.Word(underscored(name), known); ok {
			return fmt.Errorf("unknown flag --%s; did you mean --%s?", name, near)
		}
		return fmt.Errorf("unknown flag --%s", name)
	case errors.As(err, &missing):
		flag := missing.GetFlag()
		if v, ok := flag.Value.(*flagValue); ok {
			return fmt.Errorf("--%s: want %s, found nothing", flag.Name, v.field.wanted())
		}
		return fmt.Errorf("--%s needs a value", flag.Name)
	case errors.As(err, &invalid):
		return fmt.Errorf("--%s: %w", invalid.GetFlag().Name, invalid.Unwrap())
	}
	return err
}

// BoundTo returns the field that Bind made the flag from, and false for another flag.
func BoundTo(flag *pflag.Flag) (Field, bool) {
	if v, ok := flag.Value.(*flagValue); ok {
		return v.field, true
	}
	return Field{}, false
}
