package data_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ibot/data"
	"ibot/rng"
)

func TestOrderIsAPermutationOfItsOwn(t *testing.T) {
	seen := map[string]string{}
	for _, seed := range []rng.Seed{0, 1} {
		for epoch := range 3 {
			order := data.Order(seed, epoch, 50)
			if again := data.Order(seed, epoch, 50); !slices.Equal(order, again) {
				t.Fatalf("epoch %d has two orders", epoch)
			}
			key, who := fmt.Sprint(order), fmt.Sprintf("seed %d epoch %d", seed, epoch)
			if other, dup := seen[key]; dup {
				t.Errorf("%s has the order of %s", who, other)
			}
			seen[key] = who
			slices.Sort(order)
			for i, v := range order {
				if i != v {
					t.Fatalf("%s is no permutation", who)
				}
			}
		}
	}
}

func TestBatchesDropWhatIsLeft(t *testing.T) {
	got := fmt.Sprint(data.Batches([]int{5, 3, 1, 4, 2}, 2))
	if want := "[[5 3] [1 4]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := data.Batches([]int{1}, 2); len(got) != 0 {
		t.Errorf("one image gave batches of two: %v", got)
	}
}

func TestShardsTogetherAreTheBatch(t *testing.T) {
	batch := data.Order(0, 0, 23)
	for world := 1; world <= 23; world++ {
		var union []int
		for rank := range world {
			shard := data.Shard(batch, rank, world)
			if len(shard) < 23/world || len(shard) > 23/world+1 {
				t.Errorf("rank %d of %d has %d of 23 images", rank, world, len(shard))
			}
			union = append(union, shard...)
		}
		if !slices.Equal(union, batch) {
			t.Errorf("the shards of %d processes are %v, want %v", world, union, batch)
		}
	}
}

func newSampler(t testing.TB, n, size, rank, world int) *data.Sampler {
	t.Helper()
	s, err := data.NewSampler(7, n, size, rank, world)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSamplerGoesThroughEachEpoch(t *testing.T) {
	s := newSampler(t, 23, 5, 0, 1)
	if got := s.StepsPerEpoch(); got != 4 {
		t.Fatalf("an epoch has %d steps, want 4", got)
	}
	for epoch := range 3 {
		want := data.Batches(data.Order(7, epoch, 23), 5)
		for i, batch := range want {
			step := epoch*4 + i
			if got := s.Batch(step); !slices.Equal(got, batch) || s.Epoch(step) != epoch {
				t.Errorf("step %d (epoch %d) has %v, want %v of epoch %d", step, s.Epoch(step), got, batch, epoch)
			}
		}
	}
	// A run that goes on at a later step sees what it would have seen.
	if got, want := newSampler(t, 23, 5, 0, 1).Batch(6), s.Batch(6); !slices.Equal(got, want) {
		t.Errorf("step 6 has %v after going on, want %v", got, want)
	}
}

func TestSamplerOfManyProcesses(t *testing.T) {
	whole := newSampler(t, 50, 12, 0, 1)
	for _, world := range []int{2, 3, 5} {
		for step := range 9 {
			var union []int
			for rank := range world {
				union = append(union, newSampler(t, 50, 12, rank, world).Batch(step)...)
			}
			if want := whole.Batch(step); !slices.Equal(union, want) {
				t.Errorf("step %d of %d processes has %v, want %v", step, world, union, want)
			}
		}
	}
}

func TestSamplerRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		n, size, rank, world int
		want                 string
	}{
		"fewer images than a batch": {10, 64, 0, 1, "10 images do not fill a batch of 64; lower the batch size to 10"},
		"an empty batch":            {10, 0, 0, 1, "raise the batch size"},
		"fewer than processes":      {10, 3, 0, 4, "cannot be shared by 4 processes"},
		"no such rank":              {10, 5, 2, 2, "rank 2 of 2"},
		"no processes":              {10, 5, 0, 0, "rank 0 of 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := data.NewSampler(0, c.n, c.size, c.rank, c.world)
			if err == nil || !strings.HasPrefix(err.Error(), "data: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one that says %q", err, c.want)
			}
		})
	}
}

