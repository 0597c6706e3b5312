package train

import (
	"context"
	"time"

	"ibot/data"
	"ibot/method"
)

// InputTime is what one core spends on an image on its way to the network, in seconds.
type InputTime struct {
	Images     int     `json:"images"`
	Unreadable int     `json:"unreadable"`
	Decode     float64 `json:"decode"` // reading and decoding
	Global     float64 `json:"global"` // drawing, rendering and normalising the global views
	Local      float64 `json:"local"`  // the same of the local views
}

// Total is the time of everything together.
func (t InputTime) Total() float64 { return t.Decode + t.Global + t.Local }

// TimeInput makes the views of n images of a set on one core, as a run with the settings c does, and times the
// parts. Images that cannot be read are counted and not timed; a set of fewer than n begins again.
func TimeInput(ctx context.Context, c Config, set data.Dataset, n int) (InputTime, error) {
	var t InputTime
	views := c.Views()
	pixels := make([]float32, c.InChans*max(c.ImgSize, c.LocalSize)*max(c.ImgSize, c.LocalSize))
	for i := 0; t.Images < n && t.Unreadable < set.Len(); i++ {
		if err := context.Cause(ctx); err != nil {
			return t, err
		}
		began := time.Now()
		im, err := set.Load(i % set.Len())
		if err != nil {
			t.Unreadable++
			continue
		}
		decoded := time.Now()
		drawn := views.Draw(c.seed(), i/set.Len(), i, im.W, im.H)
		render := func(part []method.View) {
			for _, v := range part {
				v.RenderCHW(pixels[:im.C*v.Size*v.Size], im, views.Mean, views.Std)
			}
		}
		render(drawn[:views.GlobalNumber])
		global := time.Now()
		render(drawn[views.GlobalNumber:])
		t.Decode += decoded.Sub(began).Seconds()
		t.Global += global.Sub(decoded).Seconds()
		t.Local += time.Since(global).Seconds()
		t.Images++
	}
	if t.Images > 0 {
		t.Decode, t.Global, t.Local = t.Decode/float64(t.Images), t.Global/float64(t.Images), t.Local/float64(t.Images)
	}
	return t, nil
}
