package progress

import "time"

const (
	paceSpan  = 30 * time.Second // how far back the rate looks
	paceEvery = time.Second      // the least time between two of its points
)

// pace measures the rate over about the latest half minute: long enough to be steady, and the slow
// first step of a run is soon forgotten.
type pace struct {
	points []point // a second or more apart, the oldest first
	last   point
}

type point struct {
	at   time.Time
	done int
}

// add notes how much is done now.
func (p *pace) add(now time.Time, done int) {
	p.last = point{now, done}
	if n := len(p.points); n == 0 || now.Sub(p.points[n-1].at) >= paceEvery {
		p.points = append(p.points, p.last)
	}
	// The oldest point may go when the next one is still old enough; where steps take minutes, two stay.
	for len(p.points) > 2 && now.Sub(p.points[1].at) >= paceSpan {
		p.points = p.points[1:]
	}
}

// rate is in units a second, 0 while there is none to tell.
func (p *pace) rate() float64 {
	if len(p.points) == 0 {
		return 0
	}
	first := p.points[0]
	took := p.last.at.Sub(first.at)
	if took <= 0 {
		return 0
	}
	return max(float64(p.last.done-first.done)/took.Seconds(), 0)
}
