//go:build !noengine

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"ibot/torch"
	"ibot/train"
)

// comparison is a printed result of a bench, beside an earlier one where there is one.
type comparison[R any] struct {
	strings.Builder
	now    R
	before *R
}

// row prints one figure of both results, with the ratio of the new to the earlier one.
func (c *comparison[R]) row(name, format string, value func(R) float64) {
	fmt.Fprintf(c, "%-16s %s", name, fmt.Sprintf(format, value(c.now)))
	if c.before != nil {
		fmt.Fprintf(c, "   before %s  x %.2f", fmt.Sprintf(format, value(*c.before)), value(c.now)/value(*c.before))
	}
	c.WriteByte('\n')
}

// earlier reads a result that ibot bench VERB --json printed; nil where no file is named. whole says whether it
// is one.
func earlier[R any](path, verb string, whole func(R) bool) (*R, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r R
	if err := json.Unmarshal(text, &r); err != nil || !whole(r) {
		return nil, fmt.Errorf("bench %s: %s is no result of ibot bench %s --json", verb, path, verb)
	}
	return &r, nil
}

// engineName is the engine of a result.
func engineName() string { return "libtorch " + torch.Version() }

// matrixPeak is what a large product on this machine reaches, in GFLOP/s.
func matrixPeak(d torch.Device, precision string) float64 {
	return torch.MatrixPeak(d, train.Precisions[precision]) / 1e9
}

// withAdvice adds to an error of memory what to do about a batch of so many images.
func withAdvice(err error, batch int) error {
	if errors.Is(err, torch.ErrOutOfMemory) {
		return fmt.Errorf("%w; lower --batch_size, now %d", err, batch)
	}
	return err
}
