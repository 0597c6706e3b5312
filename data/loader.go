package data

import (
	"context"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Loader fills batches of type B in parallel and delivers them in order. Slots of a batch are
// filled by different workers at once, and batches to come are filled while the consumer is
// busy with one. When Fill depends on its arguments alone, the batches are the same with any
// number of workers.
//
// A batch is the caller's own type, with the buffers that a step needs. There are Ahead+1 of
// them, made by New and used again and again, so memory is bounded.
type Loader[B any] struct {
	// Workers is the number of goroutines that fill; 0 means one for each CPU.
	Workers int
	// Ahead is the number of batches that are filled before they are asked for; 0 means 2.
	Ahead int
	// New makes a batch.
	New func() B
	// Begin, where set, is called before the slots of a batch are filled, a place to note the
	// step and its images in the batch. It runs beside the Fill of other batches.
	Begin func(b B, step int, images []int)
	// Fill puts an image into a slot of a batch. It is called by several goroutines at once,
	// for different slots. Long work should end early with ctx.
	Fill func(ctx context.Context, b B, slot, image int) error

	batches atomic.Int64
	waited  atomic.Int64 // nanoseconds
}

// Stats tells how a loader keeps up with its consumer.
type Stats struct {
	Batches int           // delivered
	Wait    time.Duration // for which the consumer stood still
}

// Stats are the figures of all runs so far. It may be called at any time.
func (l *Loader[B]) Stats() Stats {
	return Stats{int(l.batches.Load()), time.Duration(l.waited.Load())}
}

// Run delivers the batches of the steps from, from+1, ... to-1, whose images are those that
// images returns (see [Sampler.Batch]):
//
//	for batch, err := range loader.Run(ctx, step, total, sampler.Batch) {
//
// A batch is the consumer's until the next one is asked for; then it is filled anew. When a
// slot cannot be filled, its batch comes with the error of the lowest such slot and is the last.
// When ctx is done, the last is the zero B with the cause.
//
// All goroutines have ended when the loop has, however it was left.
func (l *Loader[B]) Run(ctx context.Context, from, to int, images func(step int) []int) iter.Seq2[B, error] {
	return func(yield func(B, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()

		workers, ahead := l.Workers, l.Ahead
		if workers <= 0 {
			workers = runtime.NumCPU()
		}
		if ahead <= 0 {
			ahead = 2
		}
		free := make(chan *pending[B], ahead+1)
		for range ahead + 1 {
			free <- nil // made when it is first needed
		}
		queue := make(chan *pending[B], ahead+1) // in the order of the steps; never blocks
		slots := make(chan slot[B], 64)          // so that a worker finds the next slot there, and is not woken for each

		running.Go(func() { l.dispatch(ctx, from, to, images, free, queue, slots) })
		for range workers {
			running.Go(func() { l.work(ctx, slots) })
		}
		for p := range l.await(ctx, queue) {
			if p == nil {
				var none B
				yield(none, context.Cause(ctx))
				return
			}
			l.batches.Add(1)
			if !yield(p.batch, p.err) || p.err != nil {
				return
			}
			free <- p
		}
	}
}

// pending is a batch on its way.
type pending[B any] struct {
	batch  B
	left   atomic.Int64  // slots still to be filled, and one for the dispatcher
	filled chan struct{} // closed when none is left

	mu      sync.Mutex
	err     error
	errSlot int
}

// slot is one piece of work.
type slot[B any] struct {
	p           *pending[B]
	slot, image int
}

// dispatch hands out the slots of each step as batches become free.
func (l *Loader[B]) dispatch(ctx context.Context, from, to int, images func(step int) []int,
	free, queue chan *pending[B], slots chan<- slot[B],
) {
	defer close(queue)
	for step := from; step < to; step++ {
		var p *pending[B]
		select {
		case p = <-free:
		case <-ctx.Done():
			return
		}
		if p == nil {
			p = &pending[B]{batch: l.New()}
		}
		numbers := images(step)
		p.err, p.filled = nil, make(chan struct{})
		p.left.Store(int64(len(numbers)) + 1)
		if l.Begin != nil {
			l.Begin(p.batch, step, numbers)
		}
		queue <- p
		for i, image := range numbers {
			select {
			case slots <- slot[B]{p, i, image}:
			case <-ctx.Done():
				return
			}
		}
		p.done()
	}
}

// work fills slots until the run is over.
func (l *Loader[B]) work(ctx context.Context, slots <-chan slot[B]) {
	for {
		select {
		case s := <-slots:
			if err := l.Fill(ctx, s.p.batch, s.slot, s.image); err != nil {
				s.p.fail(s.slot, err)
			}
			s.p.done()
		case <-ctx.Done():
			return
		}
	}
}

// fail keeps the error of the lowest slot, which is the same with any number of workers.
func (p *pending[B]) fail(slot int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil || slot < p.errSlot {
		p.err, p.errSlot = err, slot
	}
}

func (p *pending[B]) done() {
	if p.left.Add(-1) == 0 {
		close(p.filled)
	}
}

// await yields the filled batches in order, and nil when ctx is done before the last.
func (l *Loader[B]) await(ctx context.Context, queue <-chan *pending[B]) iter.Seq[*pending[B]] {
	return func(yield func(*pending[B]) bool) {
		for {
			start := time.Now()
			p, ok := (*pending[B])(nil), true
			select {
			case p, ok = <-queue:
			case <-ctx.Done():
			}
			if p != nil {
				select {
				case <-p.filled:
				case <-ctx.Done():
				}
			}
			l.waited.Add(int64(time.Since(start)))
			switch {
			case ctx.Err() != nil:
				yield(nil)
				return
			case !ok:
				return
			case !yield(p):
				return
			}
		}
	}
}
