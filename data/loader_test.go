package data_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ibot/data"
	"ibot/imaging"
	"ibot/rng"
)

// buffer is a batch that notes its step and one number a slot.
type buffer struct {
	step   int
	images []int
	values []uint64
}

func newLoader(workers, ahead int) *data.Loader[*buffer] {
	return &data.Loader[*buffer]{
		Workers: workers,
		Ahead:   ahead,
		New:     func() *buffer { return &buffer{values: make([]uint64, 8)} },
		Begin: func(b *buffer, step int, images []int) {
			b.step, b.images = step, images
		},
		Fill: func(_ context.Context, b *buffer, slot, image int) error {
			if image%3 == 0 {
				runtime.Gosched() // so that slots end out of turn
			}
			b.values[slot] = seedOfSlots.Stream("value", b.step, image).Uint64()
			return nil
		},
	}
}

const seedOfSlots = rng.Seed(5)

// settle waits until no more goroutines run than before, and fails when that never happens.
func settle(t *testing.T, before int) {
	t.Helper()
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	stacks := make([]byte, 1<<16)
	t.Errorf("%d goroutines run, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
}

func TestBatchesAreTheSameWithAnyNumberOfWorkers(t *testing.T) {
	before := runtime.NumGoroutine()
	var want []string
	for _, c := range [][2]int{{1, 1}, {1, 4}, {3, 1}, {8, 3}, {0, 0}} {
		sampler := newSampler(t, 50, 8, 0, 1)
		loader := newLoader(c[0], c[1])
		var got []string
		for b, err := range loader.Run(t.Context(), 2, 20, sampler.Batch) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(b.step, b.images, b.values))
		}
		if len(got) != 18 {
			t.Fatalf("%d workers, %d ahead: got %d batches, want 18", c[0], c[1], len(got))
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d workers, %d ahead: got\n%v\nwant\n%v", c[0], c[1], got, want)
		}
		if s := loader.Stats(); s.Batches != 18 || s.Wait <= 0 {
			t.Errorf("the figures are %+v, want 18 batches and some time", s)
		}
	}
	settle(t, before)
}

// There are never more batches than those ahead and the consumer's.
func TestMemoryIsBounded(t *testing.T) {
	loader := newLoader(4, 3)
	var made atomic.Int64
	create := loader.New
	loader.New = func() *buffer { made.Add(1); return create() }
	sampler := newSampler(t, 64, 8, 0, 1)
	for range loader.Run(t.Context(), 0, 100, sampler.Batch) {
		runtime.Gosched()
	}
	if n := made.Load(); n < 1 || n > 4 {
		t.Errorf("made %d batches for 3 ahead, want at most 4", n)
	}
}

// blank is a set of any length whose images are made when they are asked for.
type blank struct{ n int }

func (b blank) Len() int        { return b.n }
func (blank) Name(i int) string { return fmt.Sprintf("%07d.png", i) }
func (blank) Label(int) int     { return -1 }
func (blank) Classes() []string { return nil }
func (blank) Load(i int) (*imaging.Image, error) {
	if i%1000 == 7 {
		return nil, fmt.Errorf("image %d is broken", i)
	}
	return imaging.New(8, 8, 3), nil
}

// An epoch of a million images, of which a thousand are broken, leaves behind the account of those
// and nothing else.
func TestMemoryIsFlatOverAMillionImages(t *testing.T) {
	const n, size = 1_000_000, 1000
	sampler := newSampler(t, n, size, 0, 1)
	bad, err := data.OpenBadImages(filepath.Join(t.TempDir(), "bad.jsonl"), blank{n})
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	loader := newLoader(2, 2)
	loader.New = func() *buffer { return &buffer{values: make([]uint64, size)} }
	loader.Fill = func(_ context.Context, b *buffer, slot, image int) error {
		im, index, err := bad.Load(image)
		if err == nil {
			b.values[slot] = uint64(index + len(im.Pix))
		}
		return err
	}
	var early int64
	seen := 0
	for b, err := range loader.Run(t.Context(), 0, n/size, sampler.Batch) {
		if err != nil {
			t.Fatal(err)
		}
		seen += len(b.images)
		if seen == 100_000 {
			early = heap()
		}
	}
	if seen != n || bad.Count() != n/1000 {
		t.Errorf("saw %d images, of which %d are broken, want %d and %d", seen, bad.Count(), n, n/1000)
	}
	if grown := heap() - early; grown > 1<<20 {
		t.Errorf("after a million images %d KiB more are in use than after the first hundred thousand", grown>>10)
	}
}

