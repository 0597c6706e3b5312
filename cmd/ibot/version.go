package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"ibot/imaging"
)

func init() { verbs = append(verbs, newVersionVerb) }

// fact is a line of ibot version.
type fact struct{ name, value string }

// engineFacts says which engine runs the networks and which devices it sees. The file that
// links the engine sets it; it is called by the version verb only, because it starts the engine.
var engineFacts func() []fact

// newVersionVerb makes ibot version: what a report of a fault should contain.
func newVersionVerb() *cobra.Command {
	var flags struct {
		JSON bool `name:"json" help:"print one JSON object"`
	}
	verb := &cobra.Command{
		Use:     "version",
		Short:   "versions of ibot, Go and the engine, devices and CPU features",
		GroupID: groupAbout,
		Args:    arguments(0, 0),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, _ []string) error {
		facts := programFacts()
		if engineFacts != nil {
			facts = append(facts, engineFacts()...)
		}
		out := cmd.OutOrStdout()
		if flags.JSON {
			object := map[string]string{}
			for _, f := range facts {
				object[f.name] = f.value
			}
			return json.NewEncoder(out).Encode(object)
		}
		for _, f := range facts {
			if _, err := fmt.Fprintf(out, "%-9s %s\n", f.name, f.value); err != nil {
				return err
			}
		}
		return nil
	}
	return verb
}

// programFacts returns what is known without the engine.
func programFacts() []fact {
	return []fact{
		{"ibot", programVersion()},
		{"go", runtime.Version()},
		{"system", runtime.GOOS + "/" + runtime.GOARCH},
		{"jpeg", imaging.JPEGDecoder()},
		{"cpu", fmt.Sprintf("%d threads%s", runtime.NumCPU(), cpuFeatures())},
	}
}

// programVersion is the version that Go recorded in the binary: a tag, or the commit it was
// built from.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	if version == "" || version == "(devel)" {
		version = "devel"
	}
	recorded := map[string]string{}
	for _, s := range info.Settings {
		recorded[s.Key] = s.Value
	}
	// A version of the form v0.0.0-DATE-COMMIT names its commit already.
	if commit := recorded["vcs.revision"]; len(commit) >= 12 && !strings.Contains(version, commit[:12]) {
		version += " " + commit[:12]
	}
	if recorded["vcs.modified"] == "true" && !strings.HasSuffix(version, "+dirty") {
		version += " with changes"
	}
	return version
}
