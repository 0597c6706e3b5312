package data

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"ibot/imaging"
)

// Part is a set, or a part of one with its name: train, val.
type Part struct {
	Name string // "" for a set without parts
	Set  Dataset
}

// CheckOptions say how Check goes about it.
type CheckOptions struct {
	Decode   imaging.Options
	Workers  int                        // 0: one for each CPU
	Progress func(done, unreadable int) // called now and then, by several goroutines; may be nil
}

// Report is what Check found.
type Report struct {
	Images     int            `json:"images"`
	Parts      []PartReport   `json:"parts"`
	Width      Spread         `json:"width"`    // in pixels, of images that can be read
	Height     Spread         `json:"height"`   // likewise
	Bytes      Spread         `json:"bytes"`    // of the files
	Formats    map[string]int `json:"formats"`  // by what the headers say, as channels and depths are
	Channels   map[string]int `json:"channels"` // as stored, before they are turned to RGB
	Depths     map[string]int `json:"depths"`   // bits a channel; "16 signed" and "32 float" for other than whole numbers from 0 on
	Misnamed   Some           `json:"misnamed"` // whose ending is that of another format
	Small      int            `json:"small"`    // with a side under 32 pixels
	Long       int            `json:"long"`     // more than 4 times as long as wide, or as wide as long
	Unreadable []BadImage     `json:"unreadable"`
	Skipped    []BadImage     `json:"skipped"`     // folders, links, pipes, members of archives and so on
	Others     Some           `json:"other_files"` // of folders, without an ending of an image; the first of each ending
	Duplicates Groups         `json:"duplicates"`
	Across     Groups         `json:"across_parts"` // those of the duplicates that lie in several parts
	Advice     []string       `json:"advice"`
}

// PartReport is what Check found in a part.
type PartReport struct {
	Name       string       `json:"name"`
	Images     int          `json:"images"`
	Unreadable int          `json:"unreadable"`
	Unlabelled int          `json:"unlabelled"`
	Classes    []ClassCount `json:"classes"`
}

// ClassCount is how many images a class has.
type ClassCount struct {
	Name   string `json:"name"`
	Images int    `json:"images"`
}

// Spread are the least, the middle and the greatest of numbers.
type Spread struct {
	Min    int64 `json:"min"`
	Median int64 `json:"median"`
	Max    int64 `json:"max"`
}

// Some counts names and keeps the first ones.
type Some struct {
	Count int      `json:"count"`
	First []string `json:"first"`
}

// Groups are sets of images of the same bytes.
type Groups struct {
	Count  int        `json:"groups"`
	Images int        `json:"images"` // in all groups
	First  [][]string `json:"first"`  // the first mostGroups groups, with mostInGroup names at most
}

const (
	mostGroups  = 10_000
	mostInGroup = 100
	mostNames   = 20
)

// seen is what is kept of each image: 40 bytes, so that ten million fit in memory.
type seen struct {
	sum           [16]byte // of the bytes; half of SHA-256 is enough for any set that there is
	bytes         int64
	width, height int32
	bad           bool
}

// check is a Check under way.
type check struct {
	parts []Part
	o     CheckOptions
	seen  [][]seen // by part

	done, unreadable atomic.Int64

	mu     sync.Mutex
	report *Report
	bad    map[[2]int]BadImage
}

// Check reads and decodes every image of the parts, in parallel. What it reports does not depend
// on the number of workers. Only the end of ctx is an error.
func Check(ctx context.Context, parts []Part, o CheckOptions) (*Report, error) {
	c := &check{parts: parts, o: o, bad: map[[2]int]BadImage{}, report: &Report{
		Formats: map[string]int{}, Channels: map[string]int{}, Depths: map[string]int{},
	}}
	for p, part := range parts {
		c.seen = append(c.seen, make([]seen, part.Set.Len()))
		if err := each(ctx, part.Set.Len(), o.Workers, func(i int) { c.image(p, i) }); err != nil {
			return nil, err
		}
	}
	c.summarise()
	return c.report, nil
}

// image reads one image.
func (c *check) image(part, i int) {
	set := c.parts[part].Set
	s := &c.seen[part][i]
	im, l, err := c.read(set, i, s)
	bad := int64(0)
	if err != nil {
		bad, s.bad = 1, true
	} else {
		s.width, s.height = int32(im.W), int32(im.H)
	}
	c.note(part, i, l, err)
	done, unreadable := c.done.Add(1), c.unreadable.Add(bad)
	if c.o.Progress != nil {
		c.o.Progress(int(done), int(unreadable))
	}
}

// read returns the image, and what its headers say, also where it cannot be read.
func (c *check) read(set Dataset, i int, s *seen) (*imaging.Image, look, error) {
	encoded, ok := set.(Encoded)
	if !ok {
		im, err := set.Load(i)
		l := look{}
		if a, ok := set.(*array); ok { // whose channels may be others than those that are asked for
			l = look{format: "array", channels: a.c, depth: 8}
		}
		if err != nil {
			return nil, l, err
		}
		s.bytes = int64(len(im.Pix))
		s.setSum(fmt.Appendf(nil, "%d %d ", im.W, im.H), im.Pix)
		return im, l, nil
	}
	b, err := encoded.Bytes(i)
	if err != nil {
		return nil, look{}, err
	}
	s.bytes = int64(len(b))
	s.setSum(b)
	im, err := imaging.DecodeWith(b, c.o.Decode)
	return im, lookAt(b), err
}

