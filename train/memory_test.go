package train_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"ibot/data"
	"ibot/imaging"
	"ibot/method"
	"ibot/torch"
	"ibot/train"
)

// gray is a set of images in memory that take no time.
type gray struct{ n int }

func (g gray) Len() int          { return g.n }
func (g gray) Name(i int) string { return fmt.Sprintf("%d.png", i) }
func (g gray) Label(int) int     { return -1 }
func (g gray) Classes() []string { return nil }

func (g gray) Load(i int) (*imaging.Image, error) {
	im := imaging.New(8, 8, 3)
	for at := range im.Pix {
		im.Pix[at] = uint8(i * (at + 1))
	}
	return im, nil
}

var _ data.Dataset = gray{}

// residentKiB is the memory that the process holds.
func residentKiB(t *testing.T) (kib int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			fmt.Sscan(rest, &kib)
		}
	}
	return kib
}

// TestMemoryIsFlat: over 1,000 steps of a very small model, resident memory grows by less than a few MiB and no tensor is
// left alive.
func TestMemoryIsFlat(t *testing.T) {
	const stepsPerEpoch, epochs, mostKiB = 100, 11, 4 << 10
	o := tinyOptions(t)
	c := &o.Config
	c.Epochs, c.BatchSize, c.LogEvery, c.SaveCkptFreq, c.Workers = epochs, 2, stepsPerEpoch, 0, 1
	c.FreezeLastLayer = 0 // the optimizer has its state from the first step on
	c.ImgSize, c.LocalCropsNumber, c.Depth, c.EmbedDim, c.OutDim, c.PatchOutDim, c.HiddenDim = 8, 0, 1, 8, 8, 8, 8
	o.Images, o.Baseline = gray{stepsPerEpoch * c.BatchSize}, nil
	var live, resident []int
	o.Evaluate = func(context.Context, *method.Net) (map[string]float64, error) {
		live, resident = append(live, torch.Live()), append(resident, residentKiB(t))
		return nil, nil
	}
	if s, err := train.Pretrain(t.Context(), o); err != nil || s.Steps != stepsPerEpoch*epochs {
		t.Fatalf("%d steps, %v", s.Steps, err)
	}
	for i, n := range live {
		if n != live[0] {
			t.Errorf("%d tensors are alive after step %d, %d after step %d", n, (i+1)*stepsPerEpoch, live[0], stepsPerEpoch)
		}
	}
	if grown := resident[epochs-1] - resident[0]; grown > mostKiB {
		t.Errorf("resident memory grew by %d KiB from step %d to step %d: %d", grown, stepsPerEpoch, epochs*stepsPerEpoch, resident)
	}
}
