package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"ibot/internal/settings"
	"ibot/torch"
)

// worthHalf is how many times as fast the products of a 16-bit type must be to be chosen: what lies
// between them gains less.
const worthHalf = 1.5

// CheckDevice reports a setting that device d cannot train with.
func (c Config) CheckDevice(d torch.Device) error {
	if c.CUDAGraphs && d.Type != torch.CUDAType {
		return fmt.Errorf("train: cuda_graphs is for CUDA devices, and this run is on %s; use --cuda_graphs false", d)
	}
	if c.Precision == "fp16" && d.Type == torch.CPUType {
		return errors.New("train: precision fp16 is for CUDA devices, and this run is on the CPU; use --precision bf16, fp32 or auto")
	}
	return nil
}

// choosePrecision makes of "auto" the precision that the run in the folder has had, or else what
// the machine is fastest in.
func (r *run) choosePrecision(d torch.Device) error {
	c := &r.Config
	if err := c.CheckDevice(d); err != nil || c.Precision != "auto" {
		return err
	}
	before := Config{}
	path := ConfigPath(c.Out)
	if _, err := os.Stat(path); c.Resume != "never" && !errors.Is(err, fs.ErrNotExist) {
		if err := settings.ReadYAML(path, &before); err != nil {
			return err
		}
	}
	if before.Precision != "" && before.Precision != "auto" {
		c.Precision = before.Precision
		r.Log.Info("precision", "auto", c.Precision, "because", "the run began with it")
		return nil
	}
	full := torch.MatrixPeak(d, torch.Float32)
	speeds := []any{"fp32 GFLOP/s", int(full / 1e9)}
	c.Precision = "fp32"
	for _, name := range []string{"bf16", "fp16"} {
		if name == "fp16" && (d.Type == torch.CPUType || c.Precision != "fp32") {
			continue
		}
		half := torch.MatrixPeak(d, Precisions[name])
		speeds = append(speeds, name+" GFLOP/s", int(half/1e9))
		if half > worthHalf*full {
			c.Precision = name
		}
	}
	r.Log.Info("precision", append([]any{"auto", c.Precision}, speeds...)...)
	return nil
}

// Precisions are the types of matrix products by the names of the setting.
var Precisions = map[string]torch.DType{"fp32": torch.Float32, "bf16": torch.BFloat16, "fp16": torch.Float16}