func (s *seen) setSum(parts ...[]byte) {
	h := sha256.New()
	for _, b := range parts {
		h.Write(b)
	}
	copy(s.sum[:], h.Sum(nil))
}

// note counts what an image looks like.
func (c *check) note(part, i int, l look, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := c.name(part, i)
	if err != nil {
		c.bad[[2]int{part, i}] = BadImage{Path: name, Error: printable(err.Error()), Index: i}
		if _, isFile := c.parts[part].Set.(Encoded); isFile || l.format == "" {
			return // what a broken file says of itself is as broken; an array may only be asked for other channels
		}
	}
	r := c.report
	if l.format == "" {
		l.format = "other"
	}
	r.Formats[l.format]++
	if l.channels > 0 {
		r.Channels[strconv.Itoa(l.channels)]++
		r.Depths[l.bits()]++
	}
	if _, isFile := c.parts[part].Set.(Encoded); isFile && l.misnamed(name) {
		r.Misnamed.Count++
		r.Misnamed.First = append(r.Misnamed.First, name)
		if len(r.Misnamed.First) > 2*mostNames { // which come first is known only when they are sorted
			slices.Sort(r.Misnamed.First)
			r.Misnamed.First = r.Misnamed.First[:mostNames]
		}
	}
}

// name is the name of an image with that of its part.
func (c *check) name(part, i int) string {
	return path.Join(c.parts[part].Name, printable(c.parts[part].Set.Name(i)))
}

// summarise makes the report of what was seen.
func (c *check) summarise() {
	r := c.report
	var widths, heights, bytes []int64
	for p, part := range c.parts {
		report := PartReport{Name: part.Name, Images: part.Set.Len(), Classes: []ClassCount{}}
		for _, class := range part.Set.Classes() {
			report.Classes = append(report.Classes, ClassCount{Name: printable(class)})
		}
		for i, s := range c.seen[p] {
			if label := part.Set.Label(i); label >= 0 {
				report.Classes[label].Images++
			} else {
				report.Unlabelled++
			}
			if s.bad {
				report.Unreadable++
				r.Unreadable = append(r.Unreadable, c.bad[[2]int{p, i}])
				continue
			}
			widths, heights, bytes = append(widths, int64(s.width)), append(heights, int64(s.height)), append(bytes, s.bytes)
			if min(s.width, s.height) < 32 {
				r.Small++
			}
			if max(s.width, s.height) > 4*min(s.width, s.height) {
				r.Long++
			}
		}
		if set, ok := part.Set.(interface{ Skipped() []BadImage }); ok {
			for _, skipped := range set.Skipped() {
				skipped.Path = path.Join(part.Name, skipped.Path)
				r.Skipped = append(r.Skipped, skipped)
			}
		}
		if set, ok := part.Set.(interface{ OtherFiles() Some }); ok {
			others := set.OtherFiles()
			r.Others.Count += others.Count
			for _, name := range others.First {
				r.Others.First = append(r.Others.First, path.Join(part.Name, name))
			}
		}
		r.Images += report.Images
		r.Parts = append(r.Parts, report)
	}
	r.Width, r.Height, r.Bytes = spread(widths), spread(heights), spread(bytes)
	slices.Sort(r.Misnamed.First)
	r.Misnamed.First = r.Misnamed.First[:min(mostNames, len(r.Misnamed.First))]
	c.duplicates()
	r.Advice = r.advise(cmp.Or(c.o.Decode.Channels, 3))
}

// spread sorts v.
func spread(v []int64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	slices.Sort(v)
	return Spread{v[0], v[len(v)/2], v[len(v)-1]}
}

// duplicates finds images of the same bytes. Files that cannot be read do not count: many are
// empty.
func (c *check) duplicates() {
	type at struct{ part, i int }
	var all []at
	for p := range c.seen {
		for i, s := range c.seen[p] {
			if !s.bad {
				all = append(all, at{p, i})
			}
		}
	}
	sum := func(a at) string { return string(c.seen[a.part][a.i].sum[:]) }
	slices.SortStableFunc(all, func(a, b at) int { // stable: within a group in the order of the set
		return slices.Compare(c.seen[a.part][a.i].sum[:], c.seen[b.part][b.i].sum[:])
	})
	var groups [][]at
	for len(all) > 0 {
		n := 1
		for n < len(all) && sum(all[n]) == sum(all[0]) {
			n++
		}
		if n > 1 {
			groups = append(groups, all[:n])
		}
		all = all[n:]
	}
	slices.SortFunc(groups, func(a, b []at) int {
		return slices.Compare([]int{a[0].part, a[0].i}, []int{b[0].part, b[0].i})
	})
	for _, group := range groups {
		var names []string
		for _, a := range group[:min(len(group), mostInGroup)] {
			names = append(names, c.name(a.part, a.i))
		}
		c.report.Duplicates.add(len(group), names)
		if group[0].part != group[len(group)-1].part {
			c.report.Across.add(len(group), names)
		}
	}
}

func (g *Groups) add(n int, names []string) {
	g.Count++
	g.Images += n
	if len(g.First) < mostGroups {
		g.First = append(g.First, names)
	}
}

// each calls do for 0 to n-1, in parallel, until ctx is done.
func each(ctx context.Context, n, workers int, do func(i int)) error {
	var next atomic.Int64
	var all sync.WaitGroup
	for range workersOr(workers) {
		all.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				do(i)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}
