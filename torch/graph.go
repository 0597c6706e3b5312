package torch

/*
#include "shim.h"
*/
import "C"

import (
	"runtime"
	"sync/atomic"
)

// Graph is work of a CUDA device that was recorded once. Its owner calls [Graph.Free].
type Graph struct{ h C.ib_graph }

// recording is whether work is being recorded. Values of the host would be copied once and never again, or from memory that holds
// others by then, so whatever copies them fails meanwhile.
var recording atomic.Bool

// Recording calls f, in which tensors cannot be made of values of the host, nor read.
func Recording(f func()) {
	recording.Store(true)
	defer recording.Store(false)
	f()
}

// notRecorded panics while work is recorded.
func notRecorded(op string) {
	if recording.Load() {
		panic(&Error{Op: op, Msg: "values of the host cannot be part of work that is recorded"})
	}
}

// Record records what f asks of the device d, which does none of it yet. What f makes and keeps lies in memory of the graph, where
// every [Graph.Replay] leaves it, and has no values before the first. With shared it is the memory of that graph: then
// what one leaves is taken before the other is replayed.
//
// What f reads has to stay where it is. Scalars are recorded as they are. An operator that waits for the device, as for a
// value, fails.
func Record(d Device, shared *Graph, f func()) (*Graph, error) {
	runtime.LockOSThread() // the stream that is current is a thread's
	defer runtime.UnlockOSThread()
	g := &Graph{}
	err := Run(func() error {
		var with C.ib_graph
		if shared != nil {
			with = shared.h
		}
		check("graph", C.ib_graph_begin(C.int32_t(d.Type), C.int32_t(d.Index), with, &g.h), nil)
		Recording(f)
		check("graph", C.ib_graph_end(g.h), nil)
		return nil
	})
	if err != nil {
		g.Free()
		return nil, err
	}
	return g, nil
}

// Replay has the device do the work, after what it was told to do so far.
func (g *Graph) Replay() { check("graph", C.ib_graph_replay(g.h), nil) }

// Free waits for the device and frees the graph with its memory, as far as no other graph and no tensor has it.
func (g *Graph) Free() {
	if g != nil && g.h != nil {
		C.ib_graph_free(g.h)
		g.h = nil
	}
}
