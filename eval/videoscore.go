package eval

import (
	"fmt"
	"slices"

	"ibot/imaging"
	"ibot/metrics"
)

// videoScorer scores masks as they come. As the public scorer does, it leaves out the first frame
// that has a mask and the last.
type videoScorer struct {
	v       *video
	white   bool
	frames  []int // that are scored
	objects int   // 1 to so many
	j, f    [][]float64
}

func newVideoScorer(v *video, first *imaging.Indexed, white bool) *videoScorer {
	s := &videoScorer{v: v, white: white, objects: int(slices.Max(first.Pix))}
	if a := v.annotated(); len(a) > 2 {
		s.frames = a[1 : len(a)-1]
	}
	s.j, s.f = make([][]float64, s.objects), make([][]float64, s.objects)
	return s
}

// score compares the mask of a frame with the true one, where there is one.
func (s *videoScorer) score(frame int, mask *imaging.Indexed) error {
	if !slices.Contains(s.frames, frame) {
		return nil
	}
	truth, err := s.v.readMask(frame, s.white)
	if err != nil {
		return err
	}
	if truth.W != mask.W || truth.H != mask.H {
		return fmt.Errorf("eval: %s is %d x %d pixels, but the frame %d x %d", s.v.masks[frame], truth.W, truth.H, mask.W, mask.H)
	}
	want, got := make([]bool, len(mask.Pix)), make([]bool, len(mask.Pix))
	for o := range s.objects {
		for i := range want {
			want[i], got[i] = truth.Pix[i] == uint8(o+1), mask.Pix[i] == uint8(o+1)
		}
		j, err := metrics.Jaccard(want, got)
		if err != nil {
			return err
		}
		f, err := metrics.Boundary(want, got, mask.W, mask.H, metrics.BoundaryTolerance)
		if err != nil {
			return err
		}
		s.j[o], s.f[o] = append(s.j[o], j), append(s.f[o], f)
	}
	return nil
}

// done adds the objects to sum.
func (s *videoScorer) done(sum *davisSum) VideoScores {
	scores := VideoScores{Name: s.v.name, Frames: len(s.v.frames), Scored: len(s.frames), Objects: []ObjectScore{}}
	if len(s.frames) == 0 {
		return scores
	}
	for o := range s.objects {
		j, f := metrics.NewOverTime(s.j[o]), metrics.NewOverTime(s.f[o])
		scores.Objects = append(scores.Objects, ObjectScore{o + 1, 100 * j.Mean, 100 * f.Mean})
		sum.j, sum.f = append(sum.j, j), append(sum.f, f)
	}
	return scores
}

// davisSum collects all objects of all videos.
type davisSum struct{ j, f []metrics.OverTime }

// into enters the means in percent.
func (s *davisSum) into(r *DavisReport) {
	r.Objects = len(s.j)
	if r.Objects == 0 {
		return
	}
	mean := func(all []metrics.OverTime) *OverVideos {
		var m OverVideos
		for _, o := range all {
			share := 100 / float64(len(all))
			m.Mean, m.Recall, m.Decay = m.Mean+o.Mean*share, m.Recall+o.Recall*share, m.Decay+o.Decay*share
		}
		return &m
	}
	r.J, r.F = mean(s.j), mean(s.f)
	both := (r.J.Mean + r.F.Mean) / 2
	r.JF = &both
}
