package settings_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ibot/internal/settings"
)

func TestDecodeYAML(t *testing.T) {
	tests := []struct {
		name, text string
		want       func(*sample)
	}{
		{"empty", "", func(*sample) {}},
		{"comments alone", "# nothing\n", func(*sample) {}},
		{"null document", "---\n~\n", func(*sample) {}},
		{"scalars", "name: x\nepochs: 3\nlr: 5\nnorm_last_layer: true\ntimeout: 2m\n", func(s *sample) {
			s.Name, s.Count, s.Rate, s.Switch, s.Timeout = "x", 3, 5, true, 2*time.Minute
		}},
		{"lists", "global_crops_scale: [0.25, 1]\npred_ratio:\n  - 0\n  - .3\n", func(s *sample) {
			s.Scale, s.Ratios = [2]float64{0.25, 1}, []float64{0, 0.3}
		}},
		{"list of one as a number", "pred_ratio: 0.7", func(s *sample) { s.Ratios = []float64{0.7} }},
		{"exponent", "lr: 7.5e-4", func(s *sample) { s.Rate = 7.5e-4 }},
		{"dashes", "norm-last-layer: on", func(s *sample) { s.Switch = true }},
		{"alias", "title: y", func(s *sample) { s.Name = "y" }},
		{"quotes", `name: "2024"`, func(s *sample) { s.Name = "2024" }},
		{"null text", "name: ~", func(*sample) {}},
		{"null choice is none", "pred_shape: null", func(s *sample) { s.Shape = "none" }},
		{"JSON", `{"epochs": 4, "pred_ratio": [1, 2]}`, func(s *sample) { s.Count, s.Ratios = 4, []float64{1, 2} }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, want := newSample(), newSample()
			test.want(&want)
			if err := settings.DecodeYAML("x.yaml", []byte(test.text), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestDecodeYAMLErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown key", "\n\nglobl_crops_scale: 1", `x.yaml:3: unknown key "globl_crops_scale"; did you mean "global_crops_scale"?`},
		{"key like nothing", "xyzzy: 1", `x.yaml:1: unknown key "xyzzy"`},
		{"twice", "lr: 1\nname: x\nlr: 2", "x.yaml:3: lr was already set in line 1; keep one of the two"},
		{"twice by an alias", "name: x\ntitle: y", "x.yaml:2: name was already set in line 1; keep one of the two"},
		{"text for a number", "lr: fast", `x.yaml:1: lr: want a number of at least 0, found the text "fast"`},
		{"quoted number", `lr: "1"`, `x.yaml:1: lr: want a number of at least 0, found the text "1"`},
		{"fraction for a count", "epochs: 1.5", `x.yaml:1: epochs: want a whole number of at least 1, found "1.5"`},
		{"out of range", "epochs: 0", `x.yaml:1: epochs: want a whole number of at least 1, found "0"`},
		{"infinity", "lr: .inf", `x.yaml:1: lr: want a number of at least 0, found ".inf"`},
		{"number for a text", "name: 3", "x.yaml:1: name: want a text, found the number 3; a text that looks like something else stands in quotes"},
		{"date for a text", "name: 2024-01-02", "x.yaml:1: name: want a text, found the date 2024-01-02; a text that looks like something else stands in quotes"},
		{"choice", "pred_shape: round", `x.yaml:1: pred_shape: want one of block, rand, none, found "round"`},
		{"number for a choice", "pred_shape: 3", "x.yaml:1: pred_shape: want one of block, rand, none, found the number 3"},
		{"list for a number", "lr: [1, 2]", "x.yaml:1: lr: want a number of at least 0, found a list of 2"},
		{"mapping for a number", "lr: {a: 1}", "x.yaml:1: lr: want a number of at least 0, found a mapping"},
		{"null for a number", "lr:", "x.yaml:1: lr: want a number of at least 0, found nothing"},
		{"three for a pair", "global_crops_scale: [1, 1, 1]", `x.yaml:1: global_crops_scale: want two numbers above 0 and at most 1, found "1 1 1"`},
		{"text in a list", "pred_ratio:\n- 1\n- a", `x.yaml:2: pred_ratio: want one number or more, found the text "a" in the list`},
		{"empty list", "pred_ratio: []", "x.yaml:1: pred_ratio: want one number or more, found nothing"},
		{"switch", "norm_last_layer: maybe", `x.yaml:1: norm_last_layer: want true or false, found "maybe"`},
		{"several", "lr: a\nepochs: b", "x.yaml:1: lr: want a number of at least 0, found the text \"a\"\n" +
			"x.yaml:2: epochs: want a whole number of at least 1, found the text \"b\""},
		{"list document", "- 1", `x.yaml:1: want lines of the form "key: value", found a list of 1`},
		{"text document", "hello", `x.yaml:1: want lines of the form "key: value", found the text "hello"`},
		{"two documents", "lr: 1\n---\nlr: 2", "x.yaml:2: a second document starts here; want one"},
		{"alias", "lr: &a 1\nepochs: *a", "x.yaml:2: epochs: want a whole number of at least 1, found an alias (*a)"},
		{"merge", "<<: {lr: 1}", `x.yaml:1: unknown key "<<"`},
		{"list as key", "[a]: 1", `x.yaml:1: unknown key ""`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSample()
			err := settings.DecodeYAML("x.yaml", []byte(test.text), &s)
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if !reflect.DeepEqual(s, newSample()) {
				t.Errorf("changed the struct to %+v", s)
			}
		})
	}
}

func TestYAMLSyntax(t *testing.T) {
	for _, text := range []string{"lr: [1", "lr: 1\n\tname: x", "a: b: c", "\x00", "lr: \"", "%YAML 9.9"} {
		s := newSample()
		err := settings.DecodeYAML("x.yml", []byte(text), &s)
		if err == nil || !strings.HasPrefix(err.Error(), "x.yml:") || strings.Contains(err.Error(), "yaml: ") {
			t.Errorf("%q: want one error that starts with the file's name, got %v", text, err)
		}
	}
}

// TestManyMistakes: a file of another kind gives a page of errors, not a million.
func TestManyMistakes(t *testing.T) {
	s := newSample()
	err := settings.DecodeYAML("x.yaml", []byte(strings.Repeat("epoch: 1\n", 100000)), &s)
	if err == nil || strings.Count(err.Error(), "\n") != 9 {
		t.Errorf("want ten lines, got %v", err)
	}
}

func TestReadYAML(t *testing.T) {
	dir := t.TempDir()
	s := newSample()
	if err := settings.ReadYAML(filepath.Join(dir, "none.yaml"), &s); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a missing file: got %v", err)
	}
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, make([]byte, 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := settings.ReadYAML(large, &s); err == nil || !strings.Contains(err.Error(), "larger than 1024 KiB") {
		t.Errorf("a large file: got %v", err)
	}
	good := filepath.Join(dir, "good.yaml")
	if err := os.WriteFile(good, []byte("lr: 3"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := settings.ReadYAML(good, &s); err != nil || s.Rate != 3 {
		t.Errorf("a good file: got lr %g, %v", s.Rate, err)
	}
}

func TestEncodeYAML(t *testing.T) {
	s := newSample()
	s.Name = "a: b # c"
	want := `# ---- Texts

# a text
name: 'a: b # c'
# a choice
pred_shape: block

# ---- Numbers

# a switch
norm_last_layer: false
# a count
epochs: 100
# a rate
lr: 0.0005
# a pair
global_crops_scale: [0.14, 1]
# a list
pred_ratio: [0.3]
# a time
timeout: 1m0s
`
	if got := string(settings.EncodeYAML(&s)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestYAMLRoundTrip(t *testing.T) {
	for _, name := range []string{"", "true", "null", "3", "2024-01-02", " x ", "a\nb", "a\tb", `"`, "'", "#", "- a", "é", "\u2028", "\x7f", "%", "~"} {
		want := newSample()
		want.Name, want.Rate, want.Ratios, want.Scale = name, 1e-6, []float64{1e300, 0, 1.0 / 3}, [2]float64{5e-324, 1}
		b := settings.EncodeYAML(&want)
		var got sample
		if err := settings.DecodeYAML("x.yaml", b, &got); err != nil {
			t.Fatalf("%q: %v in\n%s", name, err, b)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// FuzzDecodeYAML: no input panics, an error leaves the struct alone, and what is accepted
// survives being written and read again.
func FuzzDecodeYAML(f *testing.F) {
	for _, text := range []string{
		"lr: 1", "pred_ratio: [0, 0.3]", "name: |\n  a\n  b", "a: &x [*x]", "? [1]\n: 2", "{", "lr: !!float 3", "timeout: 1h",
		"name: !!binary aGVsbG8=", "name: \"\\xff\"", "---\n...\n---\n", "pred_ratio: .3", "norm_last_layer: y",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got := newSample()
		if err := settings.DecodeYAML("x.yaml", b, &got); err != nil {
			if !reflect.DeepEqual(got, newSample()) {
				t.Fatalf("an error (%v) and yet changed: %+v", err, got)
			}
			return
		}
		var again sample
		if err := settings.DecodeYAML("y.yaml", settings.EncodeYAML(&got), &again); err != nil {
			t.Fatalf("cannot read what was written of %+v: %v", got, err)
		}
		if !reflect.DeepEqual(again, got) {
			t.Fatalf("got %+v, want %+v", again, got)
		}
	})
}
