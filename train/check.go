package train

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ibot/internal/nearest"
	"ibot/internal/settings"
)

// devicePattern is what device may be. Whether the machine has it is found out later.
var devicePattern = regexp.MustCompile(`^(auto|cpu|cuda(:\d{1,3})?)$`)

// Resolve rewrites the settings to the ones that the run will have, and checks them with
// Validate. Archs are the architectures there are. The notes say what was changed although the
// user had not asked for it; they belong into the log.
//
//   - The names deit_tiny and deit_small become vit_tiny and vit_small, as in the reference.
//   - Swin gets patch_size 4 where it has the default of 16, with which the reference masks a
//     1 x 1 grid.
//   - A single pred_ratio_var counts for every pred_ratio.
//   - Warm-ups that are longer than the run are cut. The reference stops there with a negative
//     array length.
//   - load_from, which is relative to the run's folder, becomes a path in resume.
func (c *Config) Resolve(archs []string) (notes []string, err error) {
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }

	if size, ok := strings.CutPrefix(c.Arch, "deit_"); ok {
		c.Arch = "vit_" + size
	}
	if c.swin() && c.PatchSize == Default().PatchSize {
		note("patch_size %d is not for Swin, whose patches have 4 pixels: using 4", c.PatchSize)
		c.PatchSize = 4
	}
	if len(c.PredRatioVar) == 1 {
		c.PredRatioVar = slices.Repeat(c.PredRatioVar, len(c.PredRatio))
	}
	c.shortenWarmups(note)
	if c.InChans != 3 {
		note("in_chans %d: views are not jittered, made gray or solarized, which takes three channels; crops, flips and blur stay", c.InChans)
	}
	if c.LoadFrom != "" {
		if c.Resume != "auto" {
			return nil, fmt.Errorf("train: load_from %q and resume %q both say where to go on; give one of them", c.LoadFrom, c.Resume)
		}
		c.Resume, c.LoadFrom = c.LoadFrom, ""
		if !filepath.IsAbs(c.Resume) {
			c.Resume = filepath.Join(c.Out, c.Resume)
		}
	}
	if err := c.Validate(archs); err != nil {
		return nil, err
	}
	return notes, nil
}

// shortenWarmups cuts warm-ups that do not fit into the run.
func (c *Config) shortenWarmups(note func(format string, args ...any)) {
	if c.WarmupEpochs > c.Epochs {
		note("warmup_epochs %d is longer than the run of %d epochs: using %d", c.WarmupEpochs, c.Epochs, c.Epochs)
		c.WarmupEpochs = c.Epochs
	}
	// The patch temperature starts to rise only when masks do.
	room := c.Epochs
	if c.UseMaskedIM {
		room = max(0, c.Epochs-c.PredStartEpoch)
	}
	switch {
	case c.WarmupTeacherTempEpochs <= room:
	case room == c.Epochs:
		note("warmup_teacher_temp_epochs %d is longer than the run of %d epochs: using %d",
			c.WarmupTeacherTempEpochs, c.Epochs, room)
		c.WarmupTeacherTempEpochs = room
	default:
		note("warmup_teacher_temp_epochs %d is longer than what follows on pred_start_epoch %d in the run of %d epochs: using %d",
			c.WarmupTeacherTempEpochs, c.PredStartEpoch, c.Epochs, room)
		c.WarmupTeacherTempEpochs = room
	}
	if c.FreezeLastLayer >= c.Epochs {
		note("freeze_last_layer %d covers the whole run of %d epochs: the last layer of the head will not learn",
			c.FreezeLastLayer, c.Epochs)
	}
}

func (c *Config) swin() bool { return strings.HasPrefix(c.Arch, "swin_") }

