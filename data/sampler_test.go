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
