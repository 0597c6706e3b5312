package imaging

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// RandAugment holds the settings of RandAugment (Cubuk et al. 2019) as timm has them, with its
// operations, its magnitudes from 0 to 10 and its names.
type RandAugment struct {
	Magnitude    float64
	MagnitudeStd float64 // of a normal distribution around Magnitude; +Inf draws evenly from [0, Magnitude]
	MagnitudeMax float64 // 10 in timm
	Layers       int     // operations an image
	Increasing   bool    // take the operations whose effect grows with the magnitude throughout
	Prob         float64 // that a chosen operation is applied; 0.5 in timm
}

// ParseRandAugment reads timm's short form, such as "rand-m9-mstd0.5-inc1", the one of fine-tuning
// with BEiT's recipe: m magnitude, n layers, mstd and mmax as above, inc1 increasing, p probability.
func ParseRandAugment(s string) (RandAugment, error) {
	ra := RandAugment{Magnitude: 10, MagnitudeMax: 10, Layers: 2, Prob: 0.5}
	parts := strings.Split(s, "-")
	if parts[0] != "rand" {
		return ra, fmt.Errorf(`imaging: RandAugment %q: want it to begin with "rand", as in rand-m9-mstd0.5-inc1`, s)
	}
	for _, part := range parts[1:] {
		m := randAugmentPart.FindStringSubmatch(part)
		if m == nil {
			return ra, fmt.Errorf("imaging: RandAugment %q: cannot read %q; want m9, n2, mstd0.5, mmax10, inc1 or p0.5", s, part)
		}
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return ra, fmt.Errorf("imaging: RandAugment %q: %q is no number", s, m[2])
		}
		switch m[1] {
		case "m":
			ra.Magnitude = v
		case "n":
			ra.Layers = int(v)
		case "mstd":
			if ra.MagnitudeStd = v; v > 100 {
				ra.MagnitudeStd = math.Inf(1)
			}
		case "mmax":
			ra.MagnitudeMax = v
		case "inc":
			ra.Increasing = v != 0
		case "p":
			ra.Prob = v
		}
	}
	return ra, nil
}

var randAugmentPart = regexp.MustCompile(`^(mstd|mmax|inc|m|n|p)([0-9.]+)$`)

// RandAugmentOps are the names of the operations, in timm's order.
var RandAugmentOps = []string{
	"AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color",
	"Contrast", "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel",
}

// AugmentOp is one operation with its parameter drawn: degrees of Rotate, bits of Posterize, a
// threshold of Solarize, what SolarizeAdd adds, a factor of the enhancements and shears, a share of
// the width or height of the translations. The others have none.
type AugmentOp struct {
	Name  string
	Value float64
}

// Draw returns the operations for an image, Layers of them at most.
func (ra RandAugment) Draw(r Rand) []AugmentOp {
	var ops []AugmentOp
	for range ra.Layers {
		name := RandAugmentOps[r.IntN(len(RandAugmentOps))]
		if r.Float64() >= ra.Prob {
			continue
		}
		magnitude := ra.Magnitude
		if math.IsInf(ra.MagnitudeStd, 1) {
			magnitude = uniform(r, 0, magnitude)
		} else if ra.MagnitudeStd > 0 {
			magnitude += ra.MagnitudeStd * normal(r)
		}
		level := min(max(magnitude, 0), ra.MagnitudeMax) / 10
		sign := 1.
		if slices.Contains(signedOps, name) || ra.Increasing && slices.Contains(enhancements, name) {
			sign = float64(1 - 2*r.IntN(2))
		}
		ops = append(ops, AugmentOp{name, ra.value(name, level, sign)})
	}
	return ops
}

var (
	signedOps    = []string{"Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"}
	enhancements = []string{"Color", "Contrast", "Brightness", "Sharpness"}
)

// value turns a level, from 0 to 1 (or beyond, where MagnitudeMax is above 10), into the operation's
// parameter.
func (ra RandAugment) value(name string, level, sign float64) float64 {
	switch name {
	case "Rotate":
		return sign * level * 30
	case "ShearX", "ShearY":
		return sign * level * 0.3
	case "TranslateXRel", "TranslateYRel":
		return sign * level * 0.45
	case "Posterize":
		if ra.Increasing {
			return 4 - math.Trunc(level*4)
		}
		return math.Trunc(level * 4)
	case "Solarize":
		if ra.Increasing {
			return 256 - math.Trunc(level*256)
		}
		return math.Trunc(level * 256)
	case "SolarizeAdd":
		return min(128, math.Trunc(level*110))
	case "Color", "Contrast", "Brightness", "Sharpness":
		if ra.Increasing {
			return max(0.1, 1+sign*level*0.9)
		}
		return level*1.8 + 0.1
	}
	return 0
}

// Apply returns the image after the operation, which may work in place. The filter and the fill
// (a value for each channel, timm takes the mean colour) are for what moves pixels; what needs three
// channels leaves others alone. It panics for an unknown name.
func (op AugmentOp) Apply(im *Image, f Filter, fill []uint8) *Image {
	switch op.Name {
	case "Rotate":
		return im.Rotate(op.Value, f, fill)
	case "ShearX":
		return im.Transform(ShearX(op.Value), f, fill)
	case "ShearY":
		return im.Transform(ShearY(op.Value), f, fill)
	case "TranslateXRel":
		return im.Transform(Translation(op.Value*float64(im.W), 0), f, fill)
	case "TranslateYRel":
		return im.Transform(Translation(0, op.Value*float64(im.H)), f, fill)
	case "AutoContrast":
		im.AutoContrast()
	case "Equalize":
		im.Equalize()
	case "Invert":
		im.Invert()
	case "Posterize":
		im.Posterize(int(op.Value))
	case "Solarize":
		im.Solarize(int(op.Value))
	case "SolarizeAdd":
		im.SolarizeAdd(int(op.Value), 128)
	case "Color":
		im.AdjustSaturation(op.Value)
	case "Contrast":
		im.AdjustContrast(op.Value)
	case "Brightness":
		im.AdjustBrightness(op.Value)
	case "Sharpness":
		im.AdjustSharpness(op.Value)
	default:
		panic(fmt.Sprintf("imaging: RandAugment has no operation %q", op.Name))
	}
	return im
}