// Validate reports everything that is wrong with the settings, a line for each: the setting,
// what was found, what is allowed, what to do. Archs are the architectures there are; nil
// leaves the name unchecked. It wants settings as Resolve leaves them.
func (c Config) Validate(archs []string) error {
	var errs []error
	for _, err := range settings.Check(&c) {
		errs = append(errs, fmt.Errorf("train: %w", err))
	}
	if len(errs) > 0 {
		return errors.Join(errs...) // what follows divides by these numbers
	}
	for _, problems := range [][]string{c.checkBackbone(archs), c.checkHead(), c.checkMasks(), c.checkLoss(), c.checkCrops(), c.checkChannels()} {
		for _, p := range problems {
			errs = append(errs, errors.New("train: "+p))
		}
	}
	if !devicePattern.MatchString(c.Device) {
		errs = append(errs, fmt.Errorf("train: device: want auto, cpu, cuda or cuda:N, found %q", c.Device))
	}
	if c.Memory != "" {
		if _, err := ParseSize(c.Memory); err != nil {
			errs = append(errs, fmt.Errorf("train: memory: %w", err))
		}
	}
	if c.Resume == "" {
		errs = append(errs, errors.New("train: resume: want auto, never or a checkpoint's path, found nothing"))
	}
	return errors.Join(errs...)
}

// problems collects sentences.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

func (c *Config) checkBackbone(archs []string) (p problems) {
	if archs != nil && !slices.Contains(archs, c.Arch) {
		if near, ok := nearest.Word(c.Arch, archs); ok {
			p.add("arch: unknown architecture %q; did you mean %q?", c.Arch, near)
		} else {
			p.add("arch: unknown architecture %q; there are %s", c.Arch, strings.Join(archs, ", "))
		}
	}
	if c.swin() {
		if c.PatchSize != 4 {
			p.add("patch_size %d: Swin's patches have 4 pixels; leave the setting out", c.PatchSize)
		}
		if c.Depth > 0 {
			p.add("depth %d is for ViT; Swin has several: use --depths with the blocks of each stage, such as 2 2 6 2", c.Depth)
		}
		if c.InitValues > 0 {
			p.add("init_values %g: Swin has no LayerScale; leave the setting out", c.InitValues)
		}
	} else if len(c.Depths) > 0 {
		p.add("depths %v are for Swin; ViT has one: use --depth", c.Depths)
	}
	for _, d := range c.Depths {
		if d != math.Trunc(d) {
			p.add("depths %v: want whole numbers of blocks", c.Depths)
			break
		}
	}
	if len(c.Depths) > maxStages {
		p.add("depths %v: %d stages; want at most %d, each halves the map", c.Depths, len(c.Depths), maxStages)
	}
	if c.EmbedDim > 0 && c.NumHeads > 0 && c.EmbedDim%c.NumHeads != 0 {
		p.add("embed_dim %d is not a multiple of num_heads %d; each head takes an equal part: use %s",
			c.EmbedDim, c.NumHeads, multiples(c.EmbedDim, c.NumHeads))
	}
	return p
}

func (c *Config) checkHead() (p problems) {
	if c.MicroBatch > 0 && c.MicroBatch < c.BatchSize && strings.HasSuffix(c.NormInHead, "bn") {
		p.add("micro_batch %d is below the batch of %d, but the batch norm of the head (norm_in_head %s) looks at the whole batch at once; use --micro_batch 0, or --norm_in_head none or ln",
			c.MicroBatch, c.BatchSize, c.NormInHead)
	}
	// The one shared layer has out_dim outputs, which the patch loss compares with the other
	// net's patch_out_dim.
	if c.SharedHead != c.SharedHeadTeacher && c.PatchOutDim != c.OutDim {
		p.add("patch_out_dim %d and out_dim %d must be equal while only one of shared_head and shared_head_teacher is set; use --patch_out_dim %d",
			c.PatchOutDim, c.OutDim, c.OutDim)
	}
	return p
}

