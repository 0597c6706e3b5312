package torch

/*
#include "shim.h"
*/
import "C"

import (
	"runtime"
	"time"
)

// Reading is the values of a tensor on their way from a device to the host. Whoever has it takes them, or calls Free.
type Reading struct {
	host  *Tensor
	event C.ib_event // nil: they are there
}

// ReadLater begins to read t, as it will be when the device has done what it was told to do so far, and waits for nothing.
func (t *Tensor) ReadLater() *Reading {
	var host C.ib_tensor
	r := &Reading{}
	check("read_later", C.ib_read_later(t.handle(), &host, &r.event), [][]int{t.Shape()})
	runtime.KeepAlive(t)
	r.host = wrap(host, 0).Own()
	return r
}

// poll is how long the host sleeps between two looks at the device: short beside a step, and long enough to leave the
// processor to the loader.
const poll = 50 * time.Microsecond

// Floats waits until the values are there, and returns them row-major. It can be called once.
func (r *Reading) Floats() []float32 {
	defer r.Free()
	for over := C.int32_t(0); r.event != nil; {
		check("event", C.ib_event_over(r.event, &over), nil)
		if over != 0 {
			break
		}
		time.Sleep(poll)
	}
	return r.host.Floats()
}

// Free gives up what has not been read.
func (r *Reading) Free() {
	if r.event != nil {
		C.ib_event_free(r.event)
		r.event = nil
	}
	r.host.Free()
}
