package train

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"ibot/torch"
)

// sizePattern is a number of bytes: "8GiB", "500 MB".
var sizePattern = regexp.MustCompile(`^(\d+(?:\.\d+)?) *([KMGT]i?)B?$`)

// ParseSize reads a number of bytes with a unit: MiB, GiB (powers of 1024), MB, GB (of 1000) and
// their like.
func ParseSize(text string) (bytes int64, err error) {
	m := sizePattern.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return 0, fmt.Errorf("want a number with a unit, such as 8GiB or 6000MB, found %q", text)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, err
	}
	base := 1000.
	if strings.HasSuffix(m[2], "i") {
		base = 1024
	}
	n *= math.Pow(base, float64(1+strings.Index("KMGT", m[2][:1])))
	if n < 1 || n > 1<<50 {
		return 0, fmt.Errorf("want between 1 byte and 1024 TiB, found %q", text)
	}
	return int64(n), nil
}

// deviceShare is the part of a device's memory that a plan may fill: the driver, the libraries' own
// memory and gaps between tensors take the rest.
const deviceShare = .88

// margin is the part of a limit that is left free, for estimates have been that much too low.
const margin = .05

// Saving is the way that the settings ask for.
func (c Config) Saving() Saving { return Saving{c.MicroBatch, c.Recompute, c.HeadChunk} }

// String says what is saved by, in words; nothing where nothing is.
func (s Saving) String() string {
	var by []string
	if s.MicroBatch > 0 {
		by = append(by, fmt.Sprintf("micro-batches of %d", s.MicroBatch))
	}
	if s.Recompute {
		by = append(by, "blocks recomputed")
	}
	if s.HeadChunk > 0 {
		by = append(by, fmt.Sprintf("head in chunks of %d", s.HeadChunk))
	}
	return strings.Join(by, ", ")
}

// apply makes s the way in which steps are made.
func (s Saving) apply(to *Stepper) {
	to.MicroBatch, to.Recompute, to.Model.HeadChunk = s.MicroBatch, s.Recompute, s.HeadChunk
}

// fit chooses how steps are made so that they need no more memory than the settings allow, or by
// default than a CUDA device has. It errs where that is not enough for a single image. The choice
// follows from settings and device, so a run that goes on makes it again.
func (r *run) fit() error {
	c, m, d := r.Config, r.stepper.Model, r.stepper.Device
	var limit float64
	if c.Memory != "" {
		bytes, err := ParseSize(c.Memory)
		if err != nil {
			return fmt.Errorf("train: memory: %w", err)
		}
		limit = float64(bytes)
	} else if total, ok := torch.DeviceMemory(d); ok {
		limit = deviceShare * float64(total)
	} else {
		return nil
	}
	f := newFootprint(c, m, d, torch.PackedBytes(c.dtype()))
	s, ok, need := f.fits((1-margin)*limit, m.Student.Head.PerToken())
	switch {
	case ok:
		s.apply(r.stepper)
		r.Log.Info("memory", "limit", gib(limit), "expected", gib(need), "by", cmp.Or(s.String(), "whole batches"))
		return nil
	case c.Memory == "": // the estimate may be wrong, and a device says itself when its memory is exhausted
		r.Log.Warn("memory: the device may have too little", "has", gib(limit/deviceShare), "expected", gib(need))
		return nil
	}
	return fmt.Errorf("train: memory %s is too little: the least that this training is expected to need is %s, with one image at a time; lower --local_crops_number, --out_dim or --img_size, take a smaller --arch, or use --precision bf16",
		c.Memory, gib(need))
}

// gib writes bytes for people.
func gib(bytes float64) string { return fmt.Sprintf("%.2f GiB", bytes/(1<<30)) }
