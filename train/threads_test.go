package train_test

import (
	"testing"

	"ibot/internal/settings"
	"ibot/method"
	"ibot/recipes"
	"ibot/torch"
	"ibot/train"
)

// Only the steps of a small network on a small batch run on one thread, and what follows a step has all again.
func TestASmallStepRunsOnOneThread(t *testing.T) {
	defer torch.SetThreads(torch.Threads())
	torch.SetThreads(2)
	for _, c := range []struct {
		recipe      string
		batch, want int
	}{{"tiny", 8, 1}, {"tiny", 64, 2}, {"demo", 64, 2}} {
		r, err := recipes.Load(c.recipe)
		if err != nil {
			t.Fatal(err)
		}
		config := train.Default()
		if err := settings.DecodeYAML(r.File(), r.YAML, &config); err != nil {
			t.Fatal(err)
		}
		config.BatchSize = c.batch
		err = train.EachStep(config, torch.CPU, func(m *method.Model, step func()) error {
			m.Phase = func(name string) {
				if got := torch.Threads(); got != c.want {
					t.Errorf("%s, batch %d: %s on %d threads, want %d", c.recipe, c.batch, name, got, c.want)
				}
			}
			step()
			if got := torch.Threads(); got != 2 {
				t.Errorf("%s, batch %d: %d threads after the step, want 2", c.recipe, c.batch, got)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