func (c *Config) checkMasks() (p problems) {
	if !c.UseMaskedIM {
		return nil
	}
	if len(c.PredRatio) != len(c.PredRatioVar) {
		p.add("pred_ratio has %d numbers and pred_ratio_var has %d; give as many, or one pred_ratio_var for all",
			len(c.PredRatio), len(c.PredRatioVar))
		return p
	}
	for i, r := range c.PredRatio {
		if v := c.PredRatioVar[i]; v > r || r+v > 1 {
			p.add("pred_ratio %g with pred_ratio_var %g reaches from %.3g to %.3g; shares lie from 0 to 1: use a pred_ratio_var of at most %.3g",
				r, v, r-v, r+v, min(r, 1-r))
		}
	}
	if c.PredStartEpoch >= c.Epochs && c.PredStartEpoch > 0 {
		p.add("pred_start_epoch %d is not within the run of %d epochs, nothing would be masked; lower it, or use --use_masked_im_modeling false",
			c.PredStartEpoch, c.Epochs)
	}
	return p
}

func (c *Config) checkLoss() (p problems) {
	switch {
	case c.Lambda1 == 0 && c.Lambda2 == 0:
		p.add("lambda1 and lambda2 are both 0, there is nothing to learn; the reference has 1 for each")
	case c.Lambda1 == 0 && !c.UseMaskedIM:
		p.add("lambda1 is 0 and use_masked_im_modeling is false, there is nothing to learn; change one of them")
	case c.Lambda1 > 0 && c.GlobalCropsNumber+c.LocalCropsNumber < 2:
		p.add("global_crops_number %d and local_crops_number %d: the [CLS] loss compares two crops of an image; use 2 global crops, or --lambda1 0",
			c.GlobalCropsNumber, c.LocalCropsNumber)
	}
	return p
}

func (c *Config) checkChannels() (p problems) {
	if len(c.Mean) == 0 && len(c.Std) == 0 {
		return nil
	}
	if len(c.Mean) != c.InChans || len(c.Std) != c.InChans {
		p.add("mean has %d numbers and std has %d, but images have %d channels (in_chans); give as many of both, which ibot data stats prints",
			len(c.Mean), len(c.Std), c.InChans)
	}
	for _, s := range c.Std {
		if !(s > 0) {
			p.add("std %g: a channel cannot be divided by it; want more than 0", s)
		}
	}
	return p
}

func (c *Config) checkCrops() (p problems) {
	cell := c.maskCell()
	why := fmt.Sprintf("patch_size %d", c.PatchSize)
	if c.swin() {
		why = fmt.Sprintf("%d, Swin's coarsest patch", cell)
	}
	if c.ImgSize%cell != 0 {
		p.add("img_size %d is not a multiple of %s; use %s", c.ImgSize, why, multiples(c.ImgSize, cell))
	}
	if c.LocalCropsNumber > 0 && c.LocalSize%c.PatchSize != 0 {
		p.add("local_size %d is not a multiple of patch_size %d; use %s", c.LocalSize, c.PatchSize, multiples(c.LocalSize, c.PatchSize))
	}
	ordered := func(name string, scale [2]float64) {
		if lo, hi := scale[0], scale[1]; lo > hi {
			p.add("%s goes from %g down to %g; want the smaller first: use --%s %g %g", name, lo, hi, name, hi, lo)
		}
	}
	if n := len(c.ColorJitter); n != 4 || c.ColorJitter[3] > 0.5 {
		p.add("color_jitter is %v; want four numbers, of brightness, contrast, saturation and hue, the last at most 0.5", c.ColorJitter)
	}
	ordered("blur_radius", c.BlurRadius)
	ordered("global_crops_scale", c.GlobalCropsScale)
	ordered("local_crops_scale", c.LocalCropsScale)
	return p
}

// multiples names the multiples of m on both sides of n.
func multiples(n, m int) string {
	below := n / m * m
	if below == 0 {
		return fmt.Sprint(m)
	}
	return fmt.Sprintf("%d or %d", below, below+m)
}
