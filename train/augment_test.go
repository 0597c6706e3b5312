package train_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestAugmentIsBitEqual: a run whose views are rendered by the device, with any number of workers, is the one whose
// views are rendered by the workers.
func TestAugmentIsBitEqual(t *testing.T) {
	var log bytes.Buffer
	cpu := tinyOptions(t)
	cpu.Config.Augment, cpu.Config.LocalCropsNumber, cpu.Config.Epochs = "cpu", 2, 1
	cpu.Log = slog.New(slog.NewTextHandler(&log, nil))
	finish(t, cpu)
	if !strings.Contains(log.String(), `"rendered by"=workers`) {
		t.Errorf("the log does not say that workers rendered the views:\n%s", &log)
	}
	for _, workers := range []int{1, 3} {
		log.Reset()
		device := tinyOptions(t)
		device.Config.Augment, device.Config.LocalCropsNumber, device.Config.Epochs, device.Config.Workers = "device", 2, 1, workers
		device.Log = slog.New(slog.NewTextHandler(&log, nil))
		finish(t, device)
		sameRun(t, device.Config.Out, cpu.Config.Out)
		if !strings.Contains(log.String(), `"rendered by"=cpu`) {
			t.Errorf("the log does not say that the device rendered the views:\n%s", &log)
		}
	}
}

// TestAugmentAuto: without a GPU auto leaves the views to the workers.
func TestAugmentAuto(t *testing.T) {
	var log bytes.Buffer
	o := tinyOptions(t)
	o.Config.Epochs, o.Log = 1, slog.New(slog.NewTextHandler(&log, nil))
	if o.Config.Augment != "auto" {
		t.Errorf("augment is %q by default, want auto", o.Config.Augment)
	}
	finish(t, o)
	if !strings.Contains(log.String(), `"rendered by"=workers`) {
		t.Errorf("the log does not say that workers rendered the views:\n%s", &log)
	}
}
