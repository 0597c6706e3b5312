package metrics

import (
	"fmt"
	"math"
	"slices"
)

// DefaultWindow is the number of latest values that the reference's console lines speak of.
const DefaultWindow = 20

// Smoothed follows a series of numbers, such as the loss of each step: the latest few for a median that
// one bad step does not move, and the sum of all for the average of the epoch. It is the reference's
// SmoothedValue (utils.py). The zero value has a window of DefaultWindow and is ready for use; it is
// not safe for use by several goroutines at once.
type Smoothed struct {
	size   int
	window []float64 // a ring once it is full
	next   int       // where the next value goes
	count  int
	total  float64
}

// NewSmoothed returns an empty series that keeps the latest `window` values; below 1 it keeps
// DefaultWindow.
func NewSmoothed(window int) *Smoothed { return &Smoothed{size: window} }

// Add appends the value of one step.
func (s *Smoothed) Add(v float64) { s.AddN(v, 1) }

// AddN appends a value that is the mean over n samples. It counts n times in Average and once in the
// window. An n below 1 adds nothing.
func (s *Smoothed) AddN(v float64, n int) {
	if n < 1 {
		return
	}
	if s.size < 1 {
		s.size = DefaultWindow
	}
	if len(s.window) < s.size {
		s.window = append(s.window, v)
	} else {
		s.window[s.next] = v
	}
	s.next = (s.next + 1) % s.size
	s.count += n
	s.total += v * float64(n)
}

// Count is the number of samples added.
func (s *Smoothed) Count() int { return s.count }

// Last is the latest value, NaN before the first.
func (s *Smoothed) Last() float64 {
	if len(s.window) == 0 {
		return math.NaN()
	}
	return s.window[(s.next+s.size-1)%s.size]
}

// Median is the median of the window: of an even number of values the lower of the middle two, as
// torch.median has it. NaN where the window is empty or holds one.
func (s *Smoothed) Median() float64 {
	if len(s.window) == 0 {
		return math.NaN()
	}
	sorted := slices.Clone(s.window)
	slices.Sort(sorted) // NaN first
	if math.IsNaN(sorted[0]) {
		return math.NaN()
	}
	return sorted[(len(sorted)-1)/2]
}

// WindowMean is the mean of the window, NaN before the first value.
func (s *Smoothed) WindowMean() float64 { return Mean(s.window) }

// Average is the mean over all samples since the start, NaN before the first.
func (s *Smoothed) Average() float64 { return s.total / float64(s.count) }

// Max is the largest value of the window, NaN where the window is empty or holds one.
func (s *Smoothed) Max() float64 {
	if len(s.window) == 0 {
		return math.NaN()
	}
	return slices.Max(s.window)
}

// String gives the median of the window and the average of all, as the reference prints a meter:
// "5.310000 (6.120000)".
func (s *Smoothed) String() string {
	return fmt.Sprintf("%.6f (%.6f)", s.Median(), s.Average())
}

// Mean is the arithmetic mean, NaN of nothing.
func Mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// Percentile is the value below which p percent of the values lie, between neighbours on a straight
// line, as numpy.percentile has it by default: 0 gives the least, 50 the median, 100 the largest. NaN
// of nothing, of values that hold a NaN, and for p outside [0, 100].
func Percentile(values []float64, p float64) float64 {
	if len(values) == 0 || !(p >= 0 && p <= 100) {
		return math.NaN()
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	if math.IsNaN(sorted[0]) {
		return math.NaN()
	}
	at := p / 100 * float64(len(sorted)-1)
	lo := int(at)
	if frac := at - float64(lo); frac > 0 {
		return sorted[lo] + frac*(sorted[lo+1]-sorted[lo])
	}
	return sorted[lo]
}
