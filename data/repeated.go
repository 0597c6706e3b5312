package data

import (
	"fmt"

	"ibot/rng"
)

// RepeatedSampler is a Sampler for repeated augmentation (Hoffer et al., CVPR 2020, as DeiT
// fine-tunes with it): each image comes several times in a row, with another augmentation each
// time, and its copies go to different processes. An epoch has as many steps as without
// repetition, so it sees one image in so many.
type RepeatedSampler struct {
	once    *Sampler
	repeats int
}

// NewRepeatedSampler returns the sampler that repeats each image repeats times; the rest is as in
// [NewSampler]. The reference, DeiT's RASampler, repeats three times.
func NewRepeatedSampler(seed rng.Seed, n, batchSize, repeats, rank, world int) (*RepeatedSampler, error) {
	if repeats < 1 {
		return nil, fmt.Errorf("data: images cannot be repeated %d times; once is without repetition", repeats)
	}
	s, err := NewSampler(seed, n, batchSize, rank, world)
	if err != nil {
		return nil, err
	}
	return &RepeatedSampler{s, repeats}, nil
}

// StepsPerEpoch is the number of full batches in an epoch, that of a Sampler.
func (s *RepeatedSampler) StepsPerEpoch() int { return s.once.StepsPerEpoch() }

// Epoch is the epoch to which a step belongs, counted from 0.
func (s *RepeatedSampler) Epoch(step int) int { return s.once.Epoch(step) }

// Batch are the images of this process in the batch of a step: the positions rank, rank+world and
// so on of the batch of all processes, so that the copies of an image go to different ones.
func (s *RepeatedSampler) Batch(step int) []int {
	s.once.mu.Lock()
	defer s.once.mu.Unlock()
	order := s.once.epochOrder(step)
	images := s.positions(step)
	for i, position := range images {
		images[i] = order[position/s.repeats]
	}
	return images
}

// Copies say, beside Batch, which copy each image is, from 0. A copy's augmentation is to be
// drawn from a stream with this number among its keys, or the copies would be equal.
func (s *RepeatedSampler) Copies(step int) []int {
	copies := s.positions(step)
	for i, position := range copies {
		copies[i] = position % s.repeats
	}
	return copies
}

// positions are those of this process's images in the repeated order of the epoch.
func (s *RepeatedSampler) positions(step int) []int {
	at := step % s.StepsPerEpoch() * s.once.size
	var positions []int
	for i := s.once.rank; i < s.once.size; i += s.once.world {
		positions = append(positions, at+i)
	}
	return positions
}
