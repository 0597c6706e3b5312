package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"ibot/internal/nearest"
)

// maxYAML bounds what is read of a settings file; a resolved configuration has 8 KB.
const maxYAML = 1 << 20

// maxErrors is how many mistakes of one file are reported; a file of another kind has thousands.
const maxErrors = 10

// ReadYAML reads the settings file at path into the struct that ptr points to; see DecodeYAML.
func ReadYAML(path string, ptr any) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("settings: cannot read the settings file: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxYAML+1))
	if err != nil {
		return fmt.Errorf("settings: cannot read the settings file: %w", err)
	}
	return DecodeYAML(path, b, ptr)
}

// DecodeYAML sets the settings that the YAML text b names, in the struct that ptr points to,
// and leaves the others as they are. Name is the file's name for errors.
//
// The text is one mapping from setting to value. An unknown key, a key given twice and a value
// of the wrong type or outside its range are errors, each with its file and line, and then the
// struct is left as it was.
func DecodeYAML(name string, b []byte, ptr any) error {
	if len(b) > maxYAML {
		return fmt.Errorf("%s: larger than %d KiB, which no settings file is", name, maxYAML>>10)
	}
	root, err := parseYAML(name, b)
	if err != nil || root == nil {
		return err
	}
	dst := structOf(ptr)
	fresh := reflect.New(dst.Type()).Elem()
	fresh.Set(dst)

	fields := Fields(ptr)
	lines := map[string]int{}
	var errs []error
	for i := 0; i+1 < len(root.Content) && len(errs) < maxErrors; i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		fail := func(line int, format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s:%d: %s", name, line, fmt.Sprintf(format, args...)))
		}
		f, known := find(fields, key.Value)
		if !known || key.Kind != yaml.ScalarNode {
			fail(key.Line, "unknown key %s%s", found([]string{key.Value}), suggest(key.Value, names(fields)))
			continue
		}
		if first, again := lines[f.Name]; again {
			fail(key.Line, "%s was already set in line %d; keep one of the two", f.Name, first)
			continue
		}
		lines[f.Name] = key.Line
		if err := f.decode(value, f.of(fresh)); err != nil {
			fail(value.Line, "%s: %v", f.Name, err)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	dst.Set(fresh)
	return nil
}

// suggest returns the clause that offers the nearest of the candidates, if one is near.
func suggest(word string, candidates []string) string {
	if near, ok := nearest.Word(underscored(word), candidates); ok {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// parseYAML returns the mapping that the text consists of, or nil for a text without content.
func parseYAML(name string, b []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, next yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, syntaxError(name, err)
	}
	switch err := d.Decode(&next); {
	case err == nil:
		return nil, fmt.Errorf("%s:%d: a second document starts here; want one", name, next.Line)
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(name, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	root := doc.Content[0]
	switch {
	case root.Kind == yaml.ScalarNode && root.Tag == "!!null":
		return nil, nil
	case root.Kind != yaml.MappingNode:
		return nil, fmt.Errorf("%s:%d: want lines of the form \"key: value\", found %s", name, root.Line, describe(root))
	}
	return root, nil
}

// syntaxError turns "yaml: line 3: ..." into "name:3: ...".
func syntaxError(name string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		return fmt.Errorf("%s:%s", name, rest)
	}
	return fmt.Errorf("%s: %s", name, text)
}

// decode stores the value of a YAML node in dst. A list may be written as a single number.
func (f Field) decode(n *yaml.Node, dst reflect.Value) error {
	mismatch := fmt.Errorf("want %s, found %s", f.wanted(), describe(n))
	switch {
	case n.Kind == yaml.SequenceNode && f.many():
		words := make([]string, len(n.Content))
		for i, e := range n.Content {
			if !isNumber(e) {
				return fmt.Errorf("want %s, found %s in the list", f.wanted(), describe(e))
			}
			words[i] = e.Value
		}
		return f.parse(dst, words...)
	case n.Kind != yaml.ScalarNode:
		return mismatch
	case f.typ.Kind() == reflect.String && n.Tag == "!!null":
		return f.parse(dst, f.nothing())
	case f.typ.Kind() == reflect.String && n.Tag != "!!str":
		if f.Choices != nil {
			return mismatch
		}
		return fmt.Errorf("%w; a text that looks like something else stands in quotes", mismatch)
	case (f.many() || f.typ.Kind() == reflect.Float64 || f.typ == reflect.TypeFor[int]()) && !isNumber(n):
		return mismatch
	}
	return f.parse(dst, n.Value)
}

// nothing is the text that null stands for: the choice "none" where there is one, as the
// reference writes None for it.
func (f Field) nothing() string {
	if slices.Contains(f.Choices, "none") {
		return "none"
	}
	return ""
}

func isNumber(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && (n.Tag == "!!int" || n.Tag == "!!float")
}

// describe says what a node is, for errors.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return fmt.Sprintf("a list of %d", len(n.Content))
	case yaml.AliasNode:
		return "an alias (*" + n.Value + ")"
	}
	value := found([]string{n.Value})
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!str":
		return "the text " + value
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!timestamp":
		return "the date " + n.Value
	}
	return value
}

// EncodeYAML writes all settings of the struct that ptr points to, in the order of the fields,
// with their groups and help as comments. DecodeYAML reads it back to equal values.
func EncodeYAML(ptr any) []byte {
	v := structOf(ptr)
	var b bytes.Buffer
	group := ""
	for _, f := range Fields(ptr) {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n# ---- %s\n\n", group)
		}
		for _, line := range wrap(f.Help, 96) {
			fmt.Fprintf(&b, "# %s\n", line)
		}
		fmt.Fprintf(&b, "%s: %s\n", f.Name, yamlValue(f.of(v)))
	}
	return bytes.TrimLeft(b.Bytes(), "\n")
}

// yamlValue writes a value on one line of YAML.
func yamlValue(v reflect.Value) string {
	switch v := v.Interface().(type) {
	case string:
		if !strings.Contains(v, "\n") {
			return yamlText(v)
		}
		return yamlText(yaml.Node{Kind: yaml.ScalarNode, Value: v, Style: yaml.DoubleQuotedStyle}) // not as a block
	case []float64, [2]float64:
		return "[" + strings.Join(format(reflect.ValueOf(v)), ", ") + "]"
	}
	return strings.Join(format(v), " ")
}

// yamlText writes a text on one line, with quotes where YAML needs them.
func yamlText(value any) string {
	b, err := yaml.Marshal(value)
	if err != nil { // cannot be: a string always has a form
		panic(fmt.Sprintf("settings: %v", err))
	}
	return strings.TrimSuffix(string(b), "\n")
}