func TestShardOrder(t *testing.T) {
	shards := []int{10, 10, 25, 60} // the second is empty
	first := data.ShardOrder(7, 0, shards, 5)
	if again := data.ShardOrder(7, 0, shards, 5); !slices.Equal(first, again) {
		t.Error("an epoch has two orders")
	}
	if other := data.ShardOrder(7, 1, shards, 5); slices.Equal(first, other) {
		t.Error("two epochs have one order")
	}
	sorted := slices.Clone(first)
	slices.Sort(sorted)
	for i, v := range sorted {
		if i != v {
			t.Fatalf("%v is no permutation", first)
		}
	}
	// With a buffer of one it is the shards one after the other.
	plain := data.ShardOrder(7, 0, shards, 1)
	for i := 1; i < len(plain); i++ {
		if plain[i] != plain[i-1]+1 && !slices.Contains([]int{0, 10, 25}, plain[i]) {
			t.Errorf("image %d follows %d within a shard", plain[i], plain[i-1])
		}
	}
	// No image comes earlier than the buffer allows.
	at := map[int]int{}
	for i, v := range plain {
		at[v] = i
	}
	for i, v := range first {
		if at[v]-i >= 5 {
			t.Errorf("image %d of the stream comes at place %d through a buffer of 5", at[v], i)
		}
	}
}

func TestSamplerByShard(t *testing.T) {
	s := newSampler(t, 60, 8, 0, 1)
	if err := s.ByShard([]int{10, 60}, 4); err != nil {
		t.Fatal(err)
	}
	want := data.Batches(data.ShardOrder(7, 1, []int{10, 60}, 4), 8)
	if got := s.Batch(7 + 3); !slices.Equal(got, want[3]) {
		t.Errorf("got %v, want %v", got, want[3])
	}
	for _, c := range []struct {
		shards []int
		buffer int
	}{{nil, 4}, {[]int{10, 50}, 4}, {[]int{30, 20, 60}, 4}, {[]int{60}, 0}} {
		if err := s.ByShard(c.shards, c.buffer); err == nil || !strings.HasPrefix(err.Error(), "data: ") {
			t.Errorf("shards %v, buffer %d: got error %v", c.shards, c.buffer, err)
		}
	}
}

// What DeiT's RASampler gives (datasets/samplers.py: the order with each image k times, of which
// process r takes the places r, r+world, ...), over batches of all processes together.
func TestRepeatedSampler(t *testing.T) {
	const n, size, repeats = 23, 6, 3
	for _, world := range []int{1, 2, 3, 4} {
		for epoch := range 2 {
			var all []int // as RASampler lays them out
			for _, image := range data.Order(7, epoch, n) {
				all = append(all, image, image, image)
			}
			for rank := range world {
				var want, wantCopies []int
				for i := range n / size * size {
					if i%size%world == rank { // equal to i%world == rank where world divides the batch
						want, wantCopies = append(want, all[i]), append(wantCopies, i%repeats)
					}
				}
				s, err := data.NewRepeatedSampler(7, n, size, repeats, rank, world)
				if err != nil {
					t.Fatal(err)
				}
				if s.StepsPerEpoch() != n/size {
					t.Fatalf("an epoch has %d steps, want %d", s.StepsPerEpoch(), n/size)
				}
				var got, copies []int
				for i := range s.StepsPerEpoch() {
					step := epoch*s.StepsPerEpoch() + i
					got, copies = append(got, s.Batch(step)...), append(copies, s.Copies(step)...)
					if s.Epoch(step) != epoch {
						t.Errorf("step %d is of epoch %d", step, s.Epoch(step))
					}
				}
				if !slices.Equal(got, want) || !slices.Equal(copies, wantCopies) {
					t.Errorf("epoch %d, rank %d of %d: got\n%v\n%v\nwant\n%v\n%v", epoch, rank, world, got, copies, want, wantCopies)
				}
			}
		}
	}
	if _, err := data.NewRepeatedSampler(7, n, size, 0, 0, 1); err == nil || !strings.Contains(err.Error(), "repeated 0 times") {
		t.Errorf("got error %v", err)
	}
	if _, err := data.NewRepeatedSampler(7, 3, size, 3, 0, 1); err == nil || !strings.Contains(err.Error(), "do not fill a batch") {
		t.Errorf("got error %v", err)
	}
	once, err := data.NewRepeatedSampler(7, n, size, 1, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := once.Batch(2), newSampler(t, n, size, 0, 1).Batch(2); !slices.Equal(got, want) {
		t.Errorf("without repetition step 2 has %v, want %v", got, want)
	}
}
