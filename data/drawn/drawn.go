package drawn

import (
	"fmt"
	"slices"
	"strings"

	"ibot/imaging"
	"ibot/rng"
)

const (
	minSize, maxSize = 8, 2048
	maxImages        = 1 << 24
)

// Set is a run of drawn images with consecutive numbers. It is a data.Dataset. Classes take
// turns, so any run of images has about as many of each.
type Set struct {
	seed    rng.Seed
	classes []class // sorted by name, as folders would be
	names   []string
	from, n int
	size    int
}

// New returns a set of n images of size x size pixels in the given number of classes. It errs
// when there are not so many classes or a number is out of its range.
func New(seed rng.Seed, classes, n, size int) (*Set, error) {
	switch {
	case classes < 2 || classes > MaxClasses:
		return nil, fmt.Errorf("drawn: %d classes asked for; there are 2 to %d", classes, MaxClasses)
	case n < classes || n > maxImages:
		return nil, fmt.Errorf("drawn: %d images asked for; %d classes need %d to %d", n, classes, classes, maxImages)
	case size < minSize || size > maxSize:
		return nil, fmt.Errorf("drawn: images of %d pixels a side asked for; give %d to %d", size, minSize, maxSize)
	}
	s := &Set{seed: seed, classes: slices.Clone(catalogue[:classes]), n: n, size: size}
	slices.SortFunc(s.classes, func(a, b class) int { return strings.Compare(a.name, b.name) })
	for _, c := range s.classes {
		s.names = append(s.names, c.name)
	}
	return s, nil
}

// Split divides the set into its first images and its last, of which val has about the given
// share; each part keeps at least one image of every class where the set has two.
func (s *Set) Split(share float64) (train, val *Set) {
	k := len(s.classes)
	held := int(share*float64(s.n) + 0.5)
	held = max(min(held, s.n-k), min(k, s.n-k))
	first, last := *s, *s
	first.n = s.n - held
	last.from, last.n = s.from+first.n, held
	return &first, &last
}

// Len is the number of images.
func (s *Set) Len() int { return s.n }

// Classes are the names of the classes, sorted.
func (s *Set) Classes() []string { return s.names }

// Label is the class of image i.
func (s *Set) Label(i int) int { return (s.from + i) % len(s.classes) }

// Name is where Write puts image i: the folder of its class, and its number within the class.
func (s *Set) Name(i int) string {
	return fmt.Sprintf("%s/%04d.png", s.names[s.Label(i)], i/len(s.classes))
}

// Load draws image i. It gives no error.
func (s *Set) Load(i int) (*imaging.Image, error) {
	number := s.from + i
	scene := newScene(s.seed, number, s.classes[s.Label(i)])
	return scene.render(s.size, s.seed.Stream("drawn grain", number)), nil
}
