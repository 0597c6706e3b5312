package torch

import (
	"errors"
	"fmt"
	"strings"
)

// ErrOutOfMemory is what an [*Error] of exhausted memory unwraps to.
var ErrOutOfMemory = errors.New("out of memory")

// Error is what an operator panics with and [Run] returns.
type Error struct {
	Op     string  // "aten::linear"
	Shapes [][]int // of the tensors it was given
	Msg    string  // libtorch's message, without its C++ backtrace
	OOM    bool    // memory was exhausted
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "torch: %s", strings.TrimPrefix(e.Op, "aten::"))
	if len(e.Shapes) > 0 {
		b.WriteString("(")
		for i, s := range e.Shapes {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(strings.ReplaceAll(fmt.Sprint(s), " ", ", "))
		}
		b.WriteString(")")
	}
	b.WriteString(": ")
	b.WriteString(strings.TrimSpace(e.Msg))
	return b.String()
}

// Unwrap returns [ErrOutOfMemory] where that was the cause.
func (e *Error) Unwrap() error {
	if e.OOM {
		return ErrOutOfMemory
	}
	return nil
}
