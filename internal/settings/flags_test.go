package settings_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"ibot/internal/settings"
)

// sample has a field of each type.
type sample struct {
	Name    string        `name:"name" alias:"title,label" group:"Texts" help:"a text"`
	Shape   string        `name:"pred_shape" choices:"block,rand,none" help:"a choice"`
	Switch  bool          `name:"norm_last_layer" group:"Numbers" help:"a switch"`
	Count   int           `name:"epochs" range:"[1,)" help:"a count"`
	Rate    float64       `name:"lr" range:"[0,)" help:"a rate"`
	Scale   [2]float64    `name:"global_crops_scale" range:"(0,1]" help:"a pair"`
	Ratios  []float64     `name:"pred_ratio" help:"a list"`
	Timeout time.Duration `name:"timeout" range:"[0,3600]" help:"a time"`
	Hidden  int
}

func newSample() sample {
	return sample{Shape: "block", Count: 100, Rate: 5e-4, Scale: [2]float64{0.14, 1}, Ratios: []float64{0.3}, Timeout: time.Minute}
}

// parse gives the words of a command line to the flags of a sample.
func parse(s *sample, args ...string) (rest []string, err error) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.Bool("json", false, "a flag that is not a setting")
	settings.Bind(fs, s)
	if err := fs.Parse(settings.Args(fs, args)); err != nil {
		return nil, settings.FlagError(fs, err)
	}
	return fs.Args(), nil
}

func TestFlags(t *testing.T) {
	tests := []struct {
		line string
		want func(*sample)
		rest string
	}{
		{"", func(*sample) {}, ""},
		{"--lr 0.1", func(s *sample) { s.Rate = 0.1 }, ""},
		{"--lr=1e-3 --epochs 3", func(s *sample) { s.Rate, s.Count = 1e-3, 3 }, ""},
		{"--epochs 3 --epochs 4", func(s *sample) { s.Count = 4 }, ""},
		{"--norm_last_layer", func(s *sample) { s.Switch = true }, ""},
		{"--norm_last_layer true", func(s *sample) { s.Switch = true }, ""},
		{"--norm_last_layer True --lr 1", func(s *sample) { s.Switch, s.Rate = true, 1 }, ""},
		{"--norm_last_layer --norm_last_layer false", func(*sample) {}, ""},
		{"--norm_last_layer=on", func(s *sample) { s.Switch = true }, ""},
		{"--norm-last-layer RUN", func(s *sample) { s.Switch = true }, "RUN"},
		{"--global_crops_scale 0.25 1", func(s *sample) { s.Scale = [2]float64{0.25, 1} }, ""},
		{"--global_crops_scale 0.25 1 RUN", func(s *sample) { s.Scale = [2]float64{0.25, 1} }, "RUN"},
		{"--global_crops_scale 0.25 1 7", func(s *sample) { s.Scale = [2]float64{0.25, 1} }, "7"},
		{"--global_crops_scale=0.25,1", func(s *sample) { s.Scale = [2]float64{0.25, 1} }, ""},
		{"--global-crops-scale 0.25,1", func(s *sample) { s.Scale = [2]float64{0.25, 1} }, ""},
		{"--pred_ratio 0 0.3", func(s *sample) { s.Ratios = []float64{0, 0.3} }, ""},
		{"--pred_ratio 0 0.3 --lr 2", func(s *sample) { s.Ratios, s.Rate = []float64{0, 0.3}, 2 }, ""},
		{"--pred_ratio -1 .5 1e-3 RUN", func(s *sample) { s.Ratios = []float64{-1, 0.5, 1e-3} }, "RUN"},
		{"--pred_ratio 0.7", func(s *sample) { s.Ratios = []float64{0.7} }, ""},
		{"--name --lr=1", func(s *sample) { s.Name = "--lr=1" }, ""},
		{"--name --pred_ratio=1", func(s *sample) { s.Name = "--pred_ratio=1" }, ""},
		{"--label x", func(s *sample) { s.Name = "x" }, ""},
		{"--pred_shape RAND", func(s *sample) { s.Shape = "rand" }, ""},
		{"--pred_shape None", func(s *sample) { s.Shape = "none" }, ""},
		{"--timeout 1m30s", func(s *sample) { s.Timeout = 90 * time.Second }, ""},
		{"--json false", func(*sample) {}, "false"},
		{"a --lr 3 b -- --pred_ratio 1 2", func(s *sample) { s.Rate = 3 }, "a b --pred_ratio 1 2"},
	}
	for _, test := range tests {
		t.Run(test.line, func(t *testing.T) {
			got, want := newSample(), newSample()
			test.want(&want)
			rest, err := parse(&got, strings.Fields(test.line)...)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if got := strings.Join(rest, " "); got != test.rest {
				t.Errorf("left over: got %q, want %q", got, test.rest)
			}
		})
	}
}

