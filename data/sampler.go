package data

import (
	"fmt"
	"slices"
	"sync"

	"ibot/rng"
)

// Order is the order of n images in an epoch: a permutation of 0..n-1 that depends on the seed
// and the epoch alone.
func Order(seed rng.Seed, epoch, n int) []int {
	return seed.Stream("order", epoch).Perm(n)
}

// Batches cuts an order into batches of the given size. What is left over at the end is
// dropped, as the reference does. The batches share the memory of order.
func Batches(order []int, size int) [][]int {
	batches := make([][]int, 0, len(order)/size)
	for len(order) >= size {
		batches = append(batches, order[:size:size])
		order = order[size:]
	}
	return batches
}

// Shard is the part of a batch that falls to one of world processes: consecutive images, at
// most one more than another's. The parts in the order of their ranks are the batch, so the
// number of processes does not change what a step learns from.
func Shard(batch []int, rank, world int) []int {
	lo, hi := len(batch)*rank/world, len(batch)*(rank+1)/world
	return batch[lo:hi:hi]
}

// Sampler says which images make the batch of each step of a run. Steps count on from epoch to
// epoch, so a run that goes on in the midst of an epoch needs nothing but the step.
type Sampler struct {
	seed        rng.Seed
	n, size     int
	rank, world int
	shards      []int // where each large file ends; nil for an order that takes no account of them
	buffer      int

	mu    sync.Mutex
	epoch int   // whose order is kept
	order []int // nil at first
}

// NewSampler returns the sampler of n images for the process of the given rank among world
// processes. batchSize is the number of images in a batch of all processes together. It errs
// when the images do not fill one batch or the batch does not give each process an image.
func NewSampler(seed rng.Seed, n, batchSize, rank, world int) (*Sampler, error) {
	switch {
	case world < 1 || rank < 0 || rank >= world:
		return nil, fmt.Errorf("data: rank %d of %d processes does not exist; ranks go from 0 to the number of processes less one", rank, world)
	case batchSize < world:
		return nil, fmt.Errorf("data: a batch of %d images cannot be shared by %d processes; raise the batch size", batchSize, world)
	case n < batchSize:
		return nil, fmt.Errorf("data: %d images do not fill a batch of %d; lower the batch size to %d or less, or add images", n, batchSize, n)
	}
	return &Sampler{seed: seed, n: n, size: batchSize, rank: rank, world: world}, nil
}

// StepsPerEpoch is the number of full batches in an epoch, at least 1.
func (s *Sampler) StepsPerEpoch() int { return s.n / s.size }

// Epoch is the epoch to which a step belongs, counted from 0.
func (s *Sampler) Epoch(step int) int { return step / s.StepsPerEpoch() }

// Batch are the images of this process in the batch of a step. The slice must not be changed.
// Steps may be asked for in any order; those of one epoch after another are fast.
func (s *Sampler) Batch(step int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := step % s.StepsPerEpoch() * s.size
	return Shard(s.epochOrder(step)[at:at+s.size], s.rank, s.world)
}

// epochOrder is the order of the epoch of a step, for holders of mu.
func (s *Sampler) epochOrder(step int) []int {
	epoch := s.Epoch(step)
	switch {
	case s.order != nil && s.epoch == epoch:
	case s.shards != nil:
		s.order = ShardOrder(s.seed, epoch, s.shards, s.buffer)
	default:
		s.order = Order(s.seed, epoch, s.n)
	}
	s.epoch = epoch
	return s.order
}

// ByShard lets epochs go through the large files of a set one after the other, in an order that is
// new each epoch, and mix the images within a buffer of the given size; see [ShardOrder]. That
// reads the files almost from front to back, which disks and Parquet files reward, for an order
// that is less mixed. shards are those of [Sharded].
func (s *Sampler) ByShard(shards []int, buffer int) error {
	if len(shards) == 0 || shards[len(shards)-1] != s.n || !slices.IsSorted(shards) {
		return fmt.Errorf("data: shards that end at %v are not those of %d images", shards, s.n)
	}
	if buffer < 1 {
		return fmt.Errorf("data: a buffer of %d images mixes nothing; raise it", buffer)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards, s.buffer, s.order = shards, buffer, nil
	return nil
}

// ShardOrder is an order that a stream of shards has when it is mixed as WebDataset does: the
// shards, which end at the given images, in an order of their own each epoch, and of the images
// that follow one another a buffer from which each next one is drawn.
func ShardOrder(seed rng.Seed, epoch int, shards []int, buffer int) []int {
	r := seed.Stream("shards", epoch)
	order := make([]int, 0, shards[len(shards)-1])
	var held []int
	draw := func() {
		i := r.IntN(len(held))
		order = append(order, held[i])
		held[i] = held[len(held)-1]
		held = held[:len(held)-1]
	}
	for _, shard := range r.Perm(len(shards)) {
		first := 0
		if shard > 0 {
			first = shards[shard-1]
		}
		for image := first; image < shards[shard]; image++ {
			if held = append(held, image); len(held) >= buffer {
				draw()
			}
		}
	}
	for len(held) > 0 {
		draw()
	}
	return order
}
