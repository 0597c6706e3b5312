//go:build !noengine

package main

import (
	"cmp"
	"os"

	"github.com/spf13/pflag"

	"ibot/internal/settings"
	"ibot/recipes"
	"ibot/train"
)

// resolveConfig lays the settings of a training run over one another: defaults, the recipe, the
// configuration file, flags. Parsed is the struct that was bound to fs. Archs are the
// architectures there are. The notes say what was changed to fit; see train.Config.Resolve.
//
// A file may name the recipe that it builds upon; a flag wins over it. Every error is a usage
// error, and nothing was done.
func resolveConfig(fs *pflag.FlagSet, parsed *train.Config, base train.Config, archs []string) (train.Config, []string, error) {
	recipe := parsed.Recipe
	if parsed.File != "" {
		file := train.Config{}
		if err := settings.ReadYAML(parsed.File, &file); err != nil {
			return train.Config{}, nil, usageError{err}
		}
		if !fs.Changed("recipe") && file.Recipe != "" {
			recipe = file.Recipe
		}
	}
	c := base
	if recipe != "" {
		r, err := recipes.Load(recipe)
		if err != nil {
			return train.Config{}, nil, usageError{err}
		}
		if err := settings.DecodeYAML(r.File(), r.YAML, &c); err != nil {
			return train.Config{}, nil, usageError{err}
		}
	}
	if parsed.File != "" {
		if err := settings.ReadYAML(parsed.File, &c); err != nil {
			return train.Config{}, nil, usageError{err}
		}
	}
	settings.Overlay(fs, &c)
	c.Recipe, c.File = cmp.Or(recipe, base.Recipe), parsed.File
	notes, err := c.Resolve(archs)
	if err != nil {
		return train.Config{}, nil, usageError{err}
	}
	return c, notes, nil
}

// baseConfig returns what recipe, file and flags are laid over: the settings of the run that is to go
// on in the folder, or the defaults.
func baseConfig(parsed train.Config) (train.Config, error) {
	base := train.Default()
	if parsed.Out == "" || parsed.Resume == "never" {
		return base, nil
	}
	path := train.ConfigPath(parsed.Out)
	if _, err := os.Stat(path); err != nil {
		return base, nil // no run is there; whether one can be is found out when its folder is made
	}
	if err := settings.ReadYAML(path, &base); err != nil {
		return base, err
	}
	base.Steps, base.Resume, base.LoadFrom = 0, "auto", "" // of that call alone
	return base, nil
}
