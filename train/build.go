package train

import (
	"path/filepath"
	"runtime/debug"

	"ibot/backbone"
	"ibot/data"
	"ibot/imaging"
	"ibot/method"
	"ibot/rng"
	"ibot/torch"
)

// imagenetMean and imagenetStd are what images of three channels are normalised with.
var (
	imagenetMean = []float32{0.485, 0.456, 0.406}
	imagenetStd  = []float32{0.229, 0.224, 0.225}
)

// Sets says how the images of a run are opened. Their index is kept in the run's folder.
func (c Config) Sets() data.Options {
	o := data.Options{Decode: imaging.Options{Channels: c.InChans, AllowTruncated: c.Truncated}}
	if c.Out != "" {
		o.Cache = filepath.Join(c.Out, indexFolder)
	}
	return o
}

// Normalisation returns the mean and deviation of each channel, for values in [0, 1]: the settings,
// else ImageNet's for three channels, else 1/2 and 1/4 for each.
func (c Config) Normalisation() (mean, std []float32) {
	if len(c.Mean) > 0 {
		for k := range c.Mean {
			mean, std = append(mean, float32(c.Mean[k])), append(std, float32(c.Std[k]))
		}
		return mean, std
	}
	if c.InChans == 3 {
		return imagenetMean, imagenetStd
	}
	for range c.InChans {
		mean, std = append(mean, .5), append(std, .25)
	}
	return mean, std
}

// Backbone returns what the student's backbone is built with.
func (c Config) Backbone() backbone.Config {
	b := backbone.Config{
		Arch: c.Arch, ImgSize: c.ImgSize, PatchSize: c.PatchSize, InChans: c.InChans,
		EmbedDim: c.EmbedDim, Depth: c.Depth, NumHeads: c.NumHeads, WindowSize: c.WindowSize,
		DropPath: c.DropPath, LayerScale: c.InitValues, Masked: c.UseMaskedIM,
	}
	for _, depth := range c.Depths {
		b.Depths = append(b.Depths, int(depth))
	}
	return b
}

// Model returns what student, teacher and loss are built with.
func (c Config) Model() method.Config {
	norm := c.NormInHead
	if norm == "none" {
		norm = ""
	}
	return method.Config{
		Backbone: c.Backbone(),
		Head: method.HeadConfig{
			OutDim: c.OutDim, PatchOutDim: c.PatchOutDim, HiddenDim: c.HiddenDim, BottleneckDim: c.BottleneckDim,
			Layers: c.HeadLayers, Norm: norm, Act: c.ActInHead, NormLastLayer: c.NormLastLayer, Shared: c.SharedHead,
		},
		SharedHeadTeacher: c.SharedHeadTeacher, InitStd: c.InitStd,
		Loss: method.LossConfig{
			GlobalCrops: c.GlobalCropsNumber, LocalCrops: c.LocalCropsNumber, Lambda1: c.Lambda1, Lambda2: c.Lambda2,
			StudentTemp: c.StudentTemp, CenterMomentum: c.CenterMomentum, CenterMomentum2: c.CenterMomentum2,
			HardTargets: c.HardTargets,
		},
	}
}

// Views returns how the views of an image are drawn.
func (c Config) Views() method.Views {
	mean, std := c.Normalisation()
	return method.Views{
		GlobalSize: c.ImgSize, LocalSize: c.LocalSize, GlobalNumber: c.GlobalCropsNumber, LocalNumber: c.LocalCropsNumber,
		GlobalScale: c.GlobalCropsScale, LocalScale: c.LocalCropsScale,
		ColorJitter: [4]float64(c.ColorJitter), BlurRadius: c.BlurRadius, Mean: mean, Std: std,
	}
}

// augmentsOn reports whether views are rendered on the device d.
func (c Config) augmentsOn(d torch.Device) bool {
	return c.Augment == "device" || c.Augment == "auto" && d.Type != torch.CPUType
}

// Masks returns how patches are masked.
func (c Config) Masks() method.Masks {
	m := method.DefaultMasks()
	m.Ratio, m.RatioVar, m.Shape, m.StartEpoch = c.PredRatio, c.PredRatioVar, c.PredShape, c.PredStartEpoch
	return m
}

// MaskGrid is the number of patches a side of a global crop's mask.
func (c Config) MaskGrid() int { return c.ImgSize / c.maskCell() }

// maskCell is the side in pixels of a cell of a mask: that of a token of the last stage.
func (c Config) maskCell() int {
	if !c.swin() {
		return c.PatchSize
	}
	stages := 4
	if len(c.Depths) > 0 {
		stages = len(c.Depths)
	}
	return c.PatchSize << (stages - 1) // between two stages 2 x 2 tokens are merged
}

// stepper returns what makes the steps of a run with the settings c on device d, training m.
func (c Config) stepper(m *method.Model, d torch.Device) (*Stepper, error) {
	s, err := NewStepper(m, c.Optimizer, c.ClipGrad, d, c.dtype())
	if err != nil {
		return nil, err
	}
	c.Saving().apply(s)
	if c.CUDAGraphs {
		s.graphs = &graphs{}
	}
	s.Threads = c.threads(m.Student.Path.Count())
	debug.FreeOSMemory() // initial weights were drawn in Go's memory, which a step has no use for
	return s, nil
}

// smallStep is the number of operations of a step below which a second thread saves no time.
const smallStep = 2e8

// threads is how many threads an operator of a step takes, for a student of so many parameters; 0: all. In a small step
// operators take microseconds. Shared out they gain nothing, and each waits for as long as something else, such as a
// worker of the loader, holds the other core. The settings alone decide, so the numbers do not depend on the machine.
func (c Config) threads(parameters int) int {
	tokens := func(crops, side int) float64 { return float64(crops * (side / c.PatchSize) * (side / c.PatchSize)) }
	// The teacher goes forward on global crops; the student on all, and backward, which is twice that.
	passes := 4*tokens(c.GlobalCropsNumber, c.ImgSize) + 3*tokens(c.LocalCropsNumber, c.LocalSize)
	if 2*float64(parameters*c.BatchSize)*passes < smallStep {
		return 1
	}
	return 0
}

// dtype is the type of the matrix products.
func (c Config) dtype() torch.DType { return Precisions[c.Precision] }

func (c Config) seed() rng.Seed { return rng.Seed(c.Seed) }
