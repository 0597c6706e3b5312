package recipes

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"ibot/internal/nearest"
)

//go:embed *.yaml
var files embed.FS

// order lists the recipes as they are shown: published ones by size, then those for a CPU.
var order = []string{"vit_small_800ep", "vit_base_400ep", "vit_large_250ep", "swin_tiny_w7", "swin_tiny_w14", "cifar10", "demo", "swin_demo", "tiny"}

// Recipe is the text of one recipe and what its head says.
type Recipe struct {
	Name    string `json:"name"`
	Title   string `json:"title"`   // one line
	Command string `json:"command"` // to type
	Expect  string `json:"expect"`  // the result it should reach
	YAML    []byte `json:"-"`       // the file, comments included
}

// File is the name of the recipe's file, for errors that give a line of it.
func (r Recipe) File() string { return "recipes/" + r.Name + ".yaml" }

// Names returns the names of all recipes.
func Names() []string { return slices.Clone(order) }

// Load returns the recipe of the given name. The error for an unknown one suggests the nearest.
func Load(name string) (Recipe, error) {
	if !slices.Contains(order, name) {
		if near, ok := nearest.Word(name, order); ok {
			return Recipe{}, fmt.Errorf("recipes: unknown recipe %q; did you mean %q?", name, near)
		}
		return Recipe{}, fmt.Errorf("recipes: unknown recipe %q; there are %s", name, strings.Join(order, ", "))
	}
	text, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return Recipe{}, fmt.Errorf("recipes: %w", err)
	}
	r := Recipe{Name: name, YAML: text}
	for line := range strings.Lines(string(text)) {
		line, inHead := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !inHead {
			break
		}
		line = strings.TrimSpace(line)
		command, isCommand := strings.CutPrefix(line, "command ")
		expect, isExpect := strings.CutPrefix(line, "expect ")
		switch {
		case r.Title == "":
			r.Title = line
		case isCommand:
			r.Command = strings.TrimSpace(command)
		case isExpect:
			r.Expect = strings.TrimSpace(expect)
		}
	}
	return r, nil
}
