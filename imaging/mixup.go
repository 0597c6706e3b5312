package imaging

import "math"

// Mixup holds the settings of mixup (Zhang et al. 2017) and cutmix (Yun et al. 2019), as timm's
// Mixup has them. Both mix every image of a batch with a partner, and the labels with them.
type Mixup struct {
	MixupAlpha  float64 // of the beta distribution of lambda; 0 is no mixup
	CutmixAlpha float64 // the same for cutmix
	Prob        float64 // that a batch is mixed at all
	SwitchProb  float64 // that it is cutmix, where both are on
}

// Mix is how to mix two images: with mixup, lambda times the one plus 1-lambda times the other; with
// cutmix, the other within Box. The labels are mixed with lambda either way.
type Mix struct {
	Lambda float64
	Cut    bool
	Box    Box // may be empty
}

// Draw returns how to mix images of w x h. Lambda is 1 where they are not to be mixed. That of
// cutmix is the share of the image which its box, cut off at the edges, leaves.
func (m Mixup) Draw(r Rand, w, h int) Mix {
	if m.MixupAlpha <= 0 && m.CutmixAlpha <= 0 || r.Float64() >= m.Prob {
		return Mix{Lambda: 1}
	}
	cut := m.MixupAlpha <= 0 || m.CutmixAlpha > 0 && r.Float64() < m.SwitchProb
	if !cut {
		return Mix{Lambda: symmetricBeta(r, m.MixupAlpha)}
	}
	side := math.Sqrt(1 - symmetricBeta(r, m.CutmixAlpha))
	halfH, halfW := int(float64(h)*side)/2, int(float64(w)*side)/2
	y, x := r.IntN(h), r.IntN(w)
	top, left := max(y-halfH, 0), max(x-halfW, 0)
	box := Box{Left: left, Top: top, Width: min(x+halfW, w) - left, Height: min(y+halfH, h) - top}
	return Mix{Lambda: 1 - float64(box.Width*box.Height)/float64(w*h), Cut: true, Box: box}
}
