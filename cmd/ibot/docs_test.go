package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ibot/eval"
	"ibot/internal/settings"
	"ibot/train"
)

// root is the folder of the repository.
const root = "../.."

var update = flag.Bool("update", false, "write the generated part of the documentation anew")

const settingsHead = `# Settings of pre-training

` + "```sh run\n./ibot pretrain --help\n```" + `

lists these settings too. Each is a flag (` + "`--lr 1e-3`" + `), and a key of recipes and of files for
` + "`--config`" + ` (` + "`lr: 1e-3`" + `; see [recipes.md](recipes.md)).

<!-- Generated from train.Config: go test ./cmd/ibot -run TestSettingsDoc -update -->

`

// TestSettingsDoc compares docs/settings.md with the settings that there are; -update rewrites it.
func TestSettingsDoc(t *testing.T) {
	c := train.Default()
	checkGenerated(t, "settings.md", settingsHead+strings.ReplaceAll(settings.Markdown(&c), "### ", "## "))
}

const protocolsHead = `# Settings of the protocols

` + "```sh run\n./ibot eval --help\n```" + `

lists the protocols, and ` + "`./ibot eval NAME --help`" + ` the settings of one, with those that all have:
network, images, device, cache. What the protocols do is in [evaluate.md](evaluate.md).

<!-- Generated from the protocols' settings: go test ./cmd/ibot -run TestSettingsDoc -update -->
`

// TestSettingsDocOfProtocols does the same for docs/protocols.md.
func TestSettingsDocOfProtocols(t *testing.T) {
	want := protocolsHead
	for _, kind := range eval.Protocols() {
		want += "\n## " + kind.Name + "\n\n" + strings.Join(strings.Fields(kind.Long), " ") + "\n\n" +
			"`--data`: " + kind.Data + ".\n\n" + settings.Markdown(kind.New())
	}
	checkGenerated(t, "protocols.md", want)
}

// checkGenerated compares a page of the documentation with what it should be; -update rewrites it.
func checkGenerated(t *testing.T, name, want string) {
	t.Helper()
	path := filepath.Join(root, "docs", name)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not that of the settings in the code; to write it anew:\n\tgo test ./cmd/ibot -run TestSettingsDoc -update", path)
	}
}

// pages returns the documentation by path: the README, where there is one, and what lies in docs.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts[path] = string(text)
		}
	}
	return texts
}

var (
	runBlock = regexp.MustCompile("(?ms)^```sh run\n(.*?)^```$")
	command  = regexp.MustCompile("\\./ibot (?:\\\\\n|[^\n`#|])*") // to the end of the line, unless a backslash is there
	flagName = regexp.MustCompile("--[a-z][a-z_0-9-]*")
	link     = regexp.MustCompile(`\]\(([^)#:]+)\)`) // to a file of the repository
)

// TestDocsRun runs the blocks that are marked "sh run", those of a page one after the other in a folder of its own.
func TestDocsRun(t *testing.T) {
	program := filepath.Join(t.TempDir(), "ibot")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for path, text := range pages(t) {
		blocks := runBlock.FindAllStringSubmatch(text, -1)
		if len(blocks) == 0 {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Symlink(program, filepath.Join(dir, "ibot")); err != nil {
				t.Fatal(err)
			}
			for _, block := range blocks {
				cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", block[1])
				cmd.Dir = dir
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s\n%s", err, block[1], out)
				}
			}
		})
	}
}

// TestDocsNames checks that commands in the documentation have flags that exist, and that links lead somewhere.
func TestDocsNames(t *testing.T) {
	for path, text := range pages(t) {
		for _, line := range command.FindAllString(text, -1) {
			verb, _, err := newRoot().Find(strings.Fields(line)[1:])
			if err != nil {
				t.Errorf("%s: %q: %v", path, line, err)
				continue
			}
			verb.InitDefaultHelpFlag()
			for _, name := range flagName.FindAllString(line, -1) {
				if verb.Flags().Lookup(name[2:]) == nil {
					t.Errorf("%s: %q: %s has no %s", path, line, verb.CommandPath(), name)
				}
			}
		}
		for _, to := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), to[1])); err != nil {
				t.Errorf("%s: a link leads nowhere: %v", path, err)
			}
		}
	}
}
