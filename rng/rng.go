// Package rng turns one seed into independent, named streams of random numbers.
//
// A stream depends on its key alone: on the seed, a name and a few integers (epoch, image,
// view). It does not depend on what was drawn before, so neither the number of workers, nor
// the number of processes, nor the place where a run resumed changes a result. There is no
// global generator.
package rng

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
)

// Seed is the one number a run is seeded with.
type Seed uint64

// Stream returns the generator of the given name and key. The same seed, name and keys give
// the same numbers on every machine.
func (s Seed) Stream(name string, keys ...int) *Stream {
	h := fnv.New128a()
	var word [8]byte
	write := func(v uint64) {
		binary.LittleEndian.PutUint64(word[:], v)
		h.Write(word[:])
	}
	write(uint64(s))
	write(uint64(len(name))) // so that ("a", "b"...) and ("ab", ...) differ
	h.Write([]byte(name))
	for _, k := range keys {
		write(uint64(k))
	}
	sum := h.Sum(nil)
	// FNV mixes its last bytes little; PCG's output function and this finaliser do the rest.
	hi := mix(binary.BigEndian.Uint64(sum[:8]))
	lo := mix(binary.BigEndian.Uint64(sum[8:]) ^ hi)
	return &Stream{*rand.New(rand.NewPCG(hi, lo))}
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection on 64 bits in
// which every input bit flips half of the output bits.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Stream is a generator of one key. It has the methods of math/rand/v2's Rand. It is not safe
// for use by several goroutines at once; make a stream for each instead.
type Stream struct {
	rand.Rand
}

// Uniform returns a number drawn evenly from [lo, hi). It accepts lo > hi, as Python's
// random.uniform does.
func (r *Stream) Uniform(lo, hi float64) float64 {
	return lo + (hi-lo)*r.Float64()
}

// Bernoulli returns true with probability p.
func (r *Stream) Bernoulli(p float64) bool {
	return r.Float64() < p
}

// IntRange returns an integer drawn evenly from [lo, hi], both ends included.
func (r *Stream) IntRange(lo, hi int) int {
	return lo + r.IntN(hi-lo+1)
}
