package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"

	"ibot/recipes"
)

// built is the folder of the program that the tests of signals and exit codes run.
var built string

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// build builds the program once.
var build = sync.OnceValue(func() (err error) {
	if built, err = os.MkdirTemp("", "ibot"); err != nil {
		return err
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(built, "ibot"), ".").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
})

// program is the path of the built program.
func program(t *testing.T) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(built, "ibot")
}

// ibot runs a command line in this process.
func ibot(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// TestUsageErrors: one line on stderr that says what to do, nothing on stdout, exit code 2.
func TestUsageErrors(t *testing.T) {
	tests := []struct{ line, want string }{
		{"recpes", `unknown verb "recpes"; did you mean "ibot recipes"?`},
		{"recpes --json", `unknown verb "recpes"; did you mean "ibot recipes"?`},
		{"xyzzy", `unknown verb "xyzzy"; see ibot --help`},
		{"help xyzzy", `unknown verb "xyzzy"; see ibot --help`},
		{"help data drw", `unknown verb "drw"; did you mean "ibot data draw"?`},
		{"data drw", `unknown verb "drw"; did you mean "ibot data draw"?`},
		{"data", "data: want one of its verbs, check, draw, show, stats; see ibot data --help"},
		{"--foo", "unknown flag --foo"},
		{"recipes --jsn", "unknown flag --jsn; did you mean --json?"},
		{"recipes -j", "unknown flag -j; flags have two dashes"},
		{"recipes cifar", `recipes: unknown recipe "cifar"; did you mean "cifar10"?`},
		{"recipes a b", `recipes: one argument too many, "b"; want ibot recipes [NAME] [flags]`},
		{"version x", `version: one argument too many, "x"; want ibot version [flags]`},
		{"completion", "completion: too few arguments; want ibot completion SHELL"},
		{"completion tcsh", `completion: want one of ["bash" "zsh" "fish" "powershell"], found "tcsh"`},
		{"ckpt", "ckpt: want one of its verbs, convert, diff, ls, show; see ibot ckpt --help"},
		{"ckpt ls", "ckpt ls: too few arguments; want ibot ckpt ls FILE [flags]"},
		{"ckpt diff A", "ckpt diff: too few arguments; want ibot ckpt diff A B"},
		{"data draw", "data draw needs --out DIR, the folder to write to; see ibot data draw --help"},
		{"data draw --out DIR --size big", `--size: want a whole number of at least 1, found "big"`},
		{"data draw --out DIR --classes 99", "drawn: 99 classes asked for; there are 2 to 16"},
		{"data draw --out DIR --clases 9", "unknown flag --clases; did you mean --classes?"},
	}
	t.Chdir(t.TempDir()) // so that a mistake here writes nothing into the sources
	for _, test := range tests {
		t.Run(test.line, func(t *testing.T) {
			code, stdout, stderr := ibot(t, strings.Fields(test.line)...)
			if want := "ibot: " + test.want + "\n"; code != exitUsage || stdout != "" || stderr != want {
				t.Errorf("got code %d, stdout %q, stderr\n %swant 2, nothing and\n %s", code, stdout, stderr, want)
			}
		})
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestHelp: every verb explains itself on stdout, within 80 columns, in both ways to ask.
func TestHelp(t *testing.T) {
	var visit func(verb *cobra.Command)
	visit = func(verb *cobra.Command) {
		path := strings.Fields(verb.CommandPath())[1:]
		t.Run(strings.Join(append(path, "--help"), " "), func(t *testing.T) {
			code, stdout, stderr := ibot(t, append(path, "--help")...)
			if code != exitOK || stderr != "" {
				t.Fatalf("got code %d, stderr %q", code, stderr)
			}
			if !strings.Contains(stdout, "\nUsage\n  "+verb.CommandPath()) {
				t.Errorf("want a usage line, got\n%s", stdout)
			}
			for line := range strings.Lines(stdout) {
				if n := len([]rune(strings.TrimRight(line, "\n"))); n > helpWidth {
					t.Errorf("a line of %d columns: %s", n, line)
				}
			}
			_, other, _ := ibot(t, append([]string{"help"}, path...)...)
			if other != stdout {
				t.Errorf("ibot help %s differs from --help:\n%s\n%s", strings.Join(path, " "), other, stdout)
			}
			for _, child := range verb.Commands() {
				if !strings.Contains(stdout, "  "+child.Name()+" ") {
					t.Errorf("does not list %s", child.Name())
				}
			}
		})
		for _, child := range verb.Commands() {
			visit(child)
		}
	}
	visit(newRoot())
	if _, bare, _ := ibot(t); !strings.Contains(bare, "Usage\n  ibot VERB") {
		t.Errorf("without a verb: got\n%s", bare)
	}
}

// TestVerbsAreDescribed keeps the list of verbs in one style.
func TestVerbsAreDescribed(t *testing.T) {
	root := newRoot()
	for _, verb := range root.Commands() {
		if verb.GroupID == "" || !root.ContainsGroup(verb.GroupID) {
			t.Errorf("%s: belongs to no group", verb.Name())
		}
		if s := verb.Short; s == "" || s[0] < 'a' || s[0] > 'z' || strings.HasSuffix(s, ".") {
			t.Errorf("%s: want a lower-case description without a stop, got %q", verb.Name(), s)
		}
	}
}

func TestRecipesVerb(t *testing.T) {
	code, stdout, stderr := ibot(t, "recipes")
	if code != exitOK || stderr != "" {
		t.Fatalf("got code %d, stderr %q", code, stderr)
	}
	for _, name := range recipes.Names() {
		r, err := recipes.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if want := name + "\n  " + r.Title + "\n  " + r.Command + "\n  expect " + r.Expect + "\n"; !strings.Contains(stdout, want) {
			t.Errorf("want\n%sin\n%s", want, stdout)
		}
		if code, one, _ := ibot(t, "recipes", name); code != exitOK || one != string(r.YAML) {
			t.Errorf("%s: got code %d and\n%s", name, code, one)
		}
	}
	for line := range strings.Lines(stdout) {
		if n := len([]rune(line)) - 1; n > 90 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}

	_, stdout, _ = ibot(t, "recipes", "demo", "--json")
	var r recipes.Recipe
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || r.Name != "demo" || r.Expect == "" {
		t.Errorf("--json: got %s, %v", stdout, err)
	}
}

func TestVersionVerb(t *testing.T) {
	defer func(was func() []fact) { engineFacts = was }(engineFacts)
	engineFacts = func() []fact { return []fact{{"libtorch", "1.2.3"}} }
	code, stdout, stderr := ibot(t, "version")
	if code != exitOK || stderr != "" {
		t.Fatalf("got code %d, stderr %q", code, stderr)
	}
	for _, want := range []string{"ibot      ", "go        go1.", "system    ", "jpeg      ", "cpu       ", "libtorch  1.2.3\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("want %q in\n%s", want, stdout)
		}
	}
	_, stdout, _ = ibot(t, "version", "--json")
	var object map[string]string
	if err := json.Unmarshal([]byte(stdout), &object); err != nil || object["libtorch"] != "1.2.3" || object["ibot"] == "" {
		t.Errorf("--json: got %s, %v", stdout, err)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, stdout, stderr := ibot(t, "completion", shell); code != exitOK || stderr != "" || !strings.Contains(stdout, "ibot") {
			t.Errorf("%s: got code %d, %d bytes, stderr %q", shell, code, len(stdout), stderr)
		}
	}
	for line, want := range map[string]string{
		"rec":             "recipes\t",
		"recipes ":        "cifar10\n",
		"recipes --js":    "--json\t",
		"data draw --siz": "--size\t",
		"completion fi":   "fish\n",
	} {
		args := append([]string{cobra.ShellCompRequestCmd}, strings.Split(line, " ")...)
		if _, stdout, _ := ibot(t, args...); !strings.Contains(stdout, want) {
			t.Errorf("%q: want %q in\n%s", line, want, stdout)
		}
	}
}

func TestDataDraw(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "drawn")
	args := []string{"data", "draw", "--out", dir, "--classes", "3", "--images", "15", "--size", "16", "--seed", "4"}
	code, stdout, stderr := ibot(t, args...)
	if code != exitOK || stdout != dir+": 15 images of 3 classes\n" {
		t.Fatalf("got code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	for part, want := range map[string]int{"train": 12, "val": 3} {
		images, err := filepath.Glob(filepath.Join(dir, part, "*", "*.png"))
		if err != nil || len(images) != want {
			t.Errorf("%s: got %d images, %v, want %d", part, len(images), err, want)
		}
	}
	code, stdout, stderr = ibot(t, args...)
	if code != exitError || stdout != "" || !strings.Contains(stderr, "is there already") {
		t.Errorf("a second time: got code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := filepath.Join(t.TempDir(), "drawn")
	var out, errs bytes.Buffer
	code := run(ctx, []string{"data", "draw", "--out", dir}, &out, &errs)
	if code != exitInterrupted || !strings.HasSuffix(errs.String(), "ibot: interrupted\n") {
		t.Errorf("got code %d, stderr %q", code, errs.String())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestBinary checks the exit codes of the built program, which only main hands to the system.
func TestBinary(t *testing.T) {
	for line, want := range map[string]int{"recipes tiny": exitOK, "recipes nothing": exitUsage} {
		cmd := exec.Command(program(t), strings.Fields(line)...)
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
			t.Errorf("%s: got %v, want exit code %d", line, err, want)
		}
	}
}
