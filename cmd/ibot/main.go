// Command ibot pre-trains, evaluates and studies vision transformers by the method of iBOT
// (Zhou et al., ICLR 2022). Each verb is a file of this folder; ibot --help lists them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes.
const (
	exitOK          = 0
	exitError       = 1   // something failed while it was done
	exitUsage       = 2   // what was typed makes no sense; nothing was done
	exitInterrupted = 130 // SIGINT or SIGTERM, after what could be saved was saved
)

func main() {
	// The first signal ends the context, and verbs finish their step and save. The second one
	// kills, because the handler is gone by then.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes the command line args and returns the exit code. Results go to stdout; errors,
// a line each, and everything else to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := execute(ctx, args, stdout, stderr)
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		fmt.Fprintln(stderr, "ibot: interrupted")
		return exitInterrupted
	}
	var differ differError
	if errors.As(err, &differ) {
		return exitError // the result on stdout has said it
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "ibot: %s\n", strings.TrimRight(line, "\n"))
	}
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitError
}

// usageError is a mistake in what was typed or in a settings file: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// usagef makes a usageError.
func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// differError is the negative answer of a comparison: exit code 1, like that of diff.
type differError struct{}

func (differError) Error() string { return "they differ" }
