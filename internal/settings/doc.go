// Package settings makes command-line flags, YAML keys, --help and documentation tables from
// the fields of a struct, so that each setting is written down once.
//
// A setting is an exported field with a name tag:
//
//	type Config struct {
//		Epochs int        `name:"epochs" group:"Training" range:"[1,)" help:"passes over the images"`
//		Scale  [2]float64 `name:"scale" range:"(0,1]" help:"share of the image's area that a crop covers"`
//	}
//
// The tags are
//
//	name     flag without dashes, and YAML key
//	alias    further names of the flag and key, separated by commas
//	group    heading under which help and tables list it; stays in force until the next one
//	help     what it does, in lower case and without a final stop
//	arg      word for the value in --help (default: N, X, LO HI ... by the field's type)
//	choices  the values that a text may have, separated by commas
//	range    interval that numbers lie in, such as [0,1] or (0,) or [1,)
//
// Fields are of type string, bool, int, float64, time.Duration, []float64 or [2]float64.
// Embedded structs are read as if their fields stood in their place. A struct whose tags make
// no sense is a mistake in the program, and every function here panics on one.
package settings
