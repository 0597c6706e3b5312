package main

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestWithoutEngine: the program that is built with the tag noengine links no libtorch, looks into
// sets and checkpoints, and says of every other verb why it is not there.
func TestWithoutEngine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ibot")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-tags", "noengine", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	libraries, err := file.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, library := range libraries {
		if !strings.HasPrefix(library, "libc.") && !strings.HasPrefix(library, "libm.") && !strings.HasPrefix(library, "ld-linux") {
			t.Errorf("it links %s, want only the C library", library)
		}
	}

	start := func(args ...string) (code int, stdout, stderr string) {
		var out, errs strings.Builder
		verb := exec.Command(path, args...)
		verb.Stdout, verb.Stderr = &out, &errs
		if err := verb.Run(); err != nil && verb.ProcessState == nil {
			t.Fatal(err)
		}
		return verb.ProcessState.ExitCode(), out.String(), errs.String()
	}
	const a, b = "../../testdata/goldens/a_vit_ckpt.pth", "../../testdata/goldens/a_vit_init.npz"
	photos := filepath.Join(t.TempDir(), "drawn")
	for _, c := range []struct {
		args []string
		code int
		want string // on stdout, or of a verb that is not there on stderr
	}{
		{[]string{"ckpt", "ls", a}, exitOK, "float32"},
		{[]string{"ckpt", "show", a}, exitOK, "float32"},
		{[]string{"ckpt", "diff", a, a}, exitOK, "equal"},
		{[]string{"ckpt", "diff", a, b}, exitError, "only in"},
		{[]string{"data", "draw", "--out", photos, "--images", "40"}, exitOK, "40 images of 10 classes"},
		{[]string{"data", "check", photos}, exitOK, "40, of which 0 cannot be read"},
		{[]string{"data", "stats", photos}, exitOK, "mean"},
		{[]string{"recipes"}, exitOK, "tiny"},
		{[]string{"version"}, exitOK, "libtorch  none: built with the tag noengine"},
		{[]string{"pretrain", "--data", photos, "--out", "run"}, exitError, "pretrain needs libtorch, and this program is built without it"},
		{[]string{"data", "show", "--data", photos}, exitError, "data show needs libtorch"},
		{[]string{"ckpt", "convert", a, "x", "--to", "hf"}, exitError, "ckpt convert needs libtorch"},
		{[]string{"pretrian"}, exitUsage, `did you mean "ibot pretrain"?`},
	} {
		code, stdout, stderr := start(c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("ibot %s: code %d, want %d with %q\n%s%s", strings.Join(c.args, " "), code, c.code, c.want, stdout, stderr)
		}
	}

	// No verb of the whole program is unknown to it.
	var ask func(parent *cobra.Command, path ...string)
	ask = func(parent *cobra.Command, path ...string) {
		_, list, _ := start(append(path, "--help")...)
		for _, verb := range parent.Commands() {
			if !verb.Hidden && !strings.Contains(list, "\n  "+verb.Name()+" ") {
				t.Errorf("ibot %s --help does not name %s:\n%s", strings.Join(path, " "), verb.Name(), list)
			}
			if name := verb.Name(); parent.Parent() == nil && (name == "ckpt" || name == "data") {
				ask(verb, name)
			}
		}
	}
	ask(newRoot())
}
