package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ibot/data"
	"ibot/imaging"
	"ibot/internal/atomicfile"
	"ibot/internal/progress"
)

// readFlags say how images are read by the verbs that look at sets.
type readFlags struct {
	InChans        int  `name:"in_chans" group:"Reading" range:"[1,64]" help:"channels to read images with, as pretrain has it"`
	AllowTruncated bool `name:"allow_truncated" help:"take the part that is there of files that were cut off"`
	Workers        int  `name:"num_workers" range:"[0,256]" help:"images read at a time; 0: one per CPU. The result does not depend on it"`
}

func (f readFlags) decode() imaging.Options {
	return imaging.Options{Channels: f.InChans, AllowTruncated: f.AllowTruncated}
}

// newDataCheckVerb makes ibot data check, which reads every image of a set.
func newDataCheckVerb() *cobra.Command {
	flags := struct {
		JSON bool   `name:"json" help:"print one JSON object"`
		Out  string `name:"out" arg:"REPORT" help:"also write the report to this file, as JSON where its name ends in .json"`
		readFlags
	}{readFlags: readFlags{InChans: 3}}
	verb := &cobra.Command{
		Use:   "check DATA",
		Short: "read every image of a set, and say what is wrong with it",
		Long: "Reads and decodes every image of a set (all parts of it, where it has train and\n" +
			"val), and reports counts, sizes, formats, channels, labels, images that cannot\n" +
			"be read, exact duplicates, images that lie in several parts, and what to do.",
		Example: "  ibot data check photos\n" +
			"  ibot data check photos.zip --out report.json",
		Args: arguments(1, 1),
	}
	bind(verb, &flags)
	verb.RunE = func(cmd *cobra.Command, args []string) error {
		if flags.Out != "" { // before hours of reading
			if err := atomicfile.Check(flags.Out); err != nil {
				return fmt.Errorf("data check: --out: %w", err)
			}
		}
		parts, err := openParts(args[0], data.Options{Decode: flags.decode()})
		if err != nil {
			return err
		}
		report, err := check(cmd.Context(), parts, flags.readFlags, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		var unwritten error // which comes after the report: what took hours to find is not lost
		if flags.Out != "" {
			write := report.WriteText
			if strings.EqualFold(filepath.Ext(flags.Out), ".json") {
				write = report.WriteJSON
			}
			if err := atomicfile.Write(flags.Out, write); err != nil {
				unwritten = fmt.Errorf("data check: --out: %w", err)
			}
		}
		write := report.WriteText
		if flags.JSON {
			write = report.WriteJSON
		}
		return cmp.Or(unwritten, write(cmd.OutOrStdout()))
	}
	return verb
}

// openParts opens all parts of a set, or the whole of one that has none.
func openParts(path string, o data.Options) ([]data.Part, error) {
	names, err := o.Splits(path)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		set, err := o.Open(path)
		return []data.Part{{Set: set}}, err
	}
	var parts []data.Part
	for _, name := range names {
		set, err := o.OpenSplit(path, name)
		if err != nil {
			return nil, err
		}
		parts = append(parts, data.Part{Name: name, Set: set})
	}
	return parts, nil
}

// check is data.Check under a progress bar.
func check(ctx context.Context, parts []data.Part, flags readFlags, stderr io.Writer) (*data.Report, error) {
	total := 0
	for _, part := range parts {
		total += part.Set.Len()
	}
	bar := progress.New(stderr)
	bar.Start(progress.Task{Label: "checking", Unit: "img", Total: total})
	defer bar.Finish()
	return data.Check(ctx, parts, data.CheckOptions{
		Decode: flags.decode(), Workers: flags.Workers,
		Progress: func(done, unreadable int) { bar.Set(done, fmt.Sprintf("%d unreadable", unreadable)) },
	})
}