func TestFlagErrors(t *testing.T) {
	for line, want := range map[string]string{
		"--globl_crops_scale 1 2":              "unknown flag --globl_crops_scale; did you mean --global_crops_scale?",
		"--globl-crops-scale 1 2":              "unknown flag --globl-crops-scale; did you mean --global_crops_scale?",
		"--xyzzy":                              "unknown flag --xyzzy",
		"-x":                                   "unknown flag -x; flags have two dashes",
		"--lr fast":                            `--lr: want a number of at least 0, found "fast"`,
		"--lr inf":                             `--lr: want a number of at least 0, found "inf"`,
		"--lr nan":                             `--lr: want a number of at least 0, found "nan"`,
		"--lr -1":                              `--lr: want a number of at least 0, found "-1"`,
		"--lr":                                 "--lr: want a number of at least 0, found nothing",
		"--epochs 1.5":                         `--epochs: want a whole number of at least 1, found "1.5"`,
		"--epochs 0":                           `--epochs: want a whole number of at least 1, found "0"`,
		"--epochs 99999999999999999999999":     `--epochs: want a whole number of at least 1, found "99999999999999999999999"`,
		"--norm_last_layer=maybe":              `--norm_last_layer: want true or false, found "maybe"`,
		"--global_crops_scale 1":               `--global_crops_scale: want two numbers above 0 and at most 1, found "1"`,
		"--global_crops_scale=1,1,1":           `--global_crops_scale: want two numbers above 0 and at most 1, found "1 1 1"`,
		"--global_crops_scale 0 1":             `--global_crops_scale: want two numbers above 0 and at most 1, found "0 1"`,
		"--global_crops_scale --lr":            `--global_crops_scale: want two numbers above 0 and at most 1, found "--lr"`,
		"--pred_ratio=":                        "--pred_ratio: want one number or more, found nothing",
		"--pred_shape round":                   `--pred_shape: want one of block, rand, none, found "round"`,
		"--timeout 3":                          `--timeout: want a time such as 90s or 1h30m, found "3"`,
		"--timeout 2h":                         `--timeout: want a time such as 90s or 1h30m, found "2h"`,
		"--epochs " + strings.Repeat("9", 300): `--epochs: want a whole number of at least 1, found "` + strings.Repeat("9", 57) + `..."`,
	} {
		s := newSample()
		_, err := parse(&s, strings.Fields(line)...)
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", line, err, want)
		}
		if !reflect.DeepEqual(s, newSample()) {
			t.Errorf("%s: changed the struct to %+v", line, s)
		}
	}
}

func TestOverlay(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	parsed := newSample()
	other := struct {
		JSON bool `name:"json" help:"another struct on the same flags"`
	}{}
	settings.Bind(fs, &parsed)
	settings.Bind(fs, &other)
	if err := fs.Parse(settings.Args(fs, []string{"--title", "x", "--json", "--pred_ratio", "1", "2"})); err != nil {
		t.Fatal(err)
	}
	recipe := newSample()
	recipe.Name, recipe.Rate, recipe.Count = "recipe", 7, 8
	want := recipe
	want.Name, want.Ratios = "x", []float64{1, 2}
	settings.Overlay(fs, &recipe)
	if !reflect.DeepEqual(recipe, want) {
		t.Errorf("got %+v, want %+v", recipe, want)
	}
	if !other.JSON {
		t.Error("--json did not reach the second struct")
	}
}

func TestChanged(t *testing.T) {
	from, to := newSample(), newSample()
	to.Rate, to.Ratios, to.Hidden = 0.1, []float64{0, 0.3}, 9
	want := []settings.Change{{"lr", "0.0005", "0.1"}, {"pred_ratio", "0.3", "0 0.3"}}
	if got := settings.Changed(&from, &to); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCheck(t *testing.T) {
	s := newSample()
	if errs := settings.Check(&s); errs != nil {
		t.Errorf("of good settings: got %v", errs)
	}
	s.Count, s.Shape, s.Scale[1], s.Ratios = -1, "Block", 2, nil
	want := []string{
		`pred_shape: want one of block, rand, none, found "Block"`,
		`epochs: want a whole number of at least 1, found "-1"`,
		`global_crops_scale: want two numbers above 0 and at most 1, found "0.14 2"`,
		`pred_ratio: want one number or more, found nothing`,
	}
	var got []string
	for _, err := range settings.Check(&s) {
		got = append(got, err.Error())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestRangeWords(t *testing.T) {
	s := struct {
		A int     `name:"a" range:"[1,)" help:"h"`
		B float64 `name:"b" range:"(0,)" help:"h"`
		C float64 `name:"c" range:"[0,1]" help:"h"`
		D float64 `name:"d" range:"[0,1)" help:"h"`
		E float64 `name:"e" range:"(0,1]" help:"h"`
		F float64 `name:"f" range:"(0,1)" help:"h"`
		G float64 `name:"g" range:"(,5]" help:"h"`
		H float64 `name:"h" range:"(,5)" help:"h"`
		I float64 `name:"i" help:"h"`
	}{}
	want := []string{
		"at least 1", "above 0", "from 0 to 1", "from 0 to below 1", "above 0 and at most 1",
		"above 0 and below 1", "at most 5", "below 5", "",
	}
	for i, f := range settings.Fields(&s) {
		if got := f.Range.String(); got != want[i] {
			t.Errorf("%s: got %q, want %q", f.Name, got, want[i])
		}
	}
}

// TestMistakesInTags: a struct that makes no sense is found by the first call.
func TestMistakesInTags(t *testing.T) {
	for name, ptr := range map[string]any{
		"not a pointer": newSample(),
		"nil":           (*sample)(nil),
		"unknown type": &struct {
			X int32 `name:"x" help:"h"`
		}{},
		"no help": &struct {
			X int `name:"x"`
		}{},
		"bad range": &struct {
			X int `name:"x" range:"0..1" help:"h"`
		}{},
		"empty range": &struct {
			X int `name:"x" range:"[2,1]" help:"h"`
		}{},
		"same name": &struct {
			X int `name:"x" help:"h"`
			Y int `name:"y" alias:"x" help:"h"`
		}{},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "settings: ") {
					t.Errorf("want a panic that starts with \"settings: \", got %q", text)
				}
			}()
			settings.Fields(ptr)
		})
	}
}