// While the consumer has a batch, the ones ahead are filled, but its own is left alone.
func TestWorkGoesOnWhileTheConsumerIsBusy(t *testing.T) {
	loader := newLoader(2, 2)
	begun := make(chan int, 100)
	loader.Begin = func(b *buffer, step int, images []int) { b.step, b.images = step, images; begun <- step }
	sampler := newSampler(t, 64, 8, 0, 1)
	for b, err := range loader.Run(t.Context(), 0, 3, sampler.Batch) {
		if err != nil {
			t.Fatal(err)
		}
		if b.step == 0 {
			for range 3 { // blocks for ever if step 1 or 2 waits for the consumer
				<-begun
			}
			if b.step != 0 {
				t.Error("the consumer's batch was filled anew")
			}
		}
	}
}

func TestTheErrorOfASlotComesWithItsBatch(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, workers := range []int{1, 8} {
		loader := newLoader(workers, 2)
		fill := loader.Fill
		loader.Fill = func(ctx context.Context, b *buffer, slot, image int) error {
			if b.step == 3 && slot >= 2 {
				return fmt.Errorf("slot %d is broken", slot)
			}
			return fill(ctx, b, slot, image)
		}
		var steps []int
		var last error
		for b, err := range loader.Run(t.Context(), 0, 10, newSampler(t, 64, 8, 0, 1).Batch) {
			steps, last = append(steps, b.step), err
		}
		if !slices.Equal(steps, []int{0, 1, 2, 3}) || last == nil || last.Error() != "slot 2 is broken" {
			t.Errorf("%d workers: got steps %v and error %v, want 0 to 3 and slot 2", workers, steps, last)
		}
	}
	settle(t, before)
}

func TestLeavingTheLoopEndsTheWork(t *testing.T) {
	before := runtime.NumGoroutine()
	loader := newLoader(4, 2)
	var busy atomic.Int64
	fill := loader.Fill
	loader.Fill = func(ctx context.Context, b *buffer, slot, image int) error {
		busy.Add(1)
		defer busy.Add(-1)
		return fill(ctx, b, slot, image)
	}
	for range 20 {
		for b := range loader.Run(t.Context(), 0, 1000, newSampler(t, 64, 8, 0, 1).Batch) {
			if b.step == 2 {
				break
			}
		}
		if n := busy.Load(); n != 0 {
			t.Fatalf("%d workers are busy after the loop", n)
		}
	}
	settle(t, before)
}

func TestCancelEndsTheLoopWithTheCause(t *testing.T) {
	before := runtime.NumGoroutine()
	stop := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	loader := newLoader(4, 2)
	// Slots that only end when they are told to, as a read from a dead network file system.
	var once sync.Once
	loader.Fill = func(ctx context.Context, b *buffer, slot, image int) error {
		if b.step < 2 {
			return nil
		}
		once.Do(func() { cancel(stop) })
		<-ctx.Done()
		return ctx.Err()
	}
	var steps []int
	var last error
	for b, err := range loader.Run(ctx, 0, 1000, newSampler(t, 64, 8, 0, 1).Batch) {
		last = err
		if err == nil {
			steps = append(steps, b.step)
		} else if b != nil {
			t.Errorf("got batch %v beside the error, want none", b)
		}
	}
	if !errors.Is(last, stop) {
		t.Errorf("the loop ended with %v, want %v", last, stop)
	}
	if len(steps) > 2 || !slices.Equal(steps, []int{0, 1}[:len(steps)]) {
		t.Errorf("got steps %v, want none after 1", steps)
	}
	settle(t, before)

	for _, err := range loader.Run(ctx, 0, 10, newSampler(t, 64, 8, 0, 1).Batch) {
		if !errors.Is(err, stop) {
			t.Errorf("a run that begins cancelled gave %v, want %v", err, stop)
		}
	}
	settle(t, before)
}

func TestNothingToDo(t *testing.T) {
	for b, err := range newLoader(2, 2).Run(t.Context(), 5, 5, newSampler(t, 64, 8, 0, 1).Batch) {
		t.Errorf("no steps gave %v, %v", b, err)
	}
	empty := 0
	for b, err := range newLoader(2, 2).Run(t.Context(), 0, 2, func(int) []int { return nil }) {
		if err != nil || len(b.images) != 0 {
			t.Errorf("an empty batch gave %v, %v", b, err)
		}
		empty++
	}
	if empty != 2 {
		t.Errorf("got %d empty batches, want 2", empty)
	}
}

func BenchmarkLoaderOverhead(b *testing.B) {
	loader := newLoader(2, 2)
	loader.Fill = func(context.Context, *buffer, int, int) error { return nil }
	sampler := newSampler(b, 64, 8, 0, 1)
	for b.Loop() {
		for range loader.Run(b.Context(), 0, 100, sampler.Batch) {
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/800, "ns/slot")
}
