//go:build !noengine

package main

import (
	"fmt"
	"strings"

	"ibot/torch"
)

func init() { engineFacts = torchFacts }

// torchFacts says which libtorch runs the networks and which devices it sees.
func torchFacts() []fact {
	facts := []fact{
		{"libtorch", torch.Version()},
		{"threads", fmt.Sprint(torch.Threads())},
		{"fp32", "matrix products by " + torch.GEMM()},
	}
	if n, why := torch.CUDADevices(); n > 0 {
		return append(facts, fact{"cuda", fmt.Sprintf("%d devices", n)})
	} else {
		return append(facts, fact{"cuda", "none: " + strings.TrimSpace(why)})
	}
}
